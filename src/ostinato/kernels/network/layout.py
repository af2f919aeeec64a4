"""Where a network's kernel has its numbers: columns of the states, of the workspace, and of the packed weights.

The states of B rows are a matrix [B, S], the workspace a matrix [lines, W] with one line for each row of each step that
is computed together. Columns begin at whole vectors, so that a value's last vector may be read and written whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ...cells.gates import named_gates
from ...cells.operations import COMPARISONS
from ...cells.value import Value
from ...network import (
    Columns,
    Concatenate,
    Constant,
    Convolution,
    Embedding,
    Input,
    LayerNorm,
    Linear,
    Network,
    Node,
    Number,
    Pointwise,
    Recurrent,
)
from ..emit.packing import vectors
from ..planning.cell_program import program
from ..planning.operands import Location
from ..planning.step_schedule import StepSchedule

CHAINS = 8
"""Accumulators of a tile of one row: a chain of multiply-adds waits for each result, so several run side by side."""


@dataclass(frozen=True)
class Blocks:
    """How the units of a width are divided: `full` blocks of `span` vectors, then one of `rest` vectors, if any."""

    width: int
    lanes: int
    span: int

    @property
    def vectors(self) -> int:
        return -(-self.width // self.lanes)

    @property
    def full(self) -> int:
        return self.vectors // self.span

    @property
    def rest(self) -> int:
        return self.vectors % self.span

    @property
    def padded(self) -> int:
        """The width rounded up to whole vectors."""
        return self.vectors * self.lanes


def blocks_of(width: int, lanes: int, gates: int) -> Blocks:
    """Blocks whose tiles have about `CHAINS` accumulators for `gates` values of each unit."""
    return Blocks(width, lanes, max(1, min(-(-width // lanes), CHAINS // gates)))


@dataclass(frozen=True)
class Panel:
    """A product's weights in the packed weights: for each block [K, gates, span, lanes].

    weights  its first column
    start    column of the initial accumulators, for each block [gates, span, lanes]: biases or zeros
    """

    blocks: Blocks
    gates: int
    depth: int
    weights: int
    start: int

    @property
    def columns(self) -> int:
        """Numbers of all blocks' accumulators."""
        return self.blocks.padded * self.gates


