"""The numbers of a forecast as its network reads them: logarithm, reference, spread, features, all from training rows.

Letters: N windows, B windows of a batch, L steps of the past, H of the future, K series of a window, P covariates of
the past, F covariates known ahead, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.windows import Series, Window
from .forecast_calendar import cycles_of, features
from .forecast_network import Shape
from . import forecast_linear
from .forecast_guess import filled, guess, possible
from .forecast_linear import Linear
from .scaling import Scaling

MOST_WINDOWS = 4000
"""Training windows, at equal distances, from which the reference and its errors are found."""

BETTER = 0.98
"""The share of the error of a guess that a later one, which follows the past less closely, must stay below."""


@dataclass(frozen=True)
class ForecastScaling:
    """What the training windows say about scales; JSON."""

    shape: Shape
    season: int
    reference: str
    """The simple guess whose errors the network learns; a name of REFERENCES."""
    log: bool
    """Whether the logarithms of the values are forecast."""
    flagged: bool
    """Whether a training window misses a value."""
    cycles: Sequence[str]
    """Of the calendar."""
    spread: Mapping[str, Sequence[float]]
    """Series → [K] the standard deviation of its training values, after the logarithm."""
    error: np.ndarray
    """[K] the mean absolute error of the reference, in spreads."""
    start: np.ndarray
    """[H, Q] quantiles of the errors of the reference, in `error`."""
    past: Scaling | None
    known: Scaling | None

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Values as they are forecast; one that has no logarithm is missing."""
        if not self.log:
            return values
        return np.log(np.where(values > 0, values, np.nan))

    def backward(self, values: np.ndarray) -> np.ndarray:
        """Forecasts in the unit of the file."""
        return np.exp(values) if self.log else values

    def spread_of(self, window: Window) -> np.ndarray:
        """[K]: of the series' training values; of a series that is not among them, of its values before the origin."""
        known = self.spread.get(window.series.name)
        if known is None and len(self.spread) == 1:
            known = next(iter(self.spread.values()))
        return spread_of(self.forward(window.series.values[: window.origin])) if known is None else np.array(known)

    def tensors(self, windows: Sequence[Window]) -> dict[str, Tensor]:
        """The network's inputs for B windows, and float64 `reference` [B, H, K] and `unit` [B, K] to scale back with.

        A forecast is reference + unit · output.
        """
        values = np.stack([self.forward(w.values) for w in windows])
        whole = filled(values)
        spread = np.stack([self.spread_of(w) for w in windows])
        scaled = (whole - whole[:, -1:]) / spread[:, None, :]
        own = scaled[..., None]
        if self.flagged:
            own = np.stack([scaled, ~np.isnan(values)], -1)
        found = {"own": torch.from_numpy(own.astype(np.float32))}
        if self.past is not None:
            rows = [self.past.apply(w.past) for w in windows]
            found["past"] = torch.from_numpy(np.stack(rows))
        ahead = [features(np.stack([w.times for w in windows]), self.cycles)] if self.cycles else []
        if self.known is not None:
            ahead.insert(0, np.stack([self.known.apply(w.known) for w in windows]))
        if ahead:
            found["known"] = torch.from_numpy(np.concatenate(ahead, -1).astype(np.float32))
        found["error"] = torch.from_numpy(self.error.astype(np.float32))[:, None]
        found["start"] = torch.from_numpy(self.start.astype(np.float32))
        guessed = guess(self.reference, whole, self.shape.horizon, self.season)
        found["reference"] = torch.from_numpy(guessed)
        found["unit"] = torch.from_numpy(spread * self.error)
        return found

    def to_json(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("season", "reference", "log", "flagged")}
        arrays = {"error": self.error.tolist(), "start": self.start.tolist()}
        parts = {name: None if (s := getattr(self, name)) is None else s.to_json() for name in ("past", "known")}
        spread = {name: list(values) for name, values in self.spread.items()}
        return {"shape": asdict(self.shape), **own, "cycles": list(self.cycles), "spread": spread, **arrays, **parts}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ForecastScaling:
        parts = {n: None if content[n] is None else Scaling.from_json(content[n]) for n in ("past", "known")}
        return cls(
            shape=Shape(**content["shape"]),
            season=int(content["season"]),
            reference=str(content["reference"]),
            log=bool(content["log"]),
            flagged=bool(content["flagged"]),
            cycles=[str(name) for name in content["cycles"]],
            spread={str(name): [float(v) for v in values] for name, values in content["spread"].items()},
            error=np.array(content["error"], np.float64),
            start=np.array(content["start"], np.float64),
            **parts,
        )


