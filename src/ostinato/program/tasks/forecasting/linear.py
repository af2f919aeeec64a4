"""The linear map with which the network of a forecast begins: ridge regression of a guess's errors on the past.

Letters: N windows in the order of their origins, K series, L steps of the past, H of the future.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...one_thread import one_thread

PENALTIES = tuple(10.0 ** (k / 2) for k in range(6, -9, -1))
"""By mean square of the past; the strongest first, so that of equal ones the stronger is taken."""
HELD = 0.25
"""The share of the training windows, the last ones, by which the guess and the penalty are chosen."""
LEAST_ROWS, LEAST_HELD = 8, 20
"""Windows of single series, for each step of the past, to fit on, and windows to choose by; with fewer of them there is
no linear map."""


@dataclass(frozen=True)
class Linear:
    """errors = past · weight + bias, for each series alike."""

    weight: np.ndarray
    """float64 [L, H]"""
    bias: np.ndarray
    """float64 [H]"""

    def apply(self, past: np.ndarray) -> np.ndarray:
        """[N, H, K] of [N, L, K]: on one thread, so that the sums over L have one order."""
        with one_thread():
            found = torch.from_numpy(past).transpose(1, 2) @ torch.from_numpy(self.weight)
            return (found + torch.from_numpy(self.bias)).transpose(1, 2).numpy()


def none(length: int, horizon: int) -> Linear:
    """The map to 0."""
    return Linear(np.zeros((length, horizon)), np.zeros(horizon))


def penalty_of(past: np.ndarray, errors: np.ndarray) -> float:
    """The penalty with the least mean absolute error on the last windows; infinity where no map is better.

    past [N, L, K], errors [N, H, K]. The windows that are fitted end before the first future of those that are held
    out begins.
    """
    count, horizon = len(past), errors.shape[1]
    held = max(1, int(HELD * count))
    first = count - held
    stop = first - horizon + 1
    if stop * past.shape[2] < LEAST_ROWS * past.shape[1] or held < LEAST_HELD:
        return np.inf
    least, best = float(np.abs(errors[first:]).mean()), np.inf
    for penalty, fitted in _fits(past[:stop], errors[:stop]):
        found = float(np.abs(errors[first:] - fitted.apply(past[first:])).mean())
        if found < least:
            least, best = found, penalty
    return best


def fit(past: np.ndarray, errors: np.ndarray, penalty: float) -> Linear:
    """The ridge regression with one penalty; the map to 0 for an infinite one."""
    if not np.isfinite(penalty):
        return none(past.shape[1], errors.shape[1])
    return next(_fits(past, errors, (penalty,)))[1]


def _fits(
    past: np.ndarray, errors: np.ndarray, penalties: tuple[float, ...] = PENALTIES
) -> Iterator[tuple[float, Linear]]:
    """The map of each penalty. The bias has none."""
    with one_thread():
        x = _rows(past)
        y = _rows(errors)
        mean_x, mean_y = x.mean(0), y.mean(0)
        x, y = x - mean_x, y - mean_y
        values, vectors = torch.linalg.eigh(x.T @ x)
        turned = vectors.T @ (x.T @ y)
        unit = float(values.clamp(min=0).mean()) or 1.0
        found = []
        for penalty in penalties:
            weight = vectors @ (turned / (values.clamp(min=0) + penalty * unit)[:, None])
            found.append((penalty, Linear(weight.numpy(), (mean_y - mean_x @ weight).numpy())))
    yield from found


def _rows(values: np.ndarray) -> Tensor:
    """[N · K, steps] of [N, steps, K]."""
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 2, 1)).reshape(-1, values.shape[1]))
