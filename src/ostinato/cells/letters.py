"""The letters while a cell is traced. W, U and V need an operand; b, d, p and the random numbers R, S are values.

R and S are random numbers, uniform in [0, 1), one for each unit of a row: R is drawn in every step, S once for a
sequence.
"""

from __future__ import annotations

import keyword
from typing import Any, NoReturn

from ..errors import CellError
from .operations import COMPARISONS
from .value import Graph, Value

LETTERS = ("W", "U", "V", "b", "d", "p", "R", "S")
MATRICES, VECTORS, RANDOM = ("W", "U", "V"), ("b", "d", "p"), ("R", "S")


class Matrix:
    """A weight before its product is taken: `W.i`, the left operand of `W.i @ x`."""

    is_letter = True

    def __init__(self, letter: Letter, name: str):
        self.letter, self.name = letter, name

    def __str__(self) -> str:
        return f"the weight {self.letter.letter}.{self.name}"

    @property
    def remedy(self) -> str:
        return f"a product, {self.letter.letter}.{self.name} @ {'x' if self.letter.letter == 'W' else 'h'}"

    def __matmul__(self, v: Any) -> Value:
        return self.letter.product(self.name, v)

    def __mul__(self, o: object) -> NoReturn:
        raise CellError(f"{self} is not a value. Write {self.remedy}.")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self.__mul__(None)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> NoReturn:
        given = next((a for a in args if isinstance(a, Matrix)), None)
        raise CellError(
            f"torch.{getattr(func, '__name__', func)} takes values, got {given or 'a weight'}. "
            f"Write {given.remedy if given else 'a product, W.name @ x'}."
        )

    __call__ = __getitem__ = __add__ = __sub__ = __truediv__ = __pow__ = __lt__ = __le__ = __gt__ = __ge__ = __mul__
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __mul__

    def __neg__(self) -> NoReturn:
        self.__mul__(None)


class Letter:
    """A letter while a cell is traced. Its names are kept in the order of their first use."""

    is_letter = True

    def __init__(self, graph: Graph, letter: str):
        self.graph, self.letter = graph, letter
        self.names: dict[str, None] = {}
        self._operand: dict[str, Value] = {}

    def __str__(self) -> str:
        return f"the letter {self.letter} without a name"

    @property
    def remedy(self) -> str:
        return f"{self.letter}.name{' @ x' if self.letter == 'W' else ' @ h' if self.letter in MATRICES else ''}"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name.startswith("_") or not name.isidentifier() or keyword.iskeyword(name):
            raise CellError(
                f"{self.letter}.{name}: a name must be a plain word that does not begin with _. Write another."
            )
        if self.letter in MATRICES:
            return Matrix(self, name)
        self._use(name)
        return self.graph.make("random" if self.letter in RANDOM else "vec", attr=(self.letter, name))

    def __matmul__(self, o: object) -> NoReturn:
        raise CellError(f"{self} is not a value. Write {self.remedy}.")

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> NoReturn:
        given = next((a for a in args if isinstance(a, Letter)), None)
        raise CellError(f"{given or 'a letter'} is not a value. Write {given.remedy if given else 'W.name @ x'}.")

    __call__ = __getitem__ = __mul__ = __add__ = __sub__ = __truediv__ = __pow__ = __matmul__
    __rmul__ = __radd__ = __rsub__ = __rtruediv__ = __rmatmul__ = __matmul__

    def __neg__(self) -> NoReturn:
        self.__matmul__(None)

    def _use(self, name: str) -> None:
        self.names.setdefault(name)

    def product(self, name: str, v: Any) -> Value:
        """W.name @ x, U.name @ (...), V.name @ (...)."""
        me = f"{self.letter}.{name}"
        if not isinstance(v, Value):
            got = v if getattr(v, "is_letter", False) or isinstance(v, (int, float)) else type(v).__name__
            raise CellError(f"{me} @ takes a value, got {got}. Write {self.remedy.replace('name', name)}.")
        if v.op in COMPARISONS:
            raise CellError(f"{me} @ takes a value, got a comparison. Write where(a > b, u, v) around it.")
        if self.letter == "W" and v.op != "x":
            raise CellError(
                f"{me} is a weight on the input x, [units, input_size]; this is computed. Write U.{name} @ (...)."
            )
        if self.letter != "W" and v.op == "x":
            raise CellError(f"{me} @ x: {self.letter} stands before what is computed from a state. Write W.{name} @ x.")
        if self.letter != "W" and v.id not in self.graph.from_state:
            raise CellError(
                f"{me} @ takes something computed from a state; this depends on x and parameters alone. "
                f"Write W.{name} @ x, or let a state enter it."
            )
        if self._operand.setdefault(name, v) is not v:
            raise CellError(
                f"{me} is multiplied with two different values; one name is one product. "
                f"Write a name of its own for the second weight, as in {me}2 @ (...)."
            )
        self._use(name)
        return self.graph.make("mm", v, attr=(self.letter, name))


class ZeroLetter:
    """A letter whose names all have the value `zero`: a bias that a layer does not have.

    zero  the constant 0 of a graph, or of a tensor without dimensions
    """

    def __init__(self, zero: Any):
        self._zero = zero

    def __getattr__(self, name: str) -> Any:
        return self._zero
