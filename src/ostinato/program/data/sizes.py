"""Numbers whose squares no float64 holds: no mean error of them is finite."""

from __future__ import annotations

import numpy as np

from .refusals import refused

LARGEST = 1e100


def refuse_huge(values: np.ndarray, name: str, where: str) -> None:
    """Raises InputError where a finite number of any shape is larger than `LARGEST`, or smaller than its negative."""
    finite = np.abs(values[np.isfinite(values)])
    if finite.size and finite.max() > LARGEST:
        remedy = "Divide them by a power of ten, or correct the file."
        raise refused(where, name, f"of a size up to {LARGEST:g}", f"{finite.max():g}", remedy)
