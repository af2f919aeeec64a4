"""Where a value that is not finite comes from: the calls of a training step run once more under `detect_anomaly`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ...errors import AnomalyError
from ...layers.layer import Layer
from ...layers.modes import eval_mode
from ..anomaly import detect_anomaly
from ..capture.module_names import parameters_by_name


@dataclass
class Call:
    """One call of a recurrent layer, as it was made, and the gradient of its output once backward has passed."""

    layer: Layer
    x: Any
    state: Any
    options: dict[str, Any]
    d_output: list[Tensor] = field(default_factory=list)


def cause(calls: Sequence[Call], model: nn.Module) -> str:
    """One sentence: where the first inf or NaN of a training step arose.

    Forward first, in the order of the calls: what is not finite there makes all gradients so. Then backward, in the
    opposite order, from the gradients that arrived at outputs. Where the recurrent layers are all right, the first
    parameter or gradient that is not is named. Gradients that the parameters hold stay as they are.
    """
    try:
        with detect_anomaly(model), torch.enable_grad():
            made = [_again(call) for call in calls]
            for call, (output, inputs) in zip(reversed(calls), reversed(made)):
                if call.d_output and output.requires_grad:
                    arriving = sum(call.d_output[1:], call.d_output[0])
                    torch.autograd.grad(output, inputs, arriving, allow_unused=True)
    except AnomalyError as found:
        return str(found).removesuffix(".")
    inside = "; what its recurrent layers compute and send back is finite, so look at the rest" if calls else ""
    for name, p in parameters_by_name(model):
        if not p.detach().isfinite().all():
            return f"the parameter {name} is {_kind(p.detach())}{inside}"
    gradients = {name: p.grad for name, p in parameters_by_name(model) if p.grad is not None}
    bad = {name: g for name, g in gradients.items() if not g.isfinite().all()}
    if len(bad) > 1 and len(bad) == len(gradients):
        kind = _kind(torch.cat([g.flatten() for g in bad.values()]))
        return f"every gradient is {kind}, as after clipping by a norm that is {kind}{inside}"
    for name, g in bad.items():
        return f"the gradient of {name} is {_kind(g)}{inside}"
    return "every value that can still be seen is finite"


def _again(call: Call) -> tuple[Tensor, list[Tensor]]:
    """(the output of the call in eval mode, what its gradients are taken of)."""
    data = call.x.data if isinstance(call.x, PackedSequence) else call.x
    data = data.detach().requires_grad_()
    x = PackedSequence(data, *call.x[1:]) if isinstance(call.x, PackedSequence) else data
    with eval_mode(call.layer):
        output = call.layer(x, call.state, **call.options)[0]
    inputs = [data, *(p for p in call.layer.parameters() if p.requires_grad)]
    return (output.data if isinstance(output, PackedSequence) else output), inputs


def _kind(t: Tensor) -> str:
    return "NaN" if t.isnan().any() else "infinite"
