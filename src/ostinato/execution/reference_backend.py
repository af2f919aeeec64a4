"""A sequence in plain torch: where there are no kernels, and under transforms of torch's own operations.

A backend with the functions of the compiled kernels. It saves nothing: backward runs the reference again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from .. import _torch_private
from ..cells.reference import drawn, sequence
from ..sequence import ForwardResult, Gradients, Needs, RecordedGradients, SequenceCall, Upstream

Tensors = Sequence[Tensor]


def run(call: SequenceCall, histories: bool = False) -> ForwardResult:
    """The reference, differentiable any number of times. Nothing that it returns shares memory with anything else.

    With `batch_sizes`, x may have lines beyond the last packed row, which are not read and whose output is 0;
    steps without rows, at the end; and rows without a step. It runs without autocast: the types are decided before.
    """
    x, cell, rows, spare = call.x, call.cell, None, 0
    if call.batch_sizes is not None:
        rows = call.batch_sizes.tolist()
        while rows and not rows[-1]:
            rows.pop()
        spare = x.shape[0] - sum(rows)
        x = x[: sum(rows)]
    with torch.autocast(x.device.type, enabled=False) if autocast_on(x.device.type) else nullcontext():
        output, finals, every = sequence(cell, x, call.states, call.weights, rows, call.reverse, call.random_state)
    if spare > 0:
        output, *every = (torch.cat([t, t.new_zeros(spare, t.shape[-1])]) for t in (output, *every))
    others = [h for k, h in enumerate(every) if k != cell.output_state] if histories else []
    return ForwardResult(output, [s.clone(memory_format=torch.contiguous_format) for s in finals], others)


def forward(call: SequenceCall, save: bool, histories: bool) -> ForwardResult:
    """`run` without gradients. Saves nothing for backward, which runs the reference again."""
    with torch.no_grad():
        return run(call, histories)


def backward(
    call: SequenceCall,
    result: ForwardResult,
    upstream: Upstream,
    needs: Needs,
    accumulate_into: Tensors = (),
) -> Gradients:
    """`Backend.backward` by autograd; an upstream gradient that is None costs nothing. `result` is not read."""
    groups: list[Tensors] = [[call.x], call.states, call.weights]
    flags = (needs.x, needs.states, needs.weights)
    wanted = [need for group, need in zip(groups, flags) for _ in group]
    n = len(call.states)

    def results(*given: Tensor) -> list[Tensor]:
        some = iter(given)
        x, *rest = [next(some) if need else t.detach() for t, need in zip([t for g in groups for t in g], wanted)]
        found = run(replace(call, x=x, states=rest[:n], weights=rest[n:]), bool(upstream.histories))
        return [found.output, *found.final_states, *found.histories]

    given = [t.detach().requires_grad_() for group, need in zip(groups, flags) if need for t in group]
    with torch.no_grad():
        found = iter(pulled_back(results, given, [upstream.output, *upstream.final_states, *upstream.histories]))
    dx, d_states, d_weights = ([next(found) for _ in group] if need else [] for group, need in zip(groups, flags))
    if accumulate_into:
        d_weights = [total.add_(d) for total, d in zip(accumulate_into, d_weights)]
    return Gradients(dx[0] if dx else None, d_states, d_weights)


def backward_recorded(
    call: SequenceCall,
    result: ForwardResult,
    upstream: Upstream,
    needs: Needs,
    accumulate_into: Tensors = (),
    probe: Upstream | None = None,
) -> RecordedGradients:
    """`backward`, and the gradients of `record`; of `probe` those of states alone."""
    found = RecordedGradients(backward(call, result, upstream, needs, accumulate_into), *record(call, upstream))
    if probe is not None:
        gradients = backward(call, result, probe, Needs(False, True, False))
        found.probe = RecordedGradients(gradients, record(call, probe)[0], {})
    return found


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
    pre_gradients: dict[tuple[str, str], dict[int, Tensor]] = {}
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
            pre_gradients.setdefault(key, {})[t] = next(each)
        for c in carried:
            c[:n] = next(each)
    join = torch.stack if sizes is None else torch.cat
    steps = range(len(rows))
    if not rows:
        return [x.new_zeros(*x.shape[:-1], s.shape[-1]) for s in states], {}
    return [join([a[t] for t in steps]) for a in adjoints], {
        k: join([g[t] for t in steps]) for k, g in pre_gradients.items()
    }


def pulled_back(
    results: Callable[..., Sequence[Tensor]], given: Tensors, upstream: Sequence[Tensor | None]
) -> list[Tensor]:
    """From the upstream gradients of `results(*given)` a gradient for each of `given`, zeros where nothing flows.

    Where gradients are enabled, the results are differentiable. Inside torch.func the dependences are known only to its
    own levels, so torch.func differentiates there.
    """
    if _torch_private.functorch_active() and any(d is not None for d in upstream):
        chosen = [k for k, d in enumerate(upstream) if d is not None]
        pull = torch.func.vjp(lambda *given: tuple(r for k, r in enumerate(results(*given)) if k in chosen), *given)[1]
        return list(pull(tuple(d for d in upstream if d is not None)))
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, because one tensor may be two arguments, each with its own gradient.
        views = [t.view_as(t) for t in given]
        pairs = [(y, d) for y, d in zip(results(*views), upstream) if d is not None and y.requires_grad]
        if not pairs or not views:
            return [torch.zeros_like(t) for t in given]
        ys, ds = [y for y, _ in pairs], [d for _, d in pairs]
        return list(
            torch.autograd.grad(ys, views, ds, create_graph=create_graph, allow_unused=True, materialize_grads=True)
        )


def autocast_on(device: str) -> bool:
    """Whether torch.autocast is on for this kind of device."""
    available = device == "cpu" or torch.amp.is_autocast_available(device)  # the CPU always has it
    return available and torch.is_autocast_enabled(device)
