"""Detects changes in place of results that an autograd node saved, between its forward and its backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .. import _torch_private

Noted = list[tuple[Tensor, int]]
"""(a tensor without memory that shares the version counter of a result, the version at the time of forward)."""


def noted(results: Sequence[Tensor]) -> Noted:
    """The present versions of `results`, for where torch does not check them: under saved-tensor hooks, such as those
    of torch.utils.checkpoint."""
    return [(_version_alone(t), _torch_private.version(t)) for t in results if type(t) is Tensor]


def saved(ctx: Any, first: int, noted: Noted) -> tuple[tuple[Any, ...], bool]:
    """(`ctx.saved_tensors`, whether those from `first` on were changed since and must not be read).

    For the backward of an autograd.Function whose forward set `ctx.results_changed` to False. Those before `first` are
    its inputs: for a changed one torch raises its own error, which names the operation.
    """
    if noted and any(_torch_private.version(t) != version for t, version in noted):
        return ctx.saved_tensors, True
    if not ctx.results_changed:
        try:
            return ctx.saved_tensors, False
        except RuntimeError as error:
            if not _torch_private.is_changed_in_place(error):
                raise
        _torch_private.forget_saved(ctx, first)
        ctx.results_changed = True
    return ctx.saved_tensors, True


def _version_alone(t: Tensor) -> Tensor:
    """A tensor that shares t's version counter and none of its memory."""
    found = t.detach()
    found.data = t.new_empty(0)
    return found
