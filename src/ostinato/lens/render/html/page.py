"""A report as one page of HTML: it opens offline, runs no script and asks for nothing outside of itself."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...._version import __version__
from ...capture.sampling import MOST_ROWS, MOST_SEGMENTS
from ...report.data import LayerReport, ReportData
from ...report.diagnosis import diagnose
from ...report.format import number, percent
from ...report.statistics import LEVELS, median
from ...report.text import HEADINGS, layer_line, report_dict
from ..diagram import Diagram
from . import tables as numbers
from .inline_svg import drawn
from .markup import Html, details, listed, table, tag, together
from .style import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["to_html"]

TITLE = "What a network remembers"
"""The default title of a page."""

MOST_DRAWN = 12
"""Number of layers with pictures; of the others the page has the tables."""

_UNITS = ("", "", "(longest segment)", "(steps)", "(steps)", "(no unit)", "(steps)", "(worst gate)", "(no unit)")

_BAND = "Line: the median; band: from quantile 0.1 to 0.9"
_CAPTIONS = {
    "gradient": f"Everything that the loss sends to a state, by whatever way. {_BAND} of the rows. "
    "Healthy: of one order over the steps that matter.",
    "probe": "The gradient at each segment's last step, propagated back alone. "
    f"{_BAND} of the segments. Healthy: near 1 up to the lag that matters.",
    "retention": "Whole: a state's gradient by every way. Additive: by what each unit carries over by itself, step for "
    f"step. Kept: the product of what is carried, unit by unit. {_BAND} of the segments, or of the units.",
    "gates": "Shares of a sample of all values. Saturated values lie where the activation is nearly flat, and little "
    "gradient passes.",
    "gates over time": f"{_BAND} of rows and units.",
    "weights": "Norm of each step's part in the gradient of a weight matrix, the rows summed. Where it is 0 nothing is "
    "learned.",
    "health": "Root mean square over rows and units. Healthy: no drift.",
}


def to_html(
    report: ReportData,
    *,
    title: str = TITLE,
    about: Mapping[str, object] | None = None,
    pictures: Mapping[str, Figure | Diagram] | None = None,
) -> str:
    """See `Report.to_html`."""
    parts = [
        _head(report, title, about or {}),
        _verdict(report),
        _overview(report),
        *(_picture(k, name, picture) for k, (name, picture) in enumerate((pictures or {}).items())),
        *(_layer(k, layer, k < MOST_DRAWN) for k, layer in enumerate(report.layers)),
        _weights(report),
    ]
    head = together(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(STYLE)),
    )
    body = tag("body", parts[0], tag("main", *parts[1:]), _foot(report))
    return "<!doctype html>\n" + tag("html", tag("head", head), "\n", body, lang="en") + "\n"


def sections(report: ReportData) -> list[Html]:
    """The verdict, the overview and the layers of a report, for a page that says more than them."""
    return [
        _verdict(report),
        _overview(report),
        *(_layer(k, layer, k < MOST_DRAWN) for k, layer in enumerate(report.layers)),
    ]


def _head(report: ReportData, title: str, about: Mapping[str, object]) -> Html:
    kinds = ", ".join(dict.fromkeys(f"{layer.kind} ({layer.cell})" for layer in report.layers))
    lead = f"One step of training, seen from inside: {kinds}. Every number is measured."
    return tag("header", tag("h1", title), tag("p", lead, class_="lead"), listed(about.items()) if about else "")


def _verdict(report: ReportData) -> Html:
    findings = [
        tag(
            "li",
            tag("strong", f.rule),
            f"{f}.",
            tag("small", f"measured {number(f.measured)}, bound {number(f.threshold)}; {f.source}"),
        )
        for f in diagnose(report)
    ]
    if findings:
        said = tag("ol", *findings, class_="findings")
    else:
        said = tag("p", "No warnings.", class_="well")
    return tag("section", tag("h2", "What to do"), said)


def _overview(report: ReportData) -> Html:
    headings = [f"{name} {unit}".strip() for name, unit in zip(HEADINGS, _UNITS, strict=True)]
    rows = [layer_line(layer) for layer in report.layers]
    shown = table("How far gradients reach and what is kept; of the median segment and unit", headings, rows, named=2)
    return tag("section", tag("h2", "At a glance"), shown)


def _picture(k: int, name: str, picture: Figure | Diagram) -> Html:
    return tag("section", tag("h2", name), drawn(picture, f"picture{k}", name))


def _layer(k: int, layer: LayerReport, pictures: bool) -> Html:
    name = f"layer{k}"
    lengths = layer.lengths_steps.tolist() or [0]
    facts: list[tuple[str, object]] = [
        ("module, class", f"{layer.module or 'the model itself'}, {layer.kind}"),
        ("cell", layer.cell),
        ("layer, direction", f"{layer.depth}, {'backward' if layer.reverse else 'forward'}"),
        ("call within the watched step", layer.call),
        ("training mode", layer.training),
        ("steps and rows of the call", f"{layer.steps} and {layer.rows}"),
        ("units", layer.units),
        ("segments, their lengths (steps)", f"{len(layer.lengths_steps)}, {min(lengths)} to {max(lengths)}"),
    ]
    if layer.gradient is not None:
        facts.append(("backward passes", layer.gradient.backward_passes))
        facts.append(("step at which a gradient is inf or NaN", layer.gradient.step_not_finite))
    else:
        facts.append(("no gradients", layer.gradient_absent))
    if pictures:
        shown = tag("div", *_fields(layer, name), class_="pictures")
    else:
        shown = tag("p", f"Pictures are drawn of the first {MOST_DRAWN} layers; the tables are here.")
    return tag(
        "section",
        tag("h2", f"{layer.label}: {layer.cell}", id=name),
        tag("p", _in_words(layer)),
        listed(facts),
        shown,
        tag("h3", "In numbers"),
        numbers.states(layer),
        numbers.gates(layer),
        numbers.segments(layer),
        numbers.everything(layer),
    )


def _fields(layer: LayerReport, name: str) -> list[Html]:
    # matplotlib takes half a second to import: only where a picture is asked for
    from ..plots.panels import FIELDS
    from ..plots.report_sheet import field_picture

    return [
        drawn(field_picture(layer, field), f"{name}-{k}", f"{layer.label}. {FIELDS[field][0]}.", _CAPTIONS[field])
        for k, field in enumerate(FIELDS)
    ]


def _in_words(layer: LayerReport) -> str:
    """The layer's figures in a sentence, for screen readers too."""
    if layer.probe is None:
        return f"No gradient was seen: {layer.gradient_absent}."
    reach = median(layer.probe.reach_steps(0.01))
    if math.isnan(reach):
        return "No gradient arrives at the last step of any row."
    half, gain = median(layer.probe.half_life_steps), median(layer.probe.mean_step_gain)
    last = layer.probe.ratio_by_lag.shape[0] - 1
    gone = f"half of it is gone after {number(half)} steps" if math.isfinite(half) else "half of it is never gone"
    said = f"At least 1 % of the gradient at the last step arrives {number(reach)} steps back, of {last}; {gone}"
    said += f", and a step back multiplies it by {number(gain)} in the mean."
    for carry in layer.carries:
        if carry.formula != "0":
            kept = median(carry.half_life_steps_per_unit)
            said += (
                f" {carry.state} is carried over by {carry.formula}; what is kept halves every {number(kept)} steps."
            )
    ends = {g.name: float((g.low_share_per_unit + g.high_share_per_unit).mean()) for g in layer.gates}
    known = {name: share for name, share in ends.items() if not math.isnan(share)}
    worst = max(known, key=lambda name: known[name], default="")
    if known and known[worst] > 0:
        said += f" The gate with most saturated values is {worst}, with {percent(known[worst])}."
    return said


