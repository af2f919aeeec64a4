"""The inputs of tasks that read a whole row: texts, tokens, series and features, as batches of the network.

Letters: N rows, B rows of a batch, T steps, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError, phrase
from ..data.examples import Examples, InputKind
from ..options import NetworkOptions
from .scaling import Scaling
from .task import Encoded
from .vocabulary import Vocabulary, WordVectors, check_unit, few_words, read_vectors, units_of

LEAST_OFTEN = 2
"""Occurrences in the training rows from which on a word has an entry of its own; others teach the unknown entry."""


@dataclass(frozen=True)
class TextInputs:
    """Texts or tokens as entries of a vocabulary."""

    kind: InputKind
    unit: str
    lowercase: bool
    vocabulary: Vocabulary
    width: int
    """Numbers of an embedding."""
    vectors: WordVectors | None = None
    """First values of embeddings; they are in the weights after a fit, so the folder does not keep them."""
    file: str = "vocabulary.json"
    """The name under which the model folder keeps this."""
    channels: Sequence[str] = ()
    """None: a text has no columns."""

    @classmethod
    def of(cls, train: Examples, options: NetworkOptions, least: int = LEAST_OFTEN) -> TextInputs:
        """From training rows; words that occur less than `least` times have no entry unless a file gives vectors."""
        unit = _usual_unit(train) if options.unit == "auto" else options.unit
        check_unit(unit, "--unit")
        rows = [_units(train.kind, row, unit, options.lowercase) for row in train.inputs]
        if (unit == "char" and train.kind == "text") or options.vectors is not None:
            least = 1
        vocabulary = Vocabulary.of(rows, options.vocabulary, least)
        if options.vectors is None:
            return cls(train.kind, unit, options.lowercase, vocabulary, options.embedding)
        vectors = read_vectors(options.vectors, vocabulary)
        return cls(train.kind, unit, options.lowercase, vocabulary, vectors.width, vectors)

    def encode(self, examples: Examples) -> Encoded:
        _same_kind(self.kind, examples)
        rows = [
            self.vocabulary.numbers(_units(self.kind, row, self.unit, self.lowercase)).astype(np.int32)
            for row in examples.inputs
        ]
        return Encoded(rows, np.array([len(row) for row in rows], np.int64))

    def tensors(self, rows: Sequence[np.ndarray]) -> Mapping[str, Tensor]:
        """words int64 [T, B]; entry 0 past a row's end, where no layer reads it."""
        return {"words": torch.from_numpy(padded(rows, np.int64))}

    def to_json(self) -> dict[str, Any]:
        own = {"kind": self.kind, "unit": self.unit, "lowercase": self.lowercase, "width": self.width}
        return {**own, **self.vocabulary.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TextInputs:
        vocabulary = Vocabulary.from_json(content)
        return cls(content["kind"], content["unit"], bool(content["lowercase"]), vocabulary, int(content["width"]))


@dataclass(frozen=True)
class SeriesInputs:
    """Series, or features as a series of one step, scaled by the training rows."""

    kind: InputKind
    scaling: Scaling
    channels: Sequence[str] = ()
    file: str = "scaling.json"
    unit: str = "step"

    @classmethod
    def of(cls, train: Examples) -> SeriesInputs:
        return cls(train.kind, Scaling.of(as_series(train)), list(train.channels))

    def encode(self, examples: Examples) -> Encoded:
        _same_kind(self.kind, examples)
        rows = [self.scaling.apply(row, f"row {k}") for k, row in enumerate(as_series(examples))]
        return Encoded(rows, np.array([len(row) for row in rows], np.int64))

    def tensors(self, rows: Sequence[np.ndarray]) -> Mapping[str, Tensor]:
        """x float32 [T, B, C + flags]; 0 past a row's end, where no layer reads it."""
        return {"x": torch.from_numpy(padded(rows, np.float32))}

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "channels": list(self.channels), **self.scaling.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> SeriesInputs:
        return cls(content["kind"], Scaling.from_json(content), [str(c) for c in content["channels"]])


def inputs_of(train: Examples, options: NetworkOptions) -> TextInputs | SeriesInputs:
    """The inputs that the training rows have."""
    if train.kind in ("text", "tokens"):
        return TextInputs.of(train, options)
    return SeriesInputs.of(train)


def inputs_from(files: Mapping[str, Mapping[str, Any]]) -> TextInputs | SeriesInputs:
    """What `to_json` of either kind wrote."""
    if "vocabulary.json" in files:
        return TextInputs.from_json(files["vocabulary.json"])
    return SeriesInputs.from_json(files["scaling.json"])


def as_series(examples: Examples) -> list[np.ndarray]:
    """[T, C] float64 of each row; features are one step."""
    if examples.kind == "features":
        return [np.asarray(row, np.float64)[None, :] for row in examples.inputs]
    return [np.asarray(row, np.float64) for row in examples.inputs]


def padded(rows: Sequence[np.ndarray], kind: Any) -> np.ndarray:
    """[T, B, …] of arrays [T_b, …]: time first, 0 past a row's end."""
    steps = max((len(row) for row in rows), default=0)
    whole = np.zeros((steps, len(rows), *rows[0].shape[1:]), kind)
    for b, row in enumerate(rows):
        whole[: len(row), b] = row
    return whole


def _usual_unit(train: Examples) -> str:
    """char for texts of which more than half have at most two words, such as names; word for all other rows."""
    if train.kind != "text" or not len(train.inputs):
        return "word"
    return "char" if few_words(train.inputs) else "word"


def _units(kind: InputKind, row: Any, unit: str, lowercase: bool) -> list[str]:
    if kind == "tokens":
        return [word.lower() for word in row] if lowercase else list(row)
    return units_of(row, unit, lowercase)


def _same_kind(kind: InputKind, examples: Examples) -> None:
    if examples.kind != kind:
        remedy = "Give rows as the training rows were."
        raise InputError(phrase("the rows", "their kind", kind, examples.kind, remedy))
