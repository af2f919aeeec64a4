"""One step of backpropagation at all steps at once: what arrives behind each step, sent to what stands before it.

Letters: T steps, B rows, C input features, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..caching import bounded_cache, graph_bytes
from ..cells import Cell
from ..cells.derivative import Derivative, differentiate
from ..cells.value import Value
from .evaluate import apply, evaluate, needed
from .history import Run


@dataclass(frozen=True)
class Pulled:
    """The gradients before the steps. `x` is None and `weights` is () where they were not asked for."""

    x: Tensor | None
    previous: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]


class StepAdjoint:
    """The vector-Jacobian products of a run's steps, each step by itself: no gradient goes from one to the next.

    The graph is the one that the compiled backward pass is made from. What it reads of the forward step is evaluated
    once: [T, B, H] for each such value, as much memory as backpropagation through the run keeps.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._derivative, self._order, read = _plan(run.cell)
        self._parts = run.cell.split(run.weights)
        values = evaluate(run.cell, run.weights, run.x, run.previous, read)
        self._forward = {v.id: value for v, value in zip(read, values, strict=True)}

    def pull(
        self, d_output: Tensor | None, d_states: Sequence[Tensor | None], span: slice, *, x: bool, weights: bool
    ) -> Pulled:
        """What the steps of `span` send back, from the gradients of their outputs and of the states after them.

        d_output, d_states  [t, B, ·] for the t steps of `span`, zero past a row's end; None for zero
        x, weights          whether the gradients of x, and of the weights summed over these steps and rows, are wanted
        Returns gradients of x [t, B, C], of the states before each step [t, B, ·], and of the weights.
        Cost: one backward pass of a step of t·B rows.
        """
        d, run = self._derivative, self.run
        lead = run.x[span].shape[:-1]
        found: dict[int, Tensor] = {i: value[span] for i, value in self._forward.items()}
        seeds = zip((d.seed_output, *d.seed_states), (d_output, *d_states), strict=True)
        found.update({v.id: run.x.new_zeros(()) if seed is None else seed for v, seed in seeds})
        for v in self._order:
            if v.id in found:
                continue
            inner = [found[a.id] for a in v.args]
            if v.op == "mmT":
                part = self._parts[v.attr[0]][v.attr[1]]
                found[v.id] = _wide(inner[0], lead, len(part)) @ part
            else:
                found[v.id] = apply(v, inner)
        previous = tuple(_wide(found[v.id], lead, s.shape[-1]) for v, s in zip(d.states, run.start, strict=True))
        return Pulled(
            self._of_x(found, lead) if x else None, previous, self._of_weights(found, lead) if weights else ()
        )

    def _of_x(self, found: dict[int, Tensor], lead: torch.Size) -> Tensor:
        total = self.run.x.new_zeros(*lead, self.run.x.shape[-1])
        for (letter, name), (sent, _) in self._derivative.products.items():
            if letter == "W":
                part = self._parts[letter][name]
                total = total + _wide(found[sent.id], lead, len(part)) @ part
        return total

    def _of_weights(self, found: dict[int, Tensor], lead: torch.Size) -> tuple[Tensor, ...]:
        """In the order of `cell.parameters`."""
        d, parts = self._derivative, self._parts
        each: dict[tuple[str, str], Tensor] = {}
        for (letter, name), (sent, operand) in d.products.items():
            part = parts[letter][name]
            rows = _wide(found[sent.id], lead, len(part)).flatten(0, 1)
            read = _wide(found[operand.id], lead, part.shape[1]).flatten(0, 1)
            each[letter, name] = rows.t() @ read
        for (letter, name), sent in d.vectors.items():
            each[letter, name] = _wide(found[sent.id], lead, len(parts[letter][name])).sum((0, 1))
        result: list[Tensor] = []
        for letter in self.run.cell.letters:
            blocks = [each.get((letter, n), torch.zeros_like(parts[letter][n])) for n in parts[letter]]
            result += blocks if letter == "p" else [torch.cat(blocks)]
        return tuple(result)


@bounded_cache(16 << 20, size_of=lambda found, cell: graph_bytes(found[0].seed_output.graph, cell))
def _plan(cell: Cell) -> tuple[Derivative, tuple[Value, ...], list[Value]]:
    """(the derivative, the nodes to compute for each pull in order, the forward nodes that these read)."""
    d = differentiate(cell.retrace())
    wanted = [*d.states, *[sent for sent, _ in d.products.values()], *d.vectors.values()]
    operands = [operand for _, operand in d.products.values()]
    seeds = {v.id for v in (d.seed_output, *d.seed_states)}
    backward, order, read = set(seeds), [], {v.id: v for v in operands}
    for v in needed(wanted):
        if v.id in seeds or any(a.id in backward for a in v.args):
            backward.add(v.id)
            order.append(v)
            read.update({a.id: a for a in v.args})
    read.update({v.id: v for v in wanted})  # a gradient may know nothing of the seeds: zero, where nothing is reached
    return d, tuple(order), [v for i, v in sorted(read.items()) if i not in backward]


def _wide(value: Tensor, lead: torch.Size, width: int) -> Tensor:
    """A number, [H] or [..., 1] → [*lead, width]: one that stands for all steps or units is repeated."""
    return value.expand(*lead, width)
