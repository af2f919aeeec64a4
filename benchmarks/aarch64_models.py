"""Numbers that are the same on every machine, and the models whose streams `aarch64_cases.py` runs.

torch's generator gives normal numbers through functions whose last bit depends on the machine; these are whole numbers
divided by a power of two.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

import ostinato

TOKENS = 31


def numbers(*shape: int, seed: int) -> Tensor:
    """float64 [*shape] between -1 and 1, multiples of 2⁻²⁰: SplitMix64 of the place, as whole numbers of 64 bits."""
    z = (np.arange(math.prod(shape), dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    whole = ((z ^ (z >> np.uint64(31))) >> np.uint64(43)).astype(np.int64) - (1 << 20)
    return torch.from_numpy(whole.reshape(shape) / 2.0**20)


def tokens(*shape: int) -> Tensor:
    """int64 [*shape] below `TOKENS`."""
    return ((numbers(*shape, seed=7) + 1) * (TOKENS / 2)).long()


def filled(module: Any, width: int) -> Any:
    """The module with such numbers divided by √width in every parameter."""
    with torch.no_grad():
        for k, parameter in enumerate(module.parameters()):
            parameter.copy_(numbers(*parameter.shape, seed=50 + k) / math.sqrt(width))
    return module


class Output(nn.Module):
    """The output of a recurrent layer alone: [T, B, C] → [T, B, H]."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Every step's output."""
        output: Tensor = self.layer(x)[0]
        return output


class Causal(nn.Module):
    """A convolution over this step and those before: [T, B, C] → [T, B, O]."""

    def __init__(self, features: int, width: int, taps: int):
        super().__init__()
        self.taps, self.convolution = taps, nn.Conv1d(features, width, taps)

    def forward(self, x: Tensor) -> Tensor:
        """Padded with zeros at the beginning."""
        y: Tensor = self.convolution(pad(x.permute(1, 2, 0), (self.taps - 1, 0)))
        return y.permute(2, 0, 1)


class Residual(nn.Module):
    """x + part(x)."""

    def __init__(self, part: nn.Module):
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        y: Tensor = x + self.part(x)
        return y


def drawn(seed: int) -> tuple[nn.Module, int]:
    """(a model of six parts drawn at random, its input features)."""
    draw = random.Random(seed)
    features = width = draw.choice((3, 8, 13))
    parts: list[nn.Module] = []
    for _ in range(6):
        out = draw.choice((5, 16, 17))
        choices: list[tuple[nn.Module, int]] = [
            (nn.Linear(width, out), out),
            (Causal(width, out, draw.choice((2, 3))), out),
            (Output(ostinato.LSTM(width, out)), out),
            (Output(ostinato.GRU(width, out, num_layers=2)), out),
            (Residual(nn.Sequential(nn.Linear(width, width), nn.SiLU())), width),
            (Residual(Output(ostinato.RNN(width, width))), width),
            (nn.LayerNorm(width), width),
            (nn.Softmax(-1), width),
        ]
        part, width = draw.choice(choices)
        parts.append(part)
    return nn.Sequential(*parts, nn.Linear(width, 4)), features


def written() -> tuple[nn.Module, int]:
    """(a model of tokens [T, B], 0 for no features)."""
    parts = [nn.Embedding(TOKENS, 20), Output(ostinato.LSTM(20, 24)), Residual(Output(ostinato.GRU(24, 24)))]
    return nn.Sequential(*parts, nn.LayerNorm(24), nn.Linear(24, 7), nn.LogSoftmax(-1)), 0


MODELS: dict[str, Callable[[], tuple[nn.Module, int]]] = {
    "a model of tokens": written,
    **{f"drawn model {seed}": partial(drawn, seed) for seed in (6, 8, 20)},
}
"""What a row of the table is called → what makes (the model, its input features)."""
