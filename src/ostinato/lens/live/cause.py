"""Where a value that is not finite comes from: the layer, the step, the row, and the gate or state.

Letters: T steps, B rows, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ...layers.layer import Layer
from ..adjoint import StepAdjoint
from ..evaluate import evaluate
from ..history import Run, runs
from ..nodes import named


@dataclass
class Call:
    """One call of a recurrent layer, as it was made, and the gradient of its output once backward has passed."""

    name: str
    layer: Layer
    x: Any
    state: Any
    options: dict[str, Any]
    d_output: list[Tensor] = field(default_factory=list)


def cause(calls: Sequence[Call], model: nn.Module) -> str:
    """One sentence: where the first inf or NaN of a training step arose. The calls are run once more to find it.

    Forward first, in the order of the calls: what is not finite there makes all gradients so. Then backward, in the
    opposite order. Where the recurrent layers are all right, the first parameter or gradient that is not is named.
    """
    found = [(call, run) for call in calls for run in runs(call.layer, call.x, call.state, **call.options)]
    for call, run in found:
        sentence = _forward(_label(call, run), run)
        if sentence:
            return sentence
    for call in reversed(calls):
        sentence = _backward(call)
        if sentence:
            return sentence
    inside = "; what its recurrent layers compute and send back is finite, so look at the rest" if calls else ""
    for name, p in model.named_parameters():
        if not p.detach().isfinite().all():
            return f"the parameter {name} is {_kind(p.detach())}{inside}"
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    bad = {name: g for name, g in gradients.items() if not g.isfinite().all()}
    if len(bad) > 1 and len(bad) == len(gradients):
        kind = _kind(torch.cat([g.flatten() for g in bad.values()]))
        return f"every gradient is {kind}, as after clipping by a norm that is {kind}{inside}"
    for name, g in bad.items():
        return f"the gradient of {name} is {_kind(g)}{inside}"
    return "every value that can still be seen is finite"


def _label(call: Call, run: Run) -> str:
    name = call.name or type(call.layer).__name__
    return f"{name} layer {run.depth}" + (", reversed" if run.reverse else "")


def _forward(label: str, run: Run) -> str:
    """What is wrong with the values of a run; "" for nothing."""
    for name, w in zip(run.cell.parameters(1, 1), run.weights):
        if not w.isfinite().all():
            return f"{label}: its {name} is {_kind(w)} before the step, so the cause is an earlier update"
    if not run.x.isfinite().all():
        step, row = _first(run, ~run.x.isfinite().all(-1))
        return f"{label}: its input is {_kind(run.x[step, row])} at step {step} of row {row}; the cause lies below it"
    for name, start in zip(run.cell.states, run.start):
        if not start.isfinite().all():
            return f"{label}: the state {name} that it starts from is {_kind(start)}"
    bad = torch.stack([~s.isfinite().all(-1) for s in (*run.states, run.output)]).any(0)
    if not bad.any():
        return ""
    step, row = _first(run, bad)
    nodes = named(run.cell)
    previous = [s[step, row] for s in run.previous]
    wanted = {
        **{f"the pre-activation of gate {g}": v for g, v in nodes.pre_activations.items()},
        **{f"gate {g}": v for g, v in nodes.gates.items()},
        **{f"state {s}": v for s, v in zip(run.cell.states, nodes.trace.new)},
        "the output": nodes.trace.output,
    }
    order = sorted(wanted, key=lambda key: wanted[key].id)  # as the equations compute them
    values = evaluate(run.cell, run.weights, run.x[step, row], previous, [wanted[key] for key in order])
    for key, value in zip(order, values):
        if not value.isfinite().all():
            largest = max(float(s.abs().max()) for s in previous)
            units = int((~value.isfinite()).sum())
            return (
                f"{label}: {key} becomes {_kind(value)} at step {step} of row {row}, in {units} of {value.numel()} "
                f"units; the largest state before it is {largest:.3g}, and everything that the step reads is finite"
            )
    return f"{label}: a state becomes {_kind(run.states[0][step, row])} at step {step} of row {row}"


def _backward(call: Call) -> str:
    """What is wrong with the gradients of a call; "" for nothing that can be told."""
    if not call.d_output:
        return ""
    arriving = sum(call.d_output[1:], call.d_output[0])
    x, options = call.x, dict(call.options)
    if isinstance(x, PackedSequence):
        return ""
    found = runs(call.layer, x, call.state, **options)
    top = found[-2:] if call.layer.bidirectional else found[-1:]
    d = arriving.unsqueeze(1) if arriving.dim() == 2 else arriving
    d = d.transpose(0, 1) if call.layer.batch_first and arriving.dim() == 3 else d
    if not d.isfinite().all():
        step, row = (~d.isfinite().all(-1)).nonzero()[0].tolist()
        label = _label(call, top[-1])
        where = f"is {_kind(d)} at step {step} of row {row}"
        return f"{label}: the gradient that arrives at its output {where}; the cause lies above it, as in the loss"
    for run, d_run in zip(top, d.chunk(len(top), -1)):
        step = _overflow(run, d_run)
        if step is not None:
            return (
                f"{_label(call, run)}: the gradient that arrives at its output is finite, and explodes inside: it "
                f"is inf or NaN from step {step} on, going back; clip_gradient=, a smaller U, or shorter windows "
                "keep it in range"
            )
    return ""


def _overflow(run: Run, d_output: Tensor) -> int | None:
    """The step, in the order of x, at which backpropagation through a run first meets a value that is not finite."""
    adjoint = StepAdjoint(run)
    first, anew = run.begins
    d_states: list[Tensor | None] = [None] * len(run.states)
    order = range(len(run.x)) if run.reverse else reversed(range(len(run.x)))
    for t in order:
        inside = run.valid[t, :, None]
        seed = torch.where(inside, d_output[t], 0.0)[None]
        pulled = adjoint.pull(seed, d_states, slice(t, t + 1), x=False, weights=True)
        if not all(g.isfinite().all() for g in (*pulled.previous, *pulled.weights)):
            return t
        stops = (first | anew)[t, :, None]
        d_states = [torch.where(inside & ~stops, g, 0.0) for g in pulled.previous]
    return None


def _first(run: Run, bad: Tensor) -> tuple[int, int]:
    """(step, row) of the first True of [T, B], in the order in which the run takes its steps."""
    at = (bad & run.valid).nonzero()
    step, row = at[-1 if run.reverse else 0].tolist()
    return step, row


def _kind(t: Tensor) -> str:
    return "NaN" if t.isnan().any() else "inf"
