"""Answers of a language model: how surprising each line is after all lines before it.

Letters: T units of a line, V entries of the vocabulary.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ....errors import InputError, phrase
from ....streaming import Stream, stream
from ...tasks.task import Batch
from ...tasks.texts.passage_units import FIRST
from ...tasks.texts.units import UNKNOWN, TextUnits
from ...terminal import without_controls
from ..fill import shown_unit
from ..model import Model
from .records import Answer, Line, Sequence, Way

STEPS = 1_024
"""Units of a line that are read at a time, for the memory of their scores [T, V]."""


class OfTexts(Way):
    """Bits per character, nats and units of a line with its line break; with `count`, the units after it.

    count  most probable next units that are listed; None: none
    """

    def __init__(self, opened: Model, count: int | None) -> None:
        task: Any = opened.task
        network: Any = opened.network
        self.task, self.units = task, cast(TextUnits, task.units)
        self.count = count
        self.first = stream(network.core())

    def is_break(self, line: Line) -> bool:
        return False

    def begin(self) -> Sequence:
        """A text begins as a line does, as in the training. The last unit is kept, and read with the next line."""
        made, first = self.first.fork(), torch.from_numpy(self.units.encode(FIRST).astype(np.int64))
        made.push(first[:-1])
        return Sequence(made, {"last": int(first[-1])})

    def answer(self, sequence: Sequence, line: Line) -> Answer:
        assert sequence.stream is not None  # of `begin`
        text = line.text + "\n" * line.ended
        units = torch.from_numpy(self.units.encode(text).astype(np.int64))
        if not len(units):  # the last line of an id, without a line break
            raise InputError(phrase(line.where, "a line", "a text", "an empty one at the end"))
        read = torch.cat([torch.tensor([sequence.own["last"]]), units[:-1]])
        parts = zip(read.split(STEPS), units.split(STEPS))
        nats = float(sum(np.sum(self._nats(sequence.stream, x, target)) for x, target in parts))
        sequence.own["last"] = int(units[-1])
        bits = nats / math.log(2) / len(text)
        numbers = {"bits_per_character": round(bits, 6), "nats": round(nats, 6), "units": len(units)}
        shown = [f"{bits:.6f}", f"{nats:.6f}", str(len(units))]
        if self.count is None:
            return Answer("\t".join([*shown, without_controls(line.text)]), {**numbers, "text": line.text})
        following = self._next(sequence)
        shown.append(" ".join(f"{shown_unit(unit)} {share:.4f}" for unit, share in following))
        listed = [{"unit": unit, "probability": round(share, 6)} for unit, share in following]
        return Answer("\t".join([*shown, without_controls(line.text)]), {**numbers, "text": line.text, "next": listed})

    def _nats(self, network: Stream, read: Tensor, target: Tensor) -> np.ndarray:
        """float64 [T] of units, after those that are read before each."""
        scores = network.push(read)
        batch = Batch({}, torch.tensor([len(read)]), target[:, None], len(read))
        nats: np.ndarray = self.task.decode(scores[:, None], batch).values[0]
        return nats

    def _next(self, sequence: Sequence) -> list[tuple[str, float]]:
        """The most probable units after the line, without the unknown one, which has its share."""
        assert sequence.stream is not None and self.count is not None  # of `begin`; of the caller
        scores = sequence.stream.fork().push(torch.tensor([sequence.own["last"]]))[0]
        return [(self.units.pieces([k])[0], share) for k, share in likeliest(scores, self.count)]


def likeliest(scores: Tensor, count: int) -> list[tuple[int, float]]:
    """(entry, probability) of the most probable units, of scores [V]; without the unknown one, which has its share."""
    shares = torch.softmax(scores.double(), -1).numpy()
    order = [k for k in np.argsort(-shares, kind="stable").tolist() if k != UNKNOWN][:count]
    return [(k, float(shares[k])) for k in order]
