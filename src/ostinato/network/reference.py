"""The reference of a network: every node in plain torch, one step at a time, in any floating dtype."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..cells.operations import OPERATIONS
from .network import Network
from .nodes import (
    Columns,
    Concatenate,
    Constant,
    Convolution,
    Embedding,
    Input,
    LayerNorm,
    Linear,
    Node,
    Number,
    Parameter,
    Pointwise,
    Recurrent,
    Running,
    Softmax,
)

States = dict[str, Tensor]
"""State's name → [B, width]."""


class Reference:
    """A network with the values of its parameters, in `dtype`; the network's own by default."""

    def __init__(self, network: Network, dtype: torch.dtype | None = None):
        self.network, self.dtype = network, dtype or network.dtype
        self.values = {p.name: p.read().to(self.dtype) for p in network.parameters}

    def initial(self, rows: int) -> States:
        """What a stream starts from."""
        found = {}
        for field in self.network.states:
            first = torch.full((field.width,), field.fill, dtype=self.dtype, device="cpu")
            learned = first if field.initial is None else self.values[field.initial.name]
            found[field.name] = learned.expand(rows, field.width).clone()
        return found

    def run(self, xs: Tensor, states: Mapping[str, Tensor]) -> tuple[Tensor, States]:
        """xs [T, B, C], or tokens [T, B]; states [B, width] each → (ys [T, B, O], the states after them)."""
        if self.network.whole:
            return self._run_whole(xs, states)
        now, ys = dict(states), []
        for x in xs:
            y, now = self.step(x, now)
            ys.append(y)
        width = self.network.nodes[self.network.output].width
        empty = torch.zeros(0, xs.shape[1], width, dtype=self.dtype, device=xs.device)
        return torch.stack(ys) if ys else empty, now

    def _run_whole(self, xs: Tensor, states: Mapping[str, Tensor]) -> tuple[Tensor, States]:
        """Node by node, each over all steps in its own direction."""
        now, steps = dict(states), range(len(xs))
        values: list[list[Tensor]] = []
        for k, node in enumerate(self.network.nodes):
            own = {f.name.rsplit(".", 1)[-1]: f.name for f in self.network.states_of(k)}
            found: dict[int, Tensor] = {}
            for t in reversed(steps) if isinstance(node, Recurrent) and node.reverse else steps:
                found[t] = self._value(node, xs[t], [values[i][t] for i in node.inputs], now, own)
            values.append([found[t] for t in steps])
        return torch.stack(values[self.network.output]), now

    def step(self, x: Tensor, states: Mapping[str, Tensor]) -> tuple[Tensor, States]:
        """x [B, C], or tokens [B] → (y [B, O], the states after it)."""
        new = dict(states)
        values: list[Tensor] = []
        for k, node in enumerate(self.network.nodes):
            read = [values[i] for i in node.inputs]
            own = {f.name.rsplit(".", 1)[-1]: f.name for f in self.network.states_of(k)}
            values.append(self._value(node, x, read, new, own))
        y = values[self.network.output]
        return y.expand(len(x), y.shape[-1]), new

    def _value(self, node: Node, x: Tensor, read: list[Tensor], states: States, own: dict[str, str]) -> Any:
        """The value of a node; `states` is changed where it has any. own: a state's own name → its full name."""
        v = self._parameter
        match node:
            case Input():
                return x if node.tokens is not None else x.to(self.dtype)
            case Embedding():
                return v(node.table)[x]
            case Recurrent():
                weights = [v(p) for p in node.weights]
                y, after = node.cell.step(weights, read[0], [states[own[s]] for s in node.cell.states])
                states.update(zip((own[s] for s in node.cell.states), after, strict=True))
                return y
            case Linear():
                return torch.nn.functional.linear(read[0], v(node.weight), None if node.bias is None else v(node.bias))
            case Convolution():
                return self._convolution(node, read[0], states, own)
            case LayerNorm():
                centred = read[0] - read[0].mean(-1, keepdim=True)
                y = centred / ((centred * centred).mean(-1, keepdim=True) + node.eps).sqrt()
                y = y if node.weight is None else y * v(node.weight)
                return y if node.bias is None else y + v(node.bias)
            case Pointwise():
                if node.operation == "fma":
                    return read[0] * read[1] + read[2]
                return OPERATIONS[node.operation].function(*read, *node.settings)
            case Constant():
                return v(node.parameter).expand(len(x), -1)
            case Number():
                return torch.full((len(x), 1), node.value, dtype=self.dtype, device=x.device)
            case Softmax():
                return torch.log_softmax(read[0], -1) if node.log else torch.softmax(read[0], -1)
            case Concatenate():
                return torch.cat([r.expand(len(x), r.shape[-1]) for r in read], -1)
            case Columns():
                return read[0][:, node.first : node.first + node.width]
            case Running():
                return self._running(node, read[0], states, own)
        raise AssertionError(node)

    def _parameter(self, p: Parameter) -> Tensor:
        return self.values[p.name]

    def _convolution(self, node: Convolution, x: Tensor, states: States, own: dict[str, str]) -> Tensor:
        weight = self._parameter(node.weight)
        bias = None if node.bias is None else self._parameter(node.bias)
        lines = x.unsqueeze(1)  # [B, steps + 1, C]
        if node.steps:
            history = states[own["history"]].view(len(x), node.steps, x.shape[1])
            lines = torch.cat([history, lines], 1)
            states[own["history"]] = lines[:, 1:].reshape(len(x), -1)
        return torch.nn.functional.conv1d(lines.transpose(1, 2), weight, bias, dilation=node.dilation)[:, :, -1]

    def _running(self, node: Running, x: Tensor, states: States, own: dict[str, str]) -> Tensor:
        if node.kind == "maximum":
            states[own["maximum"]] = torch.maximum(states[own["maximum"]], x)
            return states[own["maximum"]]
        total, error = _two_sum(states[own["sum"]], x)
        steps, count_error = _two_sum(states[own["count"]][:, :1], torch.ones(1, dtype=self.dtype))
        rest, count_rest = states[own["rest"]] + error, states[own["count"]][:, 1:] + count_error
        states[own["sum"]], states[own["rest"]] = total, rest
        states[own["count"]] = torch.cat([steps, count_rest], -1)
        return (total + rest) / (steps + count_rest)


def _two_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """a + b rounded, and exactly what the rounding took away. D. E. Knuth, The Art of Computer Programming 2, 4.2.2."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)
