"""What is written: the files of an export, the names, sizes and meaning of their inputs, outputs and states.

Letters: T steps, B rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...layers import Recurrent
from ...layers.init import initial_state
from ..tasks.stepping import as_state

NEXT = ".next"
"""After the name of a state that a file gives back: `layers.0.h` goes in, `layers.0.h.next` comes out."""
Tensors = Mapping[str, Tensor]
Call = Callable[[Any, Tensors], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Value:
    """An input or an output of a file."""

    name: str
    shape: tuple[int | str, ...]
    """Sizes; a letter is a size that may vary."""
    meaning: str
    dtype: torch.dtype = torch.float32
    below: int | str | None = None
    """Of whole numbers: the first that is too large; a letter for as many numbers as this size, from `least` on."""
    least: int = 0

    def made(self, sizes: Mapping[str, int], generator: torch.Generator) -> Tensor:
        """A value of some sizes, drawn."""
        shape = [sizes[size] if isinstance(size, str) else size for size in self.shape]
        if isinstance(self.below, str):
            return torch.randint(self.least, sizes[self.below] + self.least, shape, generator=generator)
        if self.below is not None:
            return torch.randint(self.below, shape, generator=generator)
        if self.dtype == torch.bool:
            return torch.zeros(shape, dtype=torch.bool)
        if self.dtype == torch.float64:
            return torch.rand(shape, generator=generator, dtype=torch.float64)
        return torch.randn(shape, generator=generator, dtype=self.dtype)

    def content(self) -> dict[str, Any]:
        """For model.json."""
        kind = str(self.dtype).removeprefix("torch.")
        return {"name": self.name, "type": kind, "shape": list(self.shape), "meaning": self.meaning}


@dataclass(frozen=True)
class StateValue:
    """A state that one call of a file gives to the next."""

    name: str
    width: int
    initial: Sequence[float] | float = 0.0
    """What a sequence begins with: a number for all, or `width` numbers; None where another file gives it."""
    rows: str = "B"

    def value(self, after: bool = False) -> Value:
        """As an input, or as the output after a call."""
        meaning = "the state after the last step, for the next call" if after else "the state to go on from"
        return Value(self.name + (NEXT if after else ""), (self.rows, self.width), meaning)

    def content(self) -> dict[str, Any]:
        """For model.json."""
        initial = self.initial if isinstance(self.initial, float) else list(self.initial)
        return {"name": self.name, "next": self.name + NEXT, "shape": [self.rows, self.width], "initial": initial}


@dataclass(frozen=True)
class Part:
    """One file."""

    file: str
    network: nn.Module
    call: Call
    """(network, the inputs and states by name) → the outputs in their order, then the states in theirs."""
    inputs: Sequence[Value]
    outputs: Sequence[Value]
    states: Sequence[StateValue] = ()
    write: Callable[[Path], None] | None = None
    """Writes the file, where torch.onnx does not trace `call`."""

    @property
    def reads(self) -> list[Value]:
        """Inputs, then states."""
        return [*self.inputs, *(state.value() for state in self.states)]

    @property
    def gives(self) -> list[Value]:
        """Outputs, then states."""
        return [*self.outputs, *(state.value(after=True) for state in self.states)]

    def content(self) -> dict[str, Any]:
        """For model.json. States have no entry among inputs and outputs."""
        found = {name: [value.content() for value in getattr(self, name)] for name in ("inputs", "outputs")}
        return {**found, "states": [state.content() for state in self.states]}


class Called(nn.Module):
    """A part as torch.onnx traces it: its inputs one by one, its outputs as a tuple."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.network = part.network
        self.names = [value.name for value in part.reads]
        self.run = part.call

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        """The outputs in their order, such as scores [T, B, K]."""
        return self.run(self.network, dict(zip(self.names, values, strict=True)))


def states_of(layers: Recurrent, place: str) -> list[StateValue]:
    """The states of recurrent layers in one direction, named as `ostinato.stream` names them: place.LAYER.STATE."""
    probe = torch.zeros(1, 1, layers.input_size, dtype=next(layers.parameters()).dtype)
    first = [part.detach()[:, 0] for part in initial_state(layers, probe, rows=1)]  # [L, H] for each state
    found = []
    for layer in range(layers.num_layers):
        for name, part in zip(layers.cell.states, first, strict=True):
            own = part[layer]
            initial = own.tolist() if bool(own.any()) else 0.0
            found.append(StateValue(f"{place}.{layer}.{name}", len(own), initial))
    return found


def joined(layers: Recurrent, place: str, x: Tensors) -> Any:
    """The state as the layers take it, [L, B, H] of each, from one tensor [B, H] for each layer and state."""
    parts = [
        torch.stack([x[f"{place}.{layer}.{name}"] for layer in range(layers.num_layers)]) for name in layers.cell.states
    ]
    return as_state(parts)


def apart(layers: Recurrent, state: Any) -> list[Tensor]:
    """The other way round, in the order of `states_of`."""
    parts = [state] if isinstance(state, Tensor) else list(state)
    return [part[layer] for layer in range(layers.num_layers) for part in parts]
