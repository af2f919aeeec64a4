"""A call of the kernels: its sizes are found and checked, `filled` runs it, rows and lines of nobody are seen to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..caching import bounded_cache
from ..cells import Cell
from ..errors import InputError, NoKernels, ShapeError, phrase
from . import buffers, filled, machine, threads
from .backward import Backward
from .call import Call, Compiled, Lines
from .forward import Forward
from .jobs import SCALARS
from .named import named, named_backward
from .places import Places
from .program import program
from .shapes import hidden_sizes, kept_shapes

_SIZES = "Give tensors of one size and number type, as the cell's parameters are."
_SAVED = "Saved-tensor hooks have to give back what they were given, and gradients are as what they are gradients of."
_REUSED = 1 << 17
"""Bytes from which memory for what is only looked at is taken from the pool: it lives for a moment, at every watched
step, and fresh memory would cost a page fault per page."""
_KEPT = 1 << 13
"""Of how many steps and rows together at most a call's frame is kept for the next call of its sizes: beyond, making it
costs little beside the call."""


def supported(x: Tensor) -> bool:
    """Whether kernels exist for this tensor: float32 or float64 on a CPU with fused multiply-add."""
    return x.is_cpu and x.dtype in SCALARS and _has_kernels()


@lru_cache(maxsize=1)
def _has_kernels() -> bool:
    try:
        machine.host()
    except NoKernels:
        return False
    return True


def _forget_calls() -> None:
    """The frames of calls keep their kernels alive, also those that nobody else needs any more."""
    _dense.cache_clear()
    _packed.cache_clear()


@bounded_cache(64 << 20, size_of=lambda found, *_: found.nbytes, and_clear=_forget_calls)
def compiled_forward(cell: Cell, scalar: str, keep: bool, histories: bool) -> Compiled:
    return Compiled(
        Forward(program(cell), machine.host(), scalar, keep, histories), f"forward keep={keep} histories={histories}"
    )


@bounded_cache(64 << 20, size_of=lambda found, *_: found.nbytes, and_clear=_forget_calls)
def compiled_backward(cell: Cell, scalar: str, d_histories: bool, record: bool = False) -> Compiled:
    kind = f"backward d_histories={d_histories}" + " record" * record
    return Compiled(Backward(program(cell), machine.host(), scalar, d_histories, record), kind)


@bounded_cache(8 << 20, size_of=lambda found, *_: found.nbytes)
def _dense(compiled: Compiled, T: int, B: int, C: int, H: int, P: int, workers: int, reverse: bool) -> Call:
    return Call(compiled, Lines(T, B, None), C, H, P, workers, reverse)


@bounded_cache(8 << 20, size_of=lambda found, compiled, sizes, *_: found.nbytes + len(sizes))
def _packed(
    compiled: Compiled, sizes: bytes, B: int, C: int, H: int, P: int, workers: int, reverse: bool, apart: bool
) -> Call:
    known = np.frombuffer(sizes, np.int64)
    return Call(compiled, Lines(len(known), B, known), C, H, P, workers, reverse, apart)


def _call(
    compiled: Compiled,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    sizes: Tensor | None,
    reverse: bool,
    places: Places | None,
) -> Call:
    """The call of these sizes. Whether the tensors have them is left to its `hand`."""
    try:
        H, P = hidden_sizes(compiled.program.cell, states, weights)
        B, C = states[0].shape[-2], x.shape[-1]
    except IndexError:
        where, shapes = f"cell {compiled.program.cell.name}", [list(t.shape) for t in (x, *states, *weights)]
        expected = "x [T, B, C] or [R, C], states [B, H] and weights as the cell's parameters are"
        raise ShapeError(phrase(where, "the tensors", expected, shapes, "Give each its dimensions.")) from None
    workers = threads.thread_count()
    if sizes is None:
        dense = _dense if x.shape[0] + B <= _KEPT else _dense.__wrapped__
        return dense(compiled, x.shape[0], B, C, H, P, workers, reverse)
    known = sizes.numpy()
    if not known[-1]:
        known = known[: np.flatnonzero(known)[-1] + 1]
    packed = _packed if len(known) + B <= _KEPT else _packed.__wrapped__
    call = packed(compiled, known.tobytes(), B, C, H, P, workers, reverse, places is not None)
    if places is not None:
        places.check(x, states, call.lines.B)
    return call


def _integers(sizes: Tensor | None, noise: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """The rows of each step, and what random numbers come from, as kernels read them."""
    if sizes is not None and not (sizes.dtype is torch.int64 and sizes.is_cpu and sizes.dim() == 1):
        expected = "an int64 tensor [T] on the CPU, the rows of each step"
        received = f"{sizes.dtype} {list(sizes.shape)} on {sizes.device}"
        raise InputError(phrase("kernels", "sizes", expected, received, 'Convert it with .to("cpu", torch.int64).'))
    return sizes, noise if noise is None else noise.contiguous()


def _no_steps(x: Tensor, states: Sequence[Tensor], sizes: Tensor | None) -> bool:
    if sizes is None:
        return x.numel() == 0 and (x.shape[0] == 0 or states[0].shape[0] == 0)
    return not len(sizes) or not sizes[0]


def _spare_lines(call: Call, tensors: Sequence[Tensor]) -> None:
    """Lines past the last packed row are 0."""
    lines = call.lines.first[-1]
    for t in tensors:
        if lines < len(t):
            t[lines:] = 0


def blocks(sizes: Tensor, reverse: bool) -> list[int]:
    """The steps at which a block of packed rows begins, from the sequence's end on, and their number."""
    return Lines(len(sizes), int(sizes[0]) if len(sizes) else 0, sizes.numpy()).blocks(reverse)


