"""Chunks of a stream: a tensor with time along one axis, or a tuple, list or dict of such tensors.

Letters: T steps, B rows of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, ShapeError, phrase


def tree_map(fn: Callable[..., Any], *things: Any) -> Any:
    """Applies fn to the corresponding tensors of structures of one form. A leaf that is no tensor is the last one's."""
    first = things[0]
    if isinstance(first, Tensor):
        return fn(*things)
    if isinstance(first, dict):
        return {key: tree_map(fn, *[thing[key] for thing in things]) for key in first}
    if isinstance(first, tuple | list):
        items = [tree_map(fn, *entries) for entries in zip(*things, strict=True)]
        return type(first)(*items) if hasattr(first, "_fields") else type(first)(items)
    return things[-1]


def tree_tensors(thing: Any) -> Iterator[Tensor]:
    """All tensors of a structure, in order."""
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from tree_tensors(value)
    elif isinstance(thing, tuple | list):
        for value in thing:
            yield from tree_tensors(value)


def span(thing: Any, axis: int, first: int, last: int) -> Any:
    """Views of steps first, …, last - 1 of every tensor."""
    return tree_map(lambda t: t.narrow(axis, first, last - first), thing)


def concat_time(things: Sequence[Any], axis: int) -> Any:
    """The structures concatenated along time, tensor by tensor."""
    return things[0] if len(things) == 1 else tree_map(lambda *parts: torch.cat(parts, axis), *things)


def steps_of(thing: Any, axis: int, where: str, name: str) -> int:
    """The number of steps of `thing`. Raises ShapeError where its tensors differ in it, or where it has none."""
    leaves = list(tree_tensors(thing))
    short = [t for t in leaves if t.dim() <= axis]
    if not leaves or short:
        expected = f"tensors with time along dimension {axis}"
        received = f"a tensor of {short[0].dim()} dimensions" if short else f"{type(thing).__name__} without a tensor"
        raise ShapeError(phrase(where, name, expected, received, "Leave out of the stream whatever has no steps."))
    sizes = [t.shape[axis] for t in leaves]
    if min(sizes) != max(sizes) or not min(sizes):
        remedy = "Inputs, targets and resets must cover the same steps."
        expected = f"tensors of one number of steps, 1 or more, along dimension {axis}"
        raise ShapeError(phrase(where, name, expected, " and ".join(map(str, dict.fromkeys(sizes))), remedy))
    return sizes[0]


def tree_spec(thing: Any, axis: int) -> Any:
    """What the chunks of one stream share: structure, dtypes, and all sizes but the number of steps."""
    if isinstance(thing, dict):
        return {key: tree_spec(value, axis) for key, value in thing.items()}
    if isinstance(thing, tuple | list):
        return [tree_spec(value, axis) for value in thing]
    if isinstance(thing, Tensor):
        return f"{[*thing.shape[:axis], 'T', *thing.shape[axis + 1 :]]} {thing.dtype}".replace("'", "")
    return None if thing is None else type(thing).__name__


class ChunkBuffer:
    """A queue of steps: filled with chunks of any number of steps, emptied in windows of a given number.

    chunks  chunks put in so far
    steps   steps in the queue
    """

    def __init__(self, axis: int, where: str) -> None:
        self.axis, self.where = axis, where
        self.chunks, self.steps = 0, 0
        self._parts: list[Any] = []
        self._spec: Any = None

    def put(self, chunk: Any) -> None:
        """Appends a chunk. Raises InputError for a chunk of another structure than those before it."""
        steps = steps_of(chunk, self.axis, self.where, "a chunk")
        spec = tree_spec(chunk, self.axis)
        if self._spec is not None and spec != self._spec:
            remedy = "All chunks of a stream have the same rows; only the number of their steps may differ."
            raise InputError(phrase(self.where, "a chunk", f"{self._spec}, as those before it", spec, remedy))
        self._spec = spec
        self._parts.append(chunk)
        self.chunks, self.steps = self.chunks + 1, self.steps + steps

    def take(self, steps: int) -> Any:
        """Removes the first `steps` steps and returns them."""
        taken, self.steps = [], self.steps - steps
        while steps:
            part = self._parts[0]
            size = next(tree_tensors(part)).shape[self.axis]
            if size > steps:
                self._parts[0] = span(part, self.axis, steps, size)
                part = span(part, self.axis, 0, steps)
            else:
                del self._parts[0]
            taken.append(part)
            steps -= min(size, steps)
        return concat_time(taken, self.axis)

    def state_dict(self) -> dict[str, Any]:
        """The queue as a copy: torch.save would write a view together with the whole chunk that it is part of."""
        waiting = tree_map(Tensor.clone, concat_time(self._parts, self.axis)) if self._parts else None
        return {"chunks": self.chunks, "steps": self.steps, "form": self._spec, "waiting": waiting}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.chunks, self.steps, self._spec = state["chunks"], state["steps"], state["form"]
        self._parts = [state["waiting"]] if self.steps else []
