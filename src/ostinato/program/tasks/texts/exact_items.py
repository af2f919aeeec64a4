"""How many items a network of given texts writes exactly, always with the most probable unit.

Letters: B rows, T steps, V entries of the vocabulary with the mark, G of a condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ...data.examples import Examples
from ..intervals import Tally, by_unit, ratio
from ..scored import metrics_of
from ..task import Metric
from .items import framed
from .units import UNKNOWN

NAME = "exact_match"
ROWS = 256
"""Rows that are written side by side."""


def exact_match(task: Any, network: nn.Module, examples: Examples) -> Metric | None:
    """The share of rows whose text is what the network writes at temperature 0, given their condition.

    None without a condition: then every row would be given the same text.
    """
    if not task.conditions.columns or examples.targets is None or not len(examples):
        return None
    rows = [framed(str(text), task.units)[1:] for text in examples.targets]
    given = task.conditions.encode(examples)
    hits = np.zeros((len(rows), 2))
    hits[:, 1] = 1
    for start in range(0, len(rows), ROWS):
        some = rows[start : start + ROWS]
        written = _greedy(task, network, given[start : start + ROWS], max(map(len, some)))
        for place, (row, own) in enumerate(zip(some, written, strict=True), start):
            hits[place, 0] = np.array_equal(own[: len(row)], row)
    groups = examples.groups or [str(text) for text in examples.targets]
    return metrics_of(Tally(by_unit(hits, groups), {NAME: (ratio(0, 1), True)}), NAME, 0)[0]


def _greedy(task: Any, network: Any, given: Sequence[np.ndarray], steps: int) -> np.ndarray:
    """int64 [B, T]: the most probable units, of equal ones the first; what follows an end is of no text."""
    device = next(network.parameters()).device
    conditions = {name: x.to(device) for name, x in task.conditions.tensors(given).items()}
    units, found = torch.full((len(given),), task.mark, device=device), []
    with torch.no_grad():
        reader = network.reader(len(given)).fork(network.condition(conditions))
        for step in range(steps):
            scores = reader.step(units)
            scores[:, UNKNOWN] = -torch.inf
            if not step:  # an item has a unit at least
                scores[:, task.mark] = -torch.inf
            units = scores.argmax(1)
            found.append(units.cpu())
    return torch.stack(found, 1).numpy()
