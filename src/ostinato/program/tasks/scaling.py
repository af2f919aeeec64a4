"""Numbers as the network reads them: scaled by the training rows, with a flag where a value is missing.

Letters: T steps, C channels, F flags.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError, phrase
from ..data.sizes import refuse_huge


@dataclass(frozen=True)
class Scaling:
    """Mean and standard deviation of each channel over the values that the training rows have."""

    mean: np.ndarray
    """float64 [C]"""
    deviation: np.ndarray
    """float64 [C], of the population; 1 for a channel that is constant."""
    flagged: Sequence[int] = ()
    """[F]: the channels of which a training row misses a value; each brings one more channel, 1 where it is there."""

    @classmethod
    def of(cls, series: Iterable[np.ndarray]) -> Scaling:
        """From the training rows, [T, C] each; NaN is a missing value."""
        rows = [row for row in series if len(row)]
        if not rows:
            remedy = "Give rows of at least one step."
            raise InputError(phrase("series", "the training rows", "numbers", "none", remedy))
        whole = _finite(np.concatenate(rows).astype(np.float64))
        refuse_huge(whole, "the numbers", "series")
        there = ~np.isnan(whole)
        counts = np.maximum(there.sum(0), 1)
        mean = np.where(there, whole, 0.0).sum(0) / counts
        squares = np.where(there, (whole - mean) ** 2, 0.0).sum(0) / counts
        deviation = np.sqrt(squares)
        constant = ~(deviation > 1e-12 * np.maximum(np.abs(mean), 1e-300))
        flagged = [int(c) for c in np.flatnonzero(~there.all(0))]
        return cls(mean, np.where(constant, 1.0, deviation), flagged)

    @property
    def width(self) -> int:
        """Channels that the network reads: C + F."""
        return len(self.mean) + len(self.flagged)

    def apply(self, row: np.ndarray, name: str = "a row") -> np.ndarray:
        """float32 [T, C + F] of [T, C]: scaled, 0 where missing, then the flags."""
        values = np.asarray(row, np.float64)
        if values.ndim != 2 or values.shape[1] != len(self.mean):
            remedy = "Every row needs the channels of the training rows, in their order."
            expected = f"[T, {len(self.mean)}]"
            raise InputError(phrase("series", name, expected, f"a shape of {list(values.shape)}", remedy))
        missing = np.isnan(_finite(values))
        scaled = np.where(missing, 0.0, (values - self.mean) / self.deviation)
        flags = (~missing[:, list(self.flagged)]).astype(np.float64)
        return np.concatenate([scaled, flags], 1).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        return {"mean": self.mean.tolist(), "deviation": self.deviation.tolist(), "flagged": list(self.flagged)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Scaling:
        mean, deviation = (np.array(content[name], np.float64) for name in ("mean", "deviation"))
        return cls(mean, deviation, [int(c) for c in content["flagged"]])


def _finite(values: np.ndarray) -> np.ndarray:
    """The same values, refused where one is infinite; NaN stands for a missing one."""
    if np.isinf(values).any():
        remedy = "Mend the value, or leave it empty: a missing value is known to be missing."
        raise InputError(phrase("series", "every value", "finite, or missing", "infinity", remedy))
    return values
