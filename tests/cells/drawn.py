"""Cells of thousands of operations, drawn from a seed: much that is used again, chains, many gates, single numbers."""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from torch import maximum, sigmoid, tanh, where

import ostinato
from ostinato.cells import Cell, mean

PACKAGE = str(Path(ostinato.__file__).parent)


def steps_of(work: Callable[[], Any], lines: bool = True) -> int:
    """How many lines of the package run, each turn of a loop by itself: a measure of work that no load changes.

    lines  False counts calls of functions alone, which is much quicker
    """
    count = 0

    def on_line(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "line"
        return on_line

    def on_call(frame: FrameType, *_: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        count += not lines
        return on_line if lines else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def reuse(n: int) -> Cell:
    """n operations on values drawn from the last few and from all, so that each is read again and again."""
    draw = random.Random(n)

    def step(W, U, b, p, x, h):  # type: ignore[no-untyped-def]
        values = [h, W.i @ x + U.i @ h + b.i, p.w * h]
        while len(values) < n:
            a, c = draw.choice(values[-4:]), draw.choice(values)
            op = draw.choice(("add", "mul", "div", "tanh", "where", "max"))
            values.append(
                a + c if op == "add" else 0.5 * a * c if op == "mul" else a / (2 + c * c) if op == "div"
                else tanh(a - c) if op == "tanh" else where(a > c, a, c * 0.5) if op == "where" else maximum(a, c)
            )  # fmt: skip
        return tanh(sum(values[1:], values[0]))

    return ostinato.cell(step)


def turns(n: int) -> Cell:
    """A Newton iteration: n / 5 turns, each of which reads its value three times."""

    def step(W, U, b, p, x, h):  # type: ignore[no-untyped-def]
        a, y = 1 + h * h, 0 * p.w + 1.0
        for _ in range(n // 5):
            y = y * (1.5 - 0.5 * a * y * y)
        return tanh(W.i @ x + U.i @ h + b.i) * y

    return ostinato.cell(step)


def chain(n: int) -> Cell:
    """A polynomial by Horner's rule: n operations that read one another once, one inside the other."""

    def step(W, U, b, x, h):  # type: ignore[no-untyped-def]
        s = tanh(W.a @ x + U.a @ h + b.a)
        r = 0 * s
        for k in range(n // 2):
            r = r * s + 1 / (k + 1)
        return tanh(r)

    return ostinato.cell(step)


def gates(n: int) -> Cell:
    """n / 10 gates one after the other, whose weights meet in one long sum, half of them at its other end."""

    def step(W, U, b, p, x, h):  # type: ignore[no-untyped-def]
        total, rest = h, h * p.all
        for k in range(n // 10):
            gate = sigmoid(getattr(W, f"i{k}") @ x + getattr(U, f"i{k}") @ h + getattr(b, f"i{k}"))
            total = total + gate * getattr(p, f"v{k}") + getattr(W, f"f{k}") @ x
        for k in reversed(range(n // 10)):
            total = total + getattr(b, f"f{k}")
        return tanh(total - rest)

    return ostinato.cell(step, gates=" ".join(f"{gate}{k}" for k in range(n // 10) for gate in "if"))


def products(n: int) -> Cell:
    """n / 4 products, each of what the one before gave: as many stages."""

    def step(W, U, b, x, h):  # type: ignore[no-untyped-def]
        v = tanh(W.x @ x + b.x + h)
        for k in range(n // 4):
            v = tanh(getattr(U, f"u{k}") @ v + v)
        return v

    return ostinato.cell(step)


def numbers(n: int) -> Cell:
    """A long calculation with a mean over the units, a single number, which n / 10 later stages read."""

    def step(W, U, b, x, h):  # type: ignore[no-untyped-def]
        v = W.x @ x + b.x + h
        m = mean(sigmoid(v))
        for _ in range(n // 4):
            m = m * (1.5 - 0.5 * m)
        for k in range(n // 10):
            v = tanh(getattr(U, f"u{k}") @ (v * m))
        return v

    return ostinato.cell(step)


def choices(n: int) -> Cell:
    """Comparisons of what other comparisons choose, each read twice."""

    def step(W, U, b, x, h):  # type: ignore[no-untyped-def]
        a = tanh(W.x @ x + U.x @ h + b.x)
        c = h > 0.0
        for _ in range(n // 3):
            c = where(c, a, h) < where(c, h * 0.5, a)
        return where(c, a, h)

    return ostinato.cell(step)


CELLS: dict[str, Callable[[int], Cell]] = {
    f.__name__: f for f in (reuse, turns, chain, gates, products, numbers, choices)
}