class Segments:
    """Consecutive columns, handed out in whole vectors."""

    def __init__(self, lanes: int):
        self.lanes, self.size = lanes, 0

    def take(self, count: int) -> int:
        """The first of `count` new columns."""
        first, self.size = self.size, self.size + -(-count // self.lanes) * self.lanes
        return first


@dataclass(frozen=True)
class Probe:
    """The value of a gate, which a step leaves in the workspace.

    name       "rnn.0.i": the place of its node and its own name
    node       index of the node
    operation  its activation, "sigmoid"
    column     its first column in a line of the workspace
    width      numbers for each row
    """

    name: str
    node: int
    operation: str
    column: int
    width: int


@dataclass(frozen=True)
class RecurrentLayout:
    """What the kernel of a `Recurrent` node has beside its states and its value.

    panels    id of a product of the schedule → its panel
    vectors   name of a per-unit vector → its column of the packed weights
    gates     id of a hoisted product → column of its result in a line of the workspace
    following state's number → column of its next value in the workspace, where the old one is still read
    spill     column of the first spilled value; each takes `units` columns
    means     column of the first mean
    probes    (stage, width) of a loop → the gates that it stores beside what the step needs
    """

    step: StepSchedule
    blocks: dict[str, Blocks]
    panels: dict[int, Panel]
    vectors: dict[str, int]
    gates: dict[int, int]
    following: dict[int, int]
    spill: int
    units: int
    means: int
    probes: dict[tuple[int, str], list[tuple[Value, Location]]]


class NetworkLayout:
    """The columns of one network for one number of lanes.

    probed  whether a step keeps the values of gates, `probes`, in columns of their own
    """

    def __init__(self, network: Network, lanes: int, probed: bool = False):
        self.network, self.lanes, self.probed = network, lanes, probed
        self.probes: list[Probe] = []
        self.weights, self.work, self.state = Segments(lanes), Segments(lanes), Segments(lanes)
        self.states = self._state_columns()
        self.vectors: dict[int, tuple[int, ...]] = {}
        self.panels: dict[int, Panel] = {}
        self.recurrent: dict[int, RecurrentLayout] = {}
        self.value: dict[int, int] = {}
        self.tables: dict[int, int] = {}
        for k, node in enumerate(network.nodes):
            self._place(k, node)

    def _state_columns(self) -> dict[str, int]:
        """State's name → its first column of the state matrix."""
        found = {}
        for field in self.network.states:
            # A history is moved by whole vectors, of which the last reaches past its end.
            more = self.lanes if isinstance(self.network.nodes[field.node], Convolution) else 0
            found[field.name] = self.state.take(field.width + more)
        return found

    @cached_property
    def readers(self) -> dict[int, list[int]]:
        """node → the nodes that read it, once for each time."""
        found: dict[int, list[int]] = {k: [] for k in range(len(self.network.nodes))}
        for k, node in enumerate(self.network.nodes):
            for i in node.inputs:
                found[i].append(k)
        return found

    def inlined(self, k: int) -> bool:
        """Whether a pointwise node has no memory of its own: its reader computes it.

        Comparisons are masks and not numbers. Others are computed by their only reader, a pointwise node as wide.
        """
        node, readers = self.network.nodes[k], self.readers[k]
        if not isinstance(node, Pointwise):
            return False
        if node.operation in COMPARISONS:
            return True
        if len(readers) != 1 or k == self.network.output:
            return False
        reader = self.network.nodes[readers[0]]
        return isinstance(reader, Pointwise) and reader.width == node.width

    @cached_property
    def copied_input(self) -> bool:
        """Whether x is copied to the workspace: products read single numbers of it and take it as it is, all others
        read whole vectors."""
        readers = [self.network.nodes[i] for i in self.readers[0]]
        return self.network.input.tokens is None and (
            self.network.output == 0 or any(not isinstance(r, Linear | Recurrent | Convolution) for r in readers)
        )

    def copied_constant(self, k: int) -> bool:
        """Whether a constant has a line of its own, because a node reads it that reads lines."""
        readers = [self.network.nodes[i] for i in self.readers[k]]
        return not all(isinstance(r, Pointwise | Concatenate) for r in readers)

    def _place(self, k: int, node: Node) -> None:
        match node:
            case Input():
                if self.copied_input:
                    self.value[k] = self.work.take(node.width)
                return
            case Number() | Constant():
                self.vectors[k] = self._vectors(node)
                if not self.copied_constant(k):
                    return
            case Columns() if node.inputs[0] in self.value:
                self.value[k] = self.value[node.inputs[0]] + node.first
                return
            case Pointwise() if self.inlined(k):
                return
            case Embedding():
                self.tables[k] = self.weights.take(node.table.shape[0] * self.padded(node.width))
            case Recurrent():
                self.recurrent[k] = self._recurrent(k, node)
            case Linear():
                self.panels[k] = self._panel(blocks_of(node.width, self.lanes, 1), 1, node.weight.shape[1])
            case Convolution():
                depth = node.weight.shape[1] * node.weight.shape[2]
                self.panels[k] = self._panel(blocks_of(node.width, self.lanes, 1), 1, depth)
            case LayerNorm():
                self.vectors[k] = self._vectors(node)
        # Parts of a concatenation are stored by whole vectors, of which the last may reach past the end.
        more = self.lanes if isinstance(node, Concatenate) else 0
        self.value[k] = self.work.take(node.width + more)

    def padded(self, width: int) -> int:
        """A width rounded up to whole vectors, as the lines of a table have it."""
        return -(-width // self.lanes) * self.lanes

    def _vectors(self, node: Node) -> tuple[int, ...]:
        """A column for each parameter of a node, also where nodes share one: `Network.structure` does not say which."""
        return tuple(self.weights.take(p.shape[0]) for p in node.parameters)

    def _panel(self, blocks: Blocks, gates: int, depth: int) -> Panel:
        columns = blocks.padded * gates
        weights = self.weights.take(columns * depth)
        return Panel(blocks, gates, depth, weights, self.weights.take(columns))

    def _recurrent(self, k: int, node: Recurrent) -> RecurrentLayout:
        step = program(node.cell).forward(save=False, histories=False)
        C, H, P = node.sizes
        size = {"C": C, "H": H, "P": P}
        blocks = {}
        for width in ("H", "P"):
            most = max((len(q.bias_init) for q in step.products if q.width == width), default=1)
            blocks[width] = blocks_of(size[width], self.lanes, most)
        panels = {
            id(q): self._panel(blocks[q.width], len(q.bias_init), size[q.operands[0].depth]) for q in step.products
        }
        widths = {s.name: s.width for s in step.inputs.values() if s.kind == "param"}
        columns = {name: self.weights.take(size[widths[name]]) for name in vectors(step)}
        units = max(b.padded for b in blocks.values())
        doubled = [n for n, double in enumerate(step.double_buffered) if double]
        return RecurrentLayout(
            step=step,
            blocks=blocks,
            panels=panels,
            vectors=columns,
            gates={id(q): self.work.take(panels[id(q)].columns) for q in step.hoisted},
            following={n: self.work.take(size[node.cell.state_widths[n]]) for n in doubled},
            spill=self.work.take(step.spill_count * units),
            units=units,
            means=self.work.take(step.mean_count),
            probes=self._probes(k, node, step) if self.probed else {},
        )

    def _probes(
        self, k: int, node: Recurrent, step: StepSchedule
    ) -> dict[tuple[int, str], list[tuple[Value, Location]]]:
        """The gates of a node, by the loop that computes them; those with one number for all units are left out."""
        found: dict[tuple[int, str], list[tuple[Value, Location]]] = {}
        for gate, v in named_gates(program(node.cell).trace)[1].items():
            letter = step.widths[v.id]
            loop = (step.stage[v.id], letter)
            if letter == "1" or v.op in COMPARISONS or loop not in step.loops_at:
                continue
            width = node.cell.width(letter, *node.sizes)
            probe = Probe(f"{node.place}.{gate}", k, v.op, self.work.take(width), width)
            self.probes.append(probe)
            found.setdefault(loop, []).append((v, Location("probe", index=probe.column, width=letter)))
        return found
