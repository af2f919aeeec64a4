"""The nodes of a network: what each computes in one step of one row, from the values of earlier nodes.

Letters: T steps, B rows, C numbers that enter a node, H hidden units, O numbers that leave a node, K taps of a
convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..cells import Cell


@dataclass(frozen=True)
class Parameter:
    """A tensor of the model, or one computed from several, as the scale of a BatchNorm.

    name   where it stands in the model, as in `state_dict`
    shape  its sizes
    read   returns its present value, detached, on the CPU, in the network's dtype, contiguous
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], Tensor]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node.

    place   the module or the line of the model that it stands for, "head" or "rnn.0"; names states and errors
    inputs  indices of earlier nodes in `Network.nodes`
    width   numbers that it has for each row and step
    """

    place: str
    inputs: tuple[int, ...] = ()
    width: int

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What it reads of the model, in a fixed order."""
        return ()

    @property
    def structure(self) -> tuple[object, ...]:
        """Everything but names and values of parameters: equal structures have the same compiled code."""
        return (type(self).__name__, self.inputs, self.width)


@dataclass(frozen=True, kw_only=True)
class Input(Node):
    """What the model reads at a step: x [B, C], or with `tokens` the numbers of B tokens, int64 [B], width 1.

    tokens  how many different tokens there are; None where x holds numbers
    """

    tokens: int | None = None

    @property
    def structure(self) -> tuple[object, ...]:
        return (*super().structure, self.tokens)


@dataclass(frozen=True, kw_only=True)
class Embedding(Node):
    """Row x of a table [tokens, width]; its input is the network's `Input` of tokens."""

    table: Parameter

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (self.table,)

    @property
    def structure(self) -> tuple[object, ...]:
        return (*super().structure, self.table.shape)


@dataclass(frozen=True, kw_only=True)
class Recurrent(Node):
    """One layer of one direction of a recurrent layer: `cell` from x [B, C], its states carried from step to step.

    place    the layer and its number, "rnn.0"
    sizes    (C, H, P) with P = H without a projection
    weights  in the order of `cell.parameters(C, H, P)`
    initial  for each state the learned initial state [H] or [P]; None for zeros
    reverse  from the last step to the first: only in a network that runs on whole sequences
    """

    cell: Cell
    sizes: tuple[int, int, int]
    weights: tuple[Parameter, ...]
    initial: tuple[Parameter | None, ...]
    reverse: bool = False

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (*self.weights, *(p for p in self.initial if p is not None))

    @property
    def structure(self) -> tuple[object, ...]:
        cell = self.cell
        return (*super().structure, cell.equations, cell.states, tuple(cell.gates.items()), self.sizes, self.reverse)


@dataclass(frozen=True, kw_only=True)
class Linear(Node):
    """y = weight x + bias. weight [O, C], bias [O] or None. Each sum begins with the bias and runs over C in order."""

    weight: Parameter
    bias: Parameter | None = None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    @property
    def structure(self) -> tuple[object, ...]:
        return (*super().structure, self.weight.shape, self.bias is None)


@dataclass(frozen=True, kw_only=True)
class Convolution(Node):
    """A causal convolution over time: y[t] = bias + Σ_k weight[:, :, k] x[t - (K - 1 - k) · dilation].

    What lies before a stream's first step is 0. Its history, the last (K - 1) · dilation inputs, is a state of
    (K - 1) · dilation · C numbers, oldest step first.
    weight  [O, C, K]
    """

    weight: Parameter
    bias: Parameter | None = None
    dilation: int = 1

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    @property
    def structure(self) -> tuple[object, ...]:
        return (*super().structure, self.weight.shape, self.bias is None, self.dilation)

    @property
    def steps(self) -> int:
        """Steps of the history: (K - 1) · dilation."""
        return (self.weight.shape[2] - 1) * self.dilation


@dataclass(frozen=True, kw_only=True)
class LayerNorm(Node):
    """(x - mean) / sqrt(variance + eps) over the numbers of a row, times weight [C], plus bias [C], where these are."""

    eps: float
    weight: Parameter | None = None
    bias: Parameter | None = None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(p for p in (self.weight, self.bias) if p is not None)

    @property
    def structure(self) -> tuple[object, ...]:
        return (*super().structure, self.eps, self.weight is None, self.bias is None)


@dataclass(frozen=True, kw_only=True)
class Pointwise(Node):
    """An operation of `cells.operations.OPERATIONS` unit by unit, or "fma", a · b + c rounded once.

    An input of width 1 counts for every unit. BatchNorm in evaluation is "fma" of x and two `Constant`s.
    operation  its name in the table: "add", "mul", "tanh", "where", "gt", …
    settings   the numbers after its operands
    """

    operation: str
    settings: tuple[float, ...] = ()

    @property
    def structure(self) -> tuple[object, ...]:
        return (*super().structure, self.operation, self.settings)


@dataclass(frozen=True, kw_only=True)
class Constant(Node):
    """A parameter [C] as the value of every row and step."""

    parameter: Parameter

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (self.parameter,)


@dataclass(frozen=True, kw_only=True)
class Number(Node):
    """One number, the same for every unit, row and step."""

    value: float
    width: int = 1

    @property
    def structure(self) -> tuple[object, ...]:
        return (*super().structure, self.value)


@dataclass(frozen=True, kw_only=True)
class Softmax(Node):
    """exp(x - max) / Σ exp(x - max) over the numbers of a row; with `log` x - max - log Σ exp(x - max)."""

    log: bool = False

    @property
    def structure(self) -> tuple[object, ...]:
        return (*super().structure, self.log)


@dataclass(frozen=True, kw_only=True)
class Concatenate(Node):
    """The values of its inputs side by side."""


@dataclass(frozen=True, kw_only=True)
class Columns(Node):
    """The numbers first, first + 1, …, first + width - 1 of its input."""

    first: int

    @property
    def structure(self) -> tuple[object, ...]:
        return (*super().structure, self.first)


@dataclass(frozen=True, kw_only=True)
class Running(Node):
    """The mean or the maximum of all steps so far, unit by unit.

    mean     states "sum" and "rest", together the sum of all steps, and "count", two numbers, together their number. A
             step adds x to the sum, and what this addition rounds off to the rest; the count likewise. The value is
             (sum + rest) / (count + its rest). A float32 sum by itself would lose small terms on long streams
    maximum  state "maximum", first -inf; NaN stays
    """

    kind: Literal["mean", "maximum"]

    @property
    def structure(self) -> tuple[object, ...]:
        return (*super().structure, self.kind)
