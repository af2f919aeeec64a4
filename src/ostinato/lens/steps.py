"""What optimisers did while watched: gradients before and after clipping, and the size of updates, gate by gate."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from .._torch_private import after_backward, inside_backward, inside_which_backward
from ..cells import Cell
from ..layers.layer import Layer
from .names import modules_by_name
from .norms import norms
from .record import Clipping, WeightReport


class Steps:
    """Hooks on a model's parameters and on optimisers, from `begin` to `end`."""

    def __init__(self, model: nn.Module):
        self._parameters = list(model.parameters())
        self._own = {id(p) for p in self._parameters}
        self._gates = {n: (p, m.cell, p_name) for n, p, m, p_name in _recurrent(model)}
        self._handles: list[RemovableHandle] = []
        self._arrived: dict[int, Tensor] = {}
        self._passes: set[int] = set()
        self._before: list[float] = []
        self._after: list[float] = []
        self._starts: dict[str, Tensor] = {}
        self._gradients: dict[str, list[float]] = {}
        self._moved: dict[str, list[float]] = {}

    def begin(self) -> None:
        self._starts = {name: p.detach().clone() for name, (p, _, _) in self._gates.items()}
        learning = [p for p in self._parameters if p.requires_grad and p.is_leaf]
        self._handles = [p.register_post_accumulate_grad_hook(self._arrive) for p in learning]
        self._handles += [
            register_optimizer_step_pre_hook(self._about_to_step),
            register_optimizer_step_post_hook(self._stepped),
        ]

    def end(self) -> None:
        for handle in self._handles:
            handle.remove()
        if not self._after:
            self._read_gradients()

    def _arrive(self, parameter: Tensor) -> None:
        number = inside_which_backward()
        if number not in self._passes:
            self._passes.add(number)
            self._arrived = {}
            after_backward(self._passed)

    def _passed(self) -> None:
        """Backward is over, and means over several processes have been taken."""
        self._arrived = {id(p): _norm(p.grad) for p in self._parameters if p.grad is not None}

    def _about_to_step(self, optimiser: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if not self._concerns(optimiser):
            return
        having = [p for p in self._parameters if p.grad is not None]
        after = _together([_norm(p.grad) for p in having if p.grad is not None])
        # One that steps inside of a backward pass reads gradients that are not all there yet.
        known = not inside_backward() and all(id(p) in self._arrived for p in having)
        self._before.append(_together([self._arrived[id(p)] for p in having]) if known else math.nan)
        self._after.append(after)
        self._read_gradients()

    def _stepped(self, optimiser: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if self._concerns(optimiser):
            self._moved = {
                name: _by_gate(p.detach() - self._starts[name], cell, n) for name, (p, cell, n) in self._gates.items()
            }

    def _concerns(self, optimiser: torch.optim.Optimizer) -> bool:
        return any(id(p) in self._own for group in optimiser.param_groups for p in group["params"])

    def _read_gradients(self) -> None:
        self._gradients = {
            name: _by_gate(p.grad, cell, n) for name, (p, cell, n) in self._gates.items() if p.grad is not None
        }

    def clipping(self) -> Clipping:
        return Clipping(tuple(self._before), tuple(self._after))

    def weights(self) -> tuple[WeightReport, ...]:
        """Every parameter of the recurrent layers, in their order, gate by gate."""
        found = []
        for name, (p, cell, own) in self._gates.items():
            sizes = _by_gate(self._starts.get(name, p.detach()), cell, own)
            gradients, moved = self._gradients.get(name), self._moved.get(name)
            for k, gate in enumerate(_gates(cell, own)):
                gradient, update = (None if v is None else v[k] for v in (gradients, moved))
                found.append(WeightReport(name, gate, sizes[k], gradient, update))
        return tuple(found)


_LETTERS = {"weight_ih": "W", "weight_hh": "U", "weight_hr": "V", "bias_ih": "b", "bias_hh": "d"}


def _recurrent(model: nn.Module) -> list[tuple[str, Tensor, Layer, str]]:
    """(full name, parameter, layer, own name) of the parameters of recurrent layers."""
    found: list[tuple[str, Tensor, Layer, str]] = []
    for prefix, module in modules_by_name(model):
        if isinstance(module, Layer):
            for name, p in module.named_parameters(recurse=False):
                found.append((f"{prefix}.{name}".removeprefix("."), p, module, name))
    return found


def _gates(cell: Cell, name: str) -> tuple[str, ...]:
    """The gates that a parameter stacks; ("",) where it has none."""
    letter = next((k for start, k in _LETTERS.items() if name.startswith(start)), None)
    return tuple(cell.gates[letter]) if letter is not None and letter in cell.gates else ("",)


def _by_gate(t: Tensor, cell: Cell, name: str) -> list[float]:
    return norms(t.detach().reshape(len(_gates(cell, name)), -1)).tolist()


def _norm(gradient: Tensor) -> Tensor:
    values = gradient.coalesce().values() if gradient.is_sparse else gradient
    return torch.linalg.vector_norm(values.detach())


def _together(norms: list[Tensor]) -> float:
    return float(torch.linalg.vector_norm(torch.stack([n.to("cpu", torch.float64) for n in norms]))) if norms else 0.0
