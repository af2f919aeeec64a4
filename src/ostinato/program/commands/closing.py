"""What a command prints at the end, on stdout: the table as text, the sentences, or one JSON document."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..running.outcome import Outcome, table_of

TERMINAL_METRICS = 2
"""Metrics of the table that is printed; the report page and metrics.json have all."""


def text_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, the first flush left, the others flush right."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width) for k, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    )


def outcome_text(outcome: Outcome, advice: str = "") -> str:
    """The table, and below it what recurrence gains and whether more time would have helped."""
    return "\n\n".join(filter(None, [text_table(*table_of(outcome, TERMINAL_METRICS)), outcome.sentence(), advice]))


def document(content: Mapping[str, Any]) -> str:
    """One JSON document, numbers that are not finite as null."""
    return json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
