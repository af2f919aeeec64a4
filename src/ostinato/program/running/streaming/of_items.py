"""Answers of a model of items without a condition: how surprising each line is, as an item of its own.

Letters: T units of an item and its end, V entries of the vocabulary with the mark.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ....streaming import stream
from ...tasks.task import Batch
from ...tasks.texts.items import framed
from ...terminal import without_controls
from ..fill import shown_unit
from ..model import Model
from .of_texts import likeliest
from .records import Answer, Line, Sequence, Way

END = "(end)"
"""How the end of an item is printed among units; for --json it is null."""


class OfItems(Way):
    """Bits per character, nats and units of a line and of its end; with `count`, the units after it.

    Nothing is carried from line to line.

    count  most probable next units that are listed, the end among them; None: none
    """

    def __init__(self, opened: Model, count: int | None) -> None:
        task: Any = opened.task
        network: Any = opened.network
        self.task, self.count = task, count
        self.first = stream(network.core())

    def is_break(self, line: Line) -> bool:
        return False

    def begin(self) -> Sequence:
        return Sequence()

    def answer(self, sequence: Sequence, line: Line) -> Answer:
        units, mark = self.task.units, self.task.mark
        row = torch.from_numpy(framed(line.text, units).astype(np.int64))
        read, target = row[:-1], row[1:]
        network = self.first.fork()
        scores = network.push(read)
        found = self.task.decode(scores[:, None], Batch({}, torch.tensor([len(read)]), target[:, None], len(read)))
        nats, ended = float(np.sum(found.values[0])), int(row[-1]) == mark
        text = units.decode(entry for entry in target.tolist() if entry != mark)
        bits = nats / math.log(2) / (len(text) + ended)
        shown = [f"{bits:.6f}", f"{nats:.6f}", str(len(target))]
        content = {"bits_per_character": round(bits, 6), "nats": round(nats, 6), "units": len(target)}
        content["text"] = line.text
        if self.count is not None:
            after = scores[-1] if ended else network.push(row[-1:])[0]
            following = [
                (None if k == mark else units.pieces([k])[0], share) for k, share in likeliest(after, self.count)
            ]
            shown.append(" ".join(f"{END if u is None else shown_unit(u)} {share:.4f}" for u, share in following))
            content["next"] = [{"unit": u, "probability": round(share, 6)} for u, share in following]
        return Answer("\t".join([*shown, without_controls(line.text)]), content)
