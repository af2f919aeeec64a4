"""Values inside a step, for all steps and rows at once: any node of a cell's graph, from the states before each step.

Letters: T steps, B rows, C input features, H hidden units, P projected units.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from ...cells import Cell
from ...cells.operations import OPERATIONS
from ...cells.value import Value


def evaluate(
    cell: Cell,
    weights: Sequence[Tensor],
    x: Tensor,
    previous_states: Sequence[Tensor],
    nodes: Sequence[Value],
    known: Mapping[int, Tensor] = MappingProxyType({}),
) -> list[Tensor]:
    """The values of `nodes` at every step of every row, in one pass without a loop over time.

    Since s_{t-1} is given for every t, no step depends on another, and T·B pairs (step, row) are one batch.

    weights          in the order of `cell.parameters`
    x                [..., C], such as [T, B, C]
    previous_states  s_{t-1} of each state, [..., H or P], such as `LayerReplay.previous_states`
    nodes            of one graph: of `cell.trace`, or of `lens.named_values(cell)`
    known            node.id → its value, [..., H or P], where it is known
    Returns a tensor [..., H or P] for each node; [..., 1] for one number that all units share. They are
    differentiable with respect to weights, x and states. Units: those of the cell's equations.
    Cost: one step of a batch of T·B rows; the memory of every node on the way, [T, B, H] each.
    """
    values = dict(known)
    compute(cell, weights, x, previous_states, [v for v in needed(nodes, known) if v.id not in known], values)
    lead = x.shape[:-1]
    return [expanded(values[v.id], lead) for v in nodes]


def compute(
    cell: Cell,
    weights: Sequence[Tensor],
    x: Tensor,
    previous_states: Sequence[Tensor],
    order: Iterable[Value],
    values: dict[int, Tensor],
) -> None:
    """Adds the values of the nodes of `order` to `values`, node.id → value; what they read comes before them."""
    parts = cell.split(weights)
    for v in order:
        if v.op == "x":
            values[v.id] = x
        elif v.op == "state":
            values[v.id] = previous_states[cell.states.index(v.attr)]
        elif v.op == "const":
            values[v.id] = x.new_tensor(v.attr)
        elif v.op == "vec":
            values[v.id] = parts[v.attr[0]][v.attr[1]]
        elif v.op == "mm":
            values[v.id] = values[v.args[0].id] @ parts[v.attr[0]][v.attr[1]].t()
        else:
            values[v.id] = apply(v, [values[a.id] for a in v.args])


def needed(nodes: Sequence[Value], known: Mapping[int, object] = MappingProxyType({})) -> list[Value]:
    """The nodes and all that they read, in the order of the graph; nothing that only `known` nodes read."""
    seen: dict[int, Value] = {}
    stack = list(nodes)
    while stack:
        v = stack.pop()
        if v.id not in seen:
            seen[v.id] = v
            stack.extend(() if v.id in known else v.args)
    return [seen[i] for i in sorted(seen)]


def apply(v: Value, operands: list[Tensor]) -> Tensor:
    """The operation of a node on the values of what it reads."""
    return OPERATIONS[v.op].compute(operands, v.attr)


def expanded(value: Tensor, lead: torch.Size) -> Tensor:
    """[...], [H] or a single number → [*lead, H or 1]."""
    return value.expand(*lead, value.shape[-1] if value.dim() else 1)
