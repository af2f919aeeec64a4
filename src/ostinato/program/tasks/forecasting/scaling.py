"""The numbers of a forecast as its network reads them: logarithm, scales, guess, features, all from training rows.

Letters: N windows, B windows of a batch, L steps of the past, H of the future, K series of a window, P covariates of
the past, F covariates known ahead, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.time.frequency import Frequency
from ...data.time.windows import Window
from ..scaling import Scaling
from .calendar import features
from .gaps import filled
from .guess import guess
from .network import Shape


@dataclass(frozen=True)
class Scale:
    """Of the training values of one series, after the logarithm."""

    mean: Sequence[float]
    """[K]"""
    deviation: Sequence[float]
    """[K], of the population; 1 for a series that is constant."""


@dataclass(frozen=True)
class ForecastScaling:
    """What the training windows say about scales; JSON.

    A value is scaled as z = (y - mean) / deviation of its series, y the logarithm where `log` is set. The network
    learns the errors of a guess, in units of `error`.
    """

    shape: Shape
    season: int
    guess: str
    """A name of `guess.possible`."""
    log: bool
    """Whether the logarithms of the values are forecast."""
    flagged: bool
    """Whether a training window misses a value."""
    cycles: Sequence[str]
    """Of the calendar."""
    scales: Mapping[str, Scale]
    """By the name of the series."""
    error: np.ndarray
    """float64 [K]: the mean absolute error of guess and linear map on training windows, scaled."""
    start: np.ndarray
    """float64 [H, Q]: quantiles of that error less its median, in `error`."""
    past: Scaling | None
    known: Scaling | None
    frequency: Frequency | None = None
    """One step of the training; None where its series, or the files of an older folder, do not say."""

    def logged(self, values: np.ndarray) -> np.ndarray:
        """Values as they are forecast; one that has no logarithm is missing."""
        if not self.log:
            return values
        return np.log(values, out=np.full(values.shape, np.nan), where=values > 0)

    def scale_of(self, window: Window) -> Scale:
        """Of the training values; of a series that the training lacks, of its values before the origin."""
        found = self.scales.get(window.series.name)
        if found is None and len(self.scales) == 1:
            found = next(iter(self.scales.values()))
        return scale_of(self.logged(window.series.values[: window.origin])) if found is None else found

    def centre_and_spread(self, windows: Sequence[Window]) -> tuple[np.ndarray, np.ndarray]:
        """float64 [B, 1, K] each: the means and deviations of the windows' series."""
        scales = [self.scale_of(w) for w in windows]
        mean, deviation = (np.array([getattr(s, name) for s in scales]) for name in ("mean", "deviation"))
        return mean[:, None], deviation[:, None]

    def tensors(self, windows: Sequence[Window]) -> dict[str, Tensor]:
        """The network's inputs for B windows, and float64 `guess` [B, H, K], `centre` and `spread` [B, 1, K].

        A forecast is centre + spread · (guess + error · output).
        """
        centre, spread = self.centre_and_spread(windows)
        values = (np.stack([self.logged(w.values) for w in windows]) - centre) / spread
        whole = filled(values)
        own = (whole - whole[:, -1:])[..., None]
        if self.flagged:
            own = np.concatenate([own, ~np.isnan(values)[..., None]], -1)
        found = {"own": own, "error": self.error, "start": self.start}
        if self.past is not None:
            found["past"] = np.stack([self.past.apply(w.past) for w in windows])
        ahead = [] if self.known is None else [np.stack([self.known.apply(w.known) for w in windows])]
        if self.cycles:
            ahead.append(features(np.stack([w.times for w in windows]), self.cycles))
        if ahead:
            found["known"] = np.concatenate(ahead, -1)
        x = {name: torch.from_numpy(array.astype(np.float32)) for name, array in found.items()}
        kept = {"guess": guess(self.guess, values, self.shape.horizon, self.season), "centre": centre, "spread": spread}
        return x | {name: torch.from_numpy(array) for name, array in kept.items()}

    def targets(self, windows: Sequence[Window], x: Mapping[str, Tensor]) -> Tensor:
        """float32 [B, H, K]: what the network is to give; NaN where the truth is missing."""
        truth = torch.from_numpy(np.stack([self.logged(w.future) for w in windows]))
        scaled = (truth - x["centre"]) / x["spread"]
        return ((scaled - x["guess"]) / torch.from_numpy(self.error)).to(torch.float32)

    def forecasts(self, outputs: np.ndarray, x: Mapping[str, Tensor]) -> np.ndarray:
        """float64 [B, H, K, Q] in the unit of the file, of the network's outputs."""
        kept = {name: x[name].cpu().numpy()[..., None] for name in ("guess", "centre", "spread")}
        found = kept["centre"] + kept["spread"] * (kept["guess"] + self.error[:, None] * outputs)
        return np.exp(found) if self.log else found

    def to_json(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("season", "guess", "log", "flagged")}
        arrays = {"error": self.error.tolist(), "start": self.start.tolist()}
        parts = {name: None if (s := getattr(self, name)) is None else s.to_json() for name in ("past", "known")}
        scales = {name: asdict(scale) for name, scale in self.scales.items()}
        step = None if self.frequency is None else asdict(self.frequency)
        own |= {"shape": asdict(self.shape), "cycles": list(self.cycles), "frequency": step}
        return {**own, "scales": scales, **arrays, **parts}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ForecastScaling:
        parts = {n: None if content[n] is None else Scaling.from_json(content[n]) for n in ("past", "known")}
        step = content.get("frequency")
        return cls(
            shape=Shape(**{name: int(size) for name, size in content["shape"].items()}),
            season=int(content["season"]),
            guess=str(content["guess"]),
            log=bool(content["log"]),
            flagged=bool(content["flagged"]),
            cycles=[str(name) for name in content["cycles"]],
            scales={
                str(name): Scale([float(v) for v in scale["mean"]], [float(v) for v in scale["deviation"]])
                for name, scale in content["scales"].items()
            },
            error=np.array(content["error"], np.float64),
            start=np.array(content["start"], np.float64),
            frequency=None if step is None else Frequency(step["unit"], int(step["count"]), int(step["day"])),
            **parts,
        )


def scale_of(values: np.ndarray) -> Scale:
    """Of [T, K], of which NaN are missing; mean 0 and deviation 1 where there is no value."""
    there = ~np.isnan(values)
    counts = np.maximum(there.sum(0), 1)
    mean = np.where(there, values, 0.0).sum(0) / counts
    deviation = np.sqrt(np.where(there, (values - mean) ** 2, 0.0).sum(0) / counts)
    changes = deviation > 1e-12 * np.maximum(np.abs(mean), 1e-300)
    return Scale(mean.tolist(), np.where(changes, deviation, 1.0).tolist())
