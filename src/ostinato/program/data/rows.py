"""Rows: what every reader and the inference end in, before the files of a command become one data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..options import DataOptions
from .examples import InputKind, Origin, Source, TargetKind
from .findings import Finding
from .infer import Reading


@dataclass(frozen=True)
class Rows:
    """N rows whose inputs are ready; their targets may still be values of a kind that is to be inferred."""

    kind: InputKind
    inputs: list[Any]
    """[N], as in Examples."""
    targets: list[Any] | None
    """[N]: as in Examples where `declared`; else strings or numbers; None where the file has none."""
    declared: TargetKind | None
    """The kind of the targets where the format itself declares it."""
    what: str
    """What the file is, as the sentence of the inference says it."""
    origins: Sequence[Origin]
    sources: Sequence[Source]
    channels: Sequence[str] = ()
    target_name: str = "target"
    groups: list[str] | None = None
    parts: list[str] | None = None
    notes: Sequence[str] = field(default_factory=tuple)
    findings: Sequence[Finding] = field(default_factory=tuple)
    successive: bool = False
    """As in Examples: `parts` are successive parts, and a row without a target stays."""

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Read:
    """A table as rows, what was inferred, and the options with every column named."""

    rows: Rows
    reading: Reading
    options: DataOptions
