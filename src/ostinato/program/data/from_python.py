"""Examples from Python values: lists, arrays, and columns of pandas or polars, as the estimators take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .examples import Examples, InputKind, TargetKind
from .refusals import refused, shown

WHERE = "fit"


def examples_from(
    X: Any, y: Any = None, kind: InputKind | None = None, target_kind: TargetKind | None = None
) -> Examples:
    """The examples of N inputs and, where given, N targets.

    X is a list or a column of strings (text), a list of lists of strings (tokens), a list of arrays [T, C] or
    [T] of unequal lengths, or one array [N, T, C] (series), or an array or a DataFrame [N, C] of numbers
    (features). y is a list, an array or a column: strings, whole numbers or truth values (class), numbers with
    a fraction (number), lists of strings (tags of tokens, else labels). `kind` and `target_kind` decide instead.

    Raises InputError for values of another kind, with the row, and for X and y of different lengths.
    """
    values = rows_of(X)
    if not values:
        raise refused(WHERE, "X", "of at least one row", "none", "Pass a list of texts or of arrays [T, C].")
    found = kind or kind_of(X, values)
    inputs = [input_of(value, found, row) for row, value in enumerate(values)]
    channels = channel_names(X, inputs, found)
    if y is None:
        return Examples(found, inputs, target_kind or "class", None, channels)
    targets = rows_of(y)
    if len(targets) != len(inputs):
        raise refused(WHERE, "y", f"of {len(inputs)} rows, as X", f"{len(targets)} rows", "Pass one target a row.")
    of = target_kind or target_kind_of(targets, found)
    return Examples(found, inputs, of, [target_of(t, of, inputs[n], n) for n, t in enumerate(targets)], channels)


def rows_of(values: Any) -> list[Any]:
    """The rows of a list, an array, a Series or a DataFrame."""
    if isinstance(values, (str, bytes)):
        raise refused(WHERE, "X and y", "a list or an array of rows", shown(values), "Put one text in a list: [text].")
    if hasattr(values, "columns") and hasattr(values, "to_numpy"):
        return list(values.to_numpy())
    if hasattr(values, "to_list"):
        return list(values.to_list())
    try:
        return list(values)
    except TypeError:
        raise refused(WHERE, "X and y", "a list or an array of rows", shown(values), "Pass a list.") from None


def kind_of(X: Any, values: list[Any]) -> InputKind:
    """What the rows are, by the first that is not missing or empty."""
    arrays = (v for v in values if isinstance(v, np.ndarray))  # of rows that are all empty, an array has its kind
    filled = (v for v in values if v is not None and not (hasattr(v, "__len__") and len(v) == 0))
    first = next(filled, next(arrays, ""))
    if isinstance(first, str):
        return "text"
    if isinstance(first, (list, tuple)) and first and isinstance(first[0], str):
        return "tokens"
    whole = (hasattr(X, "columns") or isinstance(X, np.ndarray)) and getattr(
        X, "ndim", len(getattr(X, "shape", ()))
    ) == 2
    return "features" if whole and np.ndim(first) == 1 else "series"


def input_of(value: Any, kind: InputKind, row: int) -> Any:
    """One input in its form: a string, a list of strings, float64 [T, C] or float64 [C]."""
    if kind == "text":
        if value is None or (isinstance(value, float) and value != value):
            return ""
        if not isinstance(value, str):
            raise refused(WHERE, f"X[{row}]", "a string, as the rows before", shown(value), "Convert it: str(value).")
        return value
    if kind == "tokens":
        if isinstance(value, str) or not all(isinstance(token, str) for token in value):
            raise refused(WHERE, f"X[{row}]", "a list of strings", shown(value), "Divide texts: text.split().")
        return list(value)
    axes = (1,) if kind == "features" else (1, 2)
    expected = "numbers [C]" if kind == "features" else "numbers [T, C]"
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise refused(WHERE, f"X[{row}]", expected, shown(value), "Convert it to an array of float64.") from None
    if array.ndim not in axes:
        raise refused(WHERE, f"X[{row}]", expected, f"an array of shape {list(array.shape)}", "Reshape it.")
    if np.isinf(array).any():
        raise refused(WHERE, f"X[{row}]", "finite, or NaN where missing", "infinite numbers", "Replace them by NaN.")
    return array if kind == "features" or array.ndim == 2 else array[:, None]


def channel_names(X: Any, inputs: Sequence[Any], kind: InputKind) -> list[str]:
    """The names of the C channels; every row has C of them."""
    if kind in ("text", "tokens"):
        return ["text"]
    widths = [x.shape[-1] for x in inputs if len(x)] or [1]
    if len(set(widths)) > 1:
        other = next(n for n, x in enumerate(inputs) if len(x) and x.shape[-1] != widths[0])
        received = inputs[other].shape[-1]
        raise refused(WHERE, f"X[{other}]", f"of {widths[0]} channels, as the rows before", received, "Make C equal.")
    if hasattr(X, "columns") and kind == "features":
        return [str(name) for name in X.columns]
    return [f"channel_{c}" for c in range(1, widths[0] + 1)]


def target_kind_of(targets: list[Any], kind: InputKind) -> TargetKind:
    """What the targets are, by all of them."""
    if all(isinstance(t, (list, tuple, np.ndarray, set)) for t in targets):
        return "tags" if kind == "tokens" else "labels"
    fractions = (isinstance(t, (float, np.floating)) and not float(t).is_integer() for t in targets)
    return "number" if any(fractions) else "class"


def target_of(target: Any, kind: TargetKind, value: Any, row: int) -> Any:
    """One target in its form."""
    if kind == "number":
        try:
            number = float(target)
        except (TypeError, ValueError):
            number = float("nan")
        if not np.isfinite(number):
            raise refused(WHERE, f"y[{row}]", "a finite number", shown(target), "Leave such rows out.")
        return number
    if kind in ("tags", "labels"):
        if isinstance(target, str):
            raise refused(WHERE, f"y[{row}]", "a list of strings", shown(target), "Put one label in a list.")
        items = [str(item) for item in target]
        if kind == "tags" and len(items) != len(value):
            raise refused(WHERE, f"y[{row}]", f"{len(value)} tags, one for each token", len(items), "Correct the row.")
        return items if kind == "tags" else tuple(dict.fromkeys(items))
    if target is None or (isinstance(target, (float, np.floating)) and not np.isfinite(target)):
        expected = "a text" if kind in ("transcript", "translation") else "a class"
        raise refused(WHERE, f"y[{row}]", expected, shown(target), "Leave such rows out.")
    if isinstance(target, (float, np.floating)) and float(target).is_integer():
        return str(int(target))
    return str(target)
