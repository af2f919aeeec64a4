"""A slow interpreter of a cell's graph and of its derivative: what kernels must compute, on tensors and one by one."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.cells import Cell
from ostinato.cells.derivative import Derivative, differentiate
from ostinato.cells.value import Value

OPERATIONS = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "neg": torch.neg,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": functional.softplus,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "minimum": torch.minimum,
    "maximum": torch.maximum,
    "where": torch.where,
    "mean": lambda a: a.mean(-1, keepdim=True),
    "norm": lambda v, m, r: (v - m) * r,
    "clip_gradient": lambda a: a,
}


def evaluate(node: Value, values: dict[int, Tensor], weights: dict[tuple[str, str], Tensor]) -> Tensor:
    """The node's value from `values` (node.id -> tensor), to which it and all that it needs are added."""
    if node.id in values:
        return values[node.id]
    inner = [evaluate(a, values, weights) for a in node.args]
    if node.op == "const":
        result = next(iter(weights.values())).new_tensor(node.attr)
    elif node.op == "vec":
        result = weights[node.attr]
    elif node.op == "mm":
        result = inner[0] @ weights[node.attr].t()
    elif node.op == "mmT":
        result = _wide(inner[0], weights[node.attr].shape[0]) @ weights[node.attr]
    elif node.op == "leaky_relu":
        result = functional.leaky_relu(inner[0], node.attr)
    elif node.op == "rstd":
        centred = inner[0] - inner[0].mean(-1, keepdim=True)
        result = 1 / ((centred * centred).mean(-1, keepdim=True) + node.attr).sqrt()
    elif node.op == "clamp":
        result = inner[0].clamp(*node.attr)
    else:
        result = OPERATIONS[node.op](*inner)
    values[node.id] = result
    return result


def _wide(v: Tensor, size: int) -> Tensor:
    """A value of width 1 stands for the same number in every unit."""
    return v if v.dim() and v.shape[-1] == size else v.expand(*v.shape[:-1], size)


def bptt(
    cell: Cell,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    d_output: Tensor,
    d_finals: Sequence[Tensor],
    derivative: Derivative | None = None,
) -> tuple[Tensor, list[Tensor], Tensor, list[Tensor], list[Tensor]]:
    """Forward and back through x [T, B, C] by the graph: output, last states, dx, dstates, dweights."""
    names = {(k, n): w for k, part in cell.split(weights).items() for n, w in part.items()}
    given = derivative or differentiate(cell.trace)
    x_node = next(v for v in cell.trace.graph.nodes if v.op == "x")
    rows, steps, now, outputs = x.shape[1], [], list(states), []
    for x_t in x:
        values = {x_node.id: x_t, **{o.id: s for o, s in zip(cell.trace.previous_states, now, strict=True)}}
        now = [
            evaluate(v, values, names).expand(rows, s.shape[-1])
            for v, s in zip(cell.trace.next_states, states, strict=True)
        ]
        outputs.append(evaluate(cell.trace.output, values, names).expand(rows, d_output.shape[-1]))
        steps.append(values)
    carried = list(d_finals)
    dx, sums = torch.zeros_like(x), {k: torch.zeros_like(w) for k, w in names.items()}
    for t in range(len(x) - 1, -1, -1):
        values = steps[t]
        values[given.seed_output.id] = d_output[t]
        values.update({seed.id: d for seed, d in zip(given.seed_states, carried, strict=True)})
        for key, (d, operand) in given.products.items():
            arrived = _wide(evaluate(d, values, names), names[key].shape[0]).expand(rows, -1)
            sums[key] += arrived.t() @ evaluate(operand, values, names)
            if key[0] == "W":
                dx[t] += arrived @ names[key]
        for key, d in given.vectors.items():
            sums[key] += evaluate(d, values, names).expand(rows, len(names[key])).sum(0)
        carried = [evaluate(d, values, names).expand(s.shape) for d, s in zip(given.states, states, strict=True)]
    stacked = []
    for k in cell.letters:
        parts = [sums[k, n] for n in cell.gates[k]]
        stacked += parts if k == "p" else [torch.cat(parts)]
    output = torch.stack(outputs) if outputs else d_output
    return output, now, dx, carried, stacked
