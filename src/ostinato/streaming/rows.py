"""Indices of rows, as callers give them."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from ..errors import InputError, phrase


def checked_rows(call: str, rows: Any, count: int, distinct: bool = False) -> list[int]:
    """Indices of rows as a list. Raises InputError for one outside of 0 … count - 1, or twice in a `distinct` list."""
    where = f"Stream.{call}"
    if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
        raise InputError(phrase(where, "rows", "a list of row indices", repr(rows), "Write rows=[0]."))
    index = []
    for row in rows:
        if isinstance(row, bool | np.bool_) or getattr(row, "dtype", None) is torch.bool:
            remedy = "A mask gives its indices by mask.nonzero().flatten() of torch, or numpy.flatnonzero(mask)."
            raise InputError(phrase(where, "rows", "a list of row indices", repr(row), remedy))
        try:
            index.append(operator.index(row))
        except TypeError as error:
            raise InputError(phrase(where, "rows", "a list of row indices", repr(row))) from error
        if not 0 <= index[-1] < count:
            known = f"rows from 0 to {count - 1}" if count else "empty, as the stream has no row"
            raise InputError(phrase(where, "rows", known, index[-1], "leave moves the rows behind it up."))
    if distinct and len(set(index)) < len(index):
        raise InputError(phrase(where, "rows", "indices without a repeated one", str(index)))
    return index
