"""The lens on a trained network: one pass forward and back on validation rows, observed."""

from __future__ import annotations

import torch
from torch import nn

from ...lens import Report, watch
from ..tasks.task import Encoded, Task

MOST_ROWS = 32
"""Rows of the pass."""
MOST_STEPS = 8_192
"""Steps of all of them together, where rows are long."""


def look(task: Task, network: nn.Module, encoded: Encoded, most_rows: int = MOST_ROWS) -> Report:
    """What `lens.watch` measures in one batch of rows, evenly spread over them by length; gradients are as before.

    The network is in evaluation, so dropout is off; nothing is learned.
    """
    order = encoded.lengths.argsort(kind="stable")
    order = order[encoded.lengths[order] > 0]
    longest = int(encoded.lengths[order[-1]]) if len(order) else 1
    count = max(1, min(most_rows, len(order), MOST_STEPS // longest))
    rows = [int(order[round(k * (len(order) - 1) / max(1, count - 1))]) for k in range(count)]
    batch = task.batch(encoded, rows)
    training, kept = network.training, [p.grad for p in network.parameters()]
    network.eval()
    network.zero_grad()
    try:
        with torch.enable_grad(), watch(network) as observed:
            task.loss(network(batch.x, batch.lengths), batch).backward()
        return observed.report()
    finally:
        network.train(training)
        for parameter, gradient in zip(network.parameters(), kept):
            parameter.grad = gradient
