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

STAGE_BOUNDARIES = ("mm", "mmT", *MEANS)
IMMUTABLE = ("tensor", "param", "const")  # streams that no stage overwrites
MAX_REMATERIALIZED = 32  # operations on single numbers that every stage may make again
SUM_ORDER = (
    "spill",
    "next",
    "previous",
    "workspace",
)  # of a product's operands: it fixes the order of a sum, hence bits
MAX_FUSED_GATES = 4  # gates whose accumulators share a tile


@dataclass(frozen=True)
class Location:
    kind: str
    name: str = ""
    index: int = 0
    width: str = "H"
    column: tuple[int, ...] = (0, 0)  # entries before it in its line, in units of (H, P), and then of 1


@dataclass(frozen=True)
class Operand:
    """One run of k: where A lies, and the weights that stand against it.

    Forward: the weights lie side by side and share A. Backward: they are stacked along k, as their gradients are in A.
    """

    location: Location
    weights: tuple[tuple[str, str], ...]
    depth: str  # entries of A per weight: "C", "H" or "P"


@dataclass
class Product:
    """Products that share a tile: several outputs of one operand, or one output that is a sum over parts."""

    outputs: list[Value]
    operands: list[Operand]
    width: str
    bias_init: list[tuple[str, str] | None]  # the bias that starts each output's chain
    transposed: bool = True  # the panel is [K, units] of a weight [units, K]; False: of a weight [K, units]
    span: int = 1  # vectors of each output in a tile

    @property
    def columns(self) -> int:
        return len(self.bias_init) * self.span


@dataclass
class FusedLoop:
    """The pointwise work of one stage on values of one width, after the products that feed it."""

    stage: int
    width: str
    products: list[Product] = field(default_factory=list)
    stores: list[tuple[Value, Location]] = field(default_factory=list)

    @property
    def span(self) -> int:
        return max((p.span for p in self.products), default=1)


