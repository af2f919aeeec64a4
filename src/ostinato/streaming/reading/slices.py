"""Slices and entries: columns of features, the last step, and steps that only padding has added.

Each takes the builder, the value and torch's further arguments, by torch's names.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .builder import Builder
from .shapes import squeeze, unsqueeze
from .sizes import ROWS, TIME, UNKNOWN, Axis, NeedsWidthError, Size, size_of
from .values import Value, axis_index, meaning, refuse


def cut(value: Value, start: int, stop: int) -> Value:
    """Without `start` steps at the beginning and `stop` at the end, of those that are beside x's."""
    if start > value.lead:
        remedy = (
            "Early steps would be missing from a stream's output; slice off only what padding has added before them."
        )
        refuse("a slice that keeps every step", f"one that drops {start - value.lead} of the first steps", remedy)
    if stop > value.tail:
        remedy = "The last steps of x would have no output; slice off only what padding has added behind them."
        refuse("a slice that keeps every step", f"one that drops {stop - value.tail} of the last steps", remedy)
    return replace(value, lead=value.lead - start, tail=value.tail - stop)


def last(value: Value, at: int) -> Value:
    """The last step, which in a stream is the present one; its axis is gone."""
    if value.tail:
        received = f"the last of {value.tail} steps behind x"
        refuse("the last step of x", received, f"Slice [..., :-{value.tail}] first.")
    return replace(value, axes=(*value.axes[:at], *value.axes[at + 1 :]), lead=0, state=False)


def getitem(b: Builder, input: Value, key: Any) -> Value:
    """x[...] with slices, numbers, None and an ellipsis."""
    keys = list(key) if isinstance(key, tuple) else [key]
    given = [k for k in keys if k is not None and k is not Ellipsis]
    if len(given) > len(input.axes):
        refuse(f"an index of {len(input.axes)} axes", str(len(given)), "Give one for each axis.", True)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [slice(None)] * (len(input.axes) - len(given))
    place = 0
    for k in keys:
        if k is None:
            input = unsqueeze(b, input, place)
        elif isinstance(k, int) and not isinstance(k, bool):
            input = select(b, input, place, k)
            continue
        elif isinstance(k, slice):
            input = sliced(b, input, place, k)
        elif isinstance(k, Size):
            input = select(b, input, place, k)
            continue
        else:
            remedy = "Write numbers and slices with bounds that do not depend on x."
            refuse("an index of numbers and slices", type(k).__name__, remedy)
        place += 1
    return input


def select(b: Builder, input: Value, dim: int, index: Any) -> Value:
    """One entry of an axis: of time the last one."""
    at = axis_index(input, dim)
    axis = input.axes[at]
    if axis == TIME:
        if index in (-1, Size(1, (TIME,), input.extra - 1)):
            return last(input, at)
        remedy = "A stream has the present step, x[-1], and no others."
        refuse("the last step", f"step {_shown(index)}", remedy)
    if axis == UNKNOWN:
        raise NeedsWidthError
    if not isinstance(axis, int):
        remedy = "The rows of a stream are independent of each other."
        refuse("an entry of features, or the last step", f"one of {meaning(axis)}", remedy, True)
    if not isinstance(index, int) or not -axis <= index < axis:
        refuse(f"an index from {-axis} to {axis - 1}", _shown(index), "There are no others.", True)
    return squeeze(b, b.columns(input, at, index % axis, 1), at)


def narrow(b: Builder, input: Value, dim: int, start: Any, length: Any) -> Value:
    if not isinstance(start, int) or start < 0:
        refuse("given a start of at least 0", _shown(start), "Write a number.")
    return sliced(b, input, dim, slice(start, start + length))


def sliced(b: Builder, value: Value, dim: int, key: slice) -> Value:
    """A slice of one axis. Of time, it may drop padding, or keep the last step alone."""
    at = axis_index(value, dim)
    axis = value.axes[at]
    if key.step not in (None, 1):
        remedy = "A stream has an output for every step." if axis == TIME else "Choose features with a Linear."
        refuse("a slice with step 1", f"step {key.step}", remedy)
    if key.start in (None, 0) and key.stop is None:
        return value
    if axis == UNKNOWN:
        raise NeedsWidthError
    if isinstance(axis, int):
        if any(not isinstance(bound, int | None) for bound in (key.start, key.stop)):
            refuse("a slice of features by numbers", "bounds that depend on T or B", "Write numbers.", True)
        first, stop, _ = key.indices(axis)
        if stop <= first:
            refuse(
                "a slice that keeps features", f"[{_shown(key.start)}:{_shown(key.stop)}]", "Keep at least one.", True
            )
        return b.columns(value, at, first, stop - first)
    if axis != TIME:
        if key.start in (None, 0) and axis == ROWS and key.stop == size_of(axis, 0):
            return value
        remedy = "The rows of a stream are independent of each other."
        refuse("a slice of time or features", f"of {meaning(axis)}", remedy, True)
    length = size_of(TIME, value.extra)
    if key.start == -1 and key.stop in (None, length):
        found = last(value, at)
        return replace(found, axes=_inserted(found.axes, at))
    return cut(value, *_dropped(value, key, length))


def _inserted(axes: tuple[Axis, ...], at: int) -> tuple[Axis, ...]:
    return (*axes[:at], 1, *axes[at:])


def _dropped(value: Value, key: slice, length: Any) -> tuple[int, int]:
    """How many steps a slice of time drops at the beginning and at the end."""
    start, stop = key.start or 0, key.stop
    if isinstance(start, Size) and start.symbols == (TIME,) and start.number == 0:
        start = start.plus
    if isinstance(stop, Size) and (stop.number, stop.symbols) == (1, (TIME,)):
        end = length.plus - stop.plus
        stop_count = end if end >= 0 else 0
    elif stop is None:
        stop_count = 0
    elif isinstance(stop, int) and stop < 0:
        stop_count = -stop
    else:
        remedy = "A stream goes on without an end; write [:-p] or [:x.shape[...]] for what padding has added."
        refuse("a slice that keeps every step", f"one up to step {_shown(stop)}", remedy)
    if not isinstance(start, int) or start < 0:
        remedy = "A stream has the present step, x[-1:], and no window of earlier ones."
        refuse("a slice that keeps every step", f"one from step {_shown(start)}", remedy)
    return start, stop_count


def _shown(number: Any) -> str:
    if isinstance(number, Size):
        text = "·".join((str(number.number), *number.symbols)).removeprefix("1·")
        return f"{text}{number.plus:+d}" if number.plus else text
    return "" if number is None else str(number)
