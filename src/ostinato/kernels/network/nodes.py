"""Emitters of the nodes of a network that are no recurrent layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...cells.operations import OPERATIONS
from ...network import (
    Concatenate,
    Constant,
    Convolution,
    Embedding,
    LayerNorm,
    Number,
    Pointwise,
    Running,
    Softmax,
)
from ..codegen.ir_builder import Int, Ptr
from ..emit.averages import emit_means, emit_sums, reciprocal_root
from .frame import Frame, Span, copy_lines, for_blocks, for_vectors, load, store


def emit_embedding(frame: Frame, k: int, node: Embedding) -> None:
    """Copies the row of each token."""
    code = frame.code
    padded, to = frame.layout.padded(node.width), frame.value(k)
    with code.range(frame.lines) as i:
        row = frame.vector(frame.layout.tables[k]).at(frame.x.load_i64(i) * padded)
        line = to.line(i)
        for_vectors(code, node.width, lambda u: line.at(u).store(row.at(u).load()))


def emit_convolution(frame: Frame, k: int, node: Convolution) -> None:
    """y = bias + Σ over taps, oldest first, of weight · x; then the history moves by one step."""
    code, gemm, n = frame.code, frame.gemm, frame.layout.lanes
    panel, x, to = frame.layout.panels[k], frame.value(node.inputs[0]), frame.value(k)
    channels, history = x.width, node.steps * x.width
    columns_of = panel.columns

    with frame.each_step() as line:
        past = frame.state(f"{node.place}.history", history) if node.steps else None
        now, out = x.from_line(line), to.from_line(line)
        with code.range(frame.rows) as row:
            for_vectors(code, columns_of, lambda u: out.line(row).at(u).store(frame.vector(panel.start).at(u).load()))

        def block(first: Int, span: int) -> None:
            weights = frame.vector(panel.weights).at(first * (n * panel.depth))

            def tap(source: Callable[[Int], Ptr], stride: Int, weights: Ptr) -> None:
                with gemm.row_tiles(code, frame.rows, span) as (i, height):
                    c = out.line(i).at(first * n)
                    gemm.call_tile(
                        code, span, height, source(i), stride, weights, span * n, channels, c, out.stride, c,
                        out.stride,
                    )  # fmt: skip

            if past is not None:
                with code.range(node.weight.shape[2] - 1) as j:
                    shift = j * (node.dilation * channels)
                    tap(lambda i: past.line(i).at(shift), past.stride, weights.at(j * (channels * span * n)))
            last = weights.at((node.weight.shape[2] - 1) * channels * span * n)
            tap(now.line, now.stride, last)

        for_blocks(code, panel.blocks, block)
        if past is not None:
            with code.range(frame.rows) as row:
                oldest, newest = past.line(row), now.line(row)
                kept = history - channels
                if kept:
                    for_vectors(code, kept, lambda u: oldest.at(u).store(oldest.at(u + channels).load()))
                end = oldest.at(kept)
                for_vectors(code, channels, lambda u: end.at(u).store(load(code, newest, u, channels, now.padded)))


def emit_layer_norm(frame: Frame, k: int, node: LayerNorm) -> None:
    """(x - mean) · 1/√(variance + eps), times the weight, plus the bias."""
    code, lanes, width = frame.code, frame.code.lanes, node.width
    x, to = frame.value(node.inputs[0]), frame.value(k)
    vectors = [frame.vector(column) for column in frame.layout.vectors[k]]
    gain = None if node.weight is None else vectors[0]
    shift = None if node.bias is None else vectors[-1]
    with code.range(frame.lines) as i:
        a, b = x.line(i), to.line(i)
        size = code.int_const(width)
        mean = lanes.splat(emit_means(code, size, lambda u, mask: [a.at(u).load()], 1)[0])

        def square(u: Int, mask: Any) -> list[Any]:
            centred = lanes.sub(a.at(u).load(), mean)
            return [lanes.mul(centred, centred)]

        scale = lanes.splat(reciprocal_root(lanes, emit_means(code, size, square, 1)[0], node.eps))

        def normalise(u: Int) -> None:
            y = lanes.mul(lanes.sub(a.at(u).load(), mean), scale)
            weight = None if gain is None else gain.at(u).load()
            bias = None if shift is None else shift.at(u).load()
            if weight is not None:
                y = lanes.mul(y, weight) if bias is None else lanes.fma(y, weight, bias)
            elif bias is not None:
                y = lanes.add(y, bias)
            b.at(u).store(y)

        for_vectors(code, width, normalise)


def emit_softmax(frame: Frame, k: int, node: Softmax) -> None:
    """exp(x - max) / Σ exp(x - max), or its logarithm."""
    code, lanes, n, width = frame.code, frame.code.lanes, frame.layout.lanes, node.width
    x, to = frame.value(node.inputs[0]), frame.value(k)
    most = code.alloca_vec(n)
    with code.range(frame.lines) as i:
        a, b = x.line(i), to.line(i)
        most.store(lanes.const(-math.inf))

        def compare(u: Int) -> None:
            value = a.at(u).load()
            if width % n:
                here = lanes.tail_mask((code.int_const(width) - u).value)
                value = lanes.select(here, value, lanes.const(-math.inf))
            most.store(lanes.maximum(most.load(), value))

        for_vectors(code, width, compare)
        greatest = lanes.splat(lanes.greatest(most.load()))
        exponential = lambda u: lanes.exp(lanes.sub(a.at(u).load(), greatest))  # noqa: E731
        total = lanes.splat(emit_sums(code, code.int_const(width), lambda u, mask: [exponential(u)], 1)[0])
        logarithm = lanes.log(total) if node.log else None

        def divide(u: Int) -> None:
            if logarithm is not None:
                b.at(u).store(lanes.sub(lanes.sub(a.at(u).load(), greatest), logarithm))
            else:
                b.at(u).store(lanes.div(exponential(u), total))

        for_vectors(code, width, divide)


def emit_concatenate(frame: Frame, k: int, node: Concatenate) -> None:
    """Copies the parts side by side, in order: the end of one is overwritten by the next."""
    first, to = 0, frame.value(k)
    with frame.code.range(frame.lines) as i:
        for index in node.inputs:
            width, at = frame.layout.network.nodes[index].width, first
            read = reader(frame, index, i)
            for_vectors(frame.code, width, lambda u, r=read, at=at: to.line(i).at(at).at(u).store(r(u)))  # type: ignore[misc]
            first += width


def emit_pointwise(frame: Frame, k: int) -> None:
    """One pass over the units for a node and all that it has inlined."""
    code, to, width = frame.code, frame.value(k), frame.layout.network.nodes[k].width
    with code.range(frame.lines) as i:
        line = to.line(i)

        def compute(u: Int) -> None:
            line.at(u).store(_Expression(frame, i, u, width)(k))

        for_vectors(code, width, compute)


class _Expression:
    """The values of pointwise nodes for one line and one vector of units."""

    def __init__(self, frame: Frame, line: Int, u: Int, width: int):
        self.frame, self.line, self.u, self.width = frame, line, u, width
        self.values: dict[int, Any] = {}

    def __call__(self, k: int) -> Any:
        """The value of node k, computed here."""
        node, lanes = self.frame.layout.network.nodes[k], self.frame.code.lanes
        assert isinstance(node, Pointwise)
        read = [self._input(i) for i in node.inputs]
        if node.operation == "fma":
            return lanes.fma(*read)
        vector = OPERATIONS[node.operation].vector
        if vector is None:
            return {"add": lanes.add, "sub": lanes.sub}[node.operation](*read)
        return vector(lanes, *read, *node.settings)

    def _input(self, k: int) -> Any:
        if k not in self.values:
            if self.frame.layout.inlined(k):
                self.values[k] = self(k)
            else:
                self.values[k] = reader(self.frame, k, self.line, self.width)(self.u)
        return self.values[k]


def reader(frame: Frame, k: int, line: Int, width: int | None = None) -> Callable[[Int], Any]:
    """u → the vector of units at u of a node's value in a line; a value of width 1 in every lane of a wider one."""
    node, lanes = frame.layout.network.nodes[k], frame.code.lanes
    fixed = constant(frame, k)
    if fixed is not None:
        return fixed
    p = frame.value(k).line(line)
    if node.width == 1 and width not in (None, 1):
        return lambda u: lanes.splat(p.load_scalar())
    return lambda u: p.at(u).load()


