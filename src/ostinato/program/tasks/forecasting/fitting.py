"""From training windows to the scaling of a forecast and the linear map that its network begins with.

Letters: N windows, L steps of the past, H of the future, K series of a window, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...data.time.windows import Series, Window
from ..scaling import Scaling
from .calendar import cycles_of
from .gaps import filled
from .guess import guess, possible
from .linear import Linear, fit, penalty_of
from .network import Shape
from .rules import segment_of
from .scaling import ForecastScaling, scale_of

MOST_NUMBERS = 8_000_000
"""Numbers of the training windows, at equal distances, from which guess, linear map and errors are found."""
BETTER = 0.98
"""The share of the error of a guess below which a guess that is later in the list must stay."""

Reached = Mapping[str, tuple[Series, int]]
"""Name → a series, and how many of its first steps the training windows reach."""


def reached_by(windows: Sequence[Window]) -> Reached:
    """The training values of each series."""
    found: dict[str, tuple[Series, int]] = {}
    for window in windows:
        name, end = window.series.name, min(window.origin + window.horizon, len(window.series.values))
        if name not in found or found[name][1] < end:
            found[name] = (window.series, end)
    return found


def fitted(windows: Sequence[Window], quantiles: Sequence[float], log: bool) -> tuple[ForecastScaling, Linear]:
    """From training windows, all of one length and horizon."""
    bare = _bare(windows, quantiles, log)
    shape, middle = bare.shape, list(quantiles).index(0.5)
    chosen = _spaced(windows, max(1, MOST_NUMBERS // (shape.series * (shape.length + shape.horizon))))
    centre, spread = bare.centre_and_spread(chosen)
    values, futures = (
        (np.stack([bare.logged(getattr(w, name)) for w in chosen]) - centre) / spread for name in ("values", "future")
    )
    # Where the truth is missing, the regression reads the value before it.
    whole = filled(np.concatenate([values, futures], 1))
    past, future = whole[:, : shape.length], whole[:, shape.length :]
    best, errors = "", np.array([np.inf])
    for name in possible(shape.length, bare.season):
        found = future - guess(name, values, shape.horizon, bare.season)
        if np.abs(found).mean() < BETTER * np.abs(errors).mean():
            best, errors = name, found
    past = past - past[:, -1:]
    linear = fit(past, errors, penalty_of(past, errors))
    left = np.where(np.isnan(futures), np.nan, errors - linear.apply(past))
    error = np.array([_mean_size(left[..., k]) for k in range(shape.series)])
    start = np.array([_quantiles(left[:, step] / error, quantiles) for step in range(shape.horizon)])
    gaps = any(np.isnan(bare.logged(series.values[:end])).any() for series, end in reached_by(windows).values())
    flagged = bool(gaps) or any(w.origin < w.length for w in windows)
    shape = replace(shape, own=2 if flagged else 1)
    start -= start[:, [middle]]
    return replace(bare, guess=best, flagged=flagged, error=error, start=start, shape=shape), linear


def _bare(windows: Sequence[Window], quantiles: Sequence[float], log: bool) -> ForecastScaling:
    """The scales, without guess and errors."""
    reached = reached_by(windows)
    first, longest = windows[0], max(reached.values(), key=lambda found: found[1])
    cycles = cycles_of(longest[0].times[: longest[1]])
    past = _covariates([series.past[:end] for series, end in reached.values()])
    known = _covariates([series.known[:end] for series, end in reached.values()])
    horizon, count, season = first.horizon, first.series.values.shape[1], first.series.season
    shape = Shape(
        length=first.length,
        horizon=horizon,
        segment=segment_of(first.length, horizon, season),
        series=count,
        own=1,
        past=0 if past is None else past.width,
        known=(0 if known is None else known.width) + 2 * len(cycles),
        quantiles=len(quantiles),
    )
    error, start = np.ones(count), np.zeros((horizon, len(quantiles)))
    bare = ForecastScaling(
        shape, season, "last", log, False, cycles, {}, error, start, past, known, first.series.frequency
    )
    return replace(bare, scales={n: scale_of(bare.logged(s.values[:end])) for n, (s, end) in reached.items()})


def _spaced(windows: Sequence[Window], most: int) -> list[Window]:
    """Windows at equal distances, by origin; only those that do not begin before their series, if there are some."""
    inside = [w for w in windows if w.origin >= w.length] or list(windows)
    places = [int(k) for k in np.unique(np.linspace(0, len(inside) - 1, min(len(inside), most)).astype(int))]
    return sorted((inside[k] for k in places), key=lambda w: w.origin)


def _mean_size(errors: np.ndarray) -> float:
    """The mean absolute error over what is known; 1 where nothing is, or all of it is 0."""
    known = np.abs(errors[~np.isnan(errors)])
    found = float(known.mean()) if len(known) else 0.0
    return found if found > 1e-9 else 1.0


def _quantiles(errors: np.ndarray, quantiles: Sequence[float]) -> np.ndarray:
    """[Q] of the known errors [N, K]; 0 where there is none."""
    known = errors[~np.isnan(errors)]
    return np.quantile(known, list(quantiles)) if len(known) else np.zeros(len(quantiles))


def _covariates(parts: Sequence[np.ndarray]) -> Scaling | None:
    """Of covariates [T, C] of each series; None where there are none."""
    return Scaling.of(parts) if parts[0].shape[1] else None