class StepSchedule:
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
        outputs: Sequence[tuple[Value, Location]],
        inputs: dict[int, Location],
        widths: dict[int, str],
        states: Sequence[Value],
        uses: dict[int, int] | None = None,
        operands: dict[int, Location] | None = None,
    ):
        self.outputs, self.inputs, self.widths = list(outputs), inputs, widths
        self.operand_locations = dict(operands or {})
        self.loops_at: dict[tuple[int, str], FusedLoop] = {}
        self.locations: dict[int, Location] = {}
        self.means: dict[int, list[Value]] = {}
        self.scalars: dict[int, Location] = {}
        self.spilled_scalars: set[int] = set()
        self.rematerialized: set[int] = set()
        self.spill_count = 0
        self._assign_stages()
        self.uses = uses if uses is not None else use_counts(self.computed, [v for v, _ in outputs])
        self._fold_sums()
        self._spill_long_scalars()
        self._place_values()
        self._group_products()
        self.hoisted = self._hoisted_products()
        self.loops = [self.loops_at[k] for k in sorted(self.loops_at)]
        self.loops_of_stage: dict[int, list[FusedLoop]] = {}
        for p in self.loops:
            self.loops_of_stage.setdefault(p.stage, []).append(p)
        self.stage_nodes: dict[int, set[int]] = {}
        for v in self.computed:
            self.stage_nodes.setdefault(self.stage[v.id], set()).add(v.id)
        for p in self.loops:
            widest = max((len(q.bias_init) for q in p.products), default=0)
            for q in p.products:
                q.span = 2 if widest == 1 else 1
        self.double_buffered = tuple(self._needs_double_buffer(k, s) for k, s in enumerate(states))

    @cached_property
    def mean_count(self) -> int:
        return sum(len(m) for m in self.means.values())

    @property
    def last_stage(self) -> int:
        return max([*(p.stage for p in self.loops), *self.means], default=0)

    def _assign_stages(self) -> None:
        order = self._topological_order()
        level: dict[int, int] = {}
        for v in order.values():
            level[v.id] = max((level[a.id] for a in self._reads(v)), default=0) + self._is_boundary(v)
        self.nodes = list(order.values())
        last = max(level.values(), default=0)
        self.stage = self._latest_stages(last, {})
        # A mean joins others that are taken earlier anyway: one sweep over the units serves them all.
        taken = sorted({self.stage[v.id] for v in self.nodes if v.op in MEANS and self._is_boundary(v)})
        means = [(v, bisect_left(taken, level[v.id])) for v in self.nodes if v.op in MEANS]
        sweep = {v.id: taken[k] for v, k in means if k < len(taken)}
        self.stage = self._latest_stages(last, sweep)
        self.computed = [v for v in self.nodes if v.id not in self.inputs]

    def _topological_order(self) -> dict[int, Value]:
        """node.id -> node, each after those that it reads: depth first, from the first output on."""
        order: dict[int, Value] = {}
        stack = [v for v, _ in reversed(self.outputs)]
        begun: set[int] = set()
        while stack:
            v = stack[-1]
            if v.id not in begun:
                begun.add(v.id)
                stack.extend(a for a in reversed(self._reads(v)) if a.id not in begun)
            else:
                order.setdefault(stack.pop().id, v)
        return order

    def _latest_stages(self, last: int, no_later: dict[int, int]) -> dict[int, int]:
        """The stage of each node, as late as its readers allow."""
        stage = {v.id: no_later.get(v.id, last) for v in self.nodes}
        for v in reversed(self.nodes):
            for a in self._reads(v):
                stage[a.id] = min(stage[a.id], stage[v.id] - self._is_boundary(v))
        return stage

    def _reads(self, v: Value) -> tuple[Value, ...]:
        return () if v.id in self.inputs else v.args

    def _is_boundary(self, v: Value) -> bool:
        return v.id not in self.inputs and v.op in STAGE_BOUNDARIES

    def _fold_sums(self) -> None:
        """Biases start the chain of a product beside them; products that are only added up become one sum."""
        self.bias_init: dict[int, Value] = {}
        self.folded_terms: dict[int, set[int]] = {}
        self.summed_products: list[list[Value]] = []
        reader = {a.id: v for v in self.computed for a in v.args}
        for root in self.computed:
            above = reader.get(root.id)
            if root.op != "add" or (self.uses.get(root.id) == 1 and above is not None and above.op == "add"):
                continue
            chain = sum_terms(root, self.uses, self.inputs)
            drop: set[int] = set()
            biases = [v for v in chain if v.op == "vec" and v.attr[0] in "bd"]
            summed = [v for v in chain if v.op == "mmT" and v.id not in self.inputs and self.uses.get(v.id) == 1]
            started = [v for v in chain if v.op == "mm" and self.uses.get(v.id) == 1]
            for v, bias in zip(started, biases):
                self.bias_init[v.id] = bias
                drop.add(bias.id)
            if summed:
                self.summed_products.append(summed)
                drop.update(v.id for v in summed[1:])
            self.folded_terms[root.id] = drop

    def _loop_at(self, stage: int, width: str) -> FusedLoop:
        return self.loops_at.setdefault((stage, width), FusedLoop(stage, width))

    def _spill_long_scalars(self) -> None:
        """Values of width 1 are made again in every stage that reads them, but those that take long are stored.

        After AGAIN operations one is stored, and what is made of it begins there: code grows with the graph alone.
        """
        cost: dict[int, int] = {}
        for v in self.computed:
            if self._is_recomputed(v):
                cost[v.id] = 1 + sum(cost.get(a.id, 0) for a in v.args)
                if cost[v.id] > MAX_REMATERIALIZED and v.op not in COMPARISONS:
                    cost[v.id] = 0
        last = dict(self.stage)  # the last stage that reads a value, by itself or to make another again
        for v in reversed(self.computed):
            for a in v.args:
                last[a.id] = max(last[a.id], last[v.id] if cost.get(v.id) else self.stage[v.id])
        for v in self.computed:
            if cost.get(v.id) == 0 and last[v.id] > self.stage[v.id]:
                self._spill(v)
                self.spilled_scalars.add(v.id)

    def _is_recomputed(self, v: Value) -> bool:
        return self.widths[v.id] == "1" or v.op in COMPARISONS

    def _place_values(self) -> None:
        for v, stream in self.outputs:
            if stream.width == "1":
                self.scalars[v.id] = stream
                continue
            self._loop_at(self.stage[v.id], stream.width).stores.append((v, stream))
            self.locations.setdefault(v.id, stream)
        for v in self.computed:
            if v.op in MEANS and self.widths[v.args[0].id] != "1":
                self.means.setdefault(self.stage[v.id], []).append(v)
                if v.args[0].id not in self.inputs and v.args[0].id not in self.locations:
                    self._keep_for_later(v.args[0])
            elif not self._is_boundary(v) and self.widths[v.id] != "1":
                self._make_available(v, self.stage[v.id])

    def _make_available(self, v: Value, stage: int) -> None:
        """What v reads of earlier stages is stored there. A comparison is no number: it is made again."""
        for a in v.args:
            late = self.stage[a.id] < stage and a.id not in self.inputs
            if late and self.widths[a.id] != "1" and a.id not in self.locations:
                if a.op in COMPARISONS:
                    self._make_available(a, stage)
                else:
                    self._keep_for_later(a)

    def _keep_for_later(self, v: Value) -> None:
        """For a later stage, v is stored, unless it is a product of numbers that are there anyway."""
        if not self._can_rematerialize(v):
            self._spill(v)

    def _can_rematerialize(self, v: Value, deep: int = 2) -> bool:
        """Whether v needs no place: it has one, or at most `deep` multiplications separate it from what has."""
        if v.id in self.inputs:
            return self.inputs[v.id].kind in IMMUTABLE
        if v.id in self.locations:
            return self.locations[v.id].kind != "next"
        if v.op != "mul" or not deep or not all(self._can_rematerialize(a, deep - 1) for a in v.args):
            return False
        self.rematerialized.add(v.id)
        return True

    def _spill(self, v: Value) -> Location:
        stream = Location("spill", index=self.spill_count, width=storage_width(self.widths[v.id]))
        self.spill_count += 1
        self._loop_at(self.stage[v.id], stream.width).stores.append((v, stream))
        self.locations[v.id] = stream
        return stream

    def operand_location(self, v: Value) -> Location:
        """Where a product finds its operand as one line of memory per row."""
        if v.id not in self.operand_locations:
            place = self.inputs.get(v.id) or self.locations.get(v.id)
            readable = place is not None and place.kind in ("previous", "next", "spill", "workspace")
            self.operand_locations[v.id] = place if readable and place is not None else self._spill(v)
        return self.operand_locations[v.id]

    def _group_products(self) -> None:
        groups: dict[tuple[int, int, str], list[Value]] = {}
        summed = {v.id for chain in self.summed_products for v in chain}
        for v in self.computed:
            if v.op == "mm":
                groups.setdefault((self.stage[v.id], v.args[0].id, self.widths[v.id]), []).append(v)
            elif v.op == "mmT" and v.id not in summed:
                self.summed_products.append([v])
        for (s, _, w), members in groups.items():
            for group in gate_groups(members):
                a = group[0].args[0]
                part = Operand(self.operand_location(a), tuple(v.attr for v in group), storage_width(self.widths[a.id]))
                self._loop_at(s, w).products.append(Product(group, [part], w, [self._bias_of(v) for v in group]))
        for chain in self.summed_products:
            parts = merge_operands(
                [Operand(self.operand_location(v.args[0]), (v.attr,), "P" if v.attr[0] == "V" else "H") for v in chain]
            )
            w = self.widths[chain[0].id]
            self._loop_at(self.stage[chain[0].id], w).products.append(
                Product(chain[:1], parts, w, [None], transposed=False)
            )

    def _hoisted_products(self) -> list[Product]:
        gates = [v for v in self.nodes if v.id in self.inputs and self.inputs[v.id].kind == "pregemm"]
        return [
            Product(
                group,
                [Operand(Location("tensor", "x", width="C"), tuple(v.attr for v in group), "C")],
                "H",
                [self._bias_of(v) for v in group],
                span=2 if len(group) == 1 else 1,
            )
            for group in gate_groups(gates)
        ]

    def _bias_of(self, v: Value) -> tuple[str, str] | None:
        return self.bias_init[v.id].attr if v.id in self.bias_init else None

    def _needs_double_buffer(self, k: int, state: Value) -> bool:
        """Whether the old value of state k may be read after the new one was written."""
        written = min((self.stage[v.id] for v, s in self.outputs if s.kind == "next" and s.index == k), default=0)
        read = [self.stage[v.id] for v in self.computed if any(a is state for a in v.args)]
        read += [self.stage[v.id] for v, _ in self.outputs if v is state]
        whole = any(
            q.location.kind == "previous" and q.location.index == k
            for p in self.loops
            for r in p.products
            for q in r.operands
        )
        return (
            whole or max(read, default=0) > written or any(m.args[0] is state for ms in self.means.values() for m in ms)
        )


