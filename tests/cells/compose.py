"""Random cells: random expressions over letters, states and operations, scaled so that every value stays finite.

    cell = random_cell(7)            # from a seed
    cell = random_cell(data.draw)    # from hypothesis

They are written as text and read by `Cell.from_text`, so a failing one can be printed and kept.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from ostinato.cells import Cell

STATES = ("h", "c", "n")
NAMES = ("i", "f", "g", "o")


def random_cell(source: int | Callable[[Any], Any]) -> Cell:
    """One to three states, up to four gates, with or without biases, own vectors, projection, an output of its own."""
    if isinstance(source, int):
        picks = random.Random(source)
        return Cell.from_text(_Composer(picks.choice).compose())
    return Cell.from_text(_Composer(lambda of: source(st.sampled_from(of))).compose())


def random_call(
    cell: Cell,
    steps: int = 5,
    rows: int = 3,
    features: int = 4,
    hidden: int = 6,
    projected: int = 0,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    requires_grad: bool = False,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """x [T, B, C], states [B, H or P] and weights, every gate with numbers of its own."""
    generator = torch.Generator().manual_seed(seed)

    def tensor(shape: Sequence[int], scale: float) -> Tensor:
        made = torch.randn(tuple(shape), generator=generator, dtype=torch.float64) * scale
        return made.to(dtype).requires_grad_(requires_grad)

    x = tensor((steps, rows, features), 1.0)
    states = [tensor((rows, cell.width(w, features, hidden, projected)), 0.5) for w in cell.state_widths]
    if cell.name == "slstm":  # its normaliser is a sum of exponentials, never near 0
        states[2] = (states[2].detach().abs() + 0.5).requires_grad_(requires_grad)
    weights = [tensor(shape, 0.5) for shape in cell.parameters(features, hidden, projected).values()]
    return x, states, weights


class _Composer:
    """Text of a cell, bit by bit. `pick` chooses one out of a sequence."""

    def __init__(self, pick: Callable[[Sequence[Any]], Any]):
        self.pick = pick
        self.lines: list[str] = []
        self.vectors = 0

    def maybe(self, one_in: int = 2) -> bool:
        return self.pick(range(one_in)) == 0

    def compose(self) -> str:
        states = STATES[: self.pick((1, 1, 2, 2, 3))]
        projected = len(states) > 1 and self.maybe(4)
        free = list(states[1:] if projected else states)  # values with hidden_size entries
        bias, second = self.maybe(), self.maybe(3)
        unused: list[str] = []
        for name in NAMES[: self.pick((1, 2, 3, 4))]:
            terms = [f"W.{name} @ x"] if name == "i" or not self.maybe(5) else []
            if bias:
                terms.append(f"b.{name}")
            if not terms or not self.maybe(4):
                product = f"U.{name} @ {self.operand(states, projected, unused)}"
                terms.append(f"{self.pick(free)} * ({product} + d.{name})" if second else product)
            if self.maybe(4):
                terms.append(f"{self.vector()} * {self.pick(free)}")
            self.lines.append(f"{name}_t = {self.activation(' + '.join(terms))}")
            free.append(f"{name}_t")
            unused.append(f"{name}_t")
        hidden = states[1:] if projected else states
        for k, state in enumerate(hidden):
            e = self.expression(free, 3)
            if k == len(hidden) - 1:
                for u in unused:
                    if (
                        not any(u in line.split("=", 1)[1] for line in self.lines if not line.startswith(u))
                        and u not in e
                    ):
                        e = f"({e}) {self.pick('*+-')} {u}"
            self.lines.append(f"{state}_new = {self.bounded(e, state, free)}")
        if projected:
            self.lines.append(f"h_new = V.h @ ({self.pick(free)} * tanh({hidden[-1]}_new + {hidden[-1]}))")
            if self.maybe(3):
                self.lines[-1] += f" + {self.vector()} * h"
        values = [f"{state}_new" for state in states]
        if self.maybe(4):
            self.lines.append(f"y = sigmoid(U.y @ (h_new + h){' + b.y' if bias else ''})")
            values.insert(0, "y")
        return self.text(states, values)

    def text(self, states: Sequence[str], values: Sequence[str]) -> str:
        body = "\n".join(f"    {line}" for line in [*self.lines, f"return {', '.join(values)}"])
        letters = [k for k in "WUVbdp" if f"{k}." in body]
        return f"def random_cell({', '.join([*letters, 'x', *states])}):\n{body}\n"

    def vector(self) -> str:
        self.vectors += 1
        return f"p.v{self.vectors}"

    def operand(self, states: Sequence[str], projected: bool, gates: Sequence[str]) -> str:
        """What a recurrent product reads: the state itself, or the state behind an earlier gate."""
        state = "h" if projected else self.pick(states)
        inner = [f"({g} * {state})" for g in gates[:1] if not projected] + [f"tanh({state})"]
        return self.pick(inner) if self.maybe(3) else state

    def activation(self, e: str) -> str:
        return self.pick(
            (
                f"sigmoid({e})",
                f"tanh({e})",
                f"softplus({e})",
                f"relu({e})",
                f"leaky_relu({e}, 0.2)",
                f"exp(clamp({e}, -2, 1))",
                f"clamp({e}, -0.7, 0.9)",
            )
        )

    def expression(self, free: Sequence[str], depth: int) -> str:
        """A random expression, never far from 1 in size while what it reads is not."""
        if depth == 0 or self.maybe(5):
            return self.pick(free)
        a, b = self.expression(free, depth - 1), self.expression(free, depth - 1)
        return self.pick(
            (
                f"({a} + {b})",
                f"({a} - {b})",
                f"{self.atom(a)} * {self.atom(b)}",
                f"{self.atom(a)} / (1.5 + {self.atom(b)} * {self.atom(b)})",
                f"-{self.atom(a)}",
                f"(1 - {self.atom(a)})",
                f"{self.vector()} * {self.atom(a)}",
                f"(0.25 * {self.atom(a)} + {self.vector()})",
                f"minimum({a}, {b})",
                f"maximum({a}, {b})",
                f"where({a} > {b}, {self.pick(free)}, 0.5)",
                f"where({a} <= 0.1, {a}, {b})",
                f"log(1.5 + {self.atom(a)} * {self.atom(a)})",
                f"sqrt(0.5 + {self.atom(a)} * {self.atom(a)})",
                f"exp(-softplus({a}))",
                f"tanh({a})",
                f"relu({a})",
                # Not the mean itself taken away: a mean of that is 0 but for rounding, which no two ways share.
                f"({self.atom(a)} - 0.5 * mean({a}))",
                f"mean({a}) * {self.atom(b)}",
                f"(0.2 + 0.5 * norm({self.atom(a)} + {self.vector()}))",
                f"clamp({a}, min=-0.5)",
            )
        )

    @staticmethod
    def atom(e: str) -> str:
        return e if e.isidentifier() else f"({e})"

    def bounded(self, e: str, state: str, free: Sequence[str]) -> str:
        gate = f"sigmoid({self.pick(free)})"
        return self.pick(
            (
                f"tanh({e})",
                f"{gate} * {state} + (1 - {gate}) * tanh({e})",
                f"0.5 * {state} + 0.5 * sigmoid({e})",
                f"clamp({e}, -1.5, 1.5)",
                f"tanh(mean({e}) + {state})",
                f"sigmoid({state}) * clamp({e}, max=1) / (1 + relu({e}))",
            )
        )
