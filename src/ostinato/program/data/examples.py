"""Examples: the rows of a data set as a task reads them, whatever file they came from.

Letters: N rows, T steps, C features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..options import DataOptions
from .findings import Finding

InputKind = Literal["text", "tokens", "series", "features", "passage", "given", "window", "roll"]
"""text: a string. tokens: a list of strings. series: float64 [T, C]. features: float64 [C], one step. passage: a
`Passage` of a text. given: a tuple of strings, one for each column of `channels`. window: a `Window` of a series.
roll: uint8 [T, K], 1 where a key of `channels` sounds in a frame."""
TargetKind = Literal["class", "labels", "number", "tags", "text", "future", "transcript", "translation", "frames"]
"""class: a string. labels: a tuple of strings, any number of them. number: a float. tags: a string for each token.
text: a string that is generated; of a passage itself. future: float64 [H, K], the H steps after a window.
transcript: a string whose characters follow each other as what the steps of the input hold. translation: a string
whose units may follow each other in another order. A source may have rows with several translations.
frames: uint8 [T, K], each of which is predicted from those before it: the input itself."""
LABELLED: Sequence[TargetKind] = ("class", "labels", "tags")
"""Kinds of targets whose values are names out of a set."""
PARTS = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a row came from: the file, and the physical line at which it begins, counted from 1; 0 where none."""

    file: str
    line: int
    row: int = field(default=0, compare=False)
    """Which row of the file, counted from 1, where the format has no lines."""

    @property
    def place(self) -> str:
        """`line 12`, or `row 12` where the format has no lines."""
        return f"line {self.line}" if self.line else f"row {self.row}"


@dataclass(frozen=True)
class Examples:
    """N rows of one task."""

    kind: InputKind
    inputs: Sequence[Any]
    """[N]: what `kind` says of each row. A missing number of a series or of features is NaN."""
    target_kind: TargetKind
    targets: Sequence[Any] | None
    """[N]: what `target_kind` says of each row; None where rows come without targets."""
    channels: Sequence[str] = ()
    """The names of the C features, or of the one text column."""
    target_name: str = "target"
    origins: Sequence[Origin] = ()
    """[N]"""
    groups: Sequence[str] | None = None
    """[N]: rows of one group belong in one part of a split; None: every row is its own."""
    parts: Sequence[str] | None = None
    """[N]: train, valid or test, where the user gave the split; None: the program splits."""
    successive: bool = False
    """Whether `parts` are successive parts of a text or of time, which a reader has cut as the options say."""

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Sequence[int] | np.ndarray) -> Examples:
        """The examples of some rows, in this order."""
        chosen = [int(r) for r in rows]

        def pick(values: Sequence[Any] | None) -> Any:
            return values if values is None or not len(values) else [values[r] for r in chosen]

        return replace(
            self,
            inputs=[self.inputs[r] for r in chosen],
            targets=pick(self.targets),
            origins=pick(self.origins),
            groups=pick(self.groups),
            parts=pick(self.parts),
        )


@dataclass(frozen=True)
class Source:
    """A file that was read."""

    path: Path
    sha256: str
    rows: int
    lines: int
    """Physical lines; a quoted line break makes more of them than rows. 0 for a binary file."""
    encoding: str = ""


@dataclass(frozen=True)
class DataSet:
    """All rows of a command, what the program infers from them, and what it has to say about them."""

    examples: Examples
    task: str
    """classify, regress or tag."""
    because: str
    """One sentence: what was inferred, and from what."""
    sources: Sequence[Source] = ()
    notes: Sequence[str] = field(default_factory=tuple)
    """What was cut, dropped, unknown or imputed, counted: a sentence each."""
    findings: Sequence[Finding] = field(default_factory=tuple)
    """What is odd about the columns and files, as far as it can be seen before the split."""
    options: DataOptions = field(default_factory=DataOptions)
    """The options with the task and every column named, so that other files can be read in the same way."""


@dataclass(frozen=True)
class Split:
    """The rows of each part."""

    train: np.ndarray
    """int64: row numbers of the data set, in its order."""
    valid: np.ndarray
    test: np.ndarray
    given: bool
    """Whether the user gave the split, so that nothing is removed from it."""
    leaked: np.ndarray
    """Rows of valid and test whose input is also a training row's: int64."""
    notes: Sequence[str] = ()
