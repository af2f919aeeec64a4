"""Pieces of streams: tensors that have time along one axis, alone or in tuples, lists and dicts.

Letters: T steps, B rows of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, ShapeError, phrase


def each(fn: Callable[..., Any], *things: Any) -> Any:
    """fn of the tensors that stand in one place of all `things`, for every place; what is no tensor stays the last."""
    first = things[0]
    if isinstance(first, Tensor):
        return fn(*things)
    if isinstance(first, dict):
        return {key: each(fn, *[thing[key] for thing in things]) for key in first}
    if isinstance(first, tuple | list):
        parts = [each(fn, *places) for places in zip(*things, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return things[-1]


def tensors(thing: Any) -> Iterator[Tensor]:
    """All tensors of a structure, in order."""
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from tensors(value)
    elif isinstance(thing, tuple | list):
        for value in thing:
            yield from tensors(value)


def span(thing: Any, axis: int, first: int, last: int) -> Any:
    """Steps first, …, last - 1 of every tensor, as views."""
    return each(lambda t: t.narrow(axis, first, last - first), thing)


def joined(things: Sequence[Any], axis: int) -> Any:
    """One after the other along time."""
    return things[0] if len(things) == 1 else each(lambda *parts: torch.cat(parts, axis), *things)


def steps_of(thing: Any, axis: int, where: str, name: str) -> int:
    """How many steps `thing` has; refuses tensors of different numbers of steps, and none at all."""
    found = list(tensors(thing))
    short = [t for t in found if t.dim() <= axis]
    if not found or short:
        expected = f"tensors with time along dimension {axis}"
        received = f"a tensor of {short[0].dim()} dimensions" if short else f"{type(thing).__name__} without a tensor"
        raise ShapeError(phrase(where, name, expected, received, "What has no steps does not go along the stream."))
    sizes = [t.shape[axis] for t in found]
    if min(sizes) != max(sizes) or not min(sizes):
        remedy = "Inputs, targets and resets of a step stand at the same place of each."
        expected = f"tensors of one number of steps, 1 or more, along dimension {axis}"
        raise ShapeError(phrase(where, name, expected, " and ".join(map(str, dict.fromkeys(sizes))), remedy))
    return sizes[0]


def form(thing: Any, axis: int) -> Any:
    """What pieces of one stream have in common: the places of tensors, their types, and all sizes but that of time."""
    if isinstance(thing, dict):
        return {key: form(value, axis) for key, value in thing.items()}
    if isinstance(thing, tuple | list):
        return [form(value, axis) for value in thing]
    if isinstance(thing, Tensor):
        return f"{[*thing.shape[:axis], 'T', *thing.shape[axis + 1 :]]} {thing.dtype}".replace("'", "")
    return None if thing is None else type(thing).__name__


class Supply:
    """Takes chunks of any number of steps and hands out pieces of the number that is wanted.

    chunks  how many chunks came in
    steps   how many steps wait
    """

    def __init__(self, axis: int, where: str) -> None:
        self.axis, self.where = axis, where
        self.chunks, self.steps = 0, 0
        self._parts: list[Any] = []
        self._form: Any = None

    def put(self, chunk: Any) -> None:
        steps = steps_of(chunk, self.axis, self.where, "a chunk")
        found = form(chunk, self.axis)
        if self._form is not None and found != self._form:
            remedy = "All chunks of a stream have the same rows; only the number of their steps may differ."
            raise InputError(phrase(self.where, "a chunk", f"{self._form}, as those before it", found, remedy))
        self._form = found
        self._parts.append(chunk)
        self.chunks, self.steps = self.chunks + 1, self.steps + steps

    def take(self, steps: int) -> Any:
        """The next `steps` of those that wait."""
        taken, self.steps = [], self.steps - steps
        while steps:
            part = self._parts[0]
            size = next(tensors(part)).shape[self.axis]
            if size > steps:
                self._parts[0] = span(part, self.axis, steps, size)
                part = span(part, self.axis, 0, steps)
            else:
                del self._parts[0]
            taken.append(part)
            steps -= min(size, steps)
        return joined(taken, self.axis)

    def state_dict(self) -> dict[str, Any]:
        """What waits, in memory of its own: a view would be saved with the whole chunk that it is cut from."""
        waiting = each(Tensor.clone, joined(self._parts, self.axis)) if self._parts else None
        return {"chunks": self.chunks, "steps": self.steps, "form": self._form, "waiting": waiting}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.chunks, self.steps, self._form = state["chunks"], state["steps"], state["form"]
        self._parts = [state["waiting"]] if self.steps else []
