"""What a text is generated from: the values of columns, numbers, or nothing; as the network reads it.

Letters: N rows, B rows of a batch, K columns, C numbers, F flags of missing numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....errors import InputError, did_you_mean, phrase
from ...data.examples import Examples, InputKind
from ...data.refusals import listed, shown
from ..scaling import Scaling

MOST_KEPT = 1000
"""Combinations of values whose counts are kept, the most frequent ones: from them a condition that the user leaves out
is drawn."""
UNSEEN = 0
"""The entry of a value that the training rows lack; its embedding is 0."""


@dataclass(frozen=True)
class Conditions:
    """The conditions of the training rows."""

    kind: InputKind
    """given: K values of a row; features: C numbers."""
    columns: Sequence[str]
    """Names of the K columns, or of the C numbers."""
    values: Sequence[Sequence[str]] = ()
    """[K]: the values of each column, sorted; entry k + 1 is the k-th of these."""
    counts: Sequence[tuple[tuple[str, ...], int]] = ()
    """(K values, training rows that have them), the most frequent first."""
    scaling: Scaling | None = None
    """Of numbers."""

    @classmethod
    def of(cls, train: Examples) -> Conditions:
        """From training rows. Raises InputError for rows of another kind."""
        if train.kind not in ("given", "features"):
            remedy = "Name the columns by --given, or columns of numbers by --features."
            raise InputError(phrase("generate", "the rows", "given values or features", train.kind, remedy))
        if train.kind == "features":
            scaling = Scaling.of(np.asarray(row, np.float64)[None, :] for row in train.inputs)
            return cls("features", list(train.channels), scaling=scaling)
        counted = Counter(tuple(row) for row in train.inputs)
        values = [sorted({row[k] for row in counted}) for k in range(len(train.channels))]
        order = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
        return cls("given", list(train.channels), values, order[:MOST_KEPT])

    def encode(self, examples: Examples) -> list[np.ndarray]:
        """[N]: int64 [K] entries, or float32 [C + F] scaled numbers."""
        if examples.kind != self.kind:
            remedy = "Give rows as the training rows were."
            raise InputError(phrase("the rows", "their kind", self.kind, examples.kind, remedy))
        if self.scaling is not None:
            rows = [np.asarray(row, np.float64)[None, :] for row in examples.inputs]
            return [self.scaling.apply(row, f"row {k}")[0] for k, row in enumerate(rows)]
        return [self.entries(row) for row in examples.inputs]

    def entries(self, row: Sequence[str]) -> np.ndarray:
        """int64 [K]: 0 for a value that the training rows lack."""
        return np.array([self._places[k].get(value, UNSEEN) for k, value in enumerate(row)], np.int64)

    def tensors(self, rows: Sequence[np.ndarray]) -> Mapping[str, Tensor]:
        """columns int64 [B, K], or numbers float32 [B, C + F]; nothing where there is no condition."""
        if not self.columns:
            return {}
        return {"numbers" if self.scaling is not None else "columns": torch.from_numpy(np.stack(rows))}

    def chosen(self, given: Mapping[str, str], where: str) -> dict[str, Any]:
        """The user's values by column, checked. A number is a float.

        Raises InputError for an unknown column or value, with the known ones; for numbers, where one is missing.
        """
        for name in given:
            if name not in self.columns:
                remedy = did_you_mean(name, self.columns).strip()
                expected = f"a column of the training, {listed(self.columns)}" if self.columns else "left out"
                if not self.columns:
                    remedy = "The model was trained without --given."
                raise InputError(phrase(where, "--given", expected, shown(name), remedy))
        if self.scaling is not None:
            missing = [name for name in self.columns if name not in given]
            if missing:
                remedy = f"Write --given {missing[0]}=1.5, say."
                raise InputError(phrase(where, "--given", "a number for each column", f"none for {missing[0]}", remedy))
            return {name: _number(name, given[name], where) for name in self.columns}
        for name, value in given.items():
            known = self.values[list(self.columns).index(name)]
            if value not in known:
                expected = f"a value of the training rows, {listed(known, 30)}"
                remedy = did_you_mean(value, known).strip()
                raise InputError(phrase(where, f"--given {name}", expected, shown(value), remedy))
        return dict(given)

    def completed(self, given: Mapping[str, Any], position: float) -> tuple[Any, ...]:
        """The values of all columns: those given, and the others as a training row has them that has the given ones.

        position: from 0 up to 1; which of those rows, in the order of the frequency of their values.
        """
        if self.scaling is not None or len(given) == len(self.columns):
            return tuple(given[name] for name in self.columns)
        places = {k: given[name] for k, name in enumerate(self.columns) if name in given}
        fitting = [(row, n) for row, n in self.counts if all(row[k] == value for k, value in places.items())]
        if not fitting:  # values that no training row has together: the others are of any row
            fitting = list(self.counts)
        left = position * sum(n for _, n in fitting)
        upto = np.cumsum([n for _, n in fitting])
        found = fitting[min(int((upto <= left).sum()), len(fitting) - 1)]
        return tuple(places.get(k, value) for k, value in enumerate(found[0]))

    def row(self, values: Sequence[Any]) -> Examples:
        """One row without a target, of K values or C numbers."""
        value: Any = np.array(values, np.float64) if self.scaling is not None else tuple(values)
        return Examples(self.kind, [value], "text", None, tuple(self.columns))

    def to_json(self) -> dict[str, Any]:
        own = {"kind": self.kind, "columns": list(self.columns), "values": [list(v) for v in self.values]}
        scaling = None if self.scaling is None else self.scaling.to_json()
        return {**own, "counts": [[list(row), n] for row, n in self.counts], "scaling": scaling}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Conditions:
        kind: InputKind = "features" if content["kind"] == "features" else "given"
        values = [[str(v) for v in column] for column in content["values"]]
        counts = [(tuple(str(v) for v in row), int(n)) for row, n in content["counts"]]
        scaling = None if content["scaling"] is None else Scaling.from_json(content["scaling"])
        return cls(kind, [str(name) for name in content["columns"]], values, counts, scaling)

    @cached_property
    def _places(self) -> list[Mapping[str, int]]:
        return [{value: k for k, value in enumerate(column, 1)} for column in self.values]


def _number(name: str, text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not np.isfinite(number):
        raise InputError(phrase(where, f"--given {name}", "a number", shown(text), f"Write --given {name}=1.5, say."))
    return number
