"""Records of measurements as aligned columns and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .writing import number, plain

__all__ = ["aligned", "number", "to_dict", "to_json"]


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under headings, the first to the left, the others to the right."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:]))]).rstrip()
        for line in lines
    )


def to_dict(record: Any) -> dict[str, Any]:
    """The fields of a record as numbers, texts and lists; None for NaN, "inf" for inf."""
    found: dict[str, Any] = plain(record)
    return found


def to_json(record: Any) -> str:
    """`to_dict` as JSON."""
    return json.dumps(to_dict(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
