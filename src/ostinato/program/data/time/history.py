"""Rolling origins at the end of series: the rows before the first of them, and the windows at each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...options import DataOptions
from ..columns import Column
from ..refusals import listed, refused
from ..tables import Table
from .from_times import row_names, timed_rows
from .grid import grids_of
from .roles import find_roles
from .season import usual_context
from .windows import Window


@dataclass(frozen=True)
class Rolled:
    """What a cross-validation in time reads."""

    before: Table
    """The rows before the first origin of each series."""
    windows: list[Window]
    """Series by series, from the first origin on."""


def rolled(table: Table, columns: Mapping[str, Column], options: DataOptions, windows: int, step: int) -> Rolled:
    """The last `windows` origins of each series, `step` steps apart, the last with its H steps at the end.

    Raises InputError for series that are too short.
    """
    horizon = int(options.horizon or 1)
    file = listed(source.path.name for source in table.sources)
    rows, _ = timed_rows(table, columns, find_roles(columns, options, file, row_names(table)), file)
    grids = grids_of(rows)
    kept = np.zeros(len(table), bool)
    found: list[Window] = []
    for series, own in zip(grids.series, grids.rows):
        steps = len(series.values)
        first = steps - horizon - step * (windows - 1)
        if first <= horizon:
            expected = f"longer than {2 * horizon + step * (windows - 1)} steps, for {windows} windows of {horizon}"
            remedy = "Give more rows, fewer windows or a shorter horizon."
            raise refused("cross_validation", f"the series {series.name}", expected, f"{steps} steps", remedy)
        kept[own[:first]] = True
        length = usual_context(series.season, horizon, first)
        found += [Window(series, first + step * k, length, horizon) for k in range(windows)]
    before = replace(table, frame=table.frame.filter(kept), lines=table.lines[kept], files=table.files[kept])
    return Rolled(before, found)
