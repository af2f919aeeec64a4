"""Rows as matrices for models that read no sequence: bags of words and letters, moments, resampled series, windows.

Each extractor has `fit_transform(train)` and `transform(examples)`; what it learns, it learns from the training rows.

Letters: N rows, T steps, C channels, V entries, F features, k steps of a window.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from ...data.examples import Examples
from ..inputs import as_series
from ..scaling import Scaling
from ..vocabulary import units_of

MOST_UNITS = 2000
"""Units of a text that a bag reads: a bound on its cost."""
LONGEST = 500
"""Steps to which series are resampled at most."""

Cut = Callable[[Any], Sequence[str]]
"""The input of a row → its units."""


class Extractor(Protocol):
    def fit_transform(self, train: Examples) -> Any: ...
    def transform(self, examples: Examples) -> Any: ...


def words(row: Any) -> Sequence[str]:
    """The words of a text in lower case, or the tokens themselves."""
    return units_of(row, "word", True) if isinstance(row, str) else list(row)


def letters(row: Any) -> Sequence[str]:
    """The characters of a text between ^ and $, in lower case."""
    return ["^", *units_of(row if isinstance(row, str) else " ".join(row), "char", True), "$"]


def grams(units: Sequence[str], longest: int, joint: str) -> list[str]:
    """All runs of 1 to `longest` units."""
    found = list(units)
    for n in range(2, longest + 1):
        found += [joint.join(units[k : k + n]) for k in range(len(units) - n + 1)]
    return found


class Bag:
    """Counts of units and of runs of them: sparse [N, V], without order beyond the runs.

    cut       the input of a row → its units
    longest   units of the longest run
    least     training rows that an entry needs
    presence  True: 1 for an entry that a row has, however often
    joint     between the units of a run
    unseen    True: one more column, for all units that the training rows lack
    """

    def __init__(
        self,
        cut: Cut,
        longest: int = 1,
        least: int = 1,
        presence: bool = False,
        joint: str = " ",
        unseen: bool = False,
    ) -> None:
        self.cut, self.longest, self.least, self.presence, self.joint = cut, longest, least, presence, joint
        self.unseen = unseen
        self._last: tuple[Any, Any] | None = None

    def fit_transform(self, train: Examples) -> Any:
        if self._last is not None and self._last[0] is train:  # several baselines share one bag
            return self._last[1]
        rows = [self._counts(row) for row in train.inputs]
        seen: Counter[str] = Counter()
        for row in rows:
            seen.update(row.keys())
        self.entries = {unit: k for k, unit in enumerate(u for u, count in seen.items() if count >= self.least)}
        self._last = train, self._matrix(rows)
        return self._last[1]

    def transform(self, examples: Examples) -> Any:
        return self._matrix([self._counts(row) for row in examples.inputs])

    def _counts(self, row: Any) -> Counter[str]:
        return Counter(grams(self.cut(row)[:MOST_UNITS], self.longest, self.joint))

    def _matrix(self, rows: Sequence[Counter[str]]) -> Any:
        places: list[int] = []
        values: list[int] = []
        starts = [0]
        other = len(self.entries) if self.unseen else None
        for row in rows:
            for unit, count in row.items():
                place = self.entries.get(unit, other)
                if place is not None:
                    places.append(place)
                    values.append(count)
            starts.append(len(places))
        data = np.ones(len(values)) if self.presence else np.array(values, np.float64)
        # Several unseen units of a row share a column: their entries add up.
        shape = len(rows), max(len(self.entries) + self.unseen, 1)
        found = sparse.csr_matrix((data, np.array(places, np.int32), np.array(starts, np.int32)), shape)
        found.sum_duplicates()
        return found


class Weighed:
    """A bag with rows of length 1 and rare entries weighing more (tf-idf with smoothed idf, as in scikit-learn)."""

    def __init__(self, bag: Bag) -> None:
        self.bag = bag

    def fit_transform(self, train: Examples) -> Any:
        counts = self.bag.fit_transform(train)
        rows = np.bincount(counts.indices, minlength=counts.shape[1])
        self._weights = sparse.diags(np.log((1 + counts.shape[0]) / (1 + rows)) + 1)
        return self._weigh(counts)

    def transform(self, examples: Examples) -> Any:
        return self._weigh(self.bag.transform(examples))

    def _weigh(self, counts: Any) -> Any:
        whole = counts @ self._weights
        size = np.sqrt(np.asarray(whole.multiply(whole).sum(1)).ravel())
        return sparse.csr_matrix(sparse.diags(1 / np.where(size > 0, size, 1)) @ whole)


class Moments:
    """Mean and standard deviation of each channel, scaled by the training rows: [N, 2·C], without order."""

    def fit_transform(self, train: Examples) -> np.ndarray:
        raw = self._raw(train)
        self._scaling = Scaling.of([raw])
        return self._scaled(raw)

    def transform(self, examples: Examples) -> np.ndarray:
        return self._scaled(self._raw(examples))

    def _raw(self, examples: Examples) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a channel without any value has no mean: NaN, then 0
            return np.stack([np.concatenate([np.nanmean(x, 0), np.nanstd(x, 0)]) for x in as_series(examples)])

    def _scaled(self, raw: np.ndarray) -> np.ndarray:
        return self._scaling.apply(raw)[:, : raw.shape[1]].astype(np.float64)


class Resampled:
    """Series drawn to one length by linear interpolation: [N, T·C] with T of the longest training row.

    scaled  each channel by the training rows
    """

    def __init__(self, scaled: bool = True) -> None:
        self.scaled = scaled

    def fit_transform(self, train: Examples) -> np.ndarray:
        series = as_series(train)
        self._scaling = Scaling.of(series)
        self._steps = min(max(len(x) for x in series), LONGEST)
        return self.transform(train)

    def transform(self, examples: Examples) -> np.ndarray:
        return np.stack([resampled(self._filled(x), self._steps).ravel() for x in as_series(examples)])

    def _filled(self, x: np.ndarray) -> np.ndarray:
        if self.scaled:
            return self._scaling.apply(x)[:, : x.shape[1]].astype(np.float64)
        return np.where(np.isnan(x), self._scaling.mean, x)


def resampled(x: np.ndarray, steps: int) -> np.ndarray:
    """[steps, C] of x [T, C] by linear interpolation, ends on ends; zeros for a series without steps."""
    if not len(x):
        return np.zeros((steps, x.shape[1]))
    at = np.linspace(0, len(x) - 1, steps)
    return np.stack([np.interp(at, np.arange(len(x)), channel) for channel in x.T], 1)


class Window:
    """The first k and the last k steps of a series, scaled by the training rows: [N, 2·k·C]."""

    def __init__(self, k: int) -> None:
        self.k = k

    def fit_transform(self, train: Examples) -> np.ndarray:
        self._scaling = Scaling.of(as_series(train))
        return self.transform(train)

    def transform(self, examples: Examples) -> np.ndarray:
        rows = [self._scaling.apply(x)[:, : x.shape[1]].astype(np.float64) for x in as_series(examples)]
        return np.stack([np.concatenate([self._fit(x[: self.k]), self._fit(x[-self.k :])]).ravel() for x in rows])

    def _fit(self, x: np.ndarray) -> np.ndarray:
        return np.concatenate([x, np.zeros((self.k - len(x), x.shape[1]))])
