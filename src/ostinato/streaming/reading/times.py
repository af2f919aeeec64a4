"""Operations over time: padding, causal convolutions, means and maxima of all steps so far.

Each takes the builder, the value and torch's further arguments, by torch's names. Letters: T steps, B rows, C features
that enter, O that leave, K taps, G groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from ...network import Convolution, Parameter, Running
from .builder import Builder
from .shapes import squeeze
from .sizes import ROWS, TIME, UNKNOWN, FoundWidthError, NeedsWidthError
from .slices import cut, getitem, narrow, select
from .values import Const, Value, axis_index, described, meaning, refuse

# Padding and convolutions.


def pad(b: Builder, input: Value, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Value:
    """Zeros before the first step or behind the last one."""
    amounts = [*pad]
    for k in range(0, len(amounts), 2):
        before, after = amounts[k : k + 2]
        axis = input.axes[axis_index(input, -1 - k // 2)]
        if not before and not after:
            continue
        if axis != TIME:
            remedy = "Pad time with zeros; concatenate constants to features."
            refuse("padding of time", f"of {meaning(axis)}", remedy, True)
        if mode != "constant" or value not in (None, 0):
            received = f"mode={mode!r}, value={value!r}"
            refuse("padding with zeros", received, "A convolution of a stream begins with zeros.")
        if before < 0 or after < 0:
            input = cut(input, -min(before, 0), -min(after, 0))
        if before > 0 and not input.zeros and input.lead:
            refuse("padding once", "padding of a padded value", "Write all padding in one call.")
        more = max(before, 0)
        input = replace(
            input, lead=input.lead + more, tail=input.tail + max(after, 0), zeros=input.zeros or not input.lead
        )
    return input


@dataclass(frozen=True)
class Taps:
    """How a convolution is written.

    weight   [O, C / G, K]
    padding  zeros on both sides, or "same" or "valid"
    """

    weight: Parameter
    bias: Parameter | None
    stride: int
    padding: int | str
    dilation: int
    groups: int


def convolve(b: Builder, value: Value, taps: Taps) -> Value:
    """Conv1d [B, C, T] → [B, O, T]. Its weight becomes a dense one where it has groups."""
    outputs, inputs, count = taps.weight.shape
    inputs *= taps.groups
    if len(value.axes) != 3 or value.axes[0] != ROWS or value.axes[2] != TIME:
        refuse("given [B, C, T]", described(value), "Transpose it so.", True)
    if value.axes[1] == UNKNOWN:
        raise FoundWidthError(inputs)
    if value.axes[1] != inputs:
        refuse(f"given {inputs} features", described(value), "Transpose it so.", True)
    if taps.stride != 1:
        remedy = "A stream has an output for every step. Use stride=1 with dilation."
        refuse("a convolution with stride=1", f"stride={taps.stride}", remedy)
    reach = (count - 1) * taps.dilation
    before = taps.padding if isinstance(taps.padding, int) else reach // 2 if taps.padding == "same" else 0
    after = reach - before if taps.padding == "same" else before
    lead = value.lead + before - reach
    remedy = f"Write F.pad(x, ({reach}, 0)) before it, or padding={reach} and [..., :-{reach}] behind it."
    if lead < 0 and taps.padding in (0, "valid") and not value.lead and not value.tail:
        received = f"no padding, so that the first {-lead} steps have no output"
        refuse(f"a causal convolution, with {reach} steps of padding before the first one", received, remedy)
    if lead < 0:
        text = f'padding="{taps.padding}"' if isinstance(taps.padding, str) else f"{value.lead + before}"
        received = f"{text}, so that y[t] reads x[t + {-lead}]"
        refuse(f"a causal convolution, with {reach} steps of padding before the first one", received, remedy)
    if lead > 0:
        received = f"{lead + reach}, so that y[t] is that of step t - {lead}"
        refuse(f"a causal convolution, with {reach} steps of padding before the first one", received, remedy)
    if value.lead and (before or not value.zeros):
        remedy = "Pad right before the convolution, once."
        refuse("a convolution of x with zeros before its first step", "something between them", remedy)
    value = b.dense(b.as_number(value))
    weight = _dense(b, taps.weight, taps.groups)
    node = Convolution(
        place=b.once(b.place) if reach else b.place,
        inputs=(value.node,),
        width=outputs,
        weight=weight,
        bias=taps.bias,
        dilation=taps.dilation,
    )
    return Value(b.add(node), (ROWS, outputs, TIME), 0, value.tail + after)


def _dense(b: Builder, weight: Parameter, groups: int) -> Parameter:
    """[O, C / G, K] → [O, C, K], with zeros where a group reads nothing."""
    if groups == 1:
        return weight
    outputs, inputs, count = weight.shape
    each = outputs // groups

    def read() -> Tensor:
        value, found = weight.read(), torch.zeros(outputs, inputs * groups, count, dtype=b.dtype, device="cpu")
        for g in range(groups):
            rows = slice(g * each, (g + 1) * each)
            found[rows, g * inputs : (g + 1) * inputs] = value[rows]
        return found

    return Parameter(f"{weight.name}.dense", (outputs, inputs * groups, count), read)


def single(value: Any) -> Any:
    """The number of a tuple of one."""
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def conv1d(
    b: Builder,
    input: Value,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    if not isinstance(weight, Const):
        refuse("a convolution with a weight of the model", "one that depends on x", "Use a parameter.")
    own = b.parameter(weight, weight.shape)
    given = None if bias is None else b.parameter(bias, bias.shape)
    return convolve(b, input, Taps(own, given, single(stride), single(padding), single(dilation), groups))


# All steps so far.


def running(b: Builder, value: Value, kind: Literal["mean", "maximum"]) -> Value:
    """The mean or maximum of the steps so far; its axis becomes 1."""
    at = value.time
    assert at is not None
    if value.extra:
        remedy = "Slice the padding off first."
        refuse("of the steps of x", f"{value.extra} steps more", remedy)
    if UNKNOWN in value.axes:
        raise NeedsWidthError
    value = b.dense(b.as_number(value))
    node = Running(place=b.once(b.place), inputs=(value.node,), width=b.width(value), kind=kind)
    return replace(value, node=b.add(node), axes=(*value.axes[:at], 1, *value.axes[at + 1 :]), state=False)


def _over(value: Value, dim: Any, call: str) -> list[int]:
    """The places of the axes, which are time or features."""
    if dim is None:
        dim = list(range(len(value.axes)))
    places = sorted({axis_index(value, d) for d in (dim if isinstance(dim, list | tuple) else [dim])})
    for k in places:
        axis = value.axes[k]
        if axis == ROWS or isinstance(axis, tuple):
            remedy = "The rows of a stream are independent of each other. Give the axis of time, or of features."
            refuse(f"a {call} over time or features", f"over {meaning(axis)}", remedy, True)
    return places


def mean(b: Builder, input: Value, dim: Any = None, keepdim: bool = False) -> Value:
    places = _over(input, dim, "mean")
    if any(input.axes[k] == TIME for k in places):
        input = running(b, input, "mean")
    input = _share(b, input, places, 1.0, divide=True)
    return input if keepdim else squeeze(b, input, places)


def sum(b: Builder, input: Value, dim: Any = None, keepdim: bool = False) -> Value:
    places = _over(input, dim, "sum")
    if any(input.axes[k] == TIME for k in places):
        refuse("a mean or maximum over time", "a sum", "Write the mean, x.mean(dim), in training too.")
    input = _share(b, input, places, 1.0, divide=False)
    return input if keepdim else squeeze(b, input, places)


def _share(b: Builder, value: Value, places: Sequence[int], one: float, divide: bool) -> Value:
    """The sum or mean over features, as a product by a row of equal numbers."""
    summed = [k for k in places if value.axes[k] != 1]
    if not summed:
        return value
    if any(value.axes[k] == UNKNOWN for k in summed):
        raise NeedsWidthError
    if any(isinstance(a, int) and a != 1 and k not in summed for k, a in enumerate(value.axes)):
        remedy = "Reshape it so that the features are one axis."
        refuse("a sum or mean over all features", f"over some of {described(value)}", remedy)
    value = b.dense(b.as_number(value))
    width = b.width(value)
    kept = tuple(1 if k in summed else a for k, a in enumerate(value.axes))
    name = "mean" if divide else "sum"
    flat = replace(value, axes=(*(a for a in kept if a != 1), width))
    found = b.linear(flat, b.full(f"{name}{width}", (1, width), one / width if divide else one), None)
    return replace(found, axes=kept)


def amax(b: Builder, input: Value, dim: Any = None, keepdim: bool = False) -> Value:
    places = _over(input, dim, "maximum")
    if [input.axes[k] for k in places] != [TIME]:
        refuse("a maximum over time", f"over {meaning(input.axes[places[-1]])}", "Use the maximum over time alone.")
    found = running(b, input, "maximum")
    return found if keepdim else squeeze(b, found, places)


@dataclass(frozen=True)
class Extreme:
    """What x.max(dim) returns: the maximum, and indices, which a stream does not have."""

    values: Value


def maximum(b: Builder, input: Value, dim: Any = None, keepdim: bool = False, other: Any = None) -> Any:
    """x.max(dim), or torch.max(x, y)."""
    if other is not None or isinstance(dim, Value | Const):
        return b.op("maximum", input, dim if other is None else other)
    if dim is None:
        refuse("a maximum over time", "over everything", "Write x.amax(dim) with the axis of time.", True)
    return Extreme(amax(b, input, dim, keepdim))


def minimum(b: Builder, input: Value, dim: Any = None, keepdim: bool = False, other: Any = None) -> Any:
    """torch.min(x, y)."""
    if other is not None or isinstance(dim, Value | Const):
        return b.op("minimum", input, dim if other is None else other)
    refuse("a mean or maximum", "a minimum over an axis", "Write -(-x).amax(dim) with the axis of time.")


def pooled(b: Builder, value: Value, kind: Literal["mean", "maximum"], output_size: Any) -> Value:
    """AdaptiveAvgPool1d(1) and AdaptiveMaxPool1d(1): [B, C, T] → [B, C, 1]."""
    if single(output_size) != 1:
        refuse("pooling to one step", f"output_size={output_size!r}", "Write output_size=1.")
    if not value.axes or value.axes[-1] != TIME:
        refuse("given [B, C, T]", described(value), "Transpose it so.", True)
    return running(b, value, kind)


def max_pool(b: Builder, input: Value, output_size: Any, return_indices: bool = False) -> Value:
    """AdaptiveMaxPool1d(1): [B, C, T] → [B, C, 1]."""
    if return_indices:
        refuse("without indices of steps", "return_indices=True", "A stream has no step numbers; leave it out.")
    return pooled(b, input, "maximum", output_size)


TIMES: dict[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (pad, conv1d, mean, sum, amax, getitem, select, narrow)},
    "max": maximum,
    "maximum": maximum,
    "min": minimum,
    "minimum": minimum,
    "adaptive_avg_pool1d": lambda b, input, output_size: pooled(b, input, "mean", output_size),
    "adaptive_max_pool1d": max_pool,
}
"""torch's name of a function → how it is read."""
