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
    values: list[Any] = [None] * len(encoded.rows)
    probabilities: list[Any] = [None] * len(encoded.rows)
    quantiles: list[Any] = [None] * len(encoded.rows)
    loss, weight, training = 0.0, 0, network.training
    network.eval()
    try:
        with torch.no_grad():
            most = getattr(task, "rows_at_once", ROWS)
            for rows in by_length(encoded.lengths, np.arange(len(encoded.rows)), most):
                batch = to_device(task.batch(encoded, [int(r) for r in rows]), device)
                outputs = network(batch.x, batch.lengths)
                if batch.target is not None:
                    loss += float(task.loss(outputs, batch)) * batch.weight
                    weight += batch.weight
                found = task.decode(outputs, batch)
                for place, row in enumerate(rows):
                    values[row] = found.values[place]
                    if found.probabilities is not None:
                        probabilities[row] = found.probabilities[place]
                    if found.quantiles is not None:
                        quantiles[row] = found.quantiles[place]
    finally:
        network.train(training)
    bands = None if not quantiles or quantiles[0] is None else np.stack(quantiles)
    return Predictions(values, _together(probabilities), bands), loss / weight if weight else float("nan")


def _together(found: Sequence[Any]) -> Any:
    """[N, K] where every row has K probabilities, a list of [T, K] where it has as many for each step, else None."""
    if not found or found[0] is None:
        return None
    arrays = [np.asarray(p) for p in found]
    return np.stack(arrays) if arrays[0].ndim == 1 else arrays