def forward(
    cell: Cell,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    sizes: Tensor | None,
    reverse: bool,
    keep: bool,
    histories: bool,
    noise: Tensor | None = None,
    where: Places | None = None,
) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
    """One layer, one direction, forward; all tensors contiguous and of one dtype.

    x [T, B, C] or packed [R, C] with sizes; states [B, H or P]; weights in the order of `cell.parameters`;
    noise int64 [3 + B], where a cell draws random numbers. With sizes, x may have lines beyond the last packed row,
    which are not read and come out as 0, sizes may end with steps of no row, and states may have rows without a step.
    where: x is the caller's, its packed rows are there, and the output is laid out as x; all the rest is packed.
    Returns output, final states, histories (the states that are not the output, after every step; [] unless asked for)
    and what backward needs (empty unless keep).
    """
    histories = histories and len(states) > (cell.output_state is not None)
    c = compiled_forward(cell, SCALARS[x.dtype], keep, histories)
    p = c.program
    if sizes is not None or noise is not None:
        sizes, noise = _integers(sizes, noise)
    if _no_steps(x, states, sizes):
        return _nothing(c, x, states, weights, keep, histories)
    call = _call(c, x, states, weights, sizes, reverse, where)
    if not call.hand.knows(None, (x, *states, *weights)):
        n = 1 + len(states)
        x, *rest = call.hand.check(None, named(call, x, states, weights, where), _SIZES)
        states, weights = rest[: n - 1], rest[n - 1 :]
    found = filled.forward(call, x, states, weights, keep, histories, noise, where)
    if sizes is not None:
        output, finals, lines, kept = found
        _idle_rows(states, finals, call.lines, where)
        if where is None:
            _spare_lines(call, [output, *lines, *kept[bool(p.kept) :]])
    return found


def _nothing(
    c: Compiled, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], keep: bool, histories: bool
) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
    """No steps or no rows: the states stay as they are."""
    cell = c.program.cell
    H, P = hidden_sizes(cell, states, weights)
    widths = {"H": H, "P": P}
    others = [x.new_zeros(*x.shape[:-1], s.shape[-1]) for k, s in enumerate(states) if k != cell.output_state]
    kept = [x.new_zeros(shape) for shape in kept_shapes(cell, x, states, weights)]
    output = x.new_zeros(*x.shape[:-1], widths[cell.output_width])
    return output, [s.clone() for s in states], others if histories else [], kept if keep else []


def _idle_rows(states: Sequence[Tensor], finals: Sequence[Tensor], lines: Lines, where: Places | None) -> None:
    """Rows of length 0 end where they began."""
    if where is not None:
        where.idle_rows(states, finals)
    else:
        n = lines.first[1]
        for a, b in zip(states, finals):
            if n < len(a):
                b[n:] = a[n:]


def backward(
    cell: Cell,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    sizes: Tensor | None,
    reverse: bool,
    output: Tensor,
    kept: Sequence[Tensor],
    d_output: Tensor | None,
    d_finals: Sequence[Tensor | None],
    d_histories: Sequence[Tensor | None],
    needs: tuple[bool, bool, bool],
    onto: Sequence[Tensor] = (),
    noise: Tensor | None = None,
    where: Places | None = None,
) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
    """Gradients of one layer and direction from those of its results; None stands for zero.

    needs: which gradients are wanted, of (x, states, weights). Reads what forward kept and writes to none of it.
    onto: the gradients of the weights from the steps after these, contiguous: these steps' are added to them in place.
    Where the steps after are whole blocks, the bits are those of one call.
    noise, where: those of forward. The gradients of x and of the output are laid out as x.
    """
    return _backward(
        cell, x, states, weights, sizes, reverse, output, kept, d_output, d_finals, d_histories, needs, onto, noise,
        where=where,
    )  # fmt: skip


