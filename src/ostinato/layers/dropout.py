"""Random masks of a layer in training: a call has one seed, and every mask is a function of the seed and a counter.

The seed is drawn from torch's generator, so torch.manual_seed makes a call repeatable; `ostinato.cells.noise` says how
numbers follow from it. `pinned` sets the seed and the first step of a call.

Letters: T steps, B rows of the batch, R packed rows, C features, H units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from threading import Lock, get_ident

import torch
from torch import Tensor

from .. import _torch_private
from ..caching import bounded_cache, tensor_bytes
from ..cells import Cell
from ..cells.noise import BITS, WORDS
from ..errors import InputError, phrase
from ..execution import backends
from ..execution.custom_op import draw_seed
from ..execution.dispatch import run
from ..execution.reference_backend import autocast_on
from ..execution.routing import under_functional_transform
from ..sequence import SequenceCall
from .options import Options
from .structure import LayerStructure, MaskSeed

_INPUT, _WEIGHT = 1 << 16, 1 << 17
"""Beside the number of layer and direction: masks of inputs and of weights have numbers of their own."""
_KEPT = 1 << 13
"""The constants of a call of at most so many rows, or units, are kept for the next one: 128 KiB."""
MASK_CELLS = {
    letter: Cell.from_text(f"def factor({letter}, p, x, h):\n    return where({letter}.u < p.bound, 0.0, p.left)\n")
    for letter in "RS"
}
"""Cells whose state is a mask: `run` draws whole tensors with them, on kernels, while compiling, anywhere. With R each
step has its own numbers, and four of them cost what one costs."""
_pin_lock = Lock()


@contextmanager
def pinned(layer: LayerStructure, seed: int | Tensor, first_step: int = 0) -> Iterator[None]:
    """Calls of `layer` inside, in this thread, draw their masks from `seed`, and number their steps from `first_step`.

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
        seed = torch.tensor(seed, device="cpu")
    if not isinstance(first_step, int) or first_step < 0:
        raise InputError(phrase("pinned", "first_step", "a step counted from 0", repr(first_step), "Leave it out."))
    thread = get_ident()
    before = (layer._pinned or {}).get(thread)
    _pin(layer, thread, MaskSeed(seed, first_step))
    try:
        yield
    finally:
        _pin(layer, thread, before)


def _pin(layer: LayerStructure, thread: int, pin: MaskSeed | None) -> None:
    # A new dict each time: other threads may be reading the present one.
    with _pin_lock:
        others = {k: v for k, v in (layer._pinned or {}).items() if k != thread}
        if pin is not None:
            others[thread] = pin
        if others:
            layer._pinned = others
        else:
            vars(layer).pop("_pinned", None)


def _seed_of(layer: LayerStructure) -> MaskSeed | None:
    """The seed that `pinned` has set for calls of `layer` in this thread; None where torch's generator draws one."""
    pins = layer._pinned
    if pins is None:
        return None
    if torch.compiler.is_dynamo_compiling():  # which cannot trace get_ident
        return next(iter(pins.values()))
    return pins.get(get_ident())


