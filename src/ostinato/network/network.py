"""`Network`: the nodes of a model in the order of computation, and what follows from them: parameters, states."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch

from .nodes import Convolution, Input, Node, Parameter, Recurrent, Running


@dataclass(frozen=True)
class StateField:
    """One state of a network.

    name     "rnn.0.h": the place of its node and its own name
    node     index of the node
    width    numbers for each row
    initial  the learned initial state [width]; None where it starts from `fill`
    fill     the number that it starts from
    """

    name: str
    node: int
    width: int
    initial: Parameter | None = None
    fill: float = 0.0


@dataclass(frozen=True)
class Network:
    """nodes[0] is the `Input`; `output` is the index of the node whose value the network returns.

    last  whether the model's result has no axis of time: it is the value after the last step
    """

    nodes: tuple[Node, ...]
    output: int
    dtype: torch.dtype
    last: bool = False

    @property
    def input(self) -> Input:
        """The node that holds x."""
        first = self.nodes[0]
        assert isinstance(first, Input)
        return first

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those of all nodes in order, one that several nodes share once."""
        return tuple({p.name: p for node in self.nodes for p in node.parameters}.values())

    @cached_property
    def states(self) -> tuple[StateField, ...]:
        """All states, in the order of the nodes. Names and order are part of saved states."""
        return tuple(field for k, node in enumerate(self.nodes) for field in _fields(k, node))

    @cached_property
    def whole(self) -> bool:
        """Whether it runs on whole sequences alone, because a layer reads from the end."""
        return any(isinstance(node, Recurrent) and node.reverse for node in self.nodes)

    def states_of(self, node: int) -> tuple[StateField, ...]:
        """The states of one node."""
        return tuple(field for field in self.states if field.node == node)

    @cached_property
    def structure(self) -> str:
        """Equations, sizes and connections, without names: equal texts have the same compiled code."""
        return repr((str(self.dtype), self.output, [node.structure for node in self.nodes]))

    @cached_property
    def fingerprint(self) -> bytes:
        """SHA-256 of the structure and the names of states: networks with the same one can exchange states."""
        return hashlib.sha256(repr((self.structure, [field.name for field in self.states])).encode()).digest()


def _fields(k: int, node: Node) -> Iterator[StateField]:
    if isinstance(node, Recurrent):
        for name, letter, initial in zip(node.cell.states, node.cell.state_widths, node.initial, strict=True):
            width = node.cell.width(letter, *node.sizes)
            yield StateField(f"{node.place}.{name}", k, width, initial)
    elif isinstance(node, Convolution) and node.steps:
        yield StateField(f"{node.place}.history", k, node.steps * node.weight.shape[1])
    elif isinstance(node, Running):
        if node.kind == "mean":
            yield StateField(f"{node.place}.sum", k, node.width)
            yield StateField(f"{node.place}.rest", k, node.width)
            yield StateField(f"{node.place}.count", k, 2)
        else:
            yield StateField(f"{node.place}.maximum", k, node.width, fill=-math.inf)
