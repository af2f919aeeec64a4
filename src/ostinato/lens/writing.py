"""A report as plain text and as plain data."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import InputError, phrase
from .record import LEVELS, Clipping, GradientCurve, LayerReport, Probe, Report, WeightReport, quantiles

_DERIVED: dict[type, tuple[str, ...]] = {
    Probe: ("ratio_by_lag", "half_life_steps", "mean_step_gain", "omega"),
    WeightReport: ("relative_update",),
    Clipping: ("steps", "rate"),
    LayerReport: ("label",),
}


def to_dict(report: Report) -> dict[str, Any]:
    """See `Report.to_dict`."""
    return {"quantile_levels": list(LEVELS), **plain(report), "verdict": plain(report.verdict)}


def plain(value: Any) -> Any:
    """A record, tensor or tuple as lists, dicts and numbers: NaN is None, inf the text "inf"."""
    if isinstance(value, Tensor):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {name: plain(v) for name, v in value.items()}
    if not is_dataclass(value):
        return value
    names = [f.name for f in fields(value)] + list(_DERIVED.get(type(value), ()))
    found = {name: getattr(value, name) for name in names}
    if isinstance(value, Probe):
        found |= {"reach_steps_1_percent": value.reach_steps(0.01), "reach_steps_10_percent": value.reach_steps(0.1)}
    rows = {"norms_loss_per_state_unit"} if isinstance(value, GradientCurve) else set()
    over = set(found) - {"states"} if isinstance(value, Probe) else rows
    return {name: plain(quantiles(v).movedim(0, -1) if name in over else v) for name, v in found.items()}


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


def table(report: Report) -> str:
    """See `Report.table`."""
    lines = [HEADINGS, *(line(layer) for layer in report.layers)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [
        "  ".join(c.ljust(w) if k < 2 else c.rjust(w) for k, (c, w) in enumerate(zip(cells, widths))) for cells in lines
    ]
    return "\n".join(row.rstrip() for row in [rows[0], "  ".join("-" * w for w in widths), *rows[1:]])


def line(layer: LayerReport) -> tuple[str, ...]:
    """A layer's figures under `HEADINGS`, of the median run and unit."""
    probe, curve = layer.probe, layer.gradient
    reach = gain = half = ratio = "-"
    if probe is not None:
        reach, half = number(median(probe.reach_steps(0.01))), number(median(probe.half_life_steps))
        gain = number(median(probe.mean_step_gain))
    if curve is not None:
        whole = quantiles(curve.norms_loss_per_state_unit.square().sum(0).sqrt(), (0.5,))[0]
        known = whole[whole.isfinite()]
        if len(known) and known[-1] > 0:
            ratio = number(float(known[0] / known[-1]))
    kept = [median(c.half_life_steps_per_unit) for c in layer.carries if c.formula != "0"]
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
        number(max(kept)) if kept else "-",
        f"{100 * max(saturated):.0f} %" if saturated else "-",
        ratio,
    )


def save(report: Report, path: Path, **options: Any) -> Path:
    """See `Report.save`."""
    kind = path.suffix.lower()
    if kind not in (".html", ".json", ".png", ".svg"):
        remedy = "The ending says what is written: the page, the record or the sheet of pictures."
        expected = "the name of an .html, .json, .png or .svg file"
        raise InputError(phrase("report.save", "path", expected, repr(str(path)), remedy))
    if options and kind != ".html":
        remedy = "Only a page has them; leave them out."
        raise InputError(phrase("report.save", "options", f"none for {kind}", ", ".join(options), remedy))
    if kind == ".html":
        content = report.to_html(**options).encode()
    elif kind == ".json":
        content = report.to_json().encode()
    else:
        from .pictures import png, svg

        content = png(report.picture()) if kind == ".png" else svg(report.picture()).encode()
    path.write_bytes(content)
    return path


def median(values: Tensor) -> float:
    """Of the numbers that are there; NaN if there are none."""
    known = values[~values.isnan()]
    return float(known.sort().values[len(known) // 2]) if len(known) else math.nan


def number(value: float, digits: int = 3) -> str:
    """As a person reads it: 12, 0.031, 2e-07, inf; a dash for what was not there."""
    return "-" if math.isnan(value) else f"{value:.{digits}g}"


def percent(share: float) -> str:
    """A share as a person reads it: 12 %, 0.3 %, 0 %; a dash for what was not there."""
    return "-" if math.isnan(share) else f"{100 * share:.{0 if share >= 0.0995 else 1 if share >= 0.001 else 0}f} %"
