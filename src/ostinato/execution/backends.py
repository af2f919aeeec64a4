"""Access to the kernels: each function runs compiled code where there is some for the tensors, else the reference."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

from ..cells import Cell
from ..ragged_layout import RaggedLayout
from ..sequence import ForwardResult, Gradients, Needs, RecordedGradients, SequenceCall, Upstream
from . import reference_backend
from .reference_backend import Tensors


@lru_cache(maxsize=1)
def kernels() -> ModuleType:
    """The package that compiles, imported at the first call and not with `import ostinato`."""
    from .. import kernels

    return kernels


def compiled(x: Tensor) -> bool:
    """Whether kernels run on tensors like x."""
    return kernels().supported(x)


def without_kernels(x: Tensor) -> None:
    """Warns, once per process and kind of device, that the reference runs in place of kernels."""
    if x.device.type != "meta":
        _warn(x.device.type)


@lru_cache
def _warn(device: str) -> None:
    warnings.warn(
        f"ostinato: no compiled kernels for {device} here; the equations run step by step in plain torch, "
        "which is right but slow. Kernels exist for CPUs with fused multiply-add.",
        stacklevel=2,
    )


def _backend(x: Tensor) -> ModuleType:
    if compiled(x):
        return kernels()
    without_kernels(x)
    return reference_backend


def forward(call: SequenceCall, save: bool, histories: bool) -> ForwardResult:
    """`Backend.forward` on the kernels, or on the reference where there are none."""
    return _backend(call.x).forward(call, save, histories)


def backward(
    call: SequenceCall,
    result: ForwardResult,
    upstream: Upstream,
    needs: Needs,
    accumulate_into: Sequence[Tensor] = (),
) -> Gradients:
    """`Backend.backward` on the kernels, or on the reference where there are none."""
    return _backend(call.x).backward(call, result, upstream, needs, accumulate_into)


def backward_recorded(
    call: SequenceCall,
    result: ForwardResult,
    upstream: Upstream,
    needs: Needs,
    accumulate_into: Sequence[Tensor] = (),
    probe: Upstream | None = None,
) -> RecordedGradients:
    """`backward`, bit for bit, with the state adjoints and the gradients of products. Costs the memory of them.

    probe  other upstream gradients, from which the adjoints of the states alone are computed in the same pass
    """
    return _backend(call.x).backward_recorded(call, result, upstream, needs, accumulate_into, probe)


def saved_values(cell: Cell, x: Tensor, states: Tensors, weights: Tensors, kept: Tensors) -> dict[int, Tensor]:
    """The tensors that `forward` saved, by node of the trace of `Cell.from_text(cell.text)`; {} where it saved none."""
    return kernels().saved_values(cell, states, weights, kept) if kept and compiled(x) else {}


def block_steps(B: int) -> int:
    """Steps of a block of the weights' gradients of a batch of B rows; blocks are counted from the sequence's end."""
    return kernels().block_steps(B)


def blocks(sizes: Tensor, reverse: bool) -> list[int]:
    """The steps at which a block begins where rows end early, and their number, counted from the sequence's end."""
    return kernels().block_starts(sizes, reverse)


def by_length(lengths: Tensor, steps: int, batch_first: bool) -> tuple[Tensor, RaggedLayout | None] | None:
    """(sizes, layout) of rows with lengths int64 [B] on the CPU, as `segments.cut` has them, in microseconds.

    Only where there are kernels. None where a length is not between 0 and `steps`, and where there is no
    step. None in the place of the second where all rows have all steps.
    """
    return kernels().sort_by_length(lengths, steps, batch_first)


def empty(shape: Sequence[int], like: Tensor) -> Tensor:
    """Memory for results of the kind of `like`."""
    return kernels().empty(shape, like.dtype) if compiled(like) else like.new_empty(shape)


def zeros(shape: tuple[int, ...], dtype: torch.dtype, number: int = 0) -> Tensor:
    """Zeros on the CPU that are only read; small ones of the same shape, dtype and number are one tensor."""
    return kernels().zeros(shape, dtype, number)


def saved_shapes(cell: Cell, x: Tensor, states: Tensors, weights: Tensors) -> list[tuple[int, ...]]:
    """The shapes of the tensors that `forward` saves, without running it: tracers need them."""
    return kernels().saved_shapes(cell, x, states, weights) if compiled(x) else []


def norms(several: Sequence[Tensor], less: Sequence[Tensor] = ()) -> Tensor | None:
    """`kernels.row_norms`; None where no kernels run on these tensors as they lie."""
    k = kernels()
    if not several or not compiled(several[0]):
        return None
    kind = several[0].dtype
    fits = all(k.rows_in_memory(t, kind) for t in (*several, *less))
    fits = fits and all(w.shape == v.shape and w.stride() == v.stride() for v, w in zip(several, less))
    return k.row_norms(several, less) if fits else None


def path(
    adjoint: Tensor, carry: Tensor, first: Sequence[int], reverse: bool, now: Tensor, known: int
) -> tuple[Tensor, int] | None:
    """`kernels.additive_path_norms`; None where no kernels run on these tensors as they lie."""
    k, kind = kernels(), adjoint.dtype
    fits = compiled(adjoint) and all(k.rows_in_memory(t, kind) for t in (adjoint, carry, now))
    fits = fits and adjoint.is_contiguous() and now.is_contiguous() and carry.shape == adjoint.shape
    return k.additive_path_norms(adjoint, carry, first, reverse, now, known) if fits else None


def outer_norms(
    groups: Sequence[tuple[int, Sequence[int]]],
    d: Tensors,
    z: Sequence[tuple[Tensor, Tensor | None]],
    first: Sequence[int],
    reverse: bool,
) -> Tensor | None:
    """‖Σ_b d_b ⊗ z_b‖ of each group at each step, float64 [groups, S]; None where no kernels run on these tensors.

    groups  (which z, which of the segments d) of each
    d       [R, width] each
    z       the rows [R, C]; and where they are states after each step, to be read from the step before, those before
            the first step
    """
    k = kernels()
    starts = [(t, start) for t, start in z if start is not None]
    rows, kind = [*d, *(t for t, _ in z), *(start for _, start in starts)], d[0].dtype
    if not compiled(d[0]) or not all(k.rows_in_memory(t, kind) for t in rows):
        return None
    if not all(t.is_contiguous() and start.is_contiguous() for t, start in starts):  # read with one stride
        return None
    pattern = k.Pattern(
        len(d), tuple(start is not None for _, start in z), tuple((at, tuple(which)) for at, which in groups)
    )
    return k.outer_norms(pattern, d, [k.OuterOperand(*pair) for pair in z], first, reverse)
