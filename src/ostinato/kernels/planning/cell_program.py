"""The program of one cell: the forward step, the backward step, the saved values, the weight gradients.

Forward saves the values that backward reads and that are not cheap to recompute from the output, the states before and
after the step, and the parameters. A sum or a product is rematerialised, a tanh is saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ...caching import bounded_cache, graph_bytes
from ...cells import Cell
from ...cells.derivative import differentiate
from ...cells.operations import COMPARISONS, MEANS, Names
from ...cells.value import Value
from .operands import Location, Operand, Product, merge_operands, storage_width
from .step_schedule import StepSchedule, use_counts

REMATERIALIZABLE = Names(lambda row: row.rematerialize == "always")
REMATERIALIZABLE_WITH_NORM = Names(lambda row: row.rematerialize != "never")


@dataclass(frozen=True)
class WeightGradient:
    """The gradient of a weight: Σ over rows of (gradient of the product) ⊗ (operand)."""

    letter: str
    gate_ranges: tuple[tuple[tuple[int, int], int, int], ...]
    """(column in the gradient workspace, first gate, number of gates) of gates that are adjacent in both."""
    rows: str
    """Width of one gate: "H" or "P"."""
    operand: Location
    columns: str
    """Width of the operand: "C", "H" or "P"."""


class Program:
    """Everything derived from a cell for its kernels, once per cell."""

    def __init__(self, cell: Cell):
        self.cell, self.trace = cell, cell.trace
        self.derivative = differentiate(cell.trace)
        t = self.trace
        self.live = [v for v in t.graph.nodes if v.id in t.widths]
        roots = [*t.next_states] if cell.output_state is not None else [t.output, *t.next_states]
        self.uses = use_counts([v for v in self.live if v.args], roots)
        self.widths = self._widths()
        self.backward_nodes = self._backward_nodes()
        self.saved, self.state_histories = self._choose_saved()

    def _widths(self) -> dict[int, str]:
        t, widths = self.trace, dict(self.trace.widths)
        for v in t.graph.nodes:
            if v.id in widths:
                continue
            if v.op == "seed":
                widths[v.id] = (
                    self.cell.output_width if v.attr == "output" else self.cell.state_widths[t.states.index(v.attr)]
                )
            elif v.op == "mmT":
                widths[v.id] = "H" if v.attr[0] == "V" else self.cell.operand_width
            else:
                inner = [] if v.op in MEANS else [widths[a.id] for a in v.args if widths[a.id] != "1"]
                widths[v.id] = inner[0] if inner else "1"
        return widths

    def _backward_nodes(self) -> list[Value]:
        """The nodes of the derivative that are not forward nodes, in order."""
        d, seen = self.derivative, {}
        live = {v.id for v in self.live}
        stack = [*d.states, *(v for v, _ in d.products.values()), *d.vectors.values()]
        while stack:
            v = stack.pop()
            if v.id not in seen and v.id not in live:
                seen[v.id] = v
                stack.extend(v.args)
        return [seen[i] for i in sorted(seen)]

    def _choose_saved(self) -> tuple[list[Value], list[int]]:
        """(values that forward saves in one tensor, numbers of the states whose histories it saves)."""
        t = self.trace
        state_of = {v.id: k for k, v in reversed(list(enumerate(t.next_states)))}
        live = {v.id for v in self.live}
        d = self.derivative
        required = {a.id: a for v in self.backward_nodes for a in v.args if a.id in live}
        required.update(
            {v.id: v for v in [*d.states, *(g for g, _ in d.products.values()), *d.vectors.values()] if v.id in live}
        )
        required.update({a.id: a for _, a in d.products.values() if a.op != "x"})
        # A mask cannot be saved as a number: its operands are saved instead.
        for v in [v for v in required.values() if v.op in COMPARISONS]:
            del required[v.id]
            required.update({a.id: a for a in v.args})
        saved: set[int] = set()

        # Where products are normalised, the norms are saved, and the activations recomputed from them.
        rematerializable = REMATERIALIZABLE_WITH_NORM if any(v.op == "norm" for v in self.live) else REMATERIALIZABLE

        # First the values that cannot be rematerialised; then those whose operands are still not available.
        for first_pass in (True, False):
            available: set[int] = set()
            for v in self.live:
                in_memory = v.op in ("state", "vec", "const", "random") or v.id in state_of or v is t.output
                in_memory = in_memory or v.id in saved
                recomputable = in_memory or (v.op in rematerializable and all(a.id in available for a in v.args))
                if not recomputable and v.id in required and not (first_pass and v.op in rematerializable):
                    saved.add(v.id)
                if recomputable or v.id in saved:
                    available.add(v.id)
        histories = self._required_histories(list(required.values()), saved, state_of)
        wide_first = sorted((required[i] for i in saved), key=lambda v: (self._is_scalar(v), v.id))
        return wide_first, histories

    def _required_histories(self, required: list[Value], saved: set[int], state_of: dict[int, int]) -> list[int]:
        """The states that backward reads at every step to rematerialise values, other than the output.

        state_of: node id of a new state -> its number
        """
        t, histories, seen = self.trace, set(), set(saved)
        number = {name: k for k, name in enumerate(t.states)}
        stack = list(required)
        while stack:
            v = stack.pop()
            if v.op == "state":
                histories.add(number[v.attr])
            elif v.id in seen or v is t.output:
                continue
            elif v.id in state_of:
                histories.add(state_of[v.id])
            else:
                seen.add(v.id)
                stack.extend(v.args)
        histories.discard(-1 if self.cell.output_state is None else self.cell.output_state)
        return sorted(histories)

    # lines of memory

    def columns(self, widths: Sequence[str]) -> list[tuple[int, int]]:
        """The first columns of values of these widths, side by side in a line, in units of (H, P)."""
        offsets, h, p = [], 0, 0
        for w in widths:
            offsets.append((h, p))
            h, p = (h + 1, p) if w == "H" else (h, p + 1)
        return offsets

    @cached_property
    def saved_locations(self) -> dict[int, Location]:
        """node id -> its location in the tensor of saved values."""
        widths, (h, p, ones) = self._saved_widths, self.saved_width
        offsets = [*self.columns(widths[: len(widths) - ones]), *((h, p, k) for k in range(ones))]
        return {v.id: Location("tensor", "saved", 0, w, o) for v, w, o in zip(self.saved, widths, offsets)}

    @property
    def saved_width(self) -> tuple[int, int, int]:
        """The columns of a line of saved values, in units of (H, P, 1)."""
        return self._saved_widths.count("H"), self._saved_widths.count("P"), self._saved_widths.count("1")

    @cached_property
    def _saved_widths(self) -> list[str]:
        return ["1" if self._is_scalar(v) else storage_width(self.widths[v.id]) for v in self.saved]

    def _is_scalar(self, v: Value) -> bool:
        """Whether v is a mean over the units of a row: one number per row and step."""
        return v.op in MEANS and self.widths[v.args[0].id] != "1"

    def state_tensor(self, k: int) -> str:
        """The name of the tensor that holds state number k after every step."""
        return "output" if k == self.cell.output_state else f"history_{k}"

    # forward

    def forward(self, save: bool, histories: bool) -> StepSchedule:
        """save: store what backward reads. histories: store every state at every step."""
        t, cell = self.trace, self.cell
        inputs = self._parameter_inputs()
        with_x = [v for v in self.live if v.op == "mm" and v.attr[0] == "W"]
        inputs.update({v.id: Location("pregemm", index=k) for k, v in enumerate(with_x)})
        for k, v in enumerate(t.previous_states):
            inputs[v.id] = Location("previous", index=k, width=cell.state_widths[k])
        outputs = [(v, Location("next", index=k, width=cell.state_widths[k])) for k, v in enumerate(t.next_states)]
        outputs.append((t.output, Location("tensor", "output", width=cell.output_width)))
        stored = self.state_histories if save else []
        if histories:
            stored = [k for k in range(len(t.next_states)) if k != cell.output_state]
        outputs += [(t.next_states[k], Location("tensor", f"history_{k}", width=cell.state_widths[k])) for k in stored]
        if save:
            outputs += [(v, self.saved_locations[v.id]) for v in self.saved]
        return StepSchedule(outputs, inputs, self.widths, t.previous_states, self.uses)

    def _parameter_inputs(self) -> dict[int, Location]:
        inputs = {
            v.id: Location("param", f"{v.attr[0]}.{v.attr[1]}", width=storage_width(self.widths[v.id]))
            for v in self.live
            if v.op == "vec"
        }
        inputs.update({v.id: Location("const") for v in self.trace.graph.nodes if v.op == "const"})
        letters = [letter for letter, _ in self.trace.random]
        first = {letter: letters.index(letter) for letter in set(letters)}
        numbers = {place: k - first[place[0]] for k, place in enumerate(self.trace.random)}
        inputs.update({v.id: Location("random", v.attr[0], numbers[v.attr]) for v in self.live if v.op == "random"})
        return inputs

    # backward

    @cached_property
    def gradient_workspace(self) -> dict[int, Location]:
        """node id -> its location in a line of the gradient workspace.

        Gradients of products with W only come first, then of W and U, of U only, of V, of vectors; then operands.
        """
        d = self.derivative
        letters: dict[int, set[str]] = {}
        first: dict[int, tuple[int, int]] = {}
        nodes: dict[int, Value] = {}
        width: dict[int, str] = {}
        vectors = {v.attr: self.trace.widths[v.id] for v in self.live if v.op == "vec"}
        for (letter, name), (g, _) in d.products.items():
            letters.setdefault(g.id, set()).add(letter)
            place = self.cell.place[letter, name]
            first.setdefault(g.id, ("WUV".index(letter), place))
            first[g.id] = min(first[g.id], (first[g.id][0], place))
            nodes[g.id], width[g.id] = g, "P" if letter == "V" else "H"
        for (letter, name), g in d.vectors.items():
            if g.id in self.lazy_products:
                continue
            letters.setdefault(g.id, set()).add("v")
            first.setdefault(g.id, (len("WUV"), 0))
            nodes[g.id] = g
            width.setdefault(g.id, storage_width(vectors[letter, name]))

        def rank(i: int) -> tuple[int, int, int]:
            group = [{"W"}, {"W", "U"}, {"U"}]
            used = letters[i] - {"v"}
            return (3 if "V" in used else group.index(used) if used in group else len(group) + 1), first[i][1], i

        order = sorted(nodes, key=rank)
        operands = [
            a for (letter, _), (_, a) in d.products.items() if letter != "W" and self._operand_in_memory(a) is None
        ]
        for a in operands:
            if a.id not in nodes:
                nodes[a.id], width[a.id] = a, storage_width(self.widths[a.id])
                order.append(a.id)
        self._workspace_nodes = [nodes[i] for i in order]
        return {
            i: Location("workspace", index=0, width=width[i], column=o)
            for i, o in zip(order, self.columns([width[i] for i in order]))
        }

    @cached_property
    def lazy_products(self) -> dict[int, tuple[Value, Location]]:
        """Gradients of vectors p that are another gradient times a saved value, as that of a norm's gain.

        They are multiplied where they are summed, and need no column of the workspace.

        node id -> (the other gradient, which has a column; the location of the saved value)
        """
        d = self.derivative
        products = {g.id for g, _ in d.products.values()}
        placed = products | {g.id for (letter, _), g in d.vectors.items() if letter != "p"}
        products_of: dict[int, tuple[Value, Location]] = {}
        for g in d.vectors.values():
            if g.op == "mul" and g.id not in placed:
                a, b = g.args if g.args[0].id in placed else reversed(g.args)
                saved = self.saved_locations.get(b.id)
                same = self.widths[a.id] == self.widths[b.id] == self.widths[g.id]
                if a.id in placed and saved is not None and same and not self._is_scalar(b):
                    products_of[g.id] = a, saved
        return products_of

    @property
    def workspace_width(self) -> tuple[int, int]:
        widths = [s.width for s in self.gradient_workspace.values()]
        return widths.count("H"), widths.count("P")

    @cached_property
    def _memory(self) -> dict[int, Location]:
        return self.backward_inputs()

    def _operand_in_memory(self, a: Value) -> Location | None:
        """The location of an operand that is in memory without being stored to the workspace."""
        s = self._memory.get(a.id)
        return s if s is not None and s.kind in ("tensor", "recorded") else None

    def backward_inputs(self, d_histories: bool = False) -> dict[int, Location]:
        """node id -> the location from which a backward step reads it."""
        t, d, cell = self.trace, self.derivative, self.cell
        inputs = self._parameter_inputs()
        for k, v in enumerate(t.next_states):
            if k == cell.output_state or k in self.state_histories:
                inputs.setdefault(v.id, Location("tensor", self.state_tensor(k), width=cell.state_widths[k]))
        if cell.output_state is None:
            inputs.setdefault(t.output.id, Location("tensor", "output", width=cell.output_width))
        inputs.update(self.saved_locations)
        for k, v in enumerate(t.previous_states):
            inputs[v.id] = Location("recorded", self.state_tensor(k), k, cell.state_widths[k])
        for k, v in enumerate(d.seed_states):
            extra = f"d_history_{k}" if d_histories and k != cell.output_state else ""
            inputs[v.id] = Location("previous", extra, index=k, width=cell.state_widths[k])
        inputs[d.seed_output.id] = Location("tensor", "d_output", width=cell.output_width)
        return inputs

    def backward(self, d_histories: bool, record: bool = False) -> StepSchedule:
        """d_histories: upstream gradients of every state at every step exist. record: store the adjoint of each state.

        Recording changes no bit of the other results: fusion and the order of every sum are the same.
        """
        d, cell = self.derivative, self.cell
        outputs = [(v, Location("next", index=k, width=cell.state_widths[k])) for k, v in enumerate(d.states)]
        slots = self.gradient_workspace
        outputs += [(v, slots[v.id]) for v in self._workspace_nodes]
        operands = {g.id: slots[g.id] for g, _ in d.products.values()}
        inputs = self.backward_inputs(d_histories)
        step = StepSchedule(outputs, inputs, self.widths, d.seed_states, None, operands)
        if not record:
            return step
        outputs += [
            (v, Location("tensor", f"adjoint_{k}", width=cell.state_widths[k])) for k, v in enumerate(d.state_adjoints)
        ]
        return StepSchedule(outputs, inputs, self.widths, d.seed_states, step.uses, operands)

    @cached_property
    def input_gradient(self) -> Product | None:
        """dX: the gradients of all products with x, times W; None for a cell without products with x."""
        parts = [
            Operand(self.gradient_workspace[g.id], (key,), "H")
            for key, (g, _) in self.derivative.products.items()
            if key[0] == "W"
        ]
        return Product([], merge_operands(parts), "C", [None], transposed=False, span=2) if parts else None

    @cached_property
    def weight_gradients(self) -> list[WeightGradient]:
        """The gradients of W, U and V, by letter and operand."""
        gradients: list[WeightGradient] = []
        for letter in "WUV":
            by_operand: dict[int, list[tuple[int, Location, Value]]] = {}
            for j, name in enumerate(self.cell.gates.get(letter, ())):
                if (letter, name) in self.derivative.products:
                    g, a = self.derivative.products[letter, name]
                    by_operand.setdefault(a.id, []).append((j, self.gradient_workspace[g.id], a))
            for members in by_operand.values():
                ranges: list[tuple[tuple[int, int], int, int]] = []
                for j, s, _ in members:
                    (h, p), first, n = ranges[-1] if ranges else ((-1, -1), -1, 0)
                    adjacent = (h + n, p) if s.width == "H" else (h, p + n)
                    if ranges and s.column == adjacent and j == first + n:
                        ranges[-1] = ((h, p), first, n + 1)
                    else:
                        ranges.append(((s.column[0], s.column[1]), j, 1))
                a = members[0][2]
                source = (
                    Location("tensor", "x", width="C")
                    if letter == "W"
                    else self._operand_in_memory(a) or self.gradient_workspace[a.id]
                )
                gradients.append(
                    WeightGradient(letter, tuple(ranges), "P" if letter == "V" else "H", source, source.width)
                )
        return gradients

    @cached_property
    def vector_gradients(self) -> list[tuple[str, int, Location, Location | None]]:
        """Gradients of vectors, which are summed over rows.

        (letter, index of the vector, location in the workspace, location of a saved factor or None)
        """
        gradients = []
        for (letter, name), g in self.derivative.vectors.items():
            a, factor = self.lazy_products.get(g.id, (g, None))
            gradients.append((letter, self.cell.place[letter, name], self.gradient_workspace[a.id], factor))
        return gradients

    @cached_property
    def fully_written(self) -> list[bool]:
        """For each weight in the order of `cell.parameters`: whether a backward pass writes all of its gradient."""
        written: dict[str, set[int]] = {}
        for o in self.weight_gradients:
            written.setdefault(o.letter, set()).update(g + i for _, g, n in o.gate_ranges for i in range(n))
        for letter, index, *_ in self.vector_gradients:
            written.setdefault(letter, set()).add(index)
        complete: list[bool] = []
        for letter in self.cell.letters:
            names, here = self.cell.gates[letter], written.get(letter, set())
            complete += [g in here for g in range(len(names))] if letter == "p" else [len(here) == len(names)]
        return complete


@bounded_cache(32 << 20, size_of=lambda made, cell: graph_bytes(made, cell))
def program(cell: Cell) -> Program:
    """The program of the canonical text: equal cells share compiled kernels, so they must share one program."""
    return Program(Cell.from_text(cell.text))
