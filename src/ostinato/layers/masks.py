"""What a layer draws at random in training: one seed for a call, and from it every mask by its place.

The seed comes from torch's generator, so torch.manual_seed makes a call repeatable; all else is a function of the seed
and of the place that a number is for (`ostinato.cells.noise`). `pinned` gives a call its seed and its first step.

Letters: T steps, B rows of the batch, R packed rows, C features, H units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .. import _torch_private
from ..cells import Cell
from ..cells.noise import BITS
from ..errors import InputError, phrase
from .operator import run
from .plain import autocast_on
from .registered import draw_seed
from .routing import transformed

if TYPE_CHECKING:
    from .layer import Layer

_INPUT, _WEIGHT = 1 << 16, 1 << 17
"""Beside the number of layer and direction: masks of inputs and of weights have numbers of their own."""
UNIFORM = Cell.from_text("def uniform(S, x, h):\n    return S.u\n")
"""A cell whose state is a random number: `run` draws whole tensors with it, on kernels, while compiling, anywhere."""


class Pinned(NamedTuple):
    """What a layer draws from while `pinned` is on."""

    seed: Tensor
    first_step: int


@contextmanager
def pinned(layer: Layer, seed: int | Tensor, first_step: int = 0) -> Iterator[None]:
    """Calls of `layer` inside draw their masks from `seed`, and number their steps from `first_step`.

        with pinned(layer, 7):
            whole, _ = layer(x)                        # and
        with pinned(layer, 7, first_step=50):
            rest, _ = layer(x[50:], state)             # have the same masks at the same steps

    seed        64 bits, an int or an int64 tensor without dimensions; torch's generator is left alone
    first_step  the number of the call's first step, from 0. Numbers drawn once for a sequence do not depend on it
    Rows are counted as in the batch of each call.
    """
    if not isinstance(seed, Tensor):
        if not isinstance(seed, int) or not -(2**63) <= seed < 2**63:
            raise InputError(phrase("pinned", "seed", "an int of 64 bits", repr(seed), "Write pinned(layer, 7)."))
        seed = torch.tensor(seed)
    if not isinstance(first_step, int) or first_step < 0:
        raise InputError(phrase("pinned", "first_step", "a step counted from 0", repr(first_step), "Leave it out."))
    before = layer._pinned
    layer._pinned = Pinned(seed, first_step)
    try:
        yield
    finally:
        layer._pinned = before


class Masks:
    """The masks of one call of a layer in training."""

    def __init__(self, layer: Layer, x: Tensor, sequences: Tensor, lines: Callable[[], Tensor] | None):
        """x, as the layers read it; sequences, int64 [B], the number of each row's sequence; lines() → int64 [R], which
        row each packed line is of, None where all rows have all steps."""
        pin = layer._pinned
        self.seed = (_seed(x) if pin is None else pin.seed.to(x.device)).reshape(1)
        self.first_step = 0 if pin is None else pin.first_step
        self.sequences, self.lines = sequences, lines
        self.options = layer.options

    def noise(self, stream: int, rows: Tensor | None = None) -> Tensor:
        """int64 [3 + B], as `run` takes it, for layer and direction number `stream`."""
        place = torch.tensor((self.first_step, stream), device=self.seed.device)
        return torch.cat([self.seed, place, self.sequences if rows is None else rows])

    def weights(self, cell: Cell, weights: Sequence[Tensor], stream: int) -> Sequence[Tensor]:
        """U with some of its numbers 0, the same ones in all steps and rows."""
        p = self.options.weight_dropout
        if not p:
            return weights
        k = cell.letters.index("U")
        u = weights[k]
        noise = self.noise(stream | _WEIGHT, torch.arange(u.shape[0], device=u.device))
        return [*weights[:k], u * _mask(noise, u, p), *weights[k + 1 :]]

    def inputs(self, x: Tensor, stream: int) -> Tensor:
        """x [T, B, C] or [R, C] with some features of each sequence 0 in all its steps."""
        p = self.options.input_dropout
        if not p:
            return x
        rows = x.new_empty(self.sequences.shape[0], x.shape[-1])
        mask = _mask(self.noise(stream | _INPUT), rows, p)
        return x * (mask if self.lines is None else mask.index_select(0, self.lines()))


def _seed(like: Tensor) -> Tensor:
    """64 bits of torch's generator, on the device of `like`. Under torch.func vmap asks for its `randomness`."""
    if transformed() or not (torch.compiler.is_compiling() or _torch_private.dispatch_mode_active()):
        return draw_seed(like)
    return torch.ops.ostinato.draw_seed(like)


def _mask(noise: Tensor, like: Tensor, p: float) -> Tensor:
    """0 with probability p, else 1 / (1 - p): a number for each of `like`, [B, H]."""
    threshold = round(p * 2**BITS) / 2**BITS
    kind = like.dtype if like.dtype == torch.float64 else torch.float32
    unread = [torch.empty(shape, dtype=kind, device=like.device) for shape in ((1, like.shape[0], 1), like.shape)]
    with torch.autocast(like.device.type, enabled=False) if autocast_on(like.device.type) else nullcontext():
        uniform, _, _ = run(UNIFORM, unread[0], unread[1:], [], noise=noise)
    # A bool times a number would be float32, and the factor of a float64 layer be rounded.
    mask = (uniform[0] >= threshold).to(kind) * (1 / (1 - threshold))
    return mask if kind is like.dtype else mask.to(like.dtype)
