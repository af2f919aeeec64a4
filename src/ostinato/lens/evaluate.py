"""Values inside a step, for all steps and rows at once: any node of a cell's graph, from the states before each step.

Letters: T steps, B rows, C input features, H hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from ..cells import Cell
from ..cells.operations import OPERATIONS
from ..cells.value import Value


def evaluate(
    cell: Cell,
    weights: Sequence[Tensor],
    x: Tensor,
    previous_states: Sequence[Tensor],
    nodes: Sequence[Value],
    known: Mapping[int, Tensor] = MappingProxyType({}),
) -> list[Tensor]:
    """The values of `nodes` at every step of every row, in one pass without a loop over time.

    Since s_{t-1} is given for every t, no step waits for another, and T·B pairs (step, row) are one batch.

    weights          in the order of `cell.parameters`
    x                [..., C], such as [T, B, C]
    previous_states  s_{t-1} of each state, [..., H or P], as `lens.history.runs` gives them
    nodes            of one graph: of `cell.trace`, or of `lens.nodes.named(cell)`
    known            node.id → its value, [..., H or P], where it is there already
    Returns a tensor [..., H or P] for each node; [..., 1] where one number stands for all units. They are
    differentiable with respect to weights, x and states.
    Cost: one step of a batch of T·B rows; the memory of every node on the way, [T, B, H] each.
    """
    lead = x.shape[:-1]
    parts = cell.split(weights)
    found: dict[int, Tensor] = dict(known)
    for v in needed(nodes, known):
        if v.id in known:
            continue
        inner = [found[a.id] for a in v.args]
        if v.op == "x":
            found[v.id] = x
        elif v.op == "state":
            found[v.id] = previous_states[cell.states.index(v.attr)]
        elif v.op == "const":
            found[v.id] = x.new_tensor(v.attr)
        elif v.op == "vec":
            found[v.id] = parts[v.attr[0]][v.attr[1]]
        elif v.op == "mm":
            found[v.id] = inner[0] @ parts[v.attr[0]][v.attr[1]].t()
        else:
            found[v.id] = apply(v, inner)
    return [_spread(found[v.id], lead) for v in nodes]


def needed(nodes: Sequence[Value], known: Mapping[int, Tensor] = MappingProxyType({})) -> list[Value]:
    """The nodes and all that they read, in the order of their making; nothing that only known ones read."""
    seen: dict[int, Value] = {}
    stack = list(nodes)
    while stack:
        v = stack.pop()
        if v.id not in seen:
            seen[v.id] = v
            stack.extend(() if v.id in known else v.args)
    return [seen[i] for i in sorted(seen)]


def apply(v: Value, inner: list[Tensor]) -> Tensor:
    return OPERATIONS[v.op].compute(inner, v.attr)


def _spread(value: Tensor, lead: torch.Size) -> Tensor:
    """[...], [H] or a single number → [*lead, H or 1]."""
    return value.expand(*lead, value.shape[-1] if value.dim() else 1)
