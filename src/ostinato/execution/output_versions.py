"""Whether what a node of torch's graph computed and saved was changed in place between its forward and its backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .. import _torch_private

Noted = list[tuple[Tensor, int]]
"""Tensors without memory whose versions are those of others, and what these were."""


def noted(results: Sequence[Tensor]) -> Noted:
    """The versions of `results` as they are now, where torch will not check them by itself: under saved-tensor hooks,
    as torch.utils.checkpoint has. Elsewhere nothing."""
    if not results or not _torch_private.saved_tensor_hooks_active():
        return []
    return [(_version_alone(t), _torch_private.version(t)) for t in results if type(t) is Tensor]


def saved(ctx: Any, first: int, noted: Noted) -> tuple[tuple[Any, ...], bool]:
    """(`ctx.saved_tensors`, whether those from `first` on are not to be read, because they were changed since).

    For the backward of an autograd.Function whose forward set `ctx.results_changed` to False. Those before `first` are
    its inputs: of a changed one torch's own error tells, with the name of what changed it.
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
    """A tensor that shares with t the count of its changes and no memory."""
    found = t.detach()
    found.data = t.new_empty(0)
    return found
