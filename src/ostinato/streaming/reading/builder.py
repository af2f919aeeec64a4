"""`Builder`: adds nodes to a network from traced values, and proves that operands belong to the same steps and rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...network import Columns, Concatenate, Constant, Input, Linear, Node, Number, Parameter, Pointwise
from .sizes import UNKNOWN, Axis, FoundWidthError, features
from .values import Const, Value, described, refuse

Operand = Value | Const | float


class Builder:
    """The nodes of a network in the making.

    place    the module or line of the model that is being read
    tokens   how many tokens the embeddings that read x know; None where none reads it
    timed    whether x has an axis of time; else it is [B, C], the present step
    whole    whether the network may run on whole sequences alone
    stepped  whether a recurrent layer ran on the present step alone
    """

    def __init__(self, width: int, dtype: torch.dtype, timed: bool, whole: bool = False):
        self.dtype, self.timed, self.stepped, self.whole = dtype, timed, False, whole
        self.nodes: list[Node] = [Input(place="x", width=width)]
        self.place = ""
        self.tokens: int | None = None
        self._numbers: dict[str, int] = {}
        self._places: dict[str, int] = {}

    def add(self, node: Node) -> int:
        """Adds a node; returns its index."""
        self.nodes.append(node)
        return len(self.nodes) - 1

    def once(self, place: str) -> str:
        """A place for states: "rnn", and "rnn#2" where it is read a second time."""
        count = self._places[place] = self._places.get(place, 0) + 1
        return place if count == 1 else self.once(f"{place}#{count}")

    def width(self, value: Value) -> int:
        """The numbers that its node has for a row and step."""
        return self.nodes[value.node].width

    def is_constant(self, value: Value) -> bool:
        """Whether it is the same in all rows and steps."""
        return isinstance(self.nodes[value.node], Number | Constant)

    def number(self, number: float) -> int:
        """The node of a number."""
        key = repr(float(number))
        if key not in self._numbers:
            self._numbers[key] = self.add(Number(place=self.place, value=float(number)))
        return self._numbers[key]

    def parameter(self, const: Const, shape: Sequence[int], suffix: str = "") -> Parameter:
        """A constant of the model in these sizes, its values repeated where they are larger."""
        sizes = tuple(shape)

        def read() -> Tensor:
            value = const.compute().detach().to("cpu", self.dtype)
            # -1 and 1 as in expand: axes of length 1 are repeated first.
            return value.reshape(sizes).contiguous() if value.numel() == math.prod(sizes) else value.expand(sizes)

        return Parameter(const.name + suffix, sizes, read)

    def full(self, name: str, shape: tuple[int, ...], number: float) -> Parameter:
        """A tensor of one number."""
        return Parameter(
            f"{self.place}.{name}", shape, lambda: torch.full(shape, number, dtype=self.dtype, device="cpu")
        )

    # Pointwise operations.

    def op(self, operation: str, *operands: Operand, settings: tuple[float, ...] = ()) -> Value:
        """An operation unit by unit of operands that are broadcast as torch does."""
        first = [o for o in operands if isinstance(o, Value)]
        if any(v.kind == "token" for v in first):
            refuse("an operation on numbers", "tokens", "Read tokens with nn.Embedding.", layout=True)
        condition = operation == "where"
        values = [
            self.as_number(o) if isinstance(o, Value) and not (condition and k == 0) else o
            for k, o in enumerate(operands)
        ]
        axes = self._common(values)
        width = features(axes)
        inputs = tuple(self._operand(o, axes, width) for o in values)
        if all(self.nodes[i].width == 1 for i in inputs):
            width = 1
        timed = next((v for v in first if v.has_time and not self.is_constant(v)), None)
        lead, tail = (timed.lead, timed.tail) if timed else (0, 0)
        node = self.add(Pointwise(place=self.place, inputs=inputs, width=width, operation=operation, settings=settings))
        kind = "condition" if operation in ("lt", "le", "gt", "ge") else "number"
        return Value(node, axes, lead, tail, zeros=False, kind=kind)  # type: ignore[arg-type]

    def as_number(self, value: Value) -> Value:
        """A condition as 1 and 0."""
        if value.kind != "condition":
            return value
        inputs = (value.node, self.number(1.0), self.number(0.0))
        node = Pointwise(place=self.place, inputs=inputs, width=self.width(value), operation="where")
        return replace(value, node=self.add(node), kind="number")

    def _common(self, operands: Sequence[Operand]) -> tuple[Axis, ...]:
        """The axes of the result. Raises RefusedError for operands of other steps or rows."""
        values = [o for o in operands if isinstance(o, Value)]
        consts = [o.shape for o in operands if isinstance(o, Const)]
        rank = max([len(v.axes) for v in values] + [len(s) for s in consts])
        result: list[Axis] = []
        for k in range(-rank, 0):
            axes = {v.axes[k] for v in values if -k <= len(v.axes)}
            shared = {v.axes[k] if -k <= len(v.axes) else 1 for v in values if not self.is_constant(v)}
            sizes = {s[k] for s in consts if -k <= len(s)}
            symbols = {a for a in axes if not isinstance(a, int)}
            if symbols == {UNKNOWN} and (more := max([a for a in axes if isinstance(a, int)] + [*sizes, 1])) > 1:
                raise FoundWidthError(more)
            if symbols and (len(symbols) > 1 or len(shared) > 1 or axes - symbols - {1} or sizes - {1}):
                self._mixed(values)
            numbers = {a for a in axes if isinstance(a, int)} | sizes
            if len(numbers - {1}) > 1:
                received = " and ".join(map(described, values)) or "other sizes"
                refuse("an operation of values of the same sizes", received, "Give them equal features.", True)
            result.append(next(iter(symbols)) if symbols else max(numbers, default=1))
        steps = {(v.lead, v.tail) for v in values if v.has_time and not self.is_constant(v)}
        if len(steps) > 1:
            remedy = (
                "Pad the convolution by (kernel_size - 1) * dilation steps, and slice what it has too many at the end."
            )
            received = "one with more steps than the other"
            refuse("an operation of values of the same steps", received, remedy)
        return tuple(result)

    def _mixed(self, values: Sequence[Value]) -> None:
        received = " and ".join(map(described, values))
        if any(v.has_time for v in values) and not all(v.has_time for v in values if not self.is_constant(v)):
            remedy = (
                "A mean, a maximum or a last step is of the whole sequence, and early steps would read later ones. "
                "Use it behind the last operation over time."
            )
            refuse("an operation of values of the same steps", f"one of all steps and one of each, {received}", remedy)
        refuse("an operation of values of the same rows and steps", received, "Transpose one of them.", layout=True)

    def _operand(self, operand: Operand, axes: tuple[Axis, ...], width: int) -> int:
        """The node of an operand of a result with these axes."""
        if isinstance(operand, Value):
            own = self.width(operand)
            if own not in (1, width):
                received = f"{described(operand)} for {features(axes)} features"
                remedy = "Expand a part of the features with a product by a parameter of ones of the full size."
                refuse("an operation of values with equal features", received, remedy)
            return operand.node
        if isinstance(operand, Const):
            return self.constant(operand, axes)
        return self.number(operand)

    def constant(self, const: Const, axes: tuple[Axis, ...]) -> int:
        """The node of a constant of the model beside a value with these axes."""
        if math.prod(const.shape) == 1:
            return self.add(Constant(place=self.place, width=1, parameter=self.parameter(const, (1,), ".number")))
        rank = len(axes)
        aligned = (1,) * (rank - len(const.shape)) + const.shape
        sizes = [a for a in axes if isinstance(a, int)]
        own = [aligned[k] for k, a in enumerate(axes) if isinstance(a, int)]
        count = math.prod(sizes)

        def read() -> Tensor:
            return const.compute().detach().to("cpu", self.dtype).reshape(own).expand(sizes).reshape(count)

        name = const.name if const.shape == (count,) else f"{const.name}.{'x'.join(map(str, (*own, 0, *sizes)))}"
        return self.add(Constant(place=self.place, width=count, parameter=Parameter(name, (count,), read)))

    # Features.

    def linear(self, value: Value, weight: Parameter, bias: Parameter | None) -> Value:
        """Features as the last axis → weight's rows."""
        value = self.features_last(value, weight.shape[1])
        node = Linear(place=self.place, inputs=(value.node,), width=weight.shape[0], weight=weight, bias=bias)
        return replace(value, node=self.add(node), axes=(*value.axes[:-1], weight.shape[0]), zeros=False, state=False)

    def features_last(self, value: Value, count: int) -> Value:
        """Proves that the last axis holds `count` features, and all that there are."""
        value = self.as_number(value)
        last = value.axes[-1] if value.axes else None
        if last == UNKNOWN:
            raise FoundWidthError(count)
        if value.kind == "token" or last != count or not value.whole_features(len(value.axes) - 1):
            refuse(f"given {count} features as the last axis", described(value), "Transpose or reshape it so.", True)
        return self.dense(value)

    def dense(self, value: Value) -> Value:
        """A value whose node has a number for each of its features, not one for all."""
        count = features(value.axes)
        if self.width(value) == count:
            return value
        ones = self.add(Constant(place=self.place, width=count, parameter=self.full(f"ones{count}", (count,), 1.0)))
        node = Pointwise(place=self.place, inputs=(value.node, ones), width=count, operation="mul")
        return replace(value, node=self.add(node))

    def columns(self, value: Value, axis: int, first: int, count: int) -> Value:
        """`count` entries from `first` on, of an axis that holds features."""
        value = self.dense(self.as_number(value))
        outer, inner = features(value.axes[:axis]), features(value.axes[axis + 1 :])
        here = value.axes[axis]
        assert isinstance(here, int)
        axes = (*value.axes[:axis], count, *value.axes[axis + 1 :])
        if (first, count) == (0, here):
            return value
        parts = [self._column(value.node, (k * here + first) * inner, count * inner) for k in range(outer)]
        node = parts[0] if outer == 1 else self._side_by_side(parts)
        return replace(value, node=node, axes=axes, state=False)

    def _column(self, node: int, first: int, width: int) -> int:
        source = self.nodes[node]
        if isinstance(source, Concatenate):
            at = 0
            for i in source.inputs:
                if (at, self.nodes[i].width) == (first, width):
                    return i
                at += self.nodes[i].width
        return self.add(Columns(place=self.place, inputs=(node,), width=width, first=first))

    def _side_by_side(self, parts: Sequence[int]) -> int:
        width = sum(self.nodes[i].width for i in parts)
        return self.add(Concatenate(place=self.place, inputs=tuple(parts), width=width))

    def concatenate(self, values: Sequence[Value], axis: int) -> Value:
        """Values side by side along an axis that holds features; the axes before it hold none."""
        values = [self.dense(self.as_number(v)) for v in values]
        first = values[0]
        width = sum(v.axes[axis] for v in values if isinstance(v.axes[axis], int))  # type: ignore[misc]
        axes = (*first.axes[:axis], width, *first.axes[axis + 1 :])
        if len(values) == 1:
            return first
        outer = features(first.axes[:axis])
        if outer == 1:
            parts = [v.node for v in values]
        else:
            sizes = [self.width(v) // outer for v in values]
            parts = [self._column(v.node, k * s, s) for k in range(outer) for v, s in zip(values, sizes)]
        zeros = all(v.zeros for v in values)
        return replace(first, node=self._side_by_side(parts), axes=axes, zeros=zeros, state=False)
