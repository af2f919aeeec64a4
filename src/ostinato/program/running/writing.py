"""Texts that a trained network writes, unit by unit: the prompt is read, then each unit is drawn and read in its turn.

Letters: B rows (1 here), V entries of the vocabulary, G of a condition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputError, phrase
from ..tasks.texts.generate import Generate
from ..tasks.texts.prompts import entries_of_prompt
from ..tasks.texts.sampling import Sampling, drawn, is_count, probabilities
from ..tasks.texts.units import UNKNOWN, UNKNOWN_TEXT, TextUnits
from ..training.seeds import derived


@dataclass(frozen=True)
class Request:
    """What is to be written. Raises InputError where nothing can be."""

    prompt: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    """Column → value; columns that are left out have the values of a training row, drawn by their frequency."""
    length: int = 300
    """Units of a text at most, without those of the prompt."""
    stop: str | None = None
    """A text that ends the writing; it is not part of what is written."""
    how: Sampling = field(default_factory=Sampling)
    seed: int = 0

    def checked(self, where: str) -> Request:
        """The same. Raises InputError for values by which nothing can be written."""
        self.how.checked(where)
        if not is_count(self.length):
            raise InputError(phrase(where, "--length", "a whole number of 1 or more", repr(self.length)))
        prompt: Any = self.prompt
        if not isinstance(prompt, str):
            remedy = "Leave it out to begin without one."
            raise InputError(phrase(where, "--prompt", "a text", repr(prompt), remedy))
        if self.stop is not None and (not isinstance(self.stop, str) or not self.stop):
            remedy = "Leave it out to write until --length."
            received = "an empty one" if self.stop == "" else repr(self.stop)
            raise InputError(phrase(where, "--stop", "a text of one character or more", received, remedy))
        return self


@dataclass
class Sample:
    """A text while it is written."""

    given: Mapping[str, Any]
    """The condition, drawn values included."""
    text: str = ""
    """What is written so far, without the prompt."""
    ended: bool = False
    """Whether the network, or the text to stop at, has ended it; False where the length has."""


class Writer:
    """A trained network of text: a language model, or a model of items, with the weights that it has now."""

    def __init__(self, task: Any, network: nn.Module, where: str) -> None:
        self.task, self.network, self.where = task, network, where
        self.units: TextUnits = task.units
        self.items = isinstance(task, Generate)
        """Whether texts have a beginning and an end of their own."""
        made: Any = network
        self._beginning = made.reader(1)

    def begin(self, request: Request, number: int) -> tuple[Sample, Iterator[str]]:
        """The sample with this number, which is written as the iterator is read: the pieces are its text.

        The same seed and number give the same text, whatever the other samples are. Raises InputError for a prompt
        with unknown units, and for an unknown column or value.
        """
        request.checked(self.where)
        prompt = entries_of_prompt(request.prompt, self.units, self.where)
        generator = torch.Generator().manual_seed(derived(request.seed, "sample", number))
        condition, values = self._condition(request.given, generator)
        sample = Sample(values)
        entries = self._entries(prompt, condition, request, generator, sample)
        return sample, _until(_texts(entries, self.units), request.stop, sample)

    def write(self, request: Request, number: int) -> Sample:
        """The whole sample with this number."""
        sample, pieces = self.begin(request, number)
        for _ in pieces:
            pass
        return sample

    def _condition(self, given: Mapping[str, str], generator: torch.Generator) -> tuple[Any, Mapping[str, Any]]:
        """([1, G] or None, the values by column)"""
        if not self.items:
            if given:
                remedy = "Train with --given to have such columns."
                raise InputError(
                    phrase(self.where, "--given", "left out for a language model", ", ".join(given), remedy)
                )
            return None, {}
        conditions: Any = self.task.conditions
        chosen = conditions.chosen(given, self.where)
        values = conditions.completed(chosen, float(torch.rand(1, generator=generator, dtype=torch.float64)))
        network: Any = self.network
        with torch.no_grad():
            condition = network.condition(conditions.tensors(conditions.encode(conditions.row(values))))
        return condition, dict(zip(conditions.columns, values))

    def _entries(
        self, prompt: np.ndarray, condition: Any, request: Request, generator: torch.Generator, sample: Sample
    ) -> Iterator[int]:
        """Reads the prompt, then draws entries."""
        end = self.task.mark if self.items else None
        read = [*([] if end is None else [end]), *(int(entry) for entry in prompt)] or [self._before_all()]
        reader = self._beginning.fork(condition)
        scores: Any = None
        for unit in read:
            scores = _scores(reader, unit)
        for place in range(request.length):
            barred = [UNKNOWN] + ([end] if end is not None and not place and not len(prompt) else [])
            entry = int(drawn(probabilities(scores, request.how, barred), generator)[0])
            if entry == end:
                sample.ended = True
                return
            yield entry
            scores = _scores(reader, entry)

    def _before_all(self) -> int:
        """What a language model reads before a text without a prompt: a line break, else the most frequent unit."""
        found = self.units.encode("\n")
        return int(found[0]) if len(found) == 1 and found[0] != UNKNOWN else 1


def _scores(reader: Any, entry: int) -> np.ndarray:
    """float32 [1, V] after one more unit."""
    scores: Tensor = reader.step(torch.tensor([entry]))
    return scores.cpu().numpy()


def named_values(columns: Any, values: Any) -> dict[str, str]:
    """{column: value} as text."""
    return {name: v if isinstance(v, str) else repr(float(v)) for name, v in zip(columns, values)}


def _texts(entries: Iterator[int], units: TextUnits) -> Iterator[str]:
    """The text of each entry, of sub-word units as soon as its last character is whole."""
    held: list[int] = []
    for entry in entries:
        held.append(entry)
        text = units.decode(held)
        if not (units.tokenizer and text.endswith(UNKNOWN_TEXT)):
            yield text
            held = []
    if held:
        yield units.decode(held)


def _until(pieces: Iterator[str], stop: str | None, sample: Sample) -> Iterator[str]:
    """The pieces up to the first `stop`, also where it is divided between them; they are added to the sample."""
    held = ""
    for piece in pieces:
        held += piece
        if stop is not None and stop in held:
            held, sample.ended = held[: held.index(stop)], True
            break
        whole = len(held) if stop is None else max(0, len(held) - len(stop) + 1)
        if whole:
            sample.text += held[:whole]
            yield held[:whole]
            held = held[whole:]
    if held:
        sample.text += held
        yield held
