"""The memory of a network's kernel as its emitters address it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..codegen.ir_builder import Code, Int, Ptr
from ..emit.gemm import GemmFunctions
from .layout import Blocks, NetworkLayout, Panel


@dataclass(frozen=True)
class Span:
    """Consecutive numbers of every line: the value of a node.

    pointer  the first number of line 0
    stride   numbers from one line to the next
    padded   whether the last vector may be read whole; else the memory is the caller's and ends with the line
    """

    pointer: Ptr
    stride: Int
    width: int
    padded: bool

    def line(self, i: Int) -> Ptr:
        """The first number of line i."""
        return self.pointer.at(self.stride * i)

    def from_line(self, i: Int) -> Span:
        """The same from line i on."""
        return Span(self.line(i), self.stride, self.width, self.padded)


@dataclass(frozen=True)
class Frame:
    """The addresses and sizes of one call: `rows` rows, of which `steps` steps are computed together.

    Lines of the workspace are steps · rows, the rows of a step side by side.
    """

    code: Code
    gemm: GemmFunctions
    layout: NetworkLayout
    x: Ptr
    y: Ptr
    states: Ptr
    workspace: Ptr
    weights: Ptr
    rows: Int
    steps: Int

    @property
    def lines(self) -> Int:
        return self.steps * self.rows

    def work(self, column: int, width: int) -> Span:
        """Columns of the workspace."""
        line = self.code.int_const(self.layout.work.size)
        return Span(self.workspace.at(column), line, width, True)

    def state(self, name: str, width: int) -> Span:
        """A state of the rows."""
        line = self.code.int_const(self.layout.state.size)
        return Span(self.states.at(self.layout.states[name]), line, width, True)

    def vector(self, column: int) -> Ptr:
        """Columns of the packed weights."""
        return self.weights.at(column)

    def value(self, k: int) -> Span:
        """The value of a node that has memory."""
        network, column = self.layout.network, self.layout.value.get(k)
        width = network.nodes[k].width
        if column is not None:
            return self.work(column, width)
        assert k == 0, network.nodes[k]
        return Span(self.x, self.code.int_const(width), width, False)

    @contextmanager
    def each_step(self, reverse: bool = False) -> Iterator[Int]:
        """Loops over the steps, or from the last to the first; yields the first line of each."""
        with self.code.range(self.steps) as s:
            yield (self.steps - 1 - s if reverse else s) * self.rows


def for_blocks(code: Code, b: Blocks, body: Callable[[Int, int], None]) -> None:
    """Emits body(first vector, span) for every block of units: a loop over the full ones, then the last one."""
    if b.full == 1:
        body(code.int_const(0), b.span)
    elif b.full:
        with code.range(b.full) as i:
            body(i * b.span, b.span)
    if b.rest:
        body(code.int_const(b.full * b.span), b.rest)


def for_vectors(code: Code, width: int, body: Callable[[Int], None]) -> None:
    """Emits body(first unit) for every vector of units, the last one whole."""
    n = code.lanes.lanes
    vectors = -(-width // n)
    if vectors == 1:
        body(code.int_const(0))
        return
    with code.range(vectors) as v:
        body(v * n)


def load(code: Code, p: Ptr, u: Int, width: int, padded: bool) -> Any:
    """The vector of units at u of a line that begins at p; past the width it is 0 where the line is not padded."""
    n = code.lanes.lanes
    if padded or width % n == 0:
        return p.at(u).load()
    return p.at(u).load(code.lanes.tail_mask((code.int_const(width) - u).value))


def store(code: Code, v: Any, p: Ptr, u: Int, width: int, padded: bool) -> None:
    """Stores the vector of units at u of a line; not past the width where the line is not padded."""
    n = code.lanes.lanes
    mask = None if padded or width % n == 0 else code.lanes.tail_mask((code.int_const(width) - u).value)
    p.at(u).store(v, mask)


def copy_lines(frame: Frame, lines: Int, source: Span, to: Span) -> None:
    """Copies the numbers of `source`, line by line."""
    code = frame.code
    with code.range(lines) as i:
        a, b = source.line(i), to.line(i)
        for_vectors(
            code,
            source.width,
            lambda u: store(code, load(code, a, u, source.width, source.padded), b, u, source.width, to.padded),
        )


def emit_product(frame: Frame, panel: Panel, operand: Span, lines: Int, to: Span) -> None:
    """to = start + weights · operand for all lines; the results of a block are [gates, span, lanes] side by side."""
    code, gemm, n = frame.code, frame.gemm, frame.layout.lanes
    G = panel.gates

    def block(first: Int, span: int) -> None:
        columns = G * span
        weights = frame.vector(panel.weights).at(first * (G * n * panel.depth))
        start = frame.vector(panel.start).at(first * (G * n))
        with gemm.row_tiles(code, lines, columns) as (i, height):
            gemm.call_tile(
                code,
                columns,
                height,
                operand.line(i),
                operand.stride,
                weights,
                columns * n,
                panel.depth,
                start,
                0,
                to.line(i).at(first * (G * n)),
                to.stride,
            )

    for_blocks(code, panel.blocks, block)
