"""The sheet of a report: for each layer and direction gradients, retention and gates."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from ....errors import InputError, phrase
from ...report.data import LayerReport, ReportData
from .panels import FIELDS, titled
from .style import TEXT, styled

SHEET = ("gradient", "probe", "retention", "gates", "gates over time", "weights")
COLUMNS = 2
MOST = 8
"""Layers on a sheet, each of three rows of fields, which a README shows at about their own size."""


@styled
def report_picture(report: ReportData, *, layers: Sequence[int] | None = None, title: str | None = None) -> Figure:
    """Six fields for each layer and direction of a report: gradient curve, probe, retention, gates twice, weights.

    layers  numbers of `report.layers`; by default the first 8, and a line says so where there are more
    title   by default none
    """
    chosen = range(min(MOST, len(report.layers))) if layers is None else layers
    beyond = [k for k in chosen if not 0 <= k < len(report.layers)]
    if beyond or not len(chosen):
        expected = f"numbers of the report's layers, from 0 to {len(report.layers) - 1}"
        raise InputError(phrase("report_picture", "layers", expected, list(chosen)))
    deep = -(-len(SHEET) // COLUMNS)
    made = Figure(figsize=(4.3 * COLUMNS, (0.4 + 2.9 * deep) * len(chosen)), layout="constrained")
    for part, k in zip(made.subfigures(len(chosen), 1, squeeze=False).flat, chosen):
        fields = part.subplots(deep, COLUMNS, squeeze=False)
        for axes, name in zip(fields.flat, SHEET):
            titled(axes, name, report.layers[k])
        part.suptitle(heading(report.layers[k]), fontsize=TEXT + 2, fontweight="bold")
    left = layers is None and len(report.layers) > MOST
    lines = [] if title is None else [title]
    if left:
        lines.append(f"the first {MOST} of {len(report.layers)} layers")
    if lines:
        made.suptitle("\n".join(lines))
    return made


@styled
def field_picture(layer: LayerReport, name: str) -> Figure:
    """One field by itself; `name` is a key of `FIELDS`."""
    if name not in FIELDS:
        raise InputError(phrase("field_picture", "name", f"one of {', '.join(FIELDS)}", repr(name)))
    made = Figure(figsize=(5.2, 3.2), layout="constrained")
    titled(made.subplots(), name, layer)
    return made


def heading(layer: LayerReport) -> str:
    """What a layer is, in a line."""
    return f"{layer.label}: {layer.cell}, {layer.units} units, {layer.rows} rows of {layer.steps} steps"
