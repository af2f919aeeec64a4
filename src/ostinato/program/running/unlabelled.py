"""Rows to predict: from another file with the columns of the training, or one from a line of text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, phrase
from ..data.examples import Examples, InputKind
from ..data.findings import many
from ..data.text.files import each_text
from ..options import DataOptions


def for_another_file(options: DataOptions, path: Path) -> DataOptions:
    """The options of a training's data for another file of the same columns."""
    other = replace(options, paths=(path,), valid=None, test=None)
    # Every window of another file is read: shares of its time would leave those between two parts out.
    return replace(other, valid_share=0.0, test_share=0.0, origins=None) if options.task == "forecast" else other


def from_line(line: str, kind: InputKind, channels: int, where: str) -> Examples:
    """One row: the text itself; tokens between spaces; a JSON list, or numbers between commas, of a series.

    A series of C features is a JSON list of steps, each a list of C numbers; of one feature a list of numbers.
    """
    if kind == "text":
        return Examples("text", [line], "class", None)
    if kind == "passage":
        if not line:
            raise InputError(phrase(where, "a line", "a text", "an empty line"))
        return each_text([line])
    if kind == "tokens":
        return Examples("tokens", [line.split()], "tags", None)
    expected = f"{channels} numbers with commas between" if kind == "features" else "a JSON list of steps"
    try:
        values = np.array(json.loads(line if line.lstrip().startswith("[") else f"[{line}]"), np.float64)
    except (ValueError, TypeError):
        raise InputError(phrase(where, "a line", expected, repr(line[:60]))) from None
    if kind == "features":
        fitting: Any = values.reshape(-1)
        good = fitting.shape == (channels,)
    else:
        fitting = values.reshape(-1, channels) if values.size % channels == 0 else values
        good = fitting.ndim == 2 and fitting.shape[1] == channels
    if not good:
        received = f"{many(values.size, 'number')} of shape {list(values.shape)}"
        raise InputError(phrase(where, "a line", expected, received))
    return Examples(kind, [fitting], "class", None)