def backward_recorded(
    cell: Cell,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    sizes: Tensor | None,
    reverse: bool,
    output: Tensor,
    kept: Sequence[Tensor],
    d_output: Tensor | None,
    d_finals: Sequence[Tensor | None],
    d_histories: Sequence[Tensor | None],
    needs: tuple[bool, bool, bool],
    onto: Sequence[Tensor] = (),
    noise: Tensor | None = None,
) -> tuple[tuple[Tensor | None, list[Tensor], list[Tensor]], list[Tensor], dict[tuple[str, str], Tensor]]:
    """`backward`, bit for bit, and what it had in passing.

    Returns what `backward` does; the whole gradient of each state at every step, like the output; and for each product
    of a weight, (letter, name), its gradient at every step, a view of shared memory.
    """
    adjoints = [buffers.empty((*x.shape[:-1], s.shape[-1]), x.dtype, _REUSED) for s in states]
    p, (H, P) = program(cell), hidden_sizes(cell, states, weights)
    sent = buffers.empty((*x.shape[:-1], p.slot_width[0] * H + p.slot_width[1] * P), x.dtype)
    found = _backward(
        cell, x, states, weights, sizes, reverse, output, kept, d_output, d_finals, d_histories, needs, onto,
        noise, adjoints, sent,
    )  # fmt: skip
    size = {"H": H, "P": P}
    places = {key: p.slots[g.id] for key, (g, _) in p.derivative.products.items()}
    first = {key: s.offset[0] * H + s.offset[1] * P for key, s in places.items()}
    return found, adjoints, {key: sent[..., first[key] : first[key] + size[s.width]] for key, s in places.items()}


def adjoints(
    cell: Cell,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    sizes: Tensor | None,
    reverse: bool,
    output: Tensor,
    kept: Sequence[Tensor],
    d_output: Tensor | None,
    d_finals: Sequence[Tensor | None],
    noise: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """Of `backward_recorded` what concerns the states: the gradients before the first step and after every step."""
    found = [buffers.empty((*x.shape[:-1], s.shape[-1]), x.dtype, _REUSED) for s in states]
    nothing = [None] * (len(states) - (cell.output_state is not None))
    needs = (False, True, False)
    _, d_states, _ = _backward(
        cell, x, states, weights, sizes, reverse, output, kept, d_output, d_finals, nothing, needs, (), noise, found
    )
    return d_states, found


def _backward(
    cell: Cell,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    sizes: Tensor | None,
    reverse: bool,
    output: Tensor,
    kept: Sequence[Tensor],
    d_output: Tensor | None,
    d_finals: Sequence[Tensor | None],
    d_histories: Sequence[Tensor | None],
    needs: tuple[bool, bool, bool],
    onto: Sequence[Tensor],
    noise: Tensor | None,
    adjoints: Sequence[Tensor] = (),
    sent: Tensor | None = None,
    where: Places | None = None,
) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
    """adjoints, sent: where the gradients of states, and of products, at every step are to be written, if anywhere."""
    c = compiled_backward(cell, SCALARS[x.dtype], any(d is not None for d in d_histories), bool(adjoints))
    wants_x, _, wants_weights = needs
    upstream = [d if d is None or d.is_contiguous() else d.contiguous() for d in (d_output, *d_finals, *d_histories)]
    if sizes is not None or noise is not None:
        sizes, noise = _integers(sizes, noise)
    if _no_steps(x, states, sizes):
        d_weights = list(onto) or [torch.zeros_like(w) for w in weights] if wants_weights else []
        d_states = [torch.zeros_like(s) if d is None else d.clone() for s, d in zip(states, upstream[1:])]
        return torch.zeros_like(x) if wants_x else None, d_states, d_weights
    call = _call(c, x, states, weights, sizes, reverse, where)
    given = (x, *states, *weights, output, *kept, *[d for d in upstream if d is not None], *onto)
    which = (len(onto), *[d is None for d in upstream])
    if not call.hand.knows(which, given):
        before = named(call, x, states, weights, where)
        every = named_backward(call, before, output, kept, upstream, onto, where)
        checked = iter(call.hand.check(which, every, _SAVED))
        x, states, weights = next(checked), [next(checked) for _ in states], [next(checked) for _ in weights]
        output, kept = next(checked), [next(checked) for _ in kept]
        upstream = [d if d is None else next(checked) for d in upstream]
        onto = list(checked)
    n = 1 + len(states)
    arriving = [buffers.zeros(s.shape, s.dtype) if d is None else d for s, d in zip(states, upstream[1:n])]
    found = filled.backward(
        call, x, states, weights, output, kept, upstream[0], arriving, upstream[n:], wants_x, wants_weights, onto,
        noise, adjoints, sent, where,
    )  # fmt: skip
    if sizes is not None:
        dx, d_states, _ = found
        _idle_rows(arriving, d_states, call.lines, where)
        if dx is not None and where is None:
            _spare_lines(call, [dx])
    return found
