"""The mean and the maximum of all steps so far as ONNX's Scan: step after step, as the reference adds."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .onnx_graph import GraphBuilder, Name


def running(nodes: GraphBuilder, kind: str, x: Name, states: Sequence[Name], width: int) -> tuple[Name, list[Name]]:
    """x [T, B, C] → the mean or maximum after every step [T, B, C], and the states after the last step.

    kind "mean": states the sum and its rest [B, C] and the count [B, 2]. kind "maximum": state the maximum [B, C]; a
    NaN stays.
    """
    inner = nodes.inner()
    old, x_t = [inner.name("old") for _ in states], inner.name("x_t")
    if kind == "mean":
        total, lost = _two_sum(inner, old[0], x_t)
        rest = inner.make("Add", old[1], lost)
        steps_before, steps_rest_before = inner.split(old[2], 2, 1, -1)
        steps, lost_steps = _two_sum(inner, steps_before, inner.number(1.0))
        steps_rest = inner.make("Add", steps_rest_before, lost_steps)
        new = [total, rest, inner.make("Concat", steps, steps_rest, axis=-1)]
        result = inner.make("Div", inner.make("Add", total, rest), inner.make("Add", steps, steps_rest))
    else:
        # NaN in either: ONNX does not say what Max returns then, but a sum with a NaN is one.
        unordered = inner.make("Or", inner.make("IsNaN", old[0]), inner.make("IsNaN", x_t))
        larger = inner.make("Where", inner.make("Greater", x_t, old[0]), x_t, old[0])
        new = [inner.make("Where", unordered, inner.make("Add", old[0], x_t), larger)]
        result = inner.make("Identity", new[0])
    widths = [width, width, 2][: len(states)]
    body = nodes.helper.make_graph(
        inner.nodes,
        f"running_{kind}",
        [*(inner.value(n, ("B", w)) for n, w in zip(old, widths, strict=True)), inner.value(x_t, ("B", width))],
        [*(inner.value(n, ("B", w)) for n, w in zip(new, widths, strict=True)), inner.value(result, ("B", width))],
    )
    after, output = [nodes.name("last") for _ in states], nodes.name(kind)
    nodes.make("Scan", *states, x, out=[*after, output], body=body, num_scan_inputs=1)
    return output, after


def _two_sum(nodes: GraphBuilder, a: Name, b: Name | Tensor) -> tuple[Name, Name]:
    """a + b rounded, and what the rounding took away, as `network.reference`."""
    total = nodes.make("Add", a, b)
    part = nodes.make("Sub", total, a)
    return total, nodes.make("Add", nodes.make("Sub", a, nodes.make("Sub", total, part)), nodes.make("Sub", b, part))
