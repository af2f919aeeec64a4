"""What `predict --fill` answers: the most probable units of each gap of a text.

Letters: V entries of the vocabulary, G gaps.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import InputError, phrase
from ..tasks.task import Batch, Encoded
from ..tasks.texts.units import UNKNOWN

GAP = re.compile("_{3,}")
"""A gap of a text: three underscores or more."""
COUNT = 5
"""Units that are listed of a gap where the user gives no number."""


@dataclass(frozen=True)
class Filled:
    """A text with its gaps filled."""

    text: str
    gaps: Sequence[Sequence[tuple[str, float]]]
    """[G]: the most probable units with their probabilities, the first the most probable. The space before a word is
    left out where it stands before the gap."""
    unknown: int
    """Units beside the gaps that the vocabulary does not have."""

    @property
    def note(self) -> str:
        """What there is to say of unknown units; empty without any."""
        are = "unit of the text is" if self.unknown == 1 else "units of the text are"
        return f"{self.unknown} {are} not in the vocabulary and read as unknown." if self.unknown else ""


class Filler:
    """Fills the gaps of texts by a network of the task fill."""

    def __init__(self, task: Any, network: nn.Module, where: str) -> None:
        self.task, self.network, self.where = task, network, where

    def fill(self, text: str, count: int = COUNT) -> Filled:
        """The `count` most probable units of each gap; the other gaps are unknown units meanwhile.

        Where a space stands before a gap, the missing word begins with it, and where none does it does not: the
        probabilities are those among the units that fit in this way. Raises InputError for a text without a gap.
        """
        if count < 1:
            raise InputError(phrase(self.where, "count", "a whole number of 1 or more", count))
        parts = GAP.split(text)
        if len(parts) == 1:
            remedy = 'Write --fill "the ___ was cold", say.'
            received = repr(text if len(text) <= 60 else text[:60] + "…")
            raise InputError(phrase(self.where, "the text", "one with ___ where a unit is missing", received, remedy))
        entries, places, spaced, unknown = self._read(parts)
        encoded = Encoded([entries], np.array([len(entries)], np.int64))
        scores = self._scores(self.task.batch(encoded, [0]), places)
        return Filled(text, [self._best(s, space, count) for s, space in zip(scores, spaced)], unknown)

    def _read(self, parts: Sequence[str]) -> tuple[np.ndarray, list[int], list[bool], int]:
        """Entries of the text with unknown ones as its gaps, the places of these, whether a space stands before each,
        and how many other entries are unknown."""
        units = self.task.units
        runs, places, spaced, unknown = [], [], [], 0
        for k, part in enumerate(parts):
            gap = k < len(parts) - 1
            space = gap and units.unit != "char" and part.endswith(" ")
            found = units.encode(part[:-1] if space else part)
            runs.append(found)
            unknown += int((found == UNKNOWN).sum())
            if gap:
                places.append(sum(map(len, runs)))
                spaced.append(space)
                runs.append(np.array([UNKNOWN], np.int32))
        return np.concatenate(runs), places, spaced, unknown

    def _scores(self, batch: Batch, places: Sequence[int]) -> list[np.ndarray]:
        """[G] scores [V], float64."""
        training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad():
                joined = self.network(batch.x, batch.lengths)
                return [joined.at(place, 0).double().numpy() for place in places]
        finally:
            self.network.train(training)

    def _best(self, scores: np.ndarray, space: bool, count: int) -> list[tuple[str, float]]:
        """The most probable entries that fit; the unknown entry has its share and is not listed."""
        if self.task.units.unit != "char":
            fits = self._begin_with_space == space
            fits[UNKNOWN] = True
            scores = np.where(fits, scores, -np.inf)
        shares = np.exp(scores - scores.max())
        shares /= shares.sum()
        order = [k for k in np.argsort(-shares, kind="stable").tolist() if k != UNKNOWN and shares[k] > 0][:count]
        return [(self._texts[k][int(space) :], float(shares[k])) for k in order]

    @cached_property
    def _texts(self) -> list[str]:
        """[V] the text of each entry by itself."""
        units = self.task.units
        return [units.pieces([entry])[0] for entry in range(len(units))]

    @cached_property
    def _begin_with_space(self) -> np.ndarray:
        """bool [V]"""
        return np.array([text.startswith(" ") for text in self._texts])


def filler_of(task: Any, network: nn.Module, where: str) -> Filler:
    """The filler of a model. Raises InputError for a model of another task."""
    if task.name != "fill":
        remedy = "Train one with --task fill; `ostinato predict` without --fill is for the others."
        raise InputError(phrase(where, "MODEL", "of the task fill where --fill is given", task.name, remedy))
    return Filler(task, network, where)


def shown_unit(text: str) -> str:
    """A unit as it is printed: white space, and what cannot be seen, in quotation marks."""
    return text if text.isprintable() and text == text.strip() and text else repr(text)


def line_of(filled: Filled) -> str:
    """The answer to a line: units with their probabilities and tabs between, two tabs between gaps."""
    return "\t\t".join("\t".join(f"{shown_unit(u)} {p:.4f}" for u, p in gap) for gap in filled.gaps)