def storage_width(w: str) -> str:
    return "H" if w == "1" else w


def use_counts(nodes: Iterable[Value], outputs: Iterable[Value]) -> dict[int, int]:
    """How often each node is read."""
    count: dict[int, int] = {}
    for read in [a for v in nodes for a in v.args] + list(outputs):
        count[read.id] = count.get(read.id, 0) + 1
    return count


def sum_terms(root: Value, uses: dict[int, int], inputs: dict[int, Location]) -> list[Value]:
    """The summands of a chain of additions that nobody else reads, left to right."""
    found: list[Value] = []
    stack = [*reversed(root.args)]
    while stack:
        a = stack.pop()
        if a.op == "add" and a.id not in inputs and uses.get(a.id) == 1:
            stack.extend(reversed(a.args))
        else:
            found.append(a)
    return found


def gate_groups(members: list[Value]) -> list[list[Value]]:
    """Groups of at most GROUP, of nearly equal size."""
    count = -(-len(members) // MAX_FUSED_GATES)
    return [members[i * len(members) // count : (i + 1) * len(members) // count] for i in range(count)]


def merge_operands(parts: list[Operand]) -> list[Operand]:
    """Parts whose operands are neighbours in one line of the workspace become one run of k."""
    runs: list[tuple[Operand, list[tuple[str, str]]]] = []
    for p in sorted(parts, key=lambda q: (SUM_ORDER.index(q.location.kind), q.location.index, q.location.column)):
        q, weights = runs[-1] if runs else (None, [])
        near = q is not None and p.location.kind == q.location.kind == "workspace" and p.depth == q.depth
        if q is not None and near and _adjacent(q, len(weights), p):
            weights += p.weights
        else:
            runs.append((p, list(p.weights)))
    return [Operand(p.location, tuple(weights), p.depth) for p, weights in runs]


def _adjacent(q: Operand, n: int, p: Operand) -> bool:
    """Whether p lies right behind the n values that begin with q."""
    h, o = q.location.column[:2]
    return p.location.column == ((h + n, o) if q.depth == "H" else (h, o + n))
