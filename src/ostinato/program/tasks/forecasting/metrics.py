"""The metrics of forecasts, as sums over origins: of points, of quantiles and of bands, scaled and unscaled.

A step whose truth is missing counts for no metric. docs/forecast.md gives the definition and source of each.

Letters: N windows, H steps ahead, K series that are forecast together, Q quantiles, M sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ....errors import InputError, phrase
from ...data.time.windows import Window
from ..blocks import Blocks, block_length
from ..intervals import Tally, Value, ratio
from ..task import Predictions
from .reference import TrainReference

_CHUNK = 100_000
"""Numbers of truth that are read at a time: few enough for a processor's cache."""
POINTS = ("known", "abs", "square", "symmetric", "truth", "scaled", "mase", "normal", "z_abs", "z_square")
"""The first M sums; those of quantiles and bands follow."""


def tally_of(windows: Sequence[Window], predictions: Predictions, reference: TrainReference) -> Tally:
    """The metrics of N windows with intervals by blocks of successive origins; quantile_loss first where there is one.

    quantile_loss, mase, mae, rmse, smape, scaled_mae, scaled_mse, mse, crps, sql, wql; and of every band coverage_L,
    width_L and interval_score_L with L its percent.
    """
    order, blocks = blocks_of(windows, reference.season)
    sums = sums_of(windows, predictions, reference).sum(1)[order]
    return Tally(sparse.csr_matrix(sums), values_of(reference, predictions.quantiles is not None), blocks)


def blocks_of(windows: Sequence[Window], season: int) -> tuple[np.ndarray, Blocks]:
    """int64 [N] the windows by series and origin; and which of them are resampled together."""
    numbers: dict[str, int] = {}
    series = np.array([numbers.setdefault(w.series.name, len(numbers)) for w in windows], np.int64)
    origins = np.array([w.origin for w in windows], np.int64)
    order = np.lexsort((origins, series))
    apart = np.diff(origins[order])[np.diff(series[order]) == 0]
    stride = int(apart[apart > 0].min()) if (apart > 0).any() else 1
    horizon = max((w.horizon for w in windows), default=1)
    longest = int(np.bincount(series).max()) if len(series) else 1
    return order, Blocks(series[order], block_length(longest, max(horizon, season), stride))


def sums_of(windows: Sequence[Window], predictions: Predictions, reference: TrainReference) -> np.ndarray:
    """float64 [N, H, M]: what each step of each window adds to the sums, over its K series."""
    return count(windows, predictions, reference).steps


@dataclass(frozen=True)
class Counted:
    """The sums of some forecasts."""

    steps: np.ndarray
    """float64 [N, H, M], over K series"""
    channels: np.ndarray
    """float64 [K, M], over windows and steps"""


