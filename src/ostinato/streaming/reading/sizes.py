"""The axes of a traced value, and sizes of which T and B are not known.

Letters: T steps, B rows of the batch, C features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

TIME, ROWS, UNKNOWN = "T", "B", "C"
"""UNKNOWN is the width of x until a layer that reads it says how many features it takes."""

Axis = int | str | tuple[str, ...]
"""TIME, ROWS, UNKNOWN, features as a number, or time and rows as one axis: (TIME, ROWS) or (ROWS, TIME)."""


class NeedsWidthError(Exception):
    """An operation depends on the width of x, which is not known yet."""


class FoundWidthError(Exception):
    """The first layer that reads x says its width."""

    def __init__(self, width: int):
        super().__init__(width)
        self.width = width


class UnprovenSizeError(Exception):
    """A size, or a new shape, of which it cannot be proved what it means."""


@dataclass(frozen=True)
class Size:
    """number · T^a · B^b · C^c + plus: symbols ("B", "T") are one B and one T; C only while x's width is unknown."""

    number: int
    symbols: tuple[str, ...]
    plus: int = 0

    def __add__(self, other: object) -> Size:
        if not isinstance(other, int):
            raise UnprovenSizeError
        return Size(self.number, self.symbols, self.plus + other)

    __radd__ = __add__

    def __sub__(self, other: object) -> Size | int:
        if isinstance(other, Size) and (other.number, other.symbols) == (self.number, self.symbols):
            return self.plus - other.plus
        if not isinstance(other, int):
            raise UnprovenSizeError
        return self + -other

    def __mul__(self, other: object) -> Size:
        if isinstance(other, int):
            return Size(self.number * other, self.symbols, self.plus * other)
        if not isinstance(other, Size) or self.plus or other.plus:
            raise UnprovenSizeError
        return Size(self.number * other.number, tuple(sorted(self.symbols + other.symbols)))

    __rmul__ = __mul__

    def __floordiv__(self, other: object) -> Size | int:
        if isinstance(other, Size) and not (self.plus or other.plus) and not self.number % other.number:
            left = list(self.symbols)
            for symbol in other.symbols:
                if symbol not in left:
                    raise UnprovenSizeError
                left.remove(symbol)
            number = self.number // other.number
            return Size(number, tuple(left)) if left else number
        if not isinstance(other, int) or not other or self.number % other or self.plus % other:
            raise UnprovenSizeError
        return Size(self.number // other, self.symbols, self.plus // other)


AnySize = int | Size


def size_of(axis: Axis, extra: int) -> AnySize:
    """How long an axis is; extra: steps that the value has beside the T of x."""
    if isinstance(axis, int):
        return axis
    if isinstance(axis, tuple):
        return Size(1, tuple(sorted(axis)))
    return Size(1, (axis,), extra if axis == TIME else 0)


def features(axes: Sequence[Axis]) -> int:
    """The product of the axes that hold features."""
    return math.prod(a for a in axes if isinstance(a, int))


def reshaped(axes: Sequence[Axis], sizes: Sequence[AnySize]) -> tuple[Axis, ...]:
    """The axes of a value after `reshape(sizes)`, of which one may be -1.

    Memory is read in the same order before and after, so each new axis is the product of axes that follow each other.
    Raises UnprovenSizeError where it would mix time or rows with features, or read other rows or steps.
    """
    try:
        found = _regrouped(axes, sizes)
    except UnprovenSizeError:
        if UNKNOWN in axes:
            raise NeedsWidthError from None
        raise
    if any(isinstance(a, tuple) and UNKNOWN in a for a in found):
        raise NeedsWidthError
    return found


def _regrouped(axes: Sequence[Axis], sizes: Sequence[AnySize]) -> tuple[Axis, ...]:
    atoms: list[int | str] = []
    for axis in axes:
        atoms += axis if isinstance(axis, tuple) else [axis]
    wanted = _resolved(atoms, sizes)
    left = [a for a in atoms if a != 1]
    found: list[Axis] = []
    for size in wanted:
        number, symbols = (size, ()) if isinstance(size, int) else (size.number, size.symbols)
        if not isinstance(size, int) and size.plus:
            raise UnprovenSizeError
        taken: list[str] = []
        rest = number
        while rest > 1 or len(taken) < len(symbols):
            if not left:
                raise UnprovenSizeError
            atom = left.pop(0)
            if isinstance(atom, str):
                if number > 1:
                    raise UnprovenSizeError
                taken.append(atom)
                continue
            if math.gcd(rest, atom) == 1 or (rest % atom and atom % rest):
                raise UnprovenSizeError
            if atom > rest:
                left.insert(0, atom // rest)
                rest = 1
            else:
                rest //= atom
        if sorted(taken) != list(symbols):
            raise UnprovenSizeError
        found.append(number if not taken else taken[0] if len(taken) == 1 else tuple(taken))
    if left:
        raise UnprovenSizeError
    return tuple(found)


def _resolved(atoms: Sequence[int | str], sizes: Sequence[AnySize]) -> list[AnySize]:
    """The sizes with what stands for -1."""
    if sum(size == -1 for size in sizes) > 1:
        raise UnprovenSizeError
    count = math.prod(a for a in atoms if isinstance(a, int))
    symbols = tuple(sorted(a for a in atoms if isinstance(a, str)))
    whole: AnySize = Size(count, symbols) if symbols else count
    for size in sizes:
        if size != -1:
            if isinstance(whole, int) and (isinstance(size, Size) or not size or whole % size):
                raise UnprovenSizeError
            whole = whole // size  # type: ignore[operator]
    return [whole if size == -1 else size for size in sizes]
