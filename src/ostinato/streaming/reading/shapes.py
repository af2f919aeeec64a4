"""Shape operations: which axis becomes which, and columns of features.

Each takes the builder, the value and torch's further arguments, by torch's names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from .builder import Builder
from .sizes import ROWS, TIME, UNKNOWN, AnySize, Axis, NeedsWidthError, Size, UnprovenSizeError, reshaped, size_of
from .values import Const, Value, axis_index, described, meaning, refuse


def permuted(value: Value, order: Sequence[int]) -> Value:
    """The axes in another order, in which those of features keep their own."""
    if sorted(order) != list(range(len(value.axes))):
        refuse("given every dimension once", str(list(order)), "Give one number for each axis.", True)
    kept = [k for k in order if isinstance(value.axes[k], int) and value.axes[k] != 1]
    if kept != sorted(kept):
        remedy = "Keep the axes of features in their order, or put the permutation into the weights of a Linear."
        refuse("a permutation that keeps the order of features", described(value), remedy)
    return replace(value, axes=tuple(value.axes[k] for k in order), state=False)


def permute(b: Builder, input: Value, *dims: Any) -> Value:
    order = dims[0] if len(dims) == 1 and isinstance(dims[0], list | tuple) else dims
    return permuted(input, [axis_index(input, d) for d in order])


def transpose(b: Builder, input: Value, dim0: int, dim1: int) -> Value:
    order = list(range(len(input.axes)))
    first, second = axis_index(input, dim0), axis_index(input, dim1)
    order[first], order[second] = order[second], order[first]
    return permuted(input, order)


def movedim(b: Builder, input: Value, source: int, destination: int) -> Value:
    order = list(range(len(input.axes)))
    order.insert(axis_index(input, destination), order.pop(axis_index(input, source)))
    return permuted(input, order)


def unsqueeze(b: Builder, input: Value, dim: int) -> Value:
    rank = len(input.axes) + 1
    if not isinstance(dim, int) or not -rank <= dim < rank:
        refuse(f"given a dimension from {-rank} to {rank - 1}", repr(dim), "Give it by its number.", True)
    at = dim % rank
    return replace(input, axes=(*input.axes[:at], 1, *input.axes[at:]), state=False)


def squeeze(b: Builder, input: Value, dim: Any = None) -> Value:
    if dim is None:
        if UNKNOWN in input.axes:
            raise NeedsWidthError
        return replace(input, axes=tuple(a for a in input.axes if a != 1), state=False)
    gone = {axis_index(input, d) for d in (dim if isinstance(dim, list | tuple) else [dim])}
    if any(input.axes[k] == UNKNOWN for k in gone):
        raise NeedsWidthError
    if any(not isinstance(input.axes[k], int) for k in gone):
        where = ", ".join(meaning(input.axes[k]) for k in sorted(gone))
        refuse("of axes of length 1", f"squeeze of {where}", "Squeeze features only.", True)
    axes = tuple(a for k, a in enumerate(input.axes) if k not in gone or a != 1)
    return replace(input, axes=axes, state=False)


def reshape(b: Builder, input: Value, *shape: Any) -> Value:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], list | tuple) else shape
    if any(isinstance(a, tuple) or a in (TIME, ROWS) for a in input.axes) and input.has_time and input.extra:
        wanted = list(sizes)
        own = [size_of(a, input.extra) for a in input.axes]
        if wanted == own:
            return replace(input, state=False)
        remedy = "Slice the padding off first."
        refuse("of a value with the steps of x", f"{input.extra} steps more", remedy)
    try:
        axes = reshaped(input.axes, list(sizes))
    except UnprovenSizeError:
        remedy = (
            "Write sizes of T and B as x.shape, keep each an axis of its own or both as one, "
            "and use transpose to exchange axes."
        )
        refuse(
            "a reshape that keeps time, rows and features apart", f"{described(input)} to {_text(sizes)}", remedy, True
        )
    return replace(input, axes=axes, state=False)


def flatten(b: Builder, input: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    first, last = axis_index(input, start_dim), axis_index(input, end_dim)
    if first > last:
        refuse("given the first dimension before the last", f"{start_dim} and {end_dim}", "Exchange them.", True)
    return reshape(b, input, [*_sizes(input.axes[:first], input), -1, *_sizes(input.axes[last + 1 :], input)])


def unflatten(b: Builder, input: Value, dim: int, sizes: Any) -> Value:
    at = axis_index(input, dim)
    return reshape(b, input, [*_sizes(input.axes[:at], input), *sizes, *_sizes(input.axes[at + 1 :], input)])


def _sizes(axes: Sequence[Axis], value: Value) -> list[AnySize]:
    return [size_of(a, value.extra) for a in axes]


def _text(sizes: Sequence[Any]) -> str:
    shown = [s if isinstance(s, int) else "·".join((str(s.number), *s.symbols)).removeprefix("1·") for s in sizes]
    return f"[{', '.join(map(str, shown))}]"


def expand(b: Builder, input: Value, *sizes: Any) -> Value:
    """Sizes that are there already, or features repeated from one."""
    wanted = list(sizes[0] if len(sizes) == 1 and isinstance(sizes[0], list | tuple) else sizes)
    axes: list[Axis] = [1] * (len(wanted) - len(input.axes)) + list(input.axes)
    for k, (size, axis) in enumerate(zip(wanted, axes)):
        if size == -1 or size == size_of(axis, input.extra):
            continue
        if axis == 1 and isinstance(size, int) and b.width(input) == 1:
            axes[k] = size
        elif axis == 1 and isinstance(size, Size) and b.is_constant(input) and len(size.symbols) == 1 and not size.plus:
            axes[k] = size.symbols[0]
        else:
            remedy = "Values of one step or row cannot be used at others; features of a single number can."
            refuse("expanded over features only", f"{described(input)} to {_text(wanted)}", remedy, True)
    return replace(input, axes=tuple(axes), state=False)


def expand_as(b: Builder, input: Value, other: Value) -> Value:
    return expand(b, input, [size_of(a, other.extra) for a in other.axes])


def same(b: Builder, input: Value, *given: Any, **options: Any) -> Value:
    """contiguous, clone, detach."""
    return replace(input, state=False)


# Features.


def cat(b: Builder, tensors: Sequence[Any], dim: int = 0) -> Value:
    values = [t for t in tensors if isinstance(t, Value)]
    first = values[0]
    at = axis_index(first, dim)
    if any(UNKNOWN in v.axes for v in values):
        raise NeedsWidthError
    parts: list[Value] = []
    for t in tensors:
        part = t
        if isinstance(t, Const):
            axes = tuple(t.shape[k] if k == at else a for k, a in enumerate(first.axes)) if t.shape else ()
            own = [a for a in axes if not isinstance(a, int)]
            if len(t.shape) != len(first.axes) or any(t.shape[k] != 1 for k, a in enumerate(axes) if a in own):
                refuse("values with the same rows and steps", f"a constant {list(t.shape)}", "Expand it first.", True)
            part = Value(b.constant(t, axes), axes, first.lead, first.tail, zeros=not first.lead)
        parts.append(part)
    along = [v.axes[at] for v in parts if len(v.axes) == len(first.axes) and not isinstance(v.axes[at], int)]
    if along:
        remedy = "A stream has one step at a time. Concatenate features, or pad with torch.nn.functional.pad."
        refuse("concatenated over features", f"over {meaning(along[0])}", remedy, along[0] != TIME)
    for v in parts:
        others = [(*w.axes[:at], *w.axes[at + 1 :]) for w in (v, first)]
        steps = [(w.lead, w.tail) for w in (v, first)]
        if len(v.axes) != len(first.axes) or others[0] != others[1] or steps[0] != steps[1]:
            received = f"{described(v)} beside {described(first)}"
            remedy = "A mean, a maximum or a last step is no part of every step."
            refuse("values with the same rows and steps", received, remedy)
    return b.concatenate(parts, at)


def stack(b: Builder, tensors: Sequence[Any], dim: int = 0) -> Value:
    return cat(b, [unsqueeze(b, t, dim) if isinstance(t, Value) else t for t in tensors], dim)


def _feature_axis(value: Value, dim: Any, call: str) -> tuple[int, int]:
    at = axis_index(value, dim)
    size = value.axes[at]
    if size == UNKNOWN:
        raise NeedsWidthError
    if not isinstance(size, int):
        remedy = "A stream has one step at a time; divide features."
        refuse(f"{call} of features", f"of {meaning(size)}", remedy, size != TIME)
    return at, size


def split(b: Builder, tensor: Value, split_size: Any = None, dim: int = 0, split_size_or_sections: Any = None) -> Any:
    wanted = split_size if split_size is not None else split_size_or_sections
    at, size = _feature_axis(tensor, dim, "a split")
    parts = [min(wanted, size - k) for k in range(0, size, wanted)] if isinstance(wanted, int) else list(wanted)
    if any(not isinstance(p, int) for p in parts) or sum(parts) != size:
        refuse(f"given parts whose sum is {size}", str(parts), "Give the sizes of all parts.", True)
    return tuple(b.columns(tensor, at, sum(parts[:k]), part) for k, part in enumerate(parts))


def chunk(b: Builder, input: Value, chunks: int, dim: int = 0) -> Any:
    _, size = _feature_axis(input, dim, "chunks")
    return split(b, input, -(-size // chunks), dim)


def unbind(b: Builder, input: Value, dim: int = 0) -> Any:
    at, size = _feature_axis(input, dim, "unbind")
    return tuple(squeeze(b, b.columns(input, at, k, 1), at) for k in range(size))


def glu(b: Builder, input: Value, dim: int = -1) -> Value:
    _, size = _feature_axis(input, dim, "GLU")
    if size % 2:
        refuse("GLU of an even number of features", str(size), "Give it twice as many as leave it.", True)
    a, gate = chunk(b, input, 2, dim)
    return b.op("mul", a, b.op("sigmoid", gate))


SHAPES: dict[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (permute, transpose, movedim, unsqueeze, squeeze, reshape, flatten, unflatten)},
    **{f.__name__: f for f in (expand, expand_as, cat, stack, split, chunk, unbind, glu)},
    **dict.fromkeys(("contiguous", "clone", "detach"), same),
    "view": reshape,
    "swapaxes": transpose,
    "swapdims": transpose,
    "concat": cat,
    "concatenate": cat,
}
"""torch's name of a function → how it is read."""

VIEWS = {*SHAPES, "getitem", "getattr", "select", "narrow", "dropout", "to", "float", "double", "type_as", "cpu"}
VIEWS -= {"cat", "concat", "concatenate", "stack", "clone", "glu"}
"""Functions whose result may share memory with what they read."""
