"""Answers of a transcript: the labels that each step of a series, or each symbol, adds to it.

Letters: T steps of a line, C channels with flags, F frames, V labels without the blank.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ....streaming import Stream, stream
from ...data.examples import Examples
from ...tasks.stepping import Core
from ...tasks.transcribing.frames import stacked
from ...tasks.transcribing.units import BLANK
from ...terminal import without_controls
from ..model import Model
from .cells import CellLines
from .records import Answer, Line, Sequence, Way


class OfTranscripts(Way):
    """The transcript of a sequence so far, by the most probable path: a line is a step of a series, or symbols.

    A label is added at the first of the frames that name it in a row, as `best_paths` does it. Where several steps are
    read as one frame, labels are added with the last step of a frame.
    """

    def __init__(self, opened: Model) -> None:
        task: Any = opened.task
        network: Any = opened.network
        self.inputs, self.units, self.steps = task.inputs, task.units, task.steps
        self.first = stream(Core(network.layers, network.embedding, network.head))
        self.lines: CellLines | None = None
        if self.inputs.kind == "series":
            self.lines = CellLines(self.inputs.channels, len(self.inputs.scaling.mean))

    def is_break(self, line: Line) -> bool:
        """White space may be a symbol of a text."""
        return not (line.text if self.inputs.kind == "text" else line.text.strip())

    def is_heading(self, line: Line) -> bool:
        return self.lines is not None and self.lines.is_heading(line)

    def begin(self) -> Sequence:
        """`rest` are the scaled steps of a frame that is not whole yet, `last` is the label of the last frame."""
        return Sequence(self.first.fork(), {"labels": [], "last": BLANK, "rest": []})

    def answer(self, sequence: Sequence, line: Line) -> Answer:
        assert sequence.stream is not None  # of `begin`
        x, own = self._read(line), sequence.own
        if self.lines is None:
            path = _path(sequence.stream, torch.from_numpy(x.astype(np.int64)))
        else:
            rest = np.concatenate([np.array(own["rest"], np.float32).reshape(-1, x.shape[1]), x])
            whole = len(rest) == self.steps
            path = _path(sequence.stream, self._frame(rest)) if whole else []
            own["rest"] = [] if whole else rest.tolist()
        added, own["last"] = _added(path, own["last"])
        own["labels"] += added
        text = without_controls(self.units.decode(added)).replace("\n", "\\n")
        return Answer(text, {"added": self.units.decode(added), "transcript": self._transcript(sequence)})

    def _transcript(self, sequence: Sequence) -> str:
        """What `predict` gives for everything so far, which fills a frame that is not whole with zeros."""
        assert sequence.stream is not None  # of `begin`
        own = sequence.own
        path = []
        if own["rest"]:
            path = _path(sequence.stream.fork(), self._frame(np.array(own["rest"], np.float32)))
        text: str = self.units.decode([*own["labels"], *_added(path, own["last"])[0]])
        return text

    def _frame(self, steps: np.ndarray) -> Tensor:
        """float32 [1, steps·C] of at most so many scaled steps."""
        return torch.from_numpy(stacked(steps, self.steps))

    def _read(self, line: Line) -> np.ndarray:
        """float32 [1, C] of a step, or the entries of symbols, int [T]."""
        if self.lines is not None:
            row: Any = self.lines.numbers(line)
        else:
            row = line.text if self.inputs.kind == "text" else line.text.split()
        encoded = self.inputs.encode(Examples(self.inputs.kind, [row], "transcript", None))
        return cast(np.ndarray, encoded.rows[0])


def _path(network: Stream, x: Tensor) -> list[int]:
    """[F]: the label, or the blank, that each more frame has by its largest score."""
    path: list[int] = torch.log_softmax(network.push(x).double(), -1).numpy().argmax(-1).tolist()
    return path


def _added(path: list[int], last: int) -> tuple[list[int], int]:
    """(the labels that a path adds after a frame with the label `last`, the label of its last frame)."""
    before = [last, *path]
    return [label for label, earlier in zip(path, before) if label not in (BLANK, earlier)], before[-1]
