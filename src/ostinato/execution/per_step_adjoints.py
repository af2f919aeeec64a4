"""The gradient of every state and every product at every step, by one step of autograd after another: the reference.

Letters: T steps, B rows of the batch, R packed rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..cells.reference import drawn
from ..sequence import SequenceCall, Upstream


def record(call: SequenceCall, upstream: Upstream) -> tuple[list[Tensor], dict[tuple[str, str], Tensor]]:
    """The gradient of each state after every step, and of each product of a weight, laid out as the output.

    The gradient of a state is that of everything that reads it, the output and the other new states of its own step
    included: what `retain_grad()` on it would hold.
    """
    cell, x, states, weights, sizes = call.cell, call.x, call.states, call.weights, call.batch_sizes
    noise, d_output = call.random_state, upstream.output
    rows = [x.shape[1]] * len(x) if sizes is None else sizes.tolist()
    by_step = (lambda t: t.unbind(0)) if sizes is None else (lambda t: t.split(rows))
    order = range(len(rows) - 1, -1, -1) if call.reverse else range(len(rows))
    own = cell.output_state
    arriving_output = None if d_output is None else by_step(d_output)
    every = iter(upstream.histories)
    arriving = [None if k == own or (d := next(every, None)) is None else by_step(d) for k in range(len(states))]
    now, before, inputs = [s.detach() for s in states], {}, by_step(x.detach())
    fixed = [w.detach() for w in weights]
    with torch.no_grad():
        for t in order:
            before[t] = [s[: rows[t]] for s in now]
            new = cell.step(fixed, inputs[t], before[t], drawn=drawn(cell, weights, states, noise, t, rows[t]))[1]
            now = [torch.cat([s, old[rows[t] :]]) for s, old in zip(new, now)]
    carried = [torch.zeros_like(s) if d is None else d.clone() for s, d in zip(states, upstream.final_states)]
    adjoints: list[dict[int, Tensor]] = [{} for _ in states]
    sent: dict[tuple[str, str], dict[int, Tensor]] = {}
    for t in reversed(order):
        n = rows[t]
        old = [s.detach().requires_grad_() for s in before[t]]
        with torch.enable_grad():
            products: dict[tuple[str, str], Tensor] = {}
            # x requires a gradient only so that all products are part of the graph.
            output, new = cell.step(
                fixed, inputs[t].requires_grad_(), old, products, drawn(cell, weights, states, noise, t, n)
            )
        sums = [c[:n] if d is None else c[:n] + d[t] for c, d in zip(carried, arriving)]
        pairs = [*zip(new, sums), *([] if arriving_output is None else [(output, arriving_output[t])])]
        pairs = [(y, d) for y, d in pairs if y.requires_grad]
        wanted = [*new, *products.values(), *old]
        there = [v for v in wanted if v.requires_grad]
        found = iter(
            torch.autograd.grad(
                [y for y, _ in pairs], there, [d for _, d in pairs], allow_unused=True, materialize_grads=True
            )
            if pairs
            else [torch.zeros_like(v) for v in there]
        )
        each = iter([next(found) if v.requires_grad else torch.zeros_like(v) for v in wanted])
        for adjoint in adjoints:
            adjoint[t] = next(each)
        for key in products:
            sent.setdefault(key, {})[t] = next(each)
        for c in carried:
            c[:n] = next(each)
    join = torch.stack if sizes is None else torch.cat
    steps = range(len(rows))
    if not rows:
        return [x.new_zeros(*x.shape[:-1], s.shape[-1]) for s in states], {}
    return [join([a[t] for t in steps]) for a in adjoints], {k: join([g[t] for t in steps]) for k, g in sent.items()}
