"""The parts of a split that the user gave for a forecast: a column, or files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...options import DataOptions
from ..columns import Column
from ..examples import PARTS
from ..parts import PART_NAMES
from ..refusals import listed, refused, shown
from ..tables import Table

UNUSED_NAMES = ("unused", "none", "-")
"""What a split column says of a row that belongs to no part; so does an empty cell."""


def given_parts(
    table: Table, columns: Mapping[str, Column], options: DataOptions, files: Sequence[str] | None, file: str
) -> np.ndarray | None:
    """int8 [R]: the number of each row's part in `PARTS`, -1 of a row in none; None where no split is given.

    Raises InputError for another name of a part, and for a split that is given twice.
    """
    column = columns.get("split")
    if column is not None and "split" in (options.time, options.id, options.target, *options.future, *options.series):
        column = None
    twice = [what for what, given in (("a column split", column), ("--valid or --test", files)) if given is not None]
    twice += ["--origins"] if options.origins is not None else []
    if len(twice) > 1:
        remedy = "Leave out the others, or rename the column."
        raise refused(file, "the split", "given once", " and ".join(twice), remedy)
    if files is not None:
        return np.array([PARTS.index(files[source]) for source in table.files.tolist()], np.int8)
    if column is None:
        return None
    names = [None if name is None or name.lower() in UNUSED_NAMES else name for name in column.labels()]
    unknown = {name for name in names if name is not None and name.lower() not in PART_NAMES}
    if unknown:
        expected = "train, valid or test (or 0, 1, 2), or empty where a row is in none"
        remedy = "Correct it, or rename the column if it is none."
        raise refused(file, "the column split", expected, listed(sorted(map(shown, unknown)), 4), remedy)
    return np.array([-1 if n is None else PARTS.index(PART_NAMES[n.lower()]) for n in names], np.int8)