def emit_constant(frame: Frame, k: int) -> None:
    """Copies a constant to every line."""
    to = frame.value(k)
    with frame.code.range(frame.lines) as i:
        read = constant(frame, k)
        assert read is not None
        for_vectors(frame.code, to.width, lambda u: to.line(i).at(u).store(read(u)))


def constant(frame: Frame, k: int) -> Callable[[Int], Any] | None:
    """u → the vector of units at u of a constant; None for a node whose values differ between lines."""
    node, lanes = frame.layout.network.nodes[k], frame.code.lanes
    if isinstance(node, Number):
        return lambda u: lanes.const(node.value)
    if not isinstance(node, Constant):
        return None
    p = frame.vector(frame.layout.vectors[k][0])
    if node.width == 1:
        return lambda u: lanes.splat(p.load_scalar())
    return lambda u: p.at(u).load()


def emit_running(frame: Frame, k: int, node: Running) -> None:
    """The mean or maximum of all steps so far."""
    code = frame.code
    with frame.each_step() as line, code.range(frame.rows) as row:
        if node.kind == "maximum":
            _running_maximum(frame, k, node, (line, row))
        else:
            _running_mean(frame, k, node, (line, row))


def _running_maximum(frame: Frame, k: int, node: Running, place: tuple[Int, Int]) -> None:
    """place: the first line of the step, and the row."""
    lanes, (line, row) = frame.code.lanes, place
    most = frame.state(f"{node.place}.maximum", node.width).line(row)
    a, b = frame.value(node.inputs[0]).line(line + row), frame.value(k).line(line + row)

    def greater(u: Int) -> None:
        value = lanes.maximum(most.at(u).load(), a.at(u).load())
        most.at(u).store(value)
        b.at(u).store(value)

    for_vectors(frame.code, node.width, greater)


