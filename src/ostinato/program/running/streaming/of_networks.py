"""Answers of the tasks whose networks run step by step: classes, numbers and tags.

Letters: T steps of a line, C channels, K outputs.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from ....errors import InputError, phrase
from ....streaming import stream
from ...data.examples import Examples
from ...tasks.stepping import Core
from ...tasks.stepwise import RowSteps
from ...tasks.task import Batch, Predictions
from ..model import Model
from ..predict import written
from .cells import CellLines
from .records import Answer, Line, Sequence, Way


class OfRows(Way):
    """The class, or the number, of a sequence so far: a line is a step of a series, or a part of a text."""

    def __init__(self, opened: Model) -> None:
        task: Any = opened.task
        inputs = task.inputs
        self.task, self.kind, self.inputs = task, inputs.kind, inputs
        self.first = stream(RowSteps(opened.network))  # type: ignore[arg-type]
        self.lines: CellLines | None = None
        if self.kind == "series":
            self.lines = CellLines(inputs.channels, len(inputs.scaling.mean))

    def is_heading(self, line: Line) -> bool:
        return self.lines is not None and self.lines.is_heading(line)

    def begin(self) -> Sequence:
        return Sequence(self.first.fork())

    def answer(self, sequence: Sequence, line: Line) -> Answer:
        assert sequence.stream is not None  # of `begin`
        x = self._read(sequence, line)
        outputs = sequence.stream.push(x)[-1:]
        sequence.own["begun"] = True
        one = self.task.decode(outputs, Batch({}, torch.ones(1, dtype=torch.int64), None, 1))
        return Answer(written(one), said(one, self.task.classes))

    def _read(self, sequence: Sequence, line: Line) -> Tensor:
        """x float32 [1, C], or the entries of units int64 [T]."""
        if self.lines is not None:
            return cast(Tensor, self.inputs.tensors(self._encoded(self.lines.numbers(line)))["x"][:, 0])
        # The lines of a sequence are one text with line breaks between, which are units where these are characters.
        row: Any = ("\n" if sequence.own.get("begun") else "") + line.text if self.kind == "text" else line.text.split()
        encoded = self._encoded(row)
        if not len(encoded[0]):
            remedy = "An empty line begins a new sequence."
            raise InputError(phrase(line.where, "a line", "a text with a word", repr(line.text), remedy))
        return cast(Tensor, self.inputs.tensors(encoded)["words"][:, 0])

    def _encoded(self, row: Any) -> Any:
        return self.inputs.encode(Examples(self.kind, [row], "class", None)).rows


class OfTags(Way):
    """The tag of every token of a line, after all tokens of the sequence before it."""

    def __init__(self, opened: Model) -> None:
        network: Any = opened.network
        self.task, self.network = opened.task, network
        self.first = stream(Core(network.layers, head=network.head))

    def begin(self) -> Sequence:
        return Sequence(self.first.fork())

    def answer(self, sequence: Sequence, line: Line) -> Answer:
        assert sequence.stream is not None  # of `begin`
        tokens = line.text.split()
        batch = self.task.batch(self.task.encode(Examples("tokens", [tokens], "tags", None)), [0])
        with torch.no_grad():
            vectors = self.network.vectors(batch.x)
        outputs = sequence.stream.push(vectors)
        one: Predictions = self.task.decode(outputs, batch)
        chances = [round(float(p.max()), 6) for p in one.probabilities[0]]
        return Answer(written(one), {"tokens": tokens, "tags": list(one.values[0]), "probabilities": chances})


def said(one: Predictions, classes: Any) -> dict[str, Any]:
    """The prediction of one row for --json, with the probability of each class."""
    value = one.values[0]
    if one.probabilities is None:
        return {"prediction": float(value)}
    chances = {name: round(float(p), 6) for name, p in zip(classes, one.probabilities[0])}
    return {"prediction": list(value) if isinstance(value, tuple) else value, "probabilities": chances}
