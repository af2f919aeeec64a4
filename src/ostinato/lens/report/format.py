"""Formatting: numbers as a person reads them, columns of text, and records as plain data and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from .fields import is_over_rows, json_key
from .statistics import quantiles_last


def number(value: float, digits: int = 3) -> str:
    """As a person reads it: 12, 0.031, 2e-07, inf; a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.{digits}g}"


def percent(share: float) -> str:
    """A share as a person reads it: 12 %, 0.3 %, 0 %; a dash for NaN."""
    return "-" if math.isnan(share) else f"{100 * share:.{0 if share >= 0.0995 else 1 if share >= 0.001 else 0}f} %"


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under headings, the first to the left, the others to the right."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:]))]).rstrip()
        for line in lines
    )


def plain(value: Any) -> Any:
    """A record, tensor or tuple as lists, dicts and numbers: NaN is None, inf the text "inf".

    A record's `derived()`, where it has one, gives the values that follow from its fields and are written after them.
    """
    if isinstance(value, Tensor):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {name: plain(v) for name, v in value.items()}
    if not is_dataclass(value):
        return value
    written: dict[str, Any] = {}
    for one in fields(value):
        content = getattr(value, one.name)
        written[json_key(one)] = plain(quantiles_last(content) if is_over_rows(one) else content)
    derived = getattr(value, "derived", None)
    return written | ({} if derived is None else plain(derived()))


def to_dict(record: Any) -> dict[str, Any]:
    """The fields of a record as numbers, texts and lists; None for NaN, "inf" for inf."""
    written: dict[str, Any] = plain(record)
    return written


def to_json(data: dict[str, Any]) -> str:
    """What `to_dict` gave, as JSON."""
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
