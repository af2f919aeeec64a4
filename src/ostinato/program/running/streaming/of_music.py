"""Answers of a model of music: the probability of each key in the frame after the one that a line has.

Letters: K keys.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....errors import InputError, phrase
from ....streaming import stream
from ...data.refusals import listed, shown
from ...tasks.stepping import Core
from ..model import Model
from .cells import CellLines
from .records import Answer, Line, Sequence, Way

DOWN = {"0": 0.0, "1": 1.0}
REMEDY = "Write 1 where a key is down and 0 where not, or a JSON list of the keys that are down."


class OfMusic(Way):
    """The probabilities of the next frame, of a model that decides each key apart.

    count  most probable keys that are listed; None: all, in the order of the training
    """

    def __init__(self, opened: Model, count: int | None) -> None:
        task: Any = opened.task
        network: Any = opened.network
        self.keys, self.count = [str(key) for key in task.keys], count
        self.places = {key: place for place, key in enumerate(self.keys)}
        self.first = stream(Core(network.layers, head=network.head.scores))
        self.first.push(torch.zeros(1, len(self.keys)))  # as in the training, a piece follows a frame of zeros
        self.lines = CellLines(self.keys, len(self.keys), REMEDY)

    def is_heading(self, line: Line) -> bool:
        return self.lines.is_heading(line)

    def begin(self) -> Sequence:
        return Sequence(self.first.fork())

    def answer(self, sequence: Sequence, line: Line) -> Answer:
        assert sequence.stream is not None  # of `begin`
        chances = torch.sigmoid(sequence.stream.push(self._frame(line)))[0].numpy()
        if self.count is None:
            text = "\t".join(f"{p:.4f}" for p in chances)
            return Answer(text, {"probabilities": {key: round(float(p), 6) for key, p in zip(self.keys, chances)}})
        order = np.argsort(-chances, kind="stable")[: self.count].tolist()
        text = " ".join(f"{self.keys[k]} {chances[k]:.4f}" for k in order)
        said = [{"key": self.keys[k], "probability": round(float(chances[k]), 6)} for k in order]
        return Answer(text, {"next": said})

    def _frame(self, line: Line) -> Tensor:
        """float32 [1, K]: of a cell for each key, or of a JSON list of the keys that are down."""
        if line.text.lstrip().startswith("["):
            frame = torch.zeros(1, len(self.keys))
            frame[0, self._listed(line)] = 1.0
            return frame
        cells = [cell.strip() for cell in self.lines.cells(line)]
        wrong = next((cell for cell in cells if cell not in DOWN), None)
        if wrong is not None:
            raise InputError(phrase(line.where, "a cell", "0 or 1", shown(wrong), REMEDY))
        return torch.tensor([[DOWN[cell] for cell in cells]])

    def _listed(self, line: Line) -> list[int]:
        """The places of the keys of a JSON list."""
        remedy = "An empty list is a frame without a key."
        try:
            found = json.loads(line.text)
        except (ValueError, RecursionError):
            raise InputError(phrase(line.where, "a line", "a JSON list", shown(line.text), remedy)) from None
        unknown = [key for key in found if str(key) not in self.places]
        if unknown:
            expected, received = f"of the model's keys: {listed(self.keys, 5)}", listed(map(shown, unknown), 5)
            raise InputError(phrase(line.where, "the keys of a line", expected, received, remedy))
        return [self.places[str(key)] for key in found]
