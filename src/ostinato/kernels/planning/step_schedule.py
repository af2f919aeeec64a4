"""Scheduling of one step: its stages, the products that share a tile, the values that are spilled between stages.

Every product with a computed operand and every mean over the units is a stage boundary. Between two boundaries all
work is pointwise. The schedule is as late as possible: a node is computed in the last stage that its readers allow,
which keeps few values live across a boundary.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cached_property

from ...cells.operations import COMPARISONS, MEANS
from ...cells.value import Value
from .operands import FusedLoop, Location, Operand, Product, gate_groups, merge_operands, storage_width

STAGE_BOUNDARIES = ("mm", "mmT", *MEANS)
IMMUTABLE = ("tensor", "param", "const")
"""Kinds of locations that no stage overwrites."""
MAX_REMATERIALIZED = 32
"""Scalar operations that every stage may recompute for one value; a longer computation is spilled."""


class StepSchedule:
    """The schedule of one step.

    loops            the fused loops in order; loops_of_stage[s]: those of stage s
    means            [s]: the means computed at the start of stage s
    stage_nodes      [s]: ids of the nodes that stage s computes
    inputs           node id -> the location that the step reads it from
    locations        node id -> the location that the step stores it to
    scalars          node id of a mean -> the location in which it is saved as one number
    spilled_scalars  nodes of width 1 that are spilled as one number, because recomputing them is long
    rematerialized   nodes that later stages recompute: products of two or three values that are in memory
    bias_init        product node id -> the bias node that initialises its accumulator
    folded_terms     root of a sum -> ids of the summands that a product already includes
    hoisted          the products with x, computed ahead of the time loop
    double_buffered  for each state: whether previous and next need two buffers
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
        """Means over the units that one step computes for a row."""
        return sum(len(m) for m in self.means.values())

    @property
    def products(self) -> list[Product]:
        """Those with x, then those of every loop."""
        return [*self.hoisted, *(q for p in self.loops for q in p.products)]

    @property
    def last_stage(self) -> int:
        return max([*(p.stage for p in self.loops), *self.means], default=0)

    def _assign_stages(self) -> None:
        """Sets `nodes` in topological order, the stage of each, and `computed`, the nodes that are not inputs."""
        order = self._topological_order()
        level: dict[int, int] = {}
        for v in order.values():
            level[v.id] = max((level[a.id] for a in self._reads(v)), default=0) + self._is_boundary(v)
        self.nodes = list(order.values())
        last = max(level.values(), default=0)
        self.stage = self._latest_stages(last, {})
        # A mean is scheduled earlier if another mean is computed in that stage: both share one loop over the units.
        taken = sorted({self.stage[v.id] for v in self.nodes if v.op in MEANS and self._is_boundary(v)})
        means = [(v, bisect_left(taken, level[v.id])) for v in self.nodes if v.op in MEANS]
        sweep = {v.id: taken[k] for v, k in means if k < len(taken)}
        self.stage = self._latest_stages(last, sweep)
        self.computed = [v for v in self.nodes if v.id not in self.inputs]

    def _topological_order(self) -> dict[int, Value]:
        """node id -> node in topological order: depth first, from the first output on."""
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
        """The latest stage of each node that its readers and `no_later` allow."""
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
        """Folds sums into products: a bias initialises the accumulator of a product that it is added to, and products
        that are only added up accumulate into one tile."""
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
        """Spills values of width 1 that are long to compute; stages recompute the others where they read them.

        After MAX_REMATERIALIZED operations a value is spilled, and values computed from it count from there, so the
        size of the code is linear in that of the graph.
        """
        cost: dict[int, int] = {}
        for v in self.computed:
            if self._is_recomputed(v):
                cost[v.id] = 1 + sum(cost.get(a.id, 0) for a in v.args)
                if cost[v.id] > MAX_REMATERIALIZED and v.op not in COMPARISONS:
                    cost[v.id] = 0
        last = dict(self.stage)  # the last stage that reads a value, directly or to recompute another
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
        """Assigns every output to the loop that stores it, and spills the values that later stages read."""
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
        """Spills the values of earlier stages that v reads. Comparisons are masks, not numbers, and are recomputed."""
        for a in v.args:
            late = self.stage[a.id] < stage and a.id not in self.inputs
            if late and self.widths[a.id] != "1" and a.id not in self.locations:
                if a.op in COMPARISONS:
                    self._make_available(a, stage)
                else:
                    self._keep_for_later(a)

    def _keep_for_later(self, v: Value) -> None:
        """Spills v for later stages, unless it can be rematerialised."""
        if not self._can_rematerialize(v):
            self._spill(v)

    def _can_rematerialize(self, v: Value, depth: int = 2) -> bool:
        """True if v need not be spilled: it is in memory, or at most `depth` multiplications of such values give it."""
        if v.id in self.inputs:
            return self.inputs[v.id].kind in IMMUTABLE
        if v.id in self.locations:
            return self.locations[v.id].kind != "next"
        if v.op != "mul" or not depth or not all(self._can_rematerialize(a, depth - 1) for a in v.args):
            return False
        self.rematerialized.add(v.id)
        return True

    def _spill(self, v: Value) -> Location:
        """Stores v to a new spill location in the stage that computes it."""
        stream = Location("spill", index=self.spill_count, width=storage_width(self.widths[v.id]))
        self.spill_count += 1
        self._loop_at(self.stage[v.id], stream.width).stores.append((v, stream))
        self.locations[v.id] = stream
        return stream

    def operand_location(self, v: Value) -> Location:
        """The location of a product's operand, one contiguous line for each row; v is spilled if it has none."""
        if v.id not in self.operand_locations:
            place = self.inputs.get(v.id) or self.locations.get(v.id)
            readable = place is not None and place.kind in ("previous", "next", "spill", "workspace")
            self.operand_locations[v.id] = place if readable and place is not None else self._spill(v)
        return self.operand_locations[v.id]

    def _group_products(self) -> None:
        """Groups products with one operand into shared tiles, and products that are added up into sums."""
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
        """Whether the previous value of state k may be read after the next one was written."""
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


def use_counts(nodes: Iterable[Value], outputs: Iterable[Value]) -> dict[int, int]:
    """How often each node is read."""
    count: dict[int, int] = {}
    for read in [a for v in nodes for a in v.args] + list(outputs):
        count[read.id] = count.get(read.id, 0) + 1
    return count


def sum_terms(root: Value, uses: dict[int, int], inputs: dict[int, Location]) -> list[Value]:
    """The summands of a tree of additions without other readers, left to right."""
    found: list[Value] = []
    stack = [*reversed(root.args)]
    while stack:
        a = stack.pop()
        if a.op == "add" and a.id not in inputs and uses.get(a.id) == 1:
            stack.extend(reversed(a.args))
        else:
            found.append(a)
    return found
