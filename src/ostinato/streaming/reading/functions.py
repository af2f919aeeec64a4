"""Functions of torch and Python's operators by name: which of them a stream can run, and how they are read.

Each takes the builder and torch's arguments, by torch's names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from ...network import Embedding, LayerNorm, Parameter, Softmax
from .activations import ACTIVATIONS
from .builder import Builder, Operand
from .shapes import SHAPES, permuted
from .sizes import TIME, UNKNOWN, NeedsWidthError, Size, size_of
from .times import TIMES
from .values import Const, Value, axis_index, described, meaning, refuse


def add(b: Builder, input: Operand, other: Operand, *, alpha: float = 1) -> Value:
    return b.op("add", input, _times(b, other, alpha))


def sub(b: Builder, input: Operand, other: Operand, *, alpha: float = 1) -> Value:
    return b.op("sub", input, _times(b, other, alpha))


def rsub(b: Builder, input: Operand, other: Operand, *, alpha: float = 1) -> Value:
    return sub(b, other, input, alpha=alpha)


def _times(b: Builder, operand: Operand, alpha: float) -> Operand:
    if isinstance(operand, int | float):
        return operand * alpha
    return operand if alpha == 1 else b.op("mul", operand, float(alpha))


def div(b: Builder, input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Value:
    if rounding_mode is not None:
        refuse("a quotient without rounding", f"rounding_mode={rounding_mode!r}", "Leave it out.")
    return b.op("div", input, other)


def addcmul(b: Builder, input: Operand, tensor1: Operand, tensor2: Operand, *, value: float = 1) -> Value:
    return b.op("add", input, _times(b, b.op("mul", tensor1, tensor2), value))


def lerp(b: Builder, input: Operand, end: Operand, weight: Operand) -> Value:
    return b.op("add", input, b.op("mul", weight, b.op("sub", end, input)))


def _binary(name: str) -> Callable[..., Value]:
    def read(b: Builder, input: Operand, other: Operand) -> Value:
        return b.op(name, input, other)

    return read


# Choices.


def _condition(value: Any) -> Value:
    if not isinstance(value, Value) or value.kind != "condition":
        refuse("given a comparison", "a value that is none", "Write where(x > 0, a, b).")
    return value


def where(b: Builder, condition: Any, input: Operand, other: Operand) -> Value:
    return b.op("where", _condition(condition), input, other)


def masked_fill(b: Builder, input: Operand, mask: Any, value: Operand) -> Value:
    return b.op("where", _condition(mask), value, input)


def both(b: Builder, input: Any, other: Any) -> Value:
    return b.op("gt", b.op("mul", _condition(input), _condition(other)), 0.5)


def either(b: Builder, input: Any, other: Any) -> Value:
    return b.op("gt", b.op("add", _condition(input), _condition(other)), 0.5)


def negated(b: Builder, input: Any) -> Value:
    return b.op("lt", b.as_number(_condition(input)), 0.5)


# Numbers.


def to(b: Builder, input: Value, *given: Any, **options: Any) -> Value:
    """Conversions to the model's own type, and to the CPU."""
    for value in (*given, *options.values()):
        if isinstance(value, torch.dtype) and value != b.dtype:
            if input.kind == "token" and value in (torch.int64, torch.int32):
                continue
            remedy = "A stream computes in the type of the parameters; convert the model as a whole."
            refuse(f"a conversion to {b.dtype}", str(value), remedy)
        if isinstance(value, str | torch.device) and torch.device(value).type != "cpu":
            refuse("on the CPU", str(value), "Leave the device out.")
    return input if input.kind == "token" else replace(b.as_number(input), state=False)


def _to(dtype: torch.dtype) -> Callable[..., Value]:
    return lambda b, input: to(b, input, dtype)


