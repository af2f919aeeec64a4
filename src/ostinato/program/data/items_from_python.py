"""Texts of a program as examples: items with what each is given, or the passages of documents.

Letters: N texts, K values of a condition, C numbers of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import InputError, phrase
from .examples import Examples
from .from_python import rows_of
from .text.files import whole_text

WHERE = "LanguageModel"


def documents_from(X: Any, given: Any, where: str = WHERE) -> list[str]:
    """The texts of a language model. Raises InputError for a condition, and for what is no text."""
    if given is not None:
        remedy = "A condition is of items: pass a list of them, and leave items=False out."
        raise InputError(phrase(where, "given", "None for a text", type(given).__name__, remedy))
    return [X] if isinstance(X, str) else _texts(X, where)


def passages_from(texts: Sequence[str]) -> Examples:
    """All passages of texts, with themselves as targets."""
    inputs = [passage for text in texts for passage in whole_text(text).inputs]
    return Examples("passage", inputs, "text", inputs)


def _texts(X: Any, where: str = WHERE) -> list[str]:
    texts = rows_of(X)
    wrong = next((k for k, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None or not texts:
        received = "none" if not texts else f"{type(texts[wrong or 0]).__name__} at place {wrong}"
        raise InputError(phrase(where, "X", "a list of texts", received, "Pass [text, text, …]."))
    return texts


def items_from(X: Any, given: Any) -> Examples:
    """N items with what each is given: strings, tuples of K strings, or numbers [N, C].

    Raises InputError for other values, with their place.
    """
    texts = _texts(X)
    values: Any = [()] * len(texts) if given is None else rows_of(given)
    if len(values) != len(texts):
        remedy = "Pass one value, or one row of values, for each text."
        raise InputError(phrase(WHERE, "given", f"of {len(texts)} rows, as X", f"{len(values)} rows", remedy))
    names = [str(name) for name in given.columns] if hasattr(given, "columns") else None
    if given is not None and not _is_text(values[0]):
        return _of_numbers(texts, values, names)
    rows = [(value,) if isinstance(value, str) else tuple(map(str, value)) for value in values]
    width = len(rows[0])
    names = names or (["given"] if width == 1 else [f"given_{k}" for k in range(1, width + 1)])
    uneven = next((k for k, row in enumerate(rows) if len(row) != width), None)
    if uneven is not None:
        remedy = "Pass as many values for each text."
        received = f"{len(rows[uneven])} at place {uneven}"
        raise InputError(phrase(WHERE, "given", f"rows of {width} values", received, remedy))
    return Examples("given", rows, "text", texts, tuple(names) if width else (), "text")


def _of_numbers(texts: list[str], values: Any, names: list[str] | None) -> Examples:
    try:
        rows = list(np.asarray(values, np.float64).reshape(len(texts), -1))
    except (TypeError, ValueError) as error:
        remedy = "Pass strings, tuples of strings, or an array [N, C]."
        raise InputError(phrase(WHERE, "given", "strings, or numbers [N, C]", str(error), remedy)) from None
    channels = names or [f"channel_{c}" for c in range(1, rows[0].shape[0] + 1)]
    return Examples("features", rows, "text", texts, tuple(channels), "text")


def _is_text(value: Any) -> bool:
    """Whether a condition is a string or has one; numbers are none."""
    listed = isinstance(value, list | tuple | np.ndarray)
    return isinstance(value, str) or (listed and any(isinstance(v, str) for v in value))
