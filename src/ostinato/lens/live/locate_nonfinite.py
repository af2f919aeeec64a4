"""Locates the first value that is not finite: repeats the calls of a training step under `detect_anomaly`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ...errors import AnomalyError
from ...layers.base import Layer
from ...layers.modes import eval_mode
from ..anomaly import detect_anomaly
from ..capture.module_names import parameters_by_name


@dataclass(slots=True)
class LayerCall:
    """One call of a recurrent layer, and the gradients of its output."""

    layer: Layer
    """The layer."""
    x: Any
    """Its input, detached: [T, B, C] or a PackedSequence."""
    state: Any
    """Its initial state, detached; None where none was given."""
    options: dict[str, Any]
    """`lengths` and `resets`, as far as they were given."""
    d_output: list[Tensor] = field(default_factory=list)
    """The gradients of the output, one for each backward pass."""


def locate_nonfinite(calls: Sequence[LayerCall], model: nn.Module) -> str:
    """One sentence: where the first inf or NaN of a training step arose.

    Forward first, in the order of the calls, since values that are not finite there make all gradients so. Then
    backward, in the opposite order, from the gradients of the outputs. Where the recurrent layers are finite, the first
    parameter or gradient that is not is named. The gradients that the parameters hold stay as they are.
    """
    try:
        with detect_anomaly(model), torch.enable_grad():
            repeated = [_repeat(call) for call in calls]
            for call, (output, inputs) in zip(reversed(calls), reversed(repeated)):
                if call.d_output and output.requires_grad:
                    arriving = sum(call.d_output[1:], call.d_output[0])
                    torch.autograd.grad(output, inputs, arriving, allow_unused=True)
    except AnomalyError as error:
        return str(error).removesuffix(".")
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


def _repeat(call: LayerCall) -> tuple[Tensor, list[Tensor]]:
    """(the output of the call in eval mode, the tensors to differentiate it by)."""
    data = call.x.data if isinstance(call.x, PackedSequence) else call.x
    data = data.detach().requires_grad_()
    x = PackedSequence(data, *call.x[1:]) if isinstance(call.x, PackedSequence) else data
    with eval_mode(call.layer):
        output = call.layer(x, call.state, **call.options)[0]
    inputs = [data, *(p for p in call.layer.parameters() if p.requires_grad)]
    return (output.data if isinstance(output, PackedSequence) else output), inputs


def _kind(t: Tensor) -> str:
    return "NaN" if t.isnan().any() else "infinite"