def dropout(b: Builder, input: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:
    if training and p:
        remedy = "Write dropout(x, p, training=self.training): by default it draws in evaluation too."
        refuse("without random numbers in evaluation", "dropout with training=True", remedy)
    return input


def filled(b: Builder, size: Sequence[Any], number: Any) -> Value:
    """A tensor of one number, in sizes of which some depend on x."""
    axes = []
    for s in size:
        if isinstance(s, Size):
            if len(s.symbols) != 1 or s.number != 1 or s.plus:
                refuse("of the sizes T, B and numbers", "another size", "Take sizes from x.shape as they are.")
            axes.append(s.symbols[0])
        else:
            axes.append(s)
    return Value(b.number(number), tuple(axes))


def _filled(number: float) -> Callable[..., Value]:
    def read(b: Builder, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Value:
        sizes = [s for s in size if not isinstance(s, Value)]  # x.new_zeros(...)
        return filled(b, sizes[0] if len(sizes) == 1 and isinstance(sizes[0], list | tuple) else sizes, number)

    return read


def _like(number: float) -> Callable[..., Value]:
    def read(b: Builder, input: Value, dtype: Any = None, device: Any = None, memory_format: Any = None) -> Value:
        return replace(input, node=b.number(number), kind="number", state=False)

    return read


def full(b: Builder, size: Sequence[Any], fill_value: float, dtype: Any = None, device: Any = None) -> Value:
    return filled(b, size, fill_value)


# Features.


def matrix(b: Builder, weight: Any, name: str) -> Const:
    if not isinstance(weight, Const):
        remedy = "A product of two values over time reads later steps. Use a weight of the model, or recurrence."
        refuse(f"{name} with a weight of the model", f"{name} of two values that depend on x", remedy)
    if len(weight.shape) != 2:
        refuse(f"{name} with a matrix", f"sizes {list(weight.shape)}", "Give a weight of two dimensions.")
    return weight


def linear(b: Builder, input: Any, weight: Any, bias: Any = None) -> Value:
    own = matrix(b, weight, "linear")
    given = None if bias is None else b.parameter(bias, bias.shape)
    return b.linear(input, b.parameter(own, own.shape), given)


def matmul(b: Builder, input: Any, other: Any) -> Value:
    """x @ weight, as a Linear with the weight transposed."""
    own = matrix(b, other, "matmul")
    if not isinstance(input, Value):
        refuse("a product with the value on the left", "the weight on the left", "Write x @ weight.")

    def read() -> torch.Tensor:
        return own.compute().detach().to("cpu", b.dtype).t().contiguous()

    return b.linear(input, Parameter(f"{own.name}.t", (own.shape[1], own.shape[0]), read), None)


def softmax(b: Builder, input: Value, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Value:
    return normalized(b, input, dim, False)


def log_softmax(b: Builder, input: Value, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Value:
    return normalized(b, input, dim, True)


def softmin(b: Builder, input: Value, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Value:
    return normalized(b, b.op("neg", input), dim, False)


def normalized(b: Builder, value: Value, dim: Any, log: bool) -> Value:
    """Softmax over features."""
    if dim is None:
        refuse("softmax over features", "no dimension", "Write softmax(x, dim=-1) with the axis of features.")
    at = axis_index(value, dim)
    axis = value.axes[at]
    if axis == UNKNOWN:
        raise NeedsWidthError
    if not isinstance(axis, int):
        remedy = "Over time it reads later steps. Give the axis of features."
        refuse("softmax over features", f"over {meaning(axis)}", remedy, axis != TIME)
    if not value.whole_features(at):
        refuse("softmax over all features", f"over some of {described(value)}", "Reshape it.")
    value = b.dense(b.as_number(value))
    node = Softmax(place=b.place, inputs=(value.node,), width=b.width(value), log=log)
    return replace(value, node=b.add(node), zeros=False, state=False)


def layer_norm(
    b: Builder, input: Value, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Value:
    shape = tuple(normalized_shape)
    if len(shape) != 1:
        refuse("LayerNorm over one axis of features", f"over {list(shape)}", "Reshape it.")
    value = b.features_last(input, shape[0])
    given = [None if p is None else b.parameter(p, shape) for p in (weight, bias)]
    node = LayerNorm(
        place=b.place, inputs=(value.node,), width=shape[0], eps=float(eps), weight=given[0], bias=given[1]
    )
    return replace(value, node=b.add(node), zeros=False, state=False)


def embedded(b: Builder, value: Any, table: Parameter) -> Value:
    """Rows of a table [tokens, D], for the tokens that x holds."""
    if not isinstance(value, Value) or value.kind != "token":
        refuse("given the tokens that x holds", "numbers", "Give the embedding x itself.", True)
    count, width = table.shape
    b.tokens = count if b.tokens is None else min(b.tokens, count)
    node = Embedding(place=b.place, inputs=(value.node,), width=width, table=table)
    return replace(value, node=b.add(node), axes=(*value.axes, width), kind="number", zeros=False)


def embedding(
    b: Builder, input: Any, weight: Any, padding_idx: Any = None, max_norm: Any = None, *rest: Any, **options: Any
) -> Value:
    if max_norm is not None:
        refuse("an embedding without max_norm", f"max_norm={max_norm}", "Bound the norms of the table in training.")
    own = matrix(b, weight, "embedding")
    return embedded(b, input, b.parameter(own, own.shape))


# What a value says of itself.


def size(b: Builder, input: Value, dim: int | None = None) -> Any:
    if dim is not None:
        return size_of(input.axes[axis_index(input, dim)], input.extra)
    return tuple(size_of(a, input.extra) for a in input.axes)


def attribute(b: Builder, input: Any, name: str, default: Any = None) -> Any:
    if name == "shape":
        return size(b, input)
    if name == "ndim":
        return len(input.axes)
    if name == "dtype":
        return b.dtype if input.kind == "number" else torch.int64
    if name == "device":
        return torch.device("cpu")
    if name in ("T", "mT") and len(input.axes) == 2:
        return permuted(input, [1, 0])
    if name == "mT":
        return permuted(input, [*range(len(input.axes) - 2), len(input.axes) - 1, len(input.axes) - 2])
    refuse("an attribute that a stream knows", name, "Write x.shape, x.ndim, x.dtype or x.device.")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **ACTIVATIONS,
    **SHAPES,
    **TIMES,
    **{name: _binary(name) for name in ("mul", "lt", "le", "gt", "ge")},
    **{f.__name__: f for f in (add, sub, rsub, div, addcmul, lerp, where, masked_fill, to, dropout, full)},
    **{f.__name__: f for f in (linear, matmul, softmax, log_softmax, softmin, layer_norm, embedding, size)},
    "greater": _binary("gt"),
    "greater_equal": _binary("ge"),
    "alpha_dropout": dropout,
    "feature_alpha_dropout": dropout,
    "dropout1d": dropout,
    "and_": both,
    "logical_and": both,
    "or_": either,
    "logical_or": either,
    "invert": negated,
    "logical_not": negated,
    "mm": matmul,
    "bmm": matmul,
    "getattr": attribute,
    "dim": lambda b, input: len(input.axes),
    "float": _to(torch.float32),
    "double": _to(torch.float64),
    "half": _to(torch.float16),
    "bfloat16": _to(torch.bfloat16),
    "long": _to(torch.int64),
    "type": to,
    "cpu": to,
    "type_as": lambda b, input, other: to(b, input),
    "zeros": _filled(0.0),
    "new_zeros": _filled(0.0),
    "ones": _filled(1.0),
    "new_ones": _filled(1.0),
    "zeros_like": _like(0.0),
    "ones_like": _like(1.0),
}
"""Name → how it is read. `maximum` and `max` are those of `times`, which tell values from axes."""

ATTENTION = "Attention reads all steps of a sequence; a stream has the states of recurrent layers."
_OTHER_STEPS = "Over time it reads other steps, which a stream does not have; over features write nn.Linear."
REFUSED = {
    **dict.fromkeys(("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "flip", "roll", "sort"), _OTHER_STEPS),
    **dict.fromkeys(("argsort", "topk", "median", "fliplr", "flipud", "diff", "unfold", "gather"), _OTHER_STEPS),
    "scaled_dot_product_attention": ATTENTION,
    "multi_head_attention_forward": ATTENTION,
    "einsum": "Write nn.Linear for a product with a weight; a product of two values over time reads later steps.",
    "conv_transpose1d": "A stream has an output for every step; a transposed convolution has others.",
    "max_pool1d": "A stream has an output for every step. Write a mean or maximum over all time.",
    "avg_pool1d": "A stream has an output for every step. Write a causal Conv1d.",
    "interpolate": "A stream has an output for every step.",
    "argmax": "Return the scores, and choose from what the stream returns.",
    "setitem": "Write torch.cat or torch.where instead of assigning to a part of a tensor.",
    "erf": 'Write nn.GELU(approximate="tanh") if it is for GELU.',
    "item": "A stream's network is the same at every step.",
}
"""Name → what to write instead."""

RANDOM = frozenset(
    ("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "bernoulli", "normal")
    + ("multinomial", "poisson", "uniform_", "normal_", "bernoulli_", "exponential_")
)
"""Functions that draw."""
