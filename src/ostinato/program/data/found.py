"""A data set with its split and the findings about it: all that `ostinato check` needs, and no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..options import DataOptions
from .check import check
from .examples import DataSet, Source, Split
from .findings import Finding
from .read import read
from .split import split


@dataclass(frozen=True)
class Data:
    """A data set with its split and what is wrong with it."""

    dataset: DataSet
    split: Split
    findings: Sequence[Finding]

    @property
    def notes(self) -> list[str]:
        """What was inferred, dropped, found and removed, a sentence each."""
        return self.notes_for(private=False)

    def notes_for(self, private: bool) -> list[str]:
        """The same; for a private folder without values of rows, such as names of series and groups."""
        found = [f.without_values if private else f.sentence for f in self.findings]
        return [*self.dataset.notes, *self.split.notes, *found]


def read_data(options: DataOptions) -> Data:
    """The rows, the split and the findings."""
    dataset = read(options)
    parts = split(dataset, options)
    return Data(dataset, parts, check(dataset, parts))


def changed_source(sources: Sequence[Source], recorded: Sequence[Mapping[str, Any]]) -> Source | None:
    """The first file that is not the one of an earlier run; None where all are, or where no hash was recorded.

    recorded: as config.json lists them, in the order of the files of the command; two of them may have one name.
    """
    for source, known in zip(sources, recorded):
        if known.get("sha256") not in (None, source.sha256):
            return source
    return None