def _running_mean(frame: Frame, k: int, node: Running, place: tuple[Int, Int]) -> None:
    """place: the first line of the step, and the row."""
    lanes, (line, row) = frame.code.lanes, place
    total, rest = (frame.state(f"{node.place}.{name}", node.width).line(row) for name in ("sum", "rest"))
    counter = frame.state(f"{node.place}.count", 2).line(row)
    a, b = frame.value(node.inputs[0]).line(line + row), frame.value(k).line(line + row)
    steps, error = _two_sum(lanes, lanes.splat(counter.load_scalar()), lanes.const(1.0))
    steps_rest = lanes.add(lanes.splat(counter.at(1).load_scalar()), error)
    counter.store_scalar(lanes.first(steps))
    counter.at(1).store_scalar(lanes.first(steps_rest))
    count = lanes.add(steps, steps_rest)

    def update(u: Int) -> None:
        new, lost = _two_sum(lanes, total.at(u).load(), a.at(u).load())
        new_rest = lanes.add(rest.at(u).load(), lost)
        total.at(u).store(new)
        rest.at(u).store(new_rest)
        b.at(u).store(lanes.div(lanes.add(new, new_rest), count))

    for_vectors(frame.code, node.width, update)


def _two_sum(lanes: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """a + b rounded, and exactly what the rounding took away, as `network.reference`."""
    total = lanes.add(a, b)
    part = lanes.sub(total, a)
    return total, lanes.add(lanes.sub(a, lanes.sub(total, part)), lanes.sub(b, part))


def emit_output(frame: Frame, last: bool) -> None:
    """Copies the value of the output node to y, [lines, O] or the last line [O], which is the caller's memory."""
    network, code = frame.layout.network, frame.code
    k = network.output
    width = network.nodes[k].width
    y = Span(frame.y, code.int_const(width), width, False)
    if isinstance(network.nodes[k], Number | Constant):
        with code.range(1 if last else frame.lines) as i:
            read = reader(frame, k, i)
            for_vectors(code, width, lambda u: store(code, read(u), y.line(i), u, width, False))
        return
    if last:
        copy_lines(frame, code.int_const(1), frame.value(k).from_line(frame.lines - 1), y)
    else:
        copy_lines(frame, frame.lines, frame.value(k), y)
