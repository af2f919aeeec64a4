"""What is counted of forecasts beside their metrics: by step ahead, by series, and beside the last value.

Letters: N windows, H steps ahead, K series that are forecast together, M sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from ...data.time.windows import Window
from ..baselines.forecasts import Naive, SeasonalNaive
from ..intervals import Value, ends, resampled
from ..task import Predictions
from .last_value import beside_last_value
from .metrics import POINTS, blocks_of, count, scaled_errors, values_of
from .reference import TrainReference, plain

INTERVAL_STEPS = 24
"""Steps ahead, evenly spaced of more, whose errors have intervals."""
ERRORS = {"mae": ("abs", "known"), "mase": ("mase", "scaled")}
"""Metrics with an interval by step → the sums they are the ratio of."""


def details_of(
    windows: Sequence[Window],
    predictions: Predictions,
    reference: TrainReference,
    channels: Sequence[str] = (),
    seed: int = 0,
    network: bool = True,
) -> dict[str, Any]:
    """As JSON holds it: by_step, a record for each of H steps; by_series where there are several; counts.

    A record of a step has the errors of repeating the last value and, where there is a season, the season before.

    network  whether a sentence compares the forecasts with repeating the last value, which a baseline does not need
    """
    reference = reference.beside(windows)
    counted = count(windows, predictions, reference)
    sums = counted.steps
    values = {
        name: function
        for name, (function, _) in values_of(reference, predictions.quantiles is not None).items()
        if name in ("quantile_loss", "sql", "mase", "mae", "scaled_mae") or name.startswith("coverage_")
    }
    _, blocks = blocks_of(windows, reference.season)
    steps = windows[0].series.values.shape[1] * len(windows) * windows[0].horizon if len(windows) else 0
    known = int(sums[..., POINTS.index("known")].sum())
    found: dict[str, Any] = {
        "season": reference.season,
        "quantiles": list(reference.quantiles),
        "origins": len(windows),
        "origins_of_a_block": blocks.drawn,
        "known": known,
        "missing": steps - known,
        "by_step": _by_step(windows, sums, values, reference, seed),
    }
    if len(windows) and network:
        beside = beside_last_value(windows, predictions, reference, seed)
        found.update({"last_value": beside.to_json(), "remark": beside.sentence()})
    names = list(dict.fromkeys(window.series.name for window in windows))
    if len(names) > 1:
        of = np.array([names.index(window.series.name) for window in windows])
        found["by_series"] = {n: _record(sums[of == k].sum((0, 1)), values) for k, n in enumerate(names)}
    if len(channels) > 1:
        found["by_channel"] = {name: _record(counted.channels[k], values) for k, name in enumerate(channels)}
    return found


def _record(sums: np.ndarray, values: Mapping[str, Value]) -> dict[str, Any]:
    numbers = {name: plain(function(sums)) for name, function in values.items()}
    return {"known": int(sums[POINTS.index("known")]), **numbers}


def _by_step(
    windows: Sequence[Window], sums: np.ndarray, values: Mapping[str, Value], reference: TrainReference, seed: int
) -> list[dict[str, Any]]:
    """A record for each of H steps; mae and mase of at most `INTERVAL_STEPS` of them with their interval."""
    if not len(windows):
        return []
    records: list[dict[str, Any]] = [
        {"step": step + 1, **_record(sums[:, step].sum(0), values)} for step in range(sums.shape[1])
    ]
    order, blocks = blocks_of(windows, reference.season)
    steps = np.unique(np.linspace(0, sums.shape[1] - 1, min(sums.shape[1], INTERVAL_STEPS)).astype(int))
    columns = [POINTS.index(name) for pair in ERRORS.values() for name in pair]
    picked = sums[order][:, steps][..., columns].reshape(len(windows), -1)
    drawn = resampled(picked, seed, blocks).reshape(-1, len(steps), len(ERRORS), 2)
    ratios = drawn[..., 0] / np.where(drawn[..., 1] > 0, drawn[..., 1], np.nan)
    for (place, step), (kind, name) in product(enumerate(steps), enumerate(ERRORS)):
        low, high = ends(ratios[:, place, kind])
        records[step].update({f"{name}_low": plain(low), f"{name}_high": plain(high)})
    for baseline in simple_forecasts(reference):
        points = baseline.point_predictions(windows, reference).values
        errors, known = scaled_errors(windows, points, reference).sum(0).T
        for step, record in enumerate(records):
            record[f"mase_of_{baseline.name.replace(' ', '_')}"] = (
                plain(errors[step] / known[step]) if known[step] else None
            )
    return records


def simple_forecasts(reference: TrainReference) -> list[Naive | SeasonalNaive]:
    """The forecasts that need no fit: the last value and, where there is a season, the season before."""
    found: list[Naive | SeasonalNaive] = [Naive(reference.season, reference.quantiles)]
    return found + ([SeasonalNaive(reference.season, reference.quantiles)] if reference.season > 1 else [])
