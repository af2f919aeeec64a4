"""Vector-Jacobian products of single steps, for all steps at once: upstream gradients to those before each step.

Letters: T steps, B rows, C input features, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...caching import bounded_cache, graph_bytes
from ...cells import Cell
from ...cells.derivative import Derivative, differentiate
from ...cells.value import Value
from ..capture.evaluate import apply, evaluate, needed
from ..capture.replay import LayerReplay


@dataclass(frozen=True, slots=True)
class StepGradients:
    """The gradients before the steps of a span, t steps."""

    x: Tensor | None
    """[t, B, C]; None where it was not requested."""
    previous_states: tuple[Tensor, ...]
    """[t, B, ·] for each state."""
    weights: tuple[Tensor, ...]
    """Summed over steps and rows, in the order of `cell.parameters`; () where they were not requested."""


class StepVJP:
    """The vector-Jacobian products of a replay's steps, each step by itself: no gradient crosses from one to the next.

    The graph is the one that the compiled backward pass is made from. The values of the forward step that it reads are
    computed once: [T, B, H] for each of them, as much memory as backpropagation through all steps keeps.
    """

    def __init__(self, replay: LayerReplay) -> None:
        self.replay = replay
        self._plan = _plan(replay.cell)
        self._parts = replay.cell.split(replay.weights)
        read = self._plan.forward
        values = evaluate(replay.cell, replay.weights, replay.x, replay.previous_states, read)
        self._forward = {v.id: value for v, value in zip(read, values, strict=True)}

    def vjp(
        self, d_output: Tensor | None, d_states: Sequence[Tensor | None], span: slice, *, x: bool, weights: bool
    ) -> StepGradients:
        """The gradients before the steps of `span`, from those of their outputs and of the states after them.

        d_output, d_states  upstream gradients [t, B, ·] for the t steps of `span`, zero past a row's end; None for zero
        x, weights          whether to compute the gradients of x, and of the weights
        Cost: one backward pass of a step of t·B rows.
        """
        d, replay = self._plan.derivative, self.replay
        lead = replay.x[span].shape[:-1]
        values: dict[int, Tensor] = {i: value[span] for i, value in self._forward.items()}
        seeds = zip((d.seed_output, *d.seed_states), (d_output, *d_states), strict=True)
        values.update({v.id: replay.x.new_zeros(()) if seed is None else seed for v, seed in seeds})
        for v in self._plan.backward:
            if v.id in values:
                continue
            operands = [values[a.id] for a in v.args]
            if v.op == "mmT":
                part = self._parts[v.attr[0]][v.attr[1]]
                values[v.id] = _expanded(operands[0], lead, len(part)) @ part
            else:
                values[v.id] = apply(v, operands)
        previous = [
            _expanded(values[v.id], lead, s.shape[-1]) for v, s in zip(d.states, replay.initial_states, strict=True)
        ]
        d_x = self._of_x(values, lead) if x else None
        return StepGradients(d_x, tuple(previous), self._of_weights(values, lead) if weights else ())

    def _of_x(self, values: dict[int, Tensor], lead: torch.Size) -> Tensor:
        total = self.replay.x.new_zeros(*lead, self.replay.x.shape[-1])
        for (letter, name), (pre_gradient, _) in self._plan.derivative.products.items():
            if letter == "W":
                part = self._parts[letter][name]
                total = total + _expanded(values[pre_gradient.id], lead, len(part)) @ part
        return total

    def _of_weights(self, values: dict[int, Tensor], lead: torch.Size) -> tuple[Tensor, ...]:
        """In the order of `cell.parameters`."""
        d, parts = self._plan.derivative, self._parts
        each: dict[tuple[str, str], Tensor] = {}
        for (letter, name), (pre_gradient, operand) in d.products.items():
            part = parts[letter][name]
            rows = _expanded(values[pre_gradient.id], lead, len(part)).flatten(0, 1)
            read = _expanded(values[operand.id], lead, part.shape[1]).flatten(0, 1)
            each[letter, name] = rows.t() @ read
        for (letter, name), pre_gradient in d.vectors.items():
            each[letter, name] = _expanded(values[pre_gradient.id], lead, len(parts[letter][name])).sum((0, 1))
        result: list[Tensor] = []
        for letter in self.replay.cell.letters:
            blocks = [each.get((letter, n), torch.zeros_like(parts[letter][n])) for n in parts[letter]]
            result += blocks if letter == "p" else [torch.cat(blocks)]
        return tuple(result)


@dataclass(frozen=True, slots=True)
class _Plan:
    derivative: Derivative
    backward: tuple[Value, ...]
    """The nodes to compute for each product, in order."""
    forward: tuple[Value, ...]
    """The forward nodes that these read, in order."""


@bounded_cache(16 << 20, size_of=lambda plan, cell: graph_bytes(plan.derivative.seed_output.graph, cell))
def _plan(cell: Cell) -> _Plan:
    d = differentiate(cell.retrace())
    results = [*d.states, *[pre_gradient for pre_gradient, _ in d.products.values()], *d.vectors.values()]
    operands = [operand for _, operand in d.products.values()]
    seeds = {v.id for v in (d.seed_output, *d.seed_states)}
    dependent, order, read = set(seeds), [], {v.id: v for v in operands}
    for v in needed(results):
        if v.id in seeds or any(a.id in dependent for a in v.args):
            dependent.add(v.id)
            order.append(v)
            read.update({a.id: a for a in v.args})
    read.update({v.id: v for v in results})  # a gradient may not depend on the seeds: zero, where nothing is reached
    return _Plan(d, tuple(order), tuple(v for i, v in sorted(read.items()) if i not in dependent))


def _expanded(value: Tensor, lead: torch.Size, width: int) -> Tensor:
    """A number, [H] or [..., 1] → [*lead, width]: a value that all steps or units share is repeated."""
    return value.expand(*lead, width)
