"""Predictions of a network for many rows, in batches by length, in the order of the rows.

Letters: N rows, T steps, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ..tasks.task import Batch, Encoded, Predictions, Task
from .batches import by_length
from .world import World, share

ROWS = 64
"""Rows of a batch without gradients."""


def to_device(batch: Batch, device: str) -> Batch:
    """The batch with its inputs and target on a device; lengths stay on the CPU."""
    if device == "cpu":
        return batch
    target = None if batch.target is None else batch.target.to(device)
    resets = None if batch.resets is None else batch.resets.to(device)
    return replace(batch, x={name: x.to(device) for name, x in batch.x.items()}, target=target, resets=resets)


def predict(task: Task, network: nn.Module, encoded: Encoded, device: str = "cpu") -> tuple[Predictions, float]:
    """What the network says about N rows, and its mean loss over their units, NaN for rows without targets.

    The network is in evaluation meanwhile, and afterwards as it was.
    """
    return _joined(_answers(task, network, encoded, device, slice(None), False), len(encoded.rows))


def predict_shared(
    task: Task, network: nn.Module, encoded: Encoded, device: str, world: World, quick: bool = True
) -> tuple[Predictions, float] | None:
    """What `predict` gives, on rank 0, with the same bits; None on other ranks. Each reads its share of the batches.

    quick  whether a search may be short, as in the evaluations of a fit
    """
    gathered = world.gather(_answers(task, network, encoded, device, share(world), quick))
    if gathered is None:
        return None
    count = max(len(answers) for answers in gathered)
    in_order = [answers[k] for k in range(count) for answers in gathered if k < len(answers)]
    return _joined(in_order, len(encoded.rows))


def _answers(task: Task, network: nn.Module, encoded: Encoded, device: str, own: slice, quick: bool) -> list[Any]:
    """Of every batch of a share: its rows, what the network says, the loss times its units, and the units."""
    found, training = [], network.training
    network.eval()
    try:
        with torch.no_grad():
            most = task.rows_at_once or ROWS
            for rows in list(by_length(encoded.lengths, np.arange(len(encoded.rows)), most))[own]:
                batch = to_device(task.batch(encoded, [int(r) for r in rows]), device)
                outputs = network(batch.x, batch.lengths)
                loss, weight = 0.0, 0
                if batch.target is not None:
                    loss, weight = float(task.loss(outputs, batch)) * batch.weight, batch.weight
                said = task.answer(network, outputs, batch, quick)
                answer = [said.values, said.probabilities, said.quantiles, said.ranks, said.alignments]
                found.append(([int(r) for r in rows], answer, loss, weight))
    finally:
        network.train(training)
    return found


def _joined(answers: Sequence[Any], count: int) -> tuple[Predictions, float]:
    """The predictions of `count` rows in their order from those of batches, and the mean loss."""
    columns: list[list[Any]] = [[None] * count for _ in range(5)]
    loss, weight = 0.0, 0
    for rows, said, summed, units in answers:
        loss, weight = loss + summed, weight + units
        for column, found in zip(columns, said, strict=True):
            for place, row in enumerate(rows):
                column[row] = None if found is None else found[place]
    values, probabilities, quantiles, ranks, alignments = columns
    bands = None if not quantiles or quantiles[0] is None else np.stack(quantiles)
    places = None if not ranks or ranks[0] is None else ranks
    aligned = None if not alignments or alignments[0] is None else alignments
    mean = loss / weight if weight else float("nan")
    return Predictions(values, _together(probabilities), bands, places, aligned), mean


def _together(found: Sequence[Any]) -> Any:
    """[N, K] where every row has K probabilities, a list of [T, K] where it has as many for each step, else None."""
    if not found or found[0] is None:
        return None
    arrays = [np.asarray(p) for p in found]
    return np.stack(arrays) if arrays[0].ndim == 1 else arrays