class Masks:
    """The masks of one call of a layer in training."""

    def __init__(
        self,
        layer: LayerStructure,
        x: Tensor,
        sequences: Tensor | int,
        lines: Callable[[], Tensor] | None = None,
        direct: bool = False,
    ):
        """Draws the seed of the call.

        x          as the layers read it
        sequences  int64 [B], the number of each row's sequence, or B, for the numbers from 0
        lines      () → int64 [R], which row each packed line is of; None where all rows have all steps
        direct     whether the call's plan is: kernels draw, and constants of small calls are kept for the next one
        """
        seed = _seed_of(layer)
        drawn = (draw_seed if direct else _draw_seed)(x) if seed is None else seed.seed.to(x.device)
        self.seed, self.first_step = drawn.reshape(1), 0 if seed is None else seed.first_step
        self.sequences, self.lines, self.direct, self.options = sequences, lines, direct, layer.options
        self.rows = sequences if isinstance(sequences, int) else sequences.shape[0]

    def noise(self, stream: int) -> Tensor:
        """int64 [3 + B], as `run` takes it, for layer and direction number `stream`."""
        return self._noise(self.first_step, stream, self.sequences)

    def weights(self, cell: Cell, weights: Sequence[Tensor], stream: int) -> Sequence[Tensor]:
        """U with some of its numbers 0, the same ones in all steps and rows."""
        p = self.options.weight_dropout
        if not p:
            return weights
        k = cell.letters.index("U")
        u = weights[k]
        lines, width = u.shape
        rows = -(-lines // WORDS)
        mask = self._mask("R", self._noise(0, stream | _WEIGHT, rows), (WORDS, rows, width), p, u)
        return [*weights[:k], u * mask.view(-1, width)[:lines], *weights[k + 1 :]]

    def inputs(self, x: Tensor, stream: int) -> Tensor:
        """x [T, B, C] or [R, C] with some features of each sequence 0 in all its steps."""
        p = self.options.input_dropout
        if not p:
            return x
        mask = self._mask("S", self.noise(stream | _INPUT), (1, self.rows, x.shape[-1]), p, x)[0]
        return x * (mask if self.lines is None else mask.index_select(0, self.lines()))

    def _noise(self, first_step: int, stream: int, rows: Tensor | int) -> Tensor:
        """rows: the number of each, or how many, numbered from 0."""
        if self.direct:
            assert isinstance(rows, int)
            return torch.cat(
                (self.seed, (_counters if rows <= _KEPT else _counters.__wrapped__)(first_step, stream, rows))
            )
        device = self.seed.device
        numbers = torch.arange(rows, device=device) if isinstance(rows, int) else rows
        return torch.cat([self.seed, torch.tensor((first_step, stream), device=device), numbers])

    def _mask(self, letter: str, noise: Tensor, shape: tuple[int, int, int], p: float, like: Tensor) -> Tensor:
        """[T, B, width] of the number type of `like`: 0 with probability p, else 1 / (1 - p)."""
        steps, rows, width = shape
        if self.direct:
            x, h = backends.empty((steps, rows, 1), like), backends.empty((rows, width), like)
            kept = (_vectors if width <= _KEPT else _vectors.__wrapped__)(p, width, like.dtype)
            call = SequenceCall(MASK_CELLS[letter], x, [h], kept, random_state=noise)
            return backends.forward(call, False, False).output
        kind = like.dtype if like.dtype == torch.float64 else torch.float32
        x, h = (torch.empty(size, dtype=kind, device=like.device) for size in ((steps, rows, 1), (rows, width)))
        vectors = [torch.full((width,), value, dtype=kind, device=like.device) for value in _bound_and_factor(p)]
        with torch.autocast(like.device.type, enabled=False) if autocast_on(like.device.type) else nullcontext():
            mask = run(SequenceCall(MASK_CELLS[letter], x, [h], vectors, random_state=noise)).output
        return mask if kind is like.dtype else mask.to(like.dtype)


def mask_cells(options: Options) -> list[Cell]:
    """The cells that masks of weights and of inputs are drawn with."""
    return [MASK_CELLS["R"]] * bool(options.weight_dropout) + [MASK_CELLS["S"]] * bool(options.input_dropout)


def _draw_seed(like: Tensor) -> Tensor:
    """64 bits of torch's generator, on the device of `like`. Under torch.func vmap asks for its `randomness`."""
    if under_functional_transform() or not (torch.compiler.is_compiling() or _torch_private.dispatch_mode_active()):
        return draw_seed(like)
    return torch.ops.ostinato.draw_seed(like)


def _bound_and_factor(p: float) -> tuple[float, float]:
    """The probability as random numbers can have it exactly, and the factor of the numbers that are left: p.bound and
    p.left, in the alphabetical order of a cell's vectors."""
    bound = round(p * 2**BITS) / 2**BITS
    return bound, 1 / (1 - bound)


@bounded_cache(1 << 20, size_of=lambda found, *_: tensor_bytes([found]))
def _counters(first_step: int, stream: int, rows: int) -> Tensor:
    """int64 [2 + B], the entries of `noise` behind the seed; only read."""
    with _torch_private.untransformed():
        return torch.cat((torch.tensor((first_step, stream), device="cpu"), torch.arange(rows, device="cpu")))


@bounded_cache(1 << 20, size_of=lambda found, *_: tensor_bytes(found))
def _vectors(p: float, width: int, kind: torch.dtype) -> tuple[Tensor, ...]:
    """A mask's vectors; only ever read."""
    with _torch_private.untransformed():
        return tuple(torch.full((width,), value, dtype=kind, device="cpu") for value in _bound_and_factor(p))