def count(windows: Sequence[Window], predictions: Predictions, reference: TrainReference) -> Counted:
    """What each step of N windows, and each of their K series, adds to the sums."""
    reference = reference.beside(windows)
    many = len(POINTS) + (2 + 3 * len(reference.levels) if predictions.quantiles is not None else 0)
    horizon, channels = windows[0].future.shape if len(windows) else (1, 1)
    counted = Counted(np.zeros((len(windows), horizon, many)), np.zeros((channels, many)))
    rows = max(1, _CHUNK // (horizon * channels))
    for k in range(0, len(windows), rows):
        chosen = predictions.take(range(k, min(k + rows, len(windows))))
        for place, column in enumerate(_columns(windows[k : k + rows], chosen, reference)):
            counted.steps[k : k + rows, :, place] = column.sum(0)
            counted.channels[:, place] += column.sum((1, 2))
    return counted


def _columns(windows: Sequence[Window], predictions: Predictions, reference: TrainReference) -> Iterator[np.ndarray]:
    """float64 [K, N, H], M times: what every number adds to each sum; 0 where the truth is missing."""
    truth = _channels_first(np.stack([window.future for window in windows]))
    points = _channels_first(np.stack([np.asarray(v, np.float64) for v in predictions.values]))
    known = np.isfinite(truth)
    naive, deviation = (
        np.array([getattr(reference.of(w), name) for w in windows]).T[..., None] for name in ("naive", "deviation")
    )
    error = np.where(known, points - truth, 0.0)
    distance, truth_size = np.abs(error), np.where(known, np.abs(truth), 0.0)
    size = np.abs(points) + truth_size
    scaled, normal = np.where(np.isfinite(naive), 1 / naive, 0.0), np.where(np.isfinite(deviation), 1 / deviation, 0.0)
    yield known.astype(np.float64)
    yield distance
    yield error**2
    yield np.divide(distance, size, out=np.zeros_like(size), where=size != 0)
    yield truth_size
    yield (known & (scaled > 0)).astype(np.float64)
    yield distance * scaled
    yield (known & (normal > 0)).astype(np.float64)
    yield distance * normal
    yield (error * normal) ** 2
    if predictions.quantiles is not None:
        quantiles = np.asarray(predictions.quantiles, np.float64)
        yield from _of_quantiles(truth, scaled, np.ascontiguousarray(np.moveaxis(quantiles, (3, 2), (0, 1))), reference)


def _of_quantiles(
    truth: np.ndarray, scaled: np.ndarray, quantiles: np.ndarray, reference: TrainReference
) -> Iterator[np.ndarray]:
    """[K, N, H] each: the mean loss of the quantiles [Q, K, N, H] and the same scaled; and of each band three.

    scaled: [K, N, 1] what the loss is multiplied with. Of each band: hits, width and interval score.
    """
    known = np.isfinite(truth)
    if len(quantiles) != len(reference.quantiles):
        expected = f"as many as the {len(reference.quantiles)} shares "
        expected += ", ".join(f"{share:g}" for share in reference.quantiles)
        remedy = "Predict with the levels that the reference names."
        raise InputError(phrase("tally_of", "the quantiles", expected, len(quantiles), remedy))
    loss = np.zeros_like(truth)
    for share, quantile in zip(reference.quantiles, quantiles):
        above = np.where(known, truth - quantile, 0.0)
        loss += np.maximum(share * above, (share - 1) * above)
    loss /= len(quantiles)
    yield loss
    yield loss * scaled
    for percent, low, high in reference.levels:
        below, over = quantiles[low] - truth, truth - quantiles[high]
        width = np.where(known, quantiles[high] - quantiles[low], 0.0)
        outside = np.where(known, np.maximum(below, 0) + np.maximum(over, 0), 0.0)
        yield (known & (below <= 0) & (over <= 0)).astype(np.float64)
        yield width
        yield width + 2 / (1 - percent / 100) * outside


def _channels_first(values: np.ndarray) -> np.ndarray:
    """[K, N, H] of [N, H, K], side by side in memory, so that sums over K are fast."""
    return np.ascontiguousarray(np.moveaxis(values, 2, 0))


def scaled_errors(windows: Sequence[Window], points: Sequence[np.ndarray], reference: TrainReference) -> np.ndarray:
    """float64 [N, H, 2]: the sums `mase` and `scaled` of `POINTS`, alone, of forecasts [H, K] of N windows."""
    reference = reference.beside(windows)
    found = np.zeros((len(windows), windows[0].horizon, 2))
    for row, (window, said) in enumerate(zip(windows, points, strict=True)):
        errors = np.abs(said - window.future) / np.asarray(reference.of(window).naive)
        there = np.isfinite(window.future) & np.isfinite(reference.of(window).naive)
        found[row, :, 0], found[row, :, 1] = np.where(there, errors, 0.0).sum(1), there.sum(1)
    return found


def values_of(reference: TrainReference, quantiles: bool) -> dict[str, tuple[Value, bool]]:
    """Metric → (its function of the M sums, whether higher is better)."""
    at = {name: place for place, name in enumerate(POINTS)}
    known, loss = at["known"], len(POINTS)
    mean_squares = ratio(at["square"], known)
    first: dict[str, Value] = {
        "mase": ratio(at["mase"], at["scaled"]),
        "mae": ratio(at["abs"], known),
        "rmse": lambda s: np.sqrt(mean_squares(s)),
        "smape": ratio(at["symmetric"], known),
    }
    last: dict[str, Value] = {
        "scaled_mae": ratio(at["z_abs"], at["normal"]),
        "scaled_mse": ratio(at["z_square"], at["normal"]),
        "mse": mean_squares,
    }
    if not quantiles:
        return {name: (value, False) for name, value in {**first, **last}.items()}
    bands: dict[str, dict[str, Value]] = {"coverage": {}, "width": {}, "interval_score": {}}
    for place, (kind, of) in enumerate(bands.items()):
        for k, (percent, _, _) in enumerate(reference.levels):
            of[f"{kind}_{percent:g}"] = ratio(loss + 2 + 3 * k + place, known)
    found = {"quantile_loss": ratio(loss, known), **first, **bands["coverage"], **bands["width"], **last}
    found |= {"crps": ratio(loss, known, 2), "sql": ratio(loss + 1, at["scaled"], 2)}
    found |= {"wql": ratio(loss, at["truth"], 2), **bands["interval_score"]}
    return {name: (value, name.startswith("coverage")) for name, value in found.items()}
