"""Forecasts: quantiles of the H steps after a window of a series.

Letters: N windows, B windows of a batch, H steps of the future, K series of a window, Q quantiles, J bands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ....errors import InputError, phrase
from ...data.examples import Examples
from ...data.time.windows import Window
from ...options import NetworkOptions
from ..base import ScoredTask
from ..baselines.regressions import for_forecasts
from ..intervals import Tally
from ..scored import targets_of, truth_of
from ..task import Baseline, Batch, Encoded, Predict, Predictions
from .conformal import corrections, moved
from .details import details_of
from .fitting import fitted, reached_by
from .linear import Linear
from .metrics import tally_of
from .names import NOTE, with_names, without_names
from .network import ForecastNetwork
from .notes import notes_of
from .reference import TrainReference, reference_of
from .rules import grows_with_level
from .scaling import ForecastScaling

FILE = "scaling.json"
METRICS = ("quantile_loss", "sql")
"""What chooses the weights: of one series; of several, which are scaled."""
SHRINKAGE = 4.0
"""The weight in the loss of the mean square of what the network adds to the guess, by the number of training windows
that do not overlap; at most 1. There is no such term beside a linear map, which shows that the windows are enough."""


class Forecast(ScoredTask):
    """The task of the quantiles of what follows a window. Its prediction is the median."""

    name = "forecast"
    defaults: ClassVar[Mapping[str, Any]] = {"both_directions": False, "learning_rate": 1e-3}

    def __init__(self, scaling: ForecastScaling, reference: TrainReference, linear: Linear | None = None) -> None:
        self.scaling, self.reference, self.linear = scaling, reference, linear
        self.quantiles = list(reference.quantiles)
        several = scaling.shape.series > 1 or len(reference.scales) > 1
        self.metric = METRICS[several]
        self.shrinkage = 0.0
        """The weight of the mean square of what the network adds to the guess; of the fit, so the files lack it."""
        self.bands: np.ndarray | None = None
        """float64 [H, J], outermost first: how far `calibrate` moves the ends of each band; None before it."""
        self.notes: Sequence[str] = ()
        """What was chosen from the training rows, and what `calibrate` did, a sentence each."""

    @classmethod
    def encode_from(cls, train: Examples, options: NetworkOptions) -> Forecast:
        targets_of(train, "forecast")
        windows, quantiles = train.inputs, quantiles_of(options.levels)
        if options.context is not None:
            windows = [replace(window, length=options.context) for window in windows]
        parts = [series.values[:end] for series, end in reached_by(windows).values()]
        log = options.scale == "log"
        if log:
            _refuse_without_logarithm(parts)
        if options.scale == "auto":
            log = grows_with_level(parts, windows[0].series.season)
        scaling, linear = fitted(windows, quantiles, log)
        task = cls(scaling, reference_of(windows, scaling.season, quantiles), linear)
        if not linear.weight.any():
            task.shrinkage = min(1.0, SHRINKAGE * scaling.shape.horizon / len(windows))
        task.notes = notes_of(scaling, linear, options.scale)
        return task

    def private(self) -> tuple[Forecast, list[str]]:
        """(the task for a private folder, without the names of series; what to note about it)."""
        found = Forecast(*without_names(self.scaling, self.reference), self.linear)
        found.metric, found.bands, found.notes = self.metric, self.bands, self.notes
        return found, [] if found.scaling.scales else [NOTE]

    @property
    def nameless(self) -> bool:
        """Whether it comes from a private folder, and `recall` has not been called."""
        return not self.reference.scales

    def recall(self, train: Examples) -> None:
        """Finds what `private` has left out again, from the rows of the training."""
        if self.nameless:
            self.scaling, self.reference = with_names(self.scaling, self.reference, train.inputs)

    def encode(self, examples: Examples) -> Encoded:
        """The windows, as long as those of the training, whatever their own length is."""
        shape, covariates = self.scaling.shape, (self.scaling.past, self.scaling.known)
        expected = (shape.horizon, shape.series, *(0 if s is None else len(s.mean) for s in covariates))
        for window in examples.inputs:
            found = _sizes(window)
            if found != expected:
                remedy = "Give the columns of the training file."
                names = "steps ahead, targets, past covariates, covariates known ahead: "
                received = ", ".join(map(str, found))
                sizes = names + ", ".join(map(str, expected))
                raise InputError(phrase("forecast", "a window", sizes, received, remedy))
        rows = [w if w.length == shape.length else replace(w, length=shape.length) for w in examples.inputs]
        return Encoded(rows, np.full(len(rows), shape.length, np.int64))

    def batch(self, encoded: Encoded, rows: Sequence[int]) -> Batch:
        windows = [encoded.rows[r] for r in rows]
        x = self.scaling.tensors(windows)
        target = self.scaling.targets(windows, x)
        lengths = torch.full((len(windows),), self.scaling.shape.length)
        return Batch(x, lengths, target, int((~target.isnan()).sum()))

    def network(self, options: NetworkOptions) -> nn.Module:
        return ForecastNetwork(self.scaling.shape, options, self.linear)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The mean over the known numbers of the futures, and over quantiles, of the pinball loss in scaled errors.

        Of few windows, also the mean square of what is added to the guess, times `shrinkage`.
        """
        assert batch.target is not None  # windows always have a target, which is NaN where the truth is missing
        there = ~batch.target.isnan()
        above = torch.where(there, batch.target, 0.0).unsqueeze(-1) - outputs
        shares = torch.tensor(self.quantiles, dtype=outputs.dtype, device=outputs.device)
        losses = torch.maximum(shares * above, (shares - 1) * above).mean(-1)
        if self.shrinkage:
            losses = losses + self.shrinkage * (outputs - batch.x["start"][:, None, :]).square().mean(-1)
        return torch.where(there, losses, 0.0).sum() / max(batch.weight, 1)

    def decode(self, outputs: Tensor, batch: Batch) -> Predictions:
        scaled = outputs.detach().to("cpu", torch.float64).sort(-1).values.numpy()
        if self.bands is not None:
            scaled = moved(scaled, self.bands)
        found = self.scaling.forecasts(scaled, batch.x)
        return Predictions(list(found[..., len(self.quantiles) // 2]), None, found)

    def calibrate(self, valid: Examples, predict: Predict) -> None:
        """Moves the bands so that they cover the truth of the validation rows as often as they say."""
        windows, scaled = valid.inputs, predict(self.encode(valid))
        truth, found = (self._outputs(windows, values) for values in (_futures(windows), scaled.quantiles))
        self.bands = corrections(truth[..., 0], found, self.quantiles)
        moved_bands = (
            f"The ends of the bands were moved, by step ahead, so that they cover the truth of the {len(windows)} "
            f"validation windows as often as they say (conformalized quantile regression)."
        )
        self.notes = [*self.notes, moved_bands]

    def _outputs(self, windows: Sequence[Window], values: np.ndarray) -> np.ndarray:
        """[N, H, K, …] in the unit of the network's outputs, of values in that of the file."""
        centre, spread = self.scaling.centre_and_spread(windows)
        return (self.scaling.logged(values) - centre[..., None]) / (spread * self.scaling.error)[..., None]

    def tally(self, truth: Examples, predictions: Predictions) -> Tally:
        """The errors of the predictions of N windows, resampled by blocks of successive origins."""
        truth_of(truth, predictions)
        return tally_of(truth.inputs, predictions, self.reference)

    def details(self, truth: Examples, predictions: Predictions) -> dict[str, Any]:
        """By step ahead and by series, and what was chosen from the training rows."""
        own = self.scaling
        chosen = {"guess": own.guess, "log": own.log, "season": own.season, "segment": own.shape.segment}
        found = details_of(truth.inputs, predictions, self.reference, truth.channels)
        return {"chosen": chosen, **found}

    def baseline_details(self, truth: Examples, predictions: Predictions) -> dict[str, Any]:
        """The same of a baseline, without what is only said of the network."""
        return details_of(truth.inputs, predictions, self.reference, truth.channels, network=False)

    def baselines(self) -> list[Baseline]:
        return for_forecasts(self.scaling.season, self.quantiles)

    def to_json(self) -> Mapping[str, Mapping[str, Any]]:
        bands = None if self.bands is None else self.bands.tolist()
        reference = self.reference.to_json()
        own = {**self.scaling.to_json(), "metric": self.metric, "reference": reference, "bands": bands}
        return {FILE: own}

    @classmethod
    def from_json(cls, files: Mapping[str, Mapping[str, Any]]) -> Forecast:
        content = files[FILE]
        task = cls(ForecastScaling.from_json(content), TrainReference.from_json(content["reference"]))
        if content["metric"] not in METRICS:
            raise ValueError(f"the metric {content['metric']!r}")
        task.metric = content["metric"]
        if content["bands"] is not None:
            task.bands = np.array(content["bands"], np.float64)
        return task


def quantiles_of(levels: Sequence[float]) -> list[float]:
    """The ends of bands and the median, rising: .025 .1 .5 .9 .975 of 80 and 95 percent."""
    lows = sorted({round((1 - level / 100) / 2, 10) for level in levels})
    return [*lows, 0.5, *(round(1 - low, 10) for low in reversed(lows))]


def _futures(windows: Sequence[Window]) -> np.ndarray:
    """float64 [N, H, K, 1]: the truth."""
    return np.stack([w.future for w in windows])[..., None]


def _sizes(window: Window) -> tuple[int, ...]:
    """What a window must have in common with the training windows."""
    series = window.series
    return window.horizon, *(part.shape[1] for part in (series.values, series.past, series.known))


def _refuse_without_logarithm(parts: Sequence[np.ndarray]) -> None:
    """Refuses training values that have no logarithm."""
    least = min(float(np.nanmin(part)) for part in parts if np.isfinite(part).any())
    if least <= 0:
        remedy = "Write --scale none."
        raise InputError(phrase("forecast", "the values with --scale log", "above 0", f"{least:g}", remedy))
