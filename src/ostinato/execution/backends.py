"""Access to the kernels: each function runs compiled code where there is some for the tensors, else the reference."""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ..cells import Cell
from ..ragged_layout import RaggedLayout
from ..sequence import ForwardResult, Gradients, Needs, OnBlock, RecordedGradients, SequenceCall, Upstream
from . import reference_backend
from .reference_backend import Tensors

if TYPE_CHECKING:
    from ..kernels import PreparedCall


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
    on_block: OnBlock | None = None,
) -> RecordedGradients:
    """`backward`, bit for bit, with the state adjoints and the gradients of products. Costs the memory of them.

    probe     other upstream gradients, from which the adjoints of the states alone are computed in the same pass
    on_block  receives the gradients of some steps at a time, which then are not recorded; kernels alone call it
    """
    if on_block is not None:
        return kernels().backward_recorded(call, result, upstream, needs, accumulate_into, probe, on_block)
    return _backend(call.x).backward_recorded(call, result, upstream, needs, accumulate_into, probe)


def prepared(call: SequenceCall) -> PreparedCall | None:
    """`kernels.prepared`: the plans of a call that has just run on the kernels, for calls of its kind."""
    return kernels().prepared(call)


def saved_columns(cell: Cell, states: Tensors, weights: Tensors, kept: Tensors) -> dict[int, tuple[int, int]]:
    """Node → (first column, width) of the values in kept[0], the first tensor that `forward` saved; {} without any.

    Nodes are those of the trace of `Cell.from_text(cell.text)`.
    """
    return kernels().saved_columns(cell, states, weights) if kept and compiled(kept[0]) else {}


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


def norms(
    tensors: Sequence[Tensor],
    counts: Sequence[int],
    less: Sequence[Tensor] = (),
    samples: Sequence[tuple[Tensor, Tensor, int, int]] = (),
) -> tuple[Tensor, list[Tensor]] | None:
    """`kernels.row_norms`; None where no kernels run on these tensors as they lie.

    samples  the fields of `kernels.Lines` of each
    """
    k = kernels()
    if not tensors or not compiled(tensors[0]):
        return None
    read = [*tensors, *less]
    for source, *_ in samples:
        if all(source is not t for t in read):  # no guard passes one tensor twice
            read.append(source)
    if not k.lines_in_memory(read, tensors[0].dtype, True):
        return None
    if less and any(w.shape != v.shape for v, w in zip(tensors, less)):
        return None
    return k.row_norms(tensors, counts, less, [k.Lines(*sample) for sample in samples])


def path(
    adjoint: Tensor, carry: Tensor, first: array, reverse: bool, now: Tensor, known: int
) -> tuple[Tensor, int] | None:
    """`kernels.additive_path_norms`; None where no kernels run on these tensors as they lie."""
    k = kernels()
    fits = compiled(adjoint) and k.lines_in_memory((adjoint, carry, now), adjoint.dtype)
    fits = fits and adjoint.is_contiguous() and now.is_contiguous() and carry.shape == adjoint.shape
    return k.additive_path_norms(adjoint, carry, first, reverse, now, known) if fits else None


class StepNorms(Protocol):
    """`kernels.OuterNorms`."""

    norms: Tensor

    def run(self, begin: int, end: int, lines: int) -> None: ...


class BlockNorms(Protocol):
    """`kernels.BlockNorms`."""

    norms: Tensor
    samples: list[Tensor]
    path_norms: Tensor
    paths: list[Any]
    outer_norms: Tensor

    def run(self, begin: int, end: int, products: int, adjoints: Sequence[int]) -> None: ...


class OuterTask(NamedTuple):
    """Norms to find: ‖Σ_b d_b ⊗ z_b‖ of each group at each step."""

    groups: tuple[tuple[int, tuple[int, ...]], ...]
    """(which z, which of the segments d) of each."""
    columns: tuple[tuple[int, int], ...]
    """(first column, width) of each segment d in its lines."""
    stride: int
    """The numbers of a line of all d."""
    z: list[tuple[Tensor, Tensor | None]]
    """The rows [..., C]; and where they are states after each step, to be read from the step before, those before the
    first step."""
    first: array
    """int64, the first line of each step, and the number of lines."""
    reverse: bool
    """Whether the step before is the next one in memory."""


def outer_norms(task: OuterTask) -> StepNorms | None:
    """`kernels.OuterNorms`; None where no kernels run on these z."""
    return _outer_norms(task, [])


def block_norms(
    widths: Sequence[int],
    sets: int,
    spread: tuple[int, int, int],
    paths: Sequence[tuple[int, Tensor, int, Tensor, int]],
    task: OuterTask,
) -> BlockNorms | None:
    """`kernels.BlockNorms`, with the fields of its `Spread` and `Path`; None where no kernels read these tensors."""
    read: list[Tensor] = []
    k = kernels()
    for _, carry, *_ in paths:
        if all(carry is not t for t in read):  # no guard passes one tensor twice
            read.append(carry)
    outer = _outer_norms(task, read)
    return None if outer is None else k.BlockNorms(widths, sets, k.Spread(*spread), [k.Path(*p) for p in paths], outer)


def _outer_norms(task: OuterTask, more: Sequence[Tensor]) -> Any:
    """more: other tensors that the same launches read"""
    k, (groups, columns, stride, z, first, reverse) = kernels(), task
    read = [*(t for t, _ in z), *(start for _, start in z if start is not None), *more]
    if not compiled(read[0]) or not k.lines_in_memory(read, read[0].dtype, True):
        return None
    pattern = k.Pattern(len(columns), tuple([start is not None for _, start in z]), groups)
    return k.OuterNorms(pattern, columns, stride, [k.OuterOperand(*pair) for pair in z], first, reverse)


def product_columns(
    cell: Cell, states: Tensors, weights: Tensors
) -> tuple[int, dict[tuple[str, str], tuple[int, int]]]:
    """`kernels.product_columns`."""
    return kernels().product_columns(cell, states, weights)


def threads() -> int:
    """Threads that kernels may use."""
    return kernels().thread_count()
