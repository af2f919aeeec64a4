"""C expressions: numbers as literals, integers as linear forms, addresses, and texts with their precedence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

CHOICE, LOGIC, COMPARISON, SHIFT, SUM, PRODUCT, UNARY, ATOM = range(8)
"""Levels of precedence, from the operators that bind least."""


@dataclass(frozen=True)
class Text:
    """An expression without side effects.

    level  of its outermost operator
    reads  whether it reads memory, so that no store may come between it and its use
    """

    text: str
    level: int = ATOM
    reads: bool = False

    def at(self, level: int) -> str:
        """The text as an operand of an operator that needs this level or more."""
        return self.text if self.level >= level else f"({self.text})"


@dataclass(frozen=True)
class Linear:
    """An integer Σ coefficient · term + constant. A term is an expression that binds more than a product."""

    terms: tuple[tuple[str, int], ...] = ()
    constant: int = 0

    @classmethod
    def of(cls, term: str) -> Linear:
        return cls(((term, 1),))

    def __add__(self, o: Linear) -> Linear:
        total = dict(self.terms)
        for term, c in o.terms:
            total[term] = total.get(term, 0) + c
        return Linear(tuple((t, c) for t, c in total.items() if c), self.constant + o.constant)

    def __mul__(self, o: Linear) -> Linear:
        if self.terms and o.terms:  # a product of two integers that are not known here
            return Linear.of(f"({self.text.at(PRODUCT)} * {o.text.at(UNARY)})")
        a, b = (self, o) if self.terms else (o, self)
        return Linear(tuple((t, c * b.constant) for t, c in a.terms if b.constant), a.constant * b.constant)

    def __sub__(self, o: Linear) -> Linear:
        return self + o * Linear(constant=-1)

    @property
    def text(self) -> Text:
        parts = [("-" if c < 0 else "+", t if abs(c) == 1 else f"{abs(c)} * {t}") for t, c in self.terms]
        if self.constant or not parts:
            parts.append(("-" if self.constant < 0 else "+", str(abs(self.constant))))
        first, *rest = parts
        text = ("-" if first[0] == "-" else "") + first[1] + "".join(f" {sign} {part}" for sign, part in rest)
        return Text(text, SUM if rest else UNARY if first[0] == "-" else PRODUCT if " * " in text else ATOM)


@dataclass(frozen=True)
class Address:
    """The address of a number: a pointer's or an array's name, and an offset in numbers."""

    base: str
    offset: Linear = Linear()

    def __add__(self, o: Linear) -> Address:
        return Address(self.base, self.offset + o)

    @property
    def element(self) -> str:
        return f"{self.base}[{self.offset.text.text}]"

    @property
    def text(self) -> str:
        return self.base if self.offset == Linear() else (Linear.of(self.base) + self.offset).text.text


def literal(x: float, scalar: str, hexadecimal: bool = False) -> Text:
    """A number of the format in C99, exactly: short decimals where they are exact and allowed, else hexadecimal."""
    suffix = "f" if scalar == "float32" else ""
    if not math.isfinite(x):
        name = "inf" if math.isinf(x) else "nan"
        argument = "" if name == "inf" else '""'
        text = f"__builtin_{name}{suffix}({argument})"
    else:
        text = repr(abs(x))
        if hexadecimal and x or "e" in text or len(text) > 8 or Fraction(text) != Fraction(abs(x)):
            mantissa, exponent = abs(x).hex().split("p")
            mantissa = mantissa.rstrip("0") if "." in mantissa else mantissa
            text = f"{mantissa.rstrip('.')}p{exponent}"
        text += suffix
    return Text(f"-{text}", UNARY) if math.copysign(1.0, x) < 0 else Text(text)
