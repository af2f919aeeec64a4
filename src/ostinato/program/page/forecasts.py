"""What the report page shows of forecasts: fans, errors by step ahead beside baselines, coverage, series apart.

Letters: N windows, H steps ahead, K series that are forecast together, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...lens.render.html.inline_svg import drawn
from ...lens.render.html.markup import Html, table, tag
from ..data.examples import Examples
from ..data.time.windows import Series, Window
from ..running.outcome import Outcome, Scored, shown
from ..tasks.forecasting.reference import bands_of
from ..tasks.metric_names import title_of
from ..tasks.task import Predictions
from .forecast_pictures import Fan, coverage_picture, fan_picture, steps_picture

MOST_FANS = 4
"""Series, or columns of one, whose last window is drawn."""
PAST = 3
"""Horizons of the past that a fan shows, at least `LEAST_PAST` steps."""
LEAST_PAST = 36
SHORT = 3
"""Horizons below it are drawn as forecasts of the first step from many origins, instead of a fan of so few points."""
_ROLLING = "The truth, and the forecast one step ahead from each of the last test origins"
MOST_ROWS = 30
"""Series that a table lists."""
BESIDE = ("last value", "seasonal naive")
"""Baselines whose error by step is drawn, beside the best one."""


def sections_of(truth: Examples, predictions: Predictions, outcome: Outcome | None, private: bool) -> list[Html]:
    """The parts of the page. private: whether values of the data stay out of it."""
    found: list[Html] = []
    details = outcome.network.details if outcome is not None else {}
    shares = details.get("quantiles", [])
    fans, left_out = fans_of(truth, predictions, shares)
    if fans and not private:
        whole = len(fans[0].times) > len(fans[0].ahead)
        caption = "The past, the truth, and the forecast of the last test window" if whole else _ROLLING
        caption += f"; {len(fans)} of {len(fans) + left_out} series or columns." if left_out else "."
        found.append(drawn(fan_picture(fans), "fans", "Forecasts beside the true values", caption))
    if outcome is None or "by_step" not in details:
        return found
    if len(details["by_step"]) > 1:
        found += _by_step(outcome, truth)
        levels = [percent for percent, _, _ in bands_of(shares) if f"coverage_{percent:g}" in details["by_step"][0]]
        if levels:
            caption = "The share of true values inside each band, by step ahead; dotted: the share that it is made for."
            found.append(drawn(coverage_picture(details["by_step"], levels), "coverage", "Coverage by step", caption))
    for key, heading in (("by_series", "series"), ("by_channel", "column")):
        if key in details and not (private and key == "by_series"):
            found.append(_table(details[key], heading))
    blocks = details["origins_of_a_block"]
    words = f"{details['origins']} origins; intervals are of blocks of {blocks} successive ones"
    missing = f"; {details['missing']} missing true values count for no metric" if details["missing"] else ""
    return [*found, tag("p", f"{words}{missing}.", class_="lead")]


def _by_step(outcome: Outcome, truth: Examples) -> list[Html]:
    chosen = beside(outcome)
    lines = [(model.name, model.details["by_step"]) for model in (*chosen, outcome.network)]
    one = len({window.series.name for window in truth.inputs}) == 1 and len(truth.channels) < 2
    key = "mae" if one or all(record["mase"] is None for record in lines[-1][1]) else "mase"
    label = f"mean absolute error ({truth.target_name})" if key == "mae" else "mean absolute scaled error (MASE)"
    caption = "The error by step ahead on all test origins; shaded: 95 % intervals by blocks of origins."
    return [drawn(steps_picture(lines, key, label), "steps", "The error by step ahead", caption)]


def beside(outcome: Outcome) -> list[Scored]:
    """The last value, the season before and the best baseline, as far as they were fitted."""
    names = [*BESIDE, outcome.best_baseline.name if outcome.best_baseline else ""]
    return [b for b in outcome.baselines if b.name in names and "by_step" in b.details]


def fans_of(truth: Examples, predictions: Predictions, shares: Sequence[float]) -> tuple[list[Fan], int]:
    """At most `MOST_FANS` fans of the last windows of the series and columns; and how many more there are."""
    last: dict[str, int] = {}
    for row, window in enumerate(truth.inputs):
        if window.series.name not in last or window.origin >= truth.inputs[last[window.series.name]].origin:
            last[window.series.name] = row
    names = list(truth.channels) or [truth.target_name]
    places = [(row, channel) for row in last.values() for channel in range(len(names))]
    fans = []
    for row, channel in places[:MOST_FANS]:
        heading = truth.inputs[row].series.name if len(last) > 1 else ""
        points = _points(truth.inputs, row, heading, names[channel])
        fans.append(_fan(points, channel, predictions, shares))
    return fans, len(places) - len(fans)


@dataclass(frozen=True)
class _Points:
    """What is forecast in one field."""

    heading: str
    unit: str
    series: Series
    rows: Sequence[int]
    """The window of each point."""
    steps: Sequence[int]
    """Its step ahead of that window's origin, from 0."""
    times: np.ndarray
    start: int
    """The step of the series with which the field begins; it ends with the last point."""


def _points(windows: Sequence[Window], row: int, heading: str, unit: str) -> _Points:
    """All steps of a window; of short horizons the first step of the last windows of its series."""
    window = windows[row]
    horizon = window.horizon
    if horizon >= SHORT:
        start = max(window.origin - max(PAST * horizon, LEAST_PAST), 0)
        return _Points(heading, unit, window.series, [row] * horizon, range(horizon), window.times[-horizon:], start)
    of = [k for k, other in enumerate(windows) if other.series is window.series]
    rows = sorted(of, key=lambda k: windows[k].origin)[-LEAST_PAST:]
    times = np.array([windows[k].times[windows[k].length] for k in rows])
    return _Points(heading, unit, window.series, rows, [0] * len(rows), times, windows[rows[0]].origin)


def _fan(points: _Points, channel: int, predictions: Predictions, shares: Sequence[float]) -> Fan:
    each = list(zip(points.rows, points.steps))
    stop = points.start + int(np.searchsorted(points.series.times[points.start :], points.times[-1], side="right"))
    stop = min(stop, len(points.series.values))
    median = np.array([np.asarray(predictions.values[k])[step, channel] for k, step in each])
    bands = []
    for percent, low, high in bands_of(shares)[::-1] if predictions.quantiles is not None else []:
        ends = np.array([np.asarray(predictions.quantiles[k])[step, channel][[low, high]] for k, step in each])
        bands.append((percent, ends[:, 0], ends[:, 1]))
    known = slice(points.start, stop)
    values = points.series.values[known, channel]
    return Fan(points.heading, points.unit, points.series.times[known], values, points.times, median, bands)


def _table(records: Mapping[str, Mapping[str, Any]], heading: str) -> Html:
    """The metrics of each series or column, at most `MOST_ROWS`."""
    names = list(records)[:MOST_ROWS]
    keys = list(records[names[0]])
    rows = [[name, *(_cell(key, records[name][key]) for key in keys)] for name in names]
    more = f"; the first {len(names)} of {len(records)}" if len(names) < len(records) else ""
    return table(f"By {heading}{more}", [heading, *map(title_of, keys)], rows)


def _cell(key: str, value: float | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else shown(key, value)
