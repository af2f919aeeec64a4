"""`convert`: the recurrent layers of torch.nn inside a model become this package's, in place."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.utils import parametrize

from ..errors import InputError, phrase
from .fx import leaf_for_fx
from .torch_layers import CONVERTED, TorchLayer


@dataclass(frozen=True)
class Conversion:
    """What `convert` did: `swapped`, module name → the class it had; `left`, module name → why it was not swapped."""

    swapped: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{_label(name)}: {kind} → ostinato.{kind.removeprefix('nn.')}" for name, kind in self.swapped.items()]
        lines += [f"{_label(name)}: left, {why}" for name, why in self.left.items()]
        return "\n".join(lines) or "no recurrent layer of torch.nn in this model"


def convert(model: nn.Module) -> Conversion:
    """Turns every nn.RNN, nn.GRU and nn.LSTM inside `model` into ostinato's, in place, and reports what it did.

    Each instance keeps its identity and all that it holds: parameters (the same objects, so optimisers go on), hooks,
    training mode, dtype, device, names, parametrizations; only its class changes. So the model itself may be such a
    layer, a module used twice stays one module, and references kept elsewhere see the change. Calls are as before:
    x [T, B, C] → output [T, B, D·H] and the final state.

    Left as they are, with the reason in the report: subclasses, scripted modules, modules whose forward was replaced
    on the instance, and single-step cells. `print(ostinato.convert(model))` shows the report.
    """
    if not isinstance(model, nn.Module):
        raise InputError(
            phrase("convert", "model", "a torch.nn.Module", type(model).__name__, "Give the model, not its weights.")
        )
    report = Conversion()
    for name, module in model.named_modules():
        if isinstance(module, TorchLayer):
            continue
        reason = _obstacle(module)
        if reason:
            report.left[name] = reason
        elif isinstance(module, nn.RNNBase):
            original = parametrize.type_before_parametrizations(module)
            module.__class__ = _counterpart(type(module))  # type: ignore[assignment]
            leaf_for_fx(module)
            report.swapped[name] = f"nn.{original.__name__}"
    return report


def _obstacle(module: nn.Module) -> str:
    """Why a recurrent module of torch.nn cannot be swapped; empty for all other modules too."""
    if isinstance(module, torch.jit.ScriptModule):
        kind = getattr(module, "original_name", "")
        return f"a scripted {kind}: scripts are compiled already" if kind in ("RNN", "GRU", "LSTM") else ""
    if isinstance(module, nn.RNNCellBase):
        return f"an nn.{type(module).__name__} is one step; write the loop over steps as one ostinato.Recurrent"
    if not isinstance(module, nn.RNNBase):
        return ""
    kind = parametrize.type_before_parametrizations(module)
    if kind not in CONVERTED:
        bases = [b.__name__ for b in kind.__mro__ if b in CONVERTED] or ["RNNBase"]
        own = f"ostinato.{bases[0]}" if bases[0] != "RNNBase" else "one of ostinato's layers"
        return f"a subclass of nn.{bases[0]}, {kind.__name__}, may compute something else; derive it from {own}"
    if "forward" in vars(module):
        return f"an nn.{kind.__name__} whose forward was replaced on the instance"
    return ""


def _counterpart(kind: type[nn.Module]) -> type[nn.Module]:
    """The class here for a class of torch.nn, or for the one that torch makes of it to hold parametrizations."""
    if kind in CONVERTED:
        return CONVERTED[kind]
    original = kind.__bases__[0]
    members = {key: value for key, value in vars(kind).items() if key not in ("__dict__", "__weakref__", "__module__")}
    return type(kind.__name__, (CONVERTED[original],), members)


def _label(name: str) -> str:
    return name or "the model itself"
