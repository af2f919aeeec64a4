"""What a private folder holds in place of values of rows, such as the names of series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .documents import Results


def private_results(results: Results | None) -> Results | None:
    """The same with numbers, in the order of the rows, in place of the names of series."""
    if results is None:
        return None
    details: Mapping[str, Any] = results.extra.get("details", {})
    if "by_series" not in details:
        return results
    series = {str(number): record for number, record in enumerate(details["by_series"].values(), 1)}
    return replace(results, extra={**results.extra, "details": {**details, "by_series": series}})
