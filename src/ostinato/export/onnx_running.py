"""The mean and the maximum of all steps so far as ONNX's Scan: step after step, as the reference adds."""

from __future__ import annotations

from collections.abc import Sequence

from .onnx_graph import GraphBuilder, Name


def running(nodes: GraphBuilder, kind: str, x: Name, states: Sequence[Name], width: int) -> tuple[Name, list[Name]]:
    """x [T, B, C] → the mean or maximum after every step [T, B, C], and the states after the last step.

    kind "mean": states the mean [B, C] and the count [B, 1]. kind "maximum": state the maximum [B, C]; a NaN stays.
    """
    inner = nodes.inner()
    old, x_t = [inner.name("old") for _ in states], inner.name("x_t")
    if kind == "mean":
        count = inner.make("Add", old[1], inner.number(1.0))
        change = inner.make("Div", inner.make("Sub", x_t, old[0]), count)
        new = [inner.make("Add", old[0], change), count]
    else:
        # NaN in either: ONNX does not say what Max returns then, but a sum with a NaN is one.
        unordered = inner.make("Or", inner.make("IsNaN", old[0]), inner.make("IsNaN", x_t))
        larger = inner.make("Where", inner.make("Greater", x_t, old[0]), x_t, old[0])
        new = [inner.make("Where", unordered, inner.make("Add", old[0], x_t), larger)]
    widths = [width, 1][: len(states)]
    result = inner.make("Identity", new[0])
    body = nodes.helper.make_graph(
        inner.nodes,
        f"running_{kind}",
        [*(inner.value(n, ("B", w)) for n, w in zip(old, widths, strict=True)), inner.value(x_t, ("B", width))],
        [*(inner.value(n, ("B", w)) for n, w in zip(new, widths, strict=True)), inner.value(result, ("B", width))],
    )
    after, output = [nodes.name("last") for _ in states], nodes.name(kind)
    nodes.make("Scan", *states, x, out=[*after, output], body=body, num_scan_inputs=1)
    return output, after
