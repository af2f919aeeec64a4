"""Networks that go on step by step: as a stream on the CPU, by calls of their layers on any other device.

Letters: T steps, B rows, C numbers of a step, O of an output, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from ...layers import Recurrent
from ...streaming import stream


class Core(nn.Module):
    """The part of a network that runs step by step, in evaluation; its modules are the network's own.

    Called as core(x) → [T, B, O] with x [T, B, C], or entries int64 [T, B] with an embedding. `ostinato.stream` reads
    it, as its steps depend on no length and no dictionary of inputs.

    layers     recurrent layers, for `step` in one direction
    embedding  of the entries; None where x holds numbers
    head       what follows the layers; None for their own output
    """

    def __init__(self, layers: Recurrent, embedding: nn.Embedding | None = None, head: nn.Module | None = None) -> None:
        super().__init__()
        self.embedding, self.layers, self.head = embedding, layers, head
        self.train(layers.training)

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.layers(x if self.embedding is None else self.embedding(x))
        return y if self.head is None else self.head(y)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """([B, O], the state to go on with) after one more step [B, C] or int64 [B]; state as the layers take it."""
        y, state = self.layers((x if self.embedding is None else self.embedding(x))[None], state)
        return y[0] if self.head is None else self.head(y[0]), state


class Steps(Protocol):
    """A network in the middle of B rows, in evaluation: no gradient is computed."""

    def step(self, x: Tensor) -> Tensor:
        """[B, O] after one more step of each row, [B, C] or int64 [B]."""

    def fork(self) -> Self:
        """The same rows once more, which go on independently of these."""

    def keep(self, rows: Sequence[int]) -> None:
        """Goes on with some of the rows, which may repeat."""


def steps_of(core: Core, rows: int, start: Sequence[Tensor] | None = None) -> Steps:
    """Steps from the beginning of B rows, with the weights that the network has now.

    start  [L, B, ·] for each part of the layers' state; None: zeros, or the learned states
    """
    if next(core.parameters()).device.type == "cpu":
        return Streamed(core, rows, start)
    return Called(core, start)


class Streamed:
    """Steps of a stream."""

    def __init__(self, core: Core, rows: int, start: Sequence[Tensor] | None = None) -> None:
        self.stream = stream(core, rows)
        if start is not None:
            parts = [part.detach()[layer] for layer in range(core.layers.num_layers) for part in start]
            names = [field.name for field in self.stream.network.states]
            self.stream.load(dict(zip(names, parts, strict=True)))

    def step(self, x: Tensor) -> Tensor:
        return self.stream.step(x)

    def fork(self) -> Self:
        other = type(self).__new__(type(self))
        other.stream = self.stream.fork()
        return other

    def keep(self, rows: Sequence[int]) -> None:
        if len(rows) == self.stream.rows:
            self.stream.take(rows)
        else:
            self.stream = self.stream.fork(rows)


class Called:
    """Steps that call the layers, on the device of their weights."""

    def __init__(self, core: Core, start: Sequence[Tensor] | None = None) -> None:
        self.core = core
        self.state: Any = None if start is None else as_state(start)

    def step(self, x: Tensor) -> Tensor:
        weight = next(self.core.parameters())
        x = x.to(weight.device, weight.dtype if x.is_floating_point() else x.dtype)
        with torch.no_grad():
            y, self.state = self.core.step(x, self.state)
        return y

    def fork(self) -> Self:
        other = type(self).__new__(type(self))
        other.core, other.state = self.core, self.state
        return other

    def keep(self, rows: Sequence[int]) -> None:
        if self.state is None:  # every row is at the beginning
            return
        parts = [self.state] if isinstance(self.state, Tensor) else list(self.state)
        places = torch.tensor(rows, dtype=torch.int64, device=parts[0].device)
        self.state = as_state([part.index_select(1, places) for part in parts])


def as_state(parts: Sequence[Tensor]) -> Any:
    """As the layers take it: a tensor, or a tuple of several."""
    return parts[0] if len(parts) == 1 else tuple(parts)
