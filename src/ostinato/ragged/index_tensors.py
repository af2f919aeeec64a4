"""The layout of a batch with `lengths` or `resets` as tensors, of their own sizes or of fixed ones.

Tracers need sizes that do not depend on lengths. For them one registered operator returns the same numbers in tensors
that are large enough for any lengths: packed lines and steps that no row has come last, and so do pieces without a
step. Backends do not read these.

Letters: T steps, B rows of the caller's batch, N pieces, R steps of all pieces together, S steps of the longest piece.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._torch_private import functorch_active
from ..execution.custom_op import register
from .lengths import known_lengths
from .segments import Pieces, cut


@dataclass(frozen=True)
class Layout:
    """`Pieces` as tensors: `sizes` on the CPU, all others on the device of x. `starts_new` is None where none does."""

    sizes: Tensor
    index: Tensor
    inverse: Tensor
    piece: Tensor
    rows: Tensor
    starts_new: Tensor | None
    last: Tensor
    has_padding_rows: bool = True
    """Whether the tensors may be larger than they need to be."""


class DenseIndex:
    """`Layout` in tensors of their own sizes, R, S and N. Those with a number for each step are made on first use."""

    has_padding_rows = False

    def __init__(self, pieces: Pieces, device: torch.device):
        self.pieces, self.device = pieces, device
        self.sizes = torch.from_numpy(pieces.sizes)
        starts_new = pieces.starts_new
        self.starts_new = None if starts_new is None or not starts_new.any() else self._tensor(starts_new)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device)

    @cached_property
    def rows(self) -> Tensor:
        return self._tensor(self.pieces.rows)

    @cached_property
    def last(self) -> Tensor:
        return self._tensor(self.pieces.last)

    @cached_property
    def index(self) -> Tensor:
        return self._tensor(self.pieces.index)

    @cached_property
    def inverse(self) -> Tensor:
        return self._tensor(self.pieces.inverse)

    @cached_property
    def piece(self) -> Tensor:
        return self._tensor(self.pieces.piece)


def layout_of(
    lengths: Tensor | None, resets: Tensor | None, steps: int, rows: int, batch_first: bool, device: torch.device
) -> DenseIndex:
    """lengths int64 [B], resets bool [T, B], both on the CPU."""
    return DenseIndex(_pieces(lengths, resets, steps, rows, batch_first), device)


def layout_for_any(
    lengths: Tensor | None,
    resets: Tensor | None,
    steps: int,
    rows: int,
    batch_first: bool,
    device: torch.device,
    where: str,
) -> Layout:
    """The same through the registered operator: T·B for R, T for S, and for N, B, or T·B where there are resets.

    lengths of any integer type, and resets, on any device. `where` is the name in an error about lengths.
    """
    found = Layout(*torch.ops.ostinato.layout(lengths, resets, steps, rows, batch_first, device, where))
    return found if resets is not None else replace(found, starts_new=None)


def _pieces(lengths: Tensor | None, resets: Tensor | None, steps: int, rows: int, batch_first: bool) -> Pieces:
    known = np.full(rows, steps) if lengths is None else _array(lengths)
    return cut(known, None if resets is None else _array(resets), steps, batch_first)


def _array(t: Tensor) -> Any:
    """A tensor on the CPU as an array. Inside of torch.func even a new one is wrapped, and gives only lists."""
    return np.array(t.tolist(), str(t.dtype).removeprefix("torch.")) if functorch_active() else t.numpy()


def _fixed(
    lengths: Tensor | None,
    resets: Tensor | None,
    steps: int,
    rows: int,
    batch_first: bool,
    device: torch.device,
    where: str,
) -> tuple[Tensor, ...]:
    """The operator. An index of no line is T·B, for which `gather_rows` returns zeros."""
    known = None if lengths is None else known_lengths(lengths, steps, where)
    begins = None if resets is None else resets.detach().to("cpu")
    found, lines = _pieces(known, begins, steps, rows, batch_first), steps * rows
    count, pieces = len(found.rows), rows if resets is None else lines
    inverse = np.where(found.inverse == len(found.index), lines, found.inverse)
    last = np.where(found.last < count, found.last, found.last + (pieces - count))

    def made(values: NDArray[Any], size: int, fill: int = 0) -> Tensor:
        whole = np.full(size, fill, values.dtype)
        whole[: len(values)] = values
        return torch.from_numpy(whole).to(device)

    return (
        made(found.sizes, steps).to("cpu"),
        made(found.index, lines, lines),
        torch.from_numpy(inverse).to(device),
        made(found.piece, lines),
        made(found.rows, pieces),
        made(np.zeros(count, np.bool_) if found.starts_new is None else found.starts_new, pieces),
        torch.from_numpy(last).to(device),
    )


def _fixed_fake(
    lengths: Tensor | None,
    resets: Tensor | None,
    steps: int,
    rows: int,
    batch_first: bool,
    device: torch.device,
    where: str,
) -> tuple[Tensor, ...]:
    lines = steps * rows
    pieces = rows if resets is None else lines

    def made(size: int, kind: torch.dtype = torch.int64, place: Any = device) -> Tensor:
        return torch.empty(size, dtype=kind, device=place)

    sizes = made(steps, place="cpu")
    return sizes, made(lines), made(lines), made(lines), made(pieces), made(pieces, torch.bool), made(rows)


register(
    "layout(Tensor? lengths, Tensor? resets, SymInt steps, SymInt rows, bool batch_first, Device device, str where)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _fixed,
    _fixed_fake,
)
