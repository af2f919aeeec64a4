"""The values of a cell's gates over time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..capture.evaluate import evaluate
from ..capture.named_values import named_values
from ..capture.replay import replay_layer


def gate_values(
    layer: nn.Module,
    x: Any,
    state: Any = None,
    *,
    lengths: Any = None,
    resets: Any = None,
    depth: int = -1,
    direction: int = 0,
) -> dict[str, Tensor]:
    """The value of each gate at every step: gate → [T, B, H], time first, NaN past a row's end.

    A gate is the activation of its pre-activation, found in the graph: sigmoid(…) for an LSTM's i, f and o, tanh(…) for
    its g. A gate without one activation of its own is absent.
    x, state, lengths and resets as the layer takes them; it runs once, in eval mode.
    depth       which of the L layers, -1 the last
    direction   1 for the second direction
    Unit: none. Range: the activation's, 0 to 1 for a sigmoid. Cost: one forward pass, and one more of a batch of T·B.
    """
    replayed = replay_layer(layer, x, state, lengths, resets, depth, direction, "lens.gate_values")
    gates = named_values(replayed.cell).gates
    values = evaluate(replayed.cell, replayed.weights, replayed.x, replayed.previous_states, list(gates.values()))
    return {name: v.masked_fill(~replayed.valid[..., None], torch.nan) for name, v in zip(gates, values, strict=True)}
