"""What is known of an operation of the notation: the type of a row of the table `OPERATIONS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

# Python's precedence: what binds tighter has the larger number.
COMPARISON, SUM, PRODUCT, SIGN, ATOM = range(5)


@dataclass(frozen=True)
class Setting:
    """A numeric argument besides the operands, which torch's function takes by position or by name.

    default  the value where none is given; None where the argument is required
    only     where the default is the only value that cells support: the end of the sentence that refuses another,
             {0} being that one
    """

    name: str
    default: float | None
    only: str = ""


@dataclass(frozen=True, kw_only=True)
class _Name:
    """How an operation is written and read.

    name       torch's name of the function, the op of its nodes
    function   on tensors, operands first and then settings: what the reference computes
    operands   how many values it is written with
    settings   the numbers after them
    attr       the numbers given for the settings → the attr of the node; settings with `only` are no part of it
    learned    what to write for a setting that is to be learned
    evaluate   the value from all nodes that the node reads and its settings, where these are more than the operands
    own        a function of this package. Otherwise it is torch's function of that name, which computes unit by unit
    internal   it cannot be written: another operation makes the node
    synonyms   other names of torch's, numpy's or Python's for it
    check      the operands as they are written → what is wrong with them, or ""
    remedy     what to write after torch itself refused a call
    simplify   nodes and settings → an older node that is the same, or None
    fold       constant operands → the constant result, or None
    """

    name: str
    function: Callable[..., Any]
    operands: int = 1
    settings: tuple[Setting, ...] = ()
    attr: Callable[..., Any] | None = None
    learned: str = ""
    evaluate: Callable[..., Tensor] | None = None
    own: bool = False
    internal: bool = False
    synonyms: tuple[str, ...] = ()
    check: Callable[..., str] = lambda *operands: ""
    remedy: str = ""
    simplify: Callable[..., Any] = lambda *nodes: None
    fold: Callable[..., float | None] | None = None


@dataclass(frozen=True, kw_only=True)
class _Text:
    """How an operation is printed, as Python and as LaTeX.

    symbol      between two operands
    prefix      before the one operand
    precedence  how tightly that binds; a call is an atom
    written     the node's settings → arguments after the operands, name=number for each where there is no rule
    own_line    in the canonical text, the value gets a line of its own
    comparison  the value is true or false: the condition of a `where` and nothing else
    condition   the first operand is a comparison
    latex       the sign between operands; or the name before them in parentheses, the name in upright letters where
                there is none; or a function from the arguments, in LaTeX, to the whole
    """

    symbol: str = ""
    prefix: str = ""
    precedence: int = ATOM
    written: Callable[..., Sequence[str]] | None = None
    own_line: bool = False
    comparison: bool = False
    condition: bool = False
    latex: str | Callable[..., str] = ""


@dataclass(frozen=True, kw_only=True)
class _Derivative:
    """How gradients go through an operation, and what measurements know of its curve. y is its value, [...].

    adjoint              (y, d = dL/dy, a, b, ...) → (dL/da, dL/db, ...), in the notation; None where nothing flows.
                         The nodes are all that the node reads; its settings are y.attr
    adjoint_within_unit  the same with means over the units held fixed, where that differs
    linear               sums and the like, which a gate's pre-activation may go through
    over_units           one number out of all units of a row
    slope                y → its derivative, for the one operand
    greatest_slope       settings → the largest derivative in absolute value
    range                the least and the greatest value, where both are finite
    saturated            y → (bool where it is at the low end, bool where it is at the high end)
    """

    adjoint: Callable[..., tuple] | None = None
    adjoint_within_unit: Callable[..., tuple] | None = None
    linear: bool = False
    over_units: bool = False
    slope: Callable[[Tensor], Tensor] | None = None
    greatest_slope: Callable[..., float] | None = None
    range: tuple[float, float] | None = None
    saturated: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None


@dataclass(frozen=True, kw_only=True)
class _Code:
    """How an operation is compiled and exported. Builders are passed in, so that no row imports llvmlite or onnx.

    vector         (v, nodes and settings) → vector code; v is a `MathLanes` of `kernels.codegen.math_functions`,
                   with the instructions of `kernels.codegen.vector_ops.Lanes`. None where
                   kernels write it together with its neighbours
    onnx           (g, nodes and settings) → the result's name; g has `make(operator, *inputs, **attributes)` and
                   `number(value)`, as `export.onnx_graph.GraphBuilder`
    rematerialize  whether backward computes the value again instead of reading it from memory: "always" what takes an
                   instruction or two; "with norm" activations, in cells that keep the norms of their products
    """

    vector: Callable[..., Any] | None = None
    onnx: Callable[..., str] | None = None
    rematerialize: Literal["always", "with norm", "never"] = "never"


@dataclass(frozen=True, kw_only=True)
class Operation(_Code, _Derivative, _Text, _Name):
    """All that is known of one operation. The fields are described above, by subject."""

    @property
    def called(self) -> bool:
        """Whether it is written as a call, name(...)."""
        return not (self.symbol or self.prefix or self.internal)

    def compute(self, inner: Sequence[Tensor], attr: Any) -> Tensor:
        """The value of a node from those of the nodes that it reads."""
        return (self.evaluate or self.function)(*inner, *numbers(attr))

    def arguments(self, attr: Any) -> list[str]:
        """What a node's text has after its operands."""
        if self.written is not None:
            return list(self.written(*numbers(attr)))
        named = [s.name for s in self.settings if not s.only]
        return [f"{name}={n!r}" for name, n in zip(named, numbers(attr), strict=True)]


def numbers(attr: Any) -> tuple[float, ...]:
    """The settings of a node, from its attr: none, one number, or several."""
    return () if attr is None else attr if isinstance(attr, tuple) else (attr,)
