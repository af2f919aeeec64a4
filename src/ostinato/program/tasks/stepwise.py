"""The network of classes and numbers as a model that streams and exports read: one input, one output, its parameters.

The network itself takes a mapping and lengths, which such a model has not. `Core` is the same for the other tasks.

Letters: T steps, B rows, C channels, K outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...cells import cell
from ...layers import Recurrent
from .networks import RowNetwork, output_width


@cell
def _later(x, h):  # type: ignore[no-untyped-def]
    """0 at the first step, 1 at all others."""
    return h, 1


class RowSteps(nn.Module):
    """Words int64 [T, B], or x float32 [T, B, C] → [B, K]: a `RowNetwork` on rows that all have T steps.

    The last output of a direction that reads from the end is the one of step 0. No network of steps can select that
    one, so it is computed as a maximum over steps in which all others count as -inf: exactly the same number.
    """

    def __init__(self, network: RowNetwork) -> None:
        super().__init__()
        self.embedding, self.layers, self.head = network.embedding, network.layers, network.head
        self.width = output_width(network.layers)
        self.later = Recurrent(_later, self.width, 1) if network.layers.bidirectional else None

    def forward(self, x: Tensor) -> Tensor:
        read = x if self.embedding is None else self.embedding(x)
        y, _ = self.layers(read)
        last = y[-1]
        if self.later is not None:
            later, _ = self.later(y)
            half = self.width // 2
            first = torch.where(later > 0, float("-inf"), y[:, :, half:]).amax(0)
            last = torch.cat([last[:, :half], first], -1)
        pooled: Tensor = self.head(torch.cat([y.mean(0), y.amax(0), last], -1))
        return pooled
