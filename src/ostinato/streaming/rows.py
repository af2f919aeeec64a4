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
    listed = isinstance(rows, Iterable) and not isinstance(rows, str | bytes) and getattr(rows, "ndim", 1) > 0
    if not listed:
        raise InputError(phrase(where, "rows", "a list of row indices", repr(rows), "Write rows=[0]."))
    index = []
    for row in rows:
        if isinstance(row, bool | np.bool_) or getattr(row, "dtype", None) is torch.bool:
            remedy = "A mask gives its indices by mask.nonzero().flatten() of torch, or numpy.flatnonzero(mask)."
            raise InputError(phrase(where, "rows", "a list of row indices", repr(row), remedy))
        try:
            if isinstance(row, torch.Tensor) and row.dim():
                raise TypeError("several axes")
            index.append(operator.index(row))
        except TypeError as error:
            raise InputError(phrase(where, "rows", "a list of row indices", repr(row))) from error
        if not 0 <= index[-1] < count:
            known = f"rows from 0 to {count - 1}" if count else "empty, as the stream has no row"
            raise InputError(phrase(where, "rows", known, index[-1], "leave moves the rows behind it up."))
    if distinct and len(set(index)) < len(index):
        raise InputError(phrase(where, "rows", "indices without a repeated one", str(index)))
    return index


def row_count(where: str, name: str, count: Any) -> int:
    """A number of rows. Raises InputError for what is no whole number, or below 0."""
    try:
        if isinstance(count, bool):
            raise TypeError("a truth value")
        found = operator.index(count)
    except TypeError:
        found = -1
    if not 0 <= found < 2**31:
        expected = "a whole number of at least 0" if found < 0 else "a whole number below 2147483648"
        raise InputError(phrase(where, name, expected, repr(count), f"Write {name}=1."))
    return found
