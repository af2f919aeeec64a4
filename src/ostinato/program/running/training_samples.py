"""Short texts that a network writes while it is trained: shown at the evaluations, and kept in samples.jsonl."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ...errors import StorageError
from ..data.examples import Examples
from ..data.refusals import shown
from ..storage import write_bytes
from ..tasks.task import Task
from .writing import Request, Sample, Writer, named_values

FILE = "samples.jsonl"
LENGTH, WIDTH = 60, 90
"""Units of a text, and characters of the line that shows it."""
MOST_NUMBERS = 4
"""Of a condition that is numbers, in this line."""
WHERE = "train"


class TrainingSamples:
    """Writes one text at an evaluation; the number of the update decides its draws, and no other generator is used.

    folder  where samples.jsonl is kept; None: nowhere, for a private model
    given   conditions of numbers, column → value, from which texts are written in turn; none where the values of a
            training row are drawn
    """

    def __init__(
        self, task: Task, network: nn.Module, folder: Path | None, given: Sequence[Mapping[str, str]] = ()
    ) -> None:
        self.task, self.network = task, network
        self.given = given
        self.path = None if folder is None else folder / FILE
        self.lines: list[dict[str, Any]] = []

    def resumed(self, update: int) -> None:
        """Takes over what an earlier run has written up to an update; what came after it is written again."""
        if self.path is not None and self.path.is_file():
            known = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
            self.lines = [line for line in known if line["update"] <= update]

    def write(self, update: int) -> tuple[str, str]:
        """(a line that shows the text after an update, what went wrong with the file or nothing)"""
        training = self.network.training
        self.network.eval()
        try:
            given = self.given[len(self.lines) % len(self.given)] if self.given else {}
            writer = Writer(self.task, self.network, WHERE)
            sample = writer.write(Request(given=given, length=LENGTH), update)
        finally:
            self.network.train(training)
        self.lines.append({"update": update, "given": dict(sample.given), "text": sample.text})
        return _line(sample), self._keep()

    def _keep(self) -> str:
        if self.path is None:
            return ""
        content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.lines)
        try:
            write_bytes(self.path, content.encode("utf-8", "backslashreplace"), WHERE)
        except StorageError as error:
            self.path = None
            return f"Samples are not kept any more: {error}"
        return ""


def _line(sample: Sample) -> str:
    values = list(sample.given.items())
    if values and isinstance(values[0][1], float):
        parts = [f"{value:.3g}" for _, value in values[:MOST_NUMBERS]] + ["…"] * (len(values) > MOST_NUMBERS)
    else:
        parts = [f"{name}: {value}" for name, value in values]
    given = f" ({', '.join(parts)})" if parts else ""
    return f"written{given}: {shown(sample.text, WIDTH)}"


def samples_of(task: Task, network: nn.Module, folder: Path | None, valid: Examples) -> TrainingSamples | None:
    """The samples of a task whose networks write texts; None of another task.

    valid  rows of which those that lack no number are the conditions, where these are numbers; None of no such row
    """
    if not task.writes:
        return None
    if valid.kind != "features":
        return TrainingSamples(task, network, folder)
    whole = [row for row in valid.inputs if all(map(math.isfinite, row))]
    given = [named_values(valid.channels, row) for row in whole]
    return TrainingSamples(task, network, folder, given) if given else None
