"""A finding: one sentence about the data, how grave it is, and how many rows it concerns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
"""error: no network can be trained or judged on this. warning: the figures will mislead. note: worth knowing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What `check` has found."""

    severity: Severity
    sentence: str
    count: int
    """Rows, cells or columns, as the sentence says."""
    private: str = ""
    """The sentence without values of rows, for a private folder, where the sentence has some."""

    @property
    def without_values(self) -> str:
        """The sentence for a private folder."""
        return self.private or self.sentence


def many(count: int, noun: str, plural: str = "") -> str:
    """`1 row`, `2 rows`, `2,500 rows`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
