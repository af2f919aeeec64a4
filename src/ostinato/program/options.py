"""What a user can set: about the data, the network and the fit. Every field is a flag of the command of that name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which files, which columns, which task, and how rows are split."""

    paths: Sequence[Path] = ()
    valid: Path | None = None
    test: Path | None = None
    valid_share: float = 0.1
    test_share: float = 0.1
    target: str | None = None
    text: str | None = None
    series: Sequence[str] = ()
    features: Sequence[str] = ()
    columns: Sequence[str] = ()
    """Names of the columns of a file without a header."""
    group: str | None = None
    encoding: str | None = None
    label_separator: str | None = None
    """Between the labels of one cell, where a row may have several."""
    task: str | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The network. None: the task's default."""

    cell: str = "gru"
    """A name of the catalogue, the canonical text of a cell, or FILE.py:NAME."""
    hidden: int = 128
    layers: int = 1
    both_directions: bool = True
    embedding: int = 64
    dropout: float = 0.3
    unit: str = "word"
    """word or char: what a text is divided into."""
    lowercase: bool = False
    vocabulary: int = 50_000
    """The most frequent words of the training rows that have an embedding; others share one."""
    vectors: Path | None = None
    """Word vectors as a text file: a word and its numbers on each line."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the layers by name: zoneout, layer_norm, …"""


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How long, how fast, from which seed."""

    minutes: float = 10.0
    updates: int | None = None
    """Exactly so many updates, whatever time they take; None: planned from `minutes`."""
    batch: int = 32
    learning_rate: float = 3e-3
    clip: float = 1.0
    patience: int = 8
    """Evaluations without a better metric after which training ends."""
    class_weights: str = "none"
    """none or balanced."""
    seed: int = 0
    device: str = "cpu"
    threads: int | None = None
