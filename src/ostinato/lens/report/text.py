"""A whole report as a table of text and as plain data."""

from __future__ import annotations

from typing import Any

from .data import LayerReport, ReportData
from .diagnosis import diagnose
from .format import number, plain, to_dict
from .statistics import LEVELS, median, quantiles

HEADINGS = (
    "layer",
    "cell",
    "steps",
    "reach 1 %",
    "half-life",
    "step gain",
    "carry half-life",
    "saturated",
    "gradient first/last",
)


def report_table(report: ReportData) -> str:
    """One line for each layer, direction and call, under `HEADINGS`."""
    lines = [HEADINGS, *(layer_line(layer) for layer in report.layers)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [
        "  ".join(c.ljust(w) if k < 2 else c.rjust(w) for k, (c, w) in enumerate(zip(cells, widths))) for cells in lines
    ]
    return "\n".join(row.rstrip() for row in [rows[0], "  ".join("-" * w for w in widths), *rows[1:]])


def layer_line(layer: LayerReport) -> tuple[str, ...]:
    """A layer's figures under `HEADINGS`, of the median segment and unit."""
    probe, curve = layer.probe, layer.gradient
    reach = gain = half = ratio = "-"
    if probe is not None:
        reach, half = number(median(probe.reach_steps(0.01))), number(median(probe.half_life_steps))
        gain = number(median(probe.mean_step_gain))
    if curve is not None:
        whole = quantiles(curve.norms.square().sum(0).sqrt(), (0.5,))[0]
        known = whole[whole.isfinite()]
        if len(known) and known[-1] > 0:
            ratio = number(float(known[0] / known[-1]))
    half_lives = [median(c.half_life_steps_per_unit) for c in layer.carries if c.formula != "0"]
    saturated = [
        float((g.low_share_per_unit.nan_to_num() + g.high_share_per_unit.nan_to_num()).mean()) for g in layer.gates
    ]
    return (
        layer.label,
        layer.cell,
        str(int(layer.lengths_steps.max()) if len(layer.lengths_steps) else 0),
        reach,
        half,
        gain,
        number(max(half_lives)) if half_lives else "-",
        f"{100 * max(saturated):.0f} %" if saturated else "-",
        ratio,
    )


def report_dict(report: ReportData) -> dict[str, Any]:
    """Every number of a report with its verdict, as numbers, texts, lists and None."""
    return {"quantile_levels": list(LEVELS), **to_dict(report), "verdict": plain(diagnose(report))}