def _weights(report: ReportData) -> Html:
    headings = (
        "parameter",
        "gate",
        "‖W‖ (units of w)",
        "‖dL/dW‖ (loss per unit of w)",
        "‖ΔW‖ (units of w)",
        "‖ΔW‖ / ‖W‖ (no unit)",
    )
    rows = [
        (
            w.parameter,
            w.gate,
            w.norm,
            w.gradient_norm,
            w.update_norm,
            w.relative_update,
        )
        for w in report.weights
    ]
    clipping = report.clipping
    if clipping.steps:
        pairs = zip(clipping.norms_before, clipping.norms_after, strict=True)
        steps = [(str(k), before, after) for k, (before, after) in enumerate(pairs)]
        clipped = together(
            tag("p", f"Share of the optimiser's steps at which the gradient was cut: {percent(clipping.rate)}."),
            table(
                "Norm of all gradients together",
                (
                    "step of the optimiser",
                    "before clipping (loss per unit of w)",
                    "as it was read (loss per unit of w)",
                ),
                steps,
            ),
        )
    else:
        clipped = tag("p", "No optimiser took a step while watched, so there are no updates and nothing was clipped.")
    return tag(
        "section",
        tag("h2", "Weights and updates"),
        table("Weights by gate", headings, rows, named=2),
        clipped,
    )


def _foot(report: ReportData) -> Html:
    content = json.dumps(_rounded(report_dict(report)), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    address = "data:application/json;base64," + base64.b64encode(content.encode()).decode()
    levels = ", ".join(f"{q:g}" for q in LEVELS)
    read = (
        "Steps are counted from 0 in the order of x, lags in steps back from a segment's last step. A segment is a row "
        "up to its length, or the part of it between two resets. Reach at 1 %: the largest lag at which a hundredth of "
        "the last step's gradient is left. Retention: the product of what a unit carries over by itself, step by step. "
        f"Quantiles are {levels}, the nearest value. Gate shares, deviations and histograms come from at most "
        f"{MOST_ROWS} steps of rows, evenly spread, retention from at most {MOST_SEGMENTS} segments; all else is exact."
    )
    link = tag("a", "Save all numbers as JSON", href=address, download="report.json")
    return tag(
        "footer",
        details("How to read this page", tag("p", read)),
        tag("p", link, f", to six digits. Written by Ostinato {__version__}."),
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    if isinstance(value, dict):
        return {name: _rounded(v) for name, v in value.items()}
    return value