def training_values(windows: Sequence[Window]) -> dict[str, tuple[Series, int]]:
    """Series name → the series, and how many of its first steps the training windows reach."""
    found: dict[str, tuple[Series, int]] = {}
    for window in windows:
        name, end = window.series.name, min(window.origin + window.horizon, len(window.series.values))
        if name not in found or found[name][1] < end:
            found[name] = (window.series, end)
    return found


def spread_of(values: np.ndarray) -> np.ndarray:
    """[K] the standard deviation of [T, K] over the values that are there; 1 where there is none."""
    there = ~np.isnan(values)
    counts = np.maximum(there.sum(0), 1)
    mean = np.where(there, values, 0.0).sum(0) / counts
    deviation = np.sqrt(np.where(there, (values - mean) ** 2, 0.0).sum(0) / counts)
    return np.where(deviation > 1e-12 * np.maximum(np.abs(mean), 1e-300), deviation, 1.0)


def fitted(windows: Sequence[Window], quantiles: Sequence[float], log: bool, segment: int) -> tuple[ForecastScaling, Linear]:
    """From training windows, all of one length and horizon."""
    first = windows[0]
    series = training_values(windows)
    season = int(getattr(first.series, "season", 1))
    widest = max(series.values(), key=lambda found: found[1])
    cycles = cycles_of(widest[0].times[: widest[1]])
    past, known = (_scaling([getattr(s, name)[:end] for s, end in series.values()]) for name in ("past", "known"))
    width = 0 if known is None else known.width
    shape = Shape(
        first.length,
        first.horizon,
        segment,
        first.series.values.shape[1],
        1,
        0 if past is None else past.width,
        width + 2 * len(cycles),
        len(quantiles),
    )
    one = ForecastScaling(
        shape, season, "last", log, False, cycles, {}, np.ones(shape.series), np.zeros((shape.horizon, len(quantiles))),
        past, known,
    )  # fmt: skip
    spread = {name: spread_of(one.forward(s.values[:end])).tolist() for name, (s, end) in series.items()}
    one = replace(one, spread=spread)
    places = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), MOST_WINDOWS)).astype(int))
    chosen = sorted((windows[int(k)] for k in places), key=lambda w: w.origin)
    values = np.stack([one.forward(w.values) for w in chosen])
    futures = np.stack([one.forward(w.future) for w in chosen])
    spreads = np.array([spread[w.series.name] for w in chosen])[:, None, :]
    whole = filled(values)
    known = filled(np.concatenate([whole, futures], 1))[:, shape.length :]
    past = (whole - whole[:, -1:]) / spreads
    best, errors = "", np.array([np.inf])
    for name in possible(shape.length, season):
        found = (known - guess(name, whole, shape.horizon, season)) / spreads
        if np.abs(found).mean() < BETTER * np.abs(errors).mean():
            best, errors = name, found
    _, penalty = forecast_linear.by_held_out(past, errors)
    print(best, penalty)
    linear = forecast_linear.fit(past, errors, penalty)
    left = np.where(np.isnan(futures), np.nan, errors - linear.apply(past))
    error = np.nanmean(np.abs(left), (0, 1))
    error = np.where(error > 1e-9, error, 1.0)
    start = np.nanquantile(left / error, list(quantiles), axis=(0, 2)).T
    start -= start[:, [list(quantiles).index(0.5)]]
    flagged = bool(np.isnan(values).any())
    shape = replace(shape, own=2 if flagged else 1)
    return replace(one, reference=best, flagged=flagged, error=error, start=start, shape=shape), linear


def _scaling(parts: Sequence[np.ndarray]) -> Scaling | None:
    """Of covariates [T, C] of each series; None where there are none."""
    return Scaling.of(parts) if parts[0].shape[1] else None
