"""From a graph to a plan of one step: the stages, the products that share a tile, what has to be stored in between.

A step is cut at every product with a computed value and at every mean over the units. Between two cuts all work is
pointwise. Every node is computed as late as its readers allow, so that little crosses from stage to stage.

Streams say where a value lies in memory:
    old, new   the carried state of a row (in backward: the gradient that is carried), padded to whole vectors
    rows       a tensor with one line for each packed row: "x", "output", "history_k", "kept", "d_output", ...
    past       in backward, a state before the step: the line of the step before, or the initial state
    cross      a value on its way to a later stage, padded
    slot       a line of the workspace for one block of steps: gradients of products and vectors, operands
    vector     a per-unit parameter, padded
    gate       W.name @ x, computed for a chunk of steps ahead of the loop
    random     drawn for the row, the step and the unit, wherever it is read
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ...cells.operations import COMPARISONS, MEANS
from ...cells.value import Value

CUTS = ("mm", "mmT", *MEANS)
LASTING = ("rows", "vector", "const")  # streams that no stage overwrites
AGAIN = 32  # operations on single numbers that every stage may make again
GROUP = 4  # gates whose accumulators share a tile


@dataclass(frozen=True)
class Stream:
    kind: str
    name: str = ""
    index: int = 0
    width: str = "H"
    offset: tuple[int, ...] = (0, 0)  # entries before it in its line, in units of (H, P), and then of 1


@dataclass(frozen=True)
class Part:
    """One run of k: where A lies, and the weights that stand against it.

    Forward: the weights lie side by side and share A. Backward: they are stacked along k, as their gradients are in A.
    """

    operand: Stream
    weights: tuple[tuple[str, str], ...]
    depth: str  # entries of A per weight: "C", "H" or "P"


@dataclass
class Product:
    """Products that share a tile: several outputs of one operand, or one output that is a sum over parts."""

    outputs: list[Value]
    parts: list[Part]
    width: str
    starts: list[tuple[str, str] | None]  # the bias that starts each output's chain
    transposed: bool = True  # the panel is [K, units] of a weight [units, K]; False: of a weight [K, units]
    span: int = 1  # vectors of each output in a tile

    @property
    def columns(self) -> int:
        return len(self.starts) * self.span


@dataclass
class Pass:
    """The pointwise work of one stage on values of one width, after the products that feed it."""

    stage: int
    width: str
    products: list[Product] = field(default_factory=list)
    stores: list[tuple[Value, Stream]] = field(default_factory=list)

    @property
    def span(self) -> int:
        return max((p.span for p in self.products), default=1)


class Step:
    """A plan of one step.

    passes    in order; means[s]: the means taken before stage s
    at_stage  the passes of a stage; home: the nodes that it computes
    leaves    node id -> the stream it is read from; places: the same for what this step computes and stores
    singles   node id of a mean -> the stream in which it is kept as one number
    numbers   nodes of width 1 that a later stage reads as one number, since making them again is long
    again     nodes that a later stage makes again: products of two or three numbers that are there anyway
    starts    product node id -> the bias node that starts its chain; dropped[root]: summands already counted elsewhere
    ahead     the products with x
    pingpong  per state: whether old and new need two buffers
    """

    def __init__(
        self,
        outputs: Sequence[tuple[Value, Stream]],
        leaves: dict[int, Stream],
        widths: dict[int, str],
        states: Sequence[Value],
        uses: dict[int, int] | None = None,
        operands: dict[int, Stream] | None = None,
    ):
        self.outputs, self.leaves, self.widths = list(outputs), leaves, widths
        self.operands = dict(operands or {})
        self.passes_at: dict[tuple[int, str], Pass] = {}
        self.places: dict[int, Stream] = {}
        self.means: dict[int, list[Value]] = {}
        self.singles: dict[int, Stream] = {}
        self.numbers: set[int] = set()
        self.again: set[int] = set()
        self.crossing = 0
        self._schedule()
        self.uses = uses if uses is not None else readers(self.computed, [v for v, _ in outputs])
        self._chains()
        self._long_numbers()
        self._store()
        self._products()
        self.ahead = self._ahead()
        self.passes = [self.passes_at[k] for k in sorted(self.passes_at)]
        self.at_stage: dict[int, list[Pass]] = {}
        for p in self.passes:
            self.at_stage.setdefault(p.stage, []).append(p)
        self.home: dict[int, set[int]] = {}
        for v in self.computed:
            self.home.setdefault(self.stage[v.id], set()).add(v.id)
        for p in self.passes:
            widest = max((len(q.starts) for q in p.products), default=0)
            for q in p.products:
                q.span = 2 if widest == 1 else 1
        self.pingpong = tuple(self._hazard(k, s) for k, s in enumerate(states))

    @cached_property
    def mean_count(self) -> int:
        return sum(len(m) for m in self.means.values())

    @property
    def last(self) -> int:
        return max([*(p.stage for p in self.passes), *self.means], default=0)

    def _schedule(self) -> None:
        order = self._ordered()
        level: dict[int, int] = {}
        for v in order.values():
            level[v.id] = max((level[a.id] for a in self._inner(v)), default=0) + self._cut(v)
        self.nodes = list(order.values())
        last = max(level.values(), default=0)
        self.stage = self._latest(last, {})
        # A mean joins others that are taken earlier anyway: one sweep over the units serves them all.
        taken = sorted({self.stage[v.id] for v in self.nodes if v.op in MEANS and self._cut(v)})
        means = [(v, bisect_left(taken, level[v.id])) for v in self.nodes if v.op in MEANS]
        sweep = {v.id: taken[k] for v, k in means if k < len(taken)}
        self.stage = self._latest(last, sweep)
        self.computed = [v for v in self.nodes if v.id not in self.leaves]

    def _ordered(self) -> dict[int, Value]:
        """node.id -> node, each after those that it reads: depth first, from the first output on."""
        order: dict[int, Value] = {}
        stack = [v for v, _ in reversed(self.outputs)]
        begun: set[int] = set()
        while stack:
            v = stack[-1]
            if v.id not in begun:
                begun.add(v.id)
                stack.extend(a for a in reversed(self._inner(v)) if a.id not in begun)
            else:
                order.setdefault(stack.pop().id, v)
        return order

    def _latest(self, last: int, no_later: dict[int, int]) -> dict[int, int]:
        """The stage of each node, as late as its readers allow."""
        stage = {v.id: no_later.get(v.id, last) for v in self.nodes}
        for v in reversed(self.nodes):
            for a in self._inner(v):
                stage[a.id] = min(stage[a.id], stage[v.id] - self._cut(v))
        return stage

    def _inner(self, v: Value) -> tuple[Value, ...]:
        return () if v.id in self.leaves else v.args

    def _cut(self, v: Value) -> bool:
        return v.id not in self.leaves and v.op in CUTS

    def _chains(self) -> None:
        """Biases start the chain of a product beside them; products that are only added up become one sum."""
        self.starts: dict[int, Value] = {}
        self.dropped: dict[int, set[int]] = {}
        self.sums: list[list[Value]] = []
        reader = {a.id: v for v in self.computed for a in v.args}
        for root in self.computed:
            above = reader.get(root.id)
            if root.op != "add" or (self.uses.get(root.id) == 1 and above is not None and above.op == "add"):
                continue
            chain = terms(root, self.uses, self.leaves)
            drop: set[int] = set()
            biases = [v for v in chain if v.op == "vec" and v.attr[0] in "bd"]
            summed = [v for v in chain if v.op == "mmT" and v.id not in self.leaves and self.uses.get(v.id) == 1]
            started = [v for v in chain if v.op == "mm" and self.uses.get(v.id) == 1]
            for v, bias in zip(started, biases):
                self.starts[v.id] = bias
                drop.add(bias.id)
            if summed:
                self.sums.append(summed)
                drop.update(v.id for v in summed[1:])
            self.dropped[root.id] = drop

    def _at(self, stage: int, width: str) -> Pass:
        return self.passes_at.setdefault((stage, width), Pass(stage, width))

    def _long_numbers(self) -> None:
        """Values of width 1 are made again in every stage that reads them, but those that take long are stored.

        After AGAIN operations one is stored, and what is made of it begins there: code grows with the graph alone.
        """
        cost: dict[int, int] = {}
        for v in self.computed:
            if self._made_everywhere(v):
                cost[v.id] = 1 + sum(cost.get(a.id, 0) for a in v.args)
                if cost[v.id] > AGAIN and v.op not in COMPARISONS:
                    cost[v.id] = 0
        last = dict(self.stage)  # the last stage that reads a value, by itself or to make another again
        for v in reversed(self.computed):
            for a in v.args:
                last[a.id] = max(last[a.id], last[v.id] if cost.get(v.id) else self.stage[v.id])
        for v in self.computed:
            if cost.get(v.id) == 0 and last[v.id] > self.stage[v.id]:
                self._cross(v)
                self.numbers.add(v.id)

    def _made_everywhere(self, v: Value) -> bool:
        return self.widths[v.id] == "1" or v.op in COMPARISONS

    def _store(self) -> None:
        for v, stream in self.outputs:
            if stream.width == "1":
                self.singles[v.id] = stream
                continue
            self._at(self.stage[v.id], stream.width).stores.append((v, stream))
            self.places.setdefault(v.id, stream)
        for v in self.computed:
            if v.op in MEANS and self.widths[v.args[0].id] != "1":
                self.means.setdefault(self.stage[v.id], []).append(v)
                if v.args[0].id not in self.leaves and v.args[0].id not in self.places:
                    self._keep(v.args[0])
            elif not self._cut(v) and self.widths[v.id] != "1":
                self._fetch(v, self.stage[v.id])

    def _fetch(self, v: Value, stage: int) -> None:
        """What v reads of earlier stages is stored there. A comparison is no number: it is made again."""
        for a in v.args:
            late = self.stage[a.id] < stage and a.id not in self.leaves
            if late and self.widths[a.id] != "1" and a.id not in self.places:
                if a.op in COMPARISONS:
                    self._fetch(a, stage)
                else:
                    self._keep(a)

    def _keep(self, v: Value) -> None:
        """For a later stage, v is stored, unless it is a product of numbers that are there anyway."""
        if not self._made_again(v):
            self._cross(v)

    def _made_again(self, v: Value, deep: int = 2) -> bool:
        """Whether v needs no place: it has one, or at most `deep` multiplications separate it from what has."""
        if v.id in self.leaves:
            return self.leaves[v.id].kind in LASTING
        if v.id in self.places:
            return self.places[v.id].kind != "new"
        if v.op != "mul" or not deep or not all(self._made_again(a, deep - 1) for a in v.args):
            return False
        self.again.add(v.id)
        return True

    def _cross(self, v: Value) -> Stream:
        stream = Stream("cross", index=self.crossing, width=full(self.widths[v.id]))
        self.crossing += 1
        self._at(self.stage[v.id], stream.width).stores.append((v, stream))
        self.places[v.id] = stream
        return stream

    def operand(self, v: Value) -> Stream:
        """Where a product finds its operand as one line of memory per row."""
        if v.id not in self.operands:
            place = self.leaves.get(v.id) or self.places.get(v.id)
            readable = place is not None and place.kind in ("old", "new", "cross", "slot")
            self.operands[v.id] = place if readable and place is not None else self._cross(v)
        return self.operands[v.id]

    def _products(self) -> None:
        groups: dict[tuple[int, int, str], list[Value]] = {}
        summed = {v.id for chain in self.sums for v in chain}
        for v in self.computed:
            if v.op == "mm":
                groups.setdefault((self.stage[v.id], v.args[0].id, self.widths[v.id]), []).append(v)
            elif v.op == "mmT" and v.id not in summed:
                self.sums.append([v])
        for (s, _, w), members in groups.items():
            for group in split(members):
                a = group[0].args[0]
                part = Part(self.operand(a), tuple(v.attr for v in group), full(self.widths[a.id]))
                self._at(s, w).products.append(Product(group, [part], w, [self._start(v) for v in group]))
        for chain in self.sums:
            parts = merge([Part(self.operand(v.args[0]), (v.attr,), "P" if v.attr[0] == "V" else "H") for v in chain])
            w = self.widths[chain[0].id]
            self._at(self.stage[chain[0].id], w).products.append(Product(chain[:1], parts, w, [None], transposed=False))

    def _ahead(self) -> list[Product]:
        gates = [v for v in self.nodes if v.id in self.leaves and self.leaves[v.id].kind == "gate"]
        return [
            Product(
                group,
                [Part(Stream("rows", "x", width="C"), tuple(v.attr for v in group), "C")],
                "H",
                [self._start(v) for v in group],
                span=2 if len(group) == 1 else 1,
            )
            for group in split(gates)
        ]

    def _start(self, v: Value) -> tuple[str, str] | None:
        return self.starts[v.id].attr if v.id in self.starts else None

    def _hazard(self, k: int, state: Value) -> bool:
        """Whether the old value of state k may be read after the new one was written."""
        written = min((self.stage[v.id] for v, s in self.outputs if s.kind == "new" and s.index == k), default=0)
        read = [self.stage[v.id] for v in self.computed if any(a is state for a in v.args)]
        read += [self.stage[v.id] for v, _ in self.outputs if v is state]
        whole = any(
            q.operand.kind == "old" and q.operand.index == k for p in self.passes for r in p.products for q in r.parts
        )
        return (
            whole or max(read, default=0) > written or any(m.args[0] is state for ms in self.means.values() for m in ms)
        )


def full(w: str) -> str:
    return "H" if w == "1" else w


def readers(nodes: Iterable[Value], outputs: Iterable[Value]) -> dict[int, int]:
    """How often each node is read."""
    count: dict[int, int] = {}
    for read in [a for v in nodes for a in v.args] + list(outputs):
        count[read.id] = count.get(read.id, 0) + 1
    return count


def terms(root: Value, uses: dict[int, int], leaves: dict[int, Stream]) -> list[Value]:
    """The summands of a chain of additions that nobody else reads, left to right."""
    found: list[Value] = []
    stack = [*reversed(root.args)]
    while stack:
        a = stack.pop()
        if a.op == "add" and a.id not in leaves and uses.get(a.id) == 1:
            stack.extend(reversed(a.args))
        else:
            found.append(a)
    return found


def split(members: list[Value]) -> list[list[Value]]:
    """Groups of at most GROUP, of nearly equal size."""
    count = -(-len(members) // GROUP)
    return [members[i * len(members) // count : (i + 1) * len(members) // count] for i in range(count)]


def merge(parts: list[Part]) -> list[Part]:
    """Parts whose operands are neighbours in one line of the workspace become one run of k."""
    runs: list[tuple[Part, list[tuple[str, str]]]] = []
    for p in sorted(parts, key=lambda q: (q.operand.kind, q.operand.index, q.operand.offset)):
        q, weights = runs[-1] if runs else (None, [])
        near = q is not None and p.operand.kind == q.operand.kind == "slot" and p.depth == q.depth
        if q is not None and near and _follows(q, len(weights), p):
            weights += p.weights
        else:
            runs.append((p, list(p.weights)))
    return [Part(p.operand, tuple(weights), p.depth) for p, weights in runs]


def _follows(q: Part, n: int, p: Part) -> bool:
    """Whether p lies right behind the n values that begin with q."""
    h, o = q.operand.offset[:2]
    return p.operand.offset == ((h + n, o) if q.depth == "H" else (h, o + n))
