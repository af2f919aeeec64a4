"""The metrics of forecasts, as sums over origins: of points, of quantiles and of bands, scaled and unscaled.

A step whose truth is missing counts for no metric. docs/forecast.md gives the definition and source of each.

Letters: N windows, H steps ahead, K series that are forecast together, Q quantiles, M sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from ...errors import InputError, phrase
from ..data.windows import Window
from .blocks import Blocks, block_length
from .forecast_reference import TrainReference
from .intervals import Tally, Value
from .task import Predictions

_CHUNK = 4_000_000
"""Numbers of truth and quantiles that are in memory at a time."""
_POINTS = ("known", "abs", "square", "symmetric", "truth", "scaled", "mase", "normal", "z_abs", "z_square")
"""The first M sums; those of quantiles and bands follow."""


def tally_of(windows: Sequence[Window], predictions: Predictions, reference: TrainReference) -> Tally:
    """The metrics of N windows with intervals by blocks of successive origins; quantile_loss first where there is one.

    quantile_loss, crps, wql, mase, smape, mae, mse, rmse, scaled_mae, scaled_mse, and of every band coverage_L, width_L
    and interval_score_L with L its percent.
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
    return order, Blocks(series[order], block_length(len(windows), max(horizon, season), stride))


def sums_of(windows: Sequence[Window], predictions: Predictions, reference: TrainReference) -> np.ndarray:
    """float64 [N, H, M]: what each step of each window adds to the sums, over its K series."""
    reference = reference.beside(windows)
    wide = len(reference.quantiles) if predictions.quantiles is not None else 1
    each = windows[0].horizon * windows[0].series.values.shape[1] * wide if len(windows) else 1
    rows = max(1, _CHUNK // each)
    parts = [
        _sums(windows[k : k + rows], predictions.take(range(k, min(k + rows, len(windows)))), reference)
        for k in range(0, len(windows), rows)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 1, len(_POINTS)))


def _sums(windows: Sequence[Window], predictions: Predictions, reference: TrainReference) -> np.ndarray:
    truth = np.stack([window.future for window in windows])
    points = np.stack([np.asarray(v, np.float64) for v in predictions.values])
    known = np.isfinite(truth)
    error, size = points - truth, np.abs(points) + np.abs(truth)
    naive, _, deviation = (
        np.array([getattr(reference.of(w), name) for w in windows])[:, None] for name in ("naive", "mean", "deviation")
    )
    symmetric = np.divide(np.abs(error), size, out=np.zeros_like(size), where=size > 0)
    columns = [known * 1.0, np.abs(error), error**2, symmetric, np.abs(truth)]
    scaled, normal = known & np.isfinite(naive), known & np.isfinite(deviation)
    z = error / deviation
    columns += [scaled * 1.0, np.where(scaled, np.abs(error) / naive, 0.0)]
    columns += [normal * 1.0, np.where(normal, np.abs(z), 0.0), np.where(normal, z**2, 0.0)]
    if predictions.quantiles is not None:
        columns += _of_quantiles(truth, np.asarray(predictions.quantiles, np.float64), reference)
    return np.stack([np.where(known, column, 0.0).sum(-1) for column in columns], -1)


def _of_quantiles(truth: np.ndarray, quantiles: np.ndarray, reference: TrainReference) -> list[np.ndarray]:
    """[N, H, K] each: the mean loss of the Q quantiles; and of each band hits, width and interval score."""
    shares = np.asarray(reference.quantiles)
    if quantiles.shape[-1:] != shares.shape:
        expected = f"as many as the {len(shares)} shares {', '.join(f'{q:g}' for q in shares)}"
        remedy = "Predict with the levels that the reference names."
        raise InputError(phrase("tally_of", "the quantiles", expected, quantiles.shape[-1], remedy))
    above = truth[..., None] - quantiles
    columns = [np.maximum(shares * above, (shares - 1) * above).mean(-1)]
    for percent, low, high in reference.levels:
        below, over = quantiles[..., low] - truth, truth - quantiles[..., high]
        width = quantiles[..., high] - quantiles[..., low]
        outside = np.maximum(below, 0) + np.maximum(over, 0)
        columns += [(below <= 0) & (over <= 0), width, width + 2 / (1 - percent / 100) * outside]
    return columns


def values_of(reference: TrainReference, quantiles: bool) -> dict[str, tuple[Value, bool]]:
    """Metric → (its function of the M sums, whether higher is better)."""
    at = {name: place for place, name in enumerate(_POINTS)}
    losses: dict[str, tuple[Value, bool]] = {}
    bands: dict[str, tuple[Value, bool]] = {}
    if quantiles:
        loss = len(_POINTS)
        losses["quantile_loss"] = (_ratio(loss, at["known"]), False)
        losses["crps"] = (_ratio(loss, at["known"], 2), False)
        losses["wql"] = (_ratio(loss, at["truth"], 2), False)
        for k, (percent, _, _) in enumerate(reference.levels):
            hits = loss + 1 + 3 * k
            for place, name in enumerate(("coverage", "width", "interval_score")):
                bands[f"{name}_{percent:g}"] = (_ratio(hits + place, at["known"]), name == "coverage")
    mean_squares = _ratio(at["square"], at["known"])
    return {
        **losses,
        "mase": (_ratio(at["mase"], at["scaled"]), False),
        "smape": (_ratio(at["symmetric"], at["known"]), False),
        "mae": (_ratio(at["abs"], at["known"]), False),
        "mse": (mean_squares, False),
        "rmse": (lambda s: np.sqrt(mean_squares(s)), False),
        "scaled_mae": (_ratio(at["z_abs"], at["normal"]), False),
        "scaled_mse": (_ratio(at["z_square"], at["normal"]), False),
        **bands,
    }


def _ratio(numerator: int, denominator: int, factor: float = 1.0) -> Value:
    def value(s: np.ndarray) -> np.ndarray:
        return factor * s[..., numerator] / np.where(s[..., denominator] > 0, s[..., denominator], np.nan)

    return value
