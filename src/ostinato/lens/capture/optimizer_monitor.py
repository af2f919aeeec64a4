"""What optimisers do while watched: gradients before and after clipping, and the size of updates, gate by gate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from ..._torch_private import after_backward, inside_backward, inside_which_backward, own_parameters
from ...cells import Cell
from ...execution import backends
from ...layers.base import Layer
from .row_norms import norms_of_parts


@dataclass(slots=True)
class MonitoredParameter:
    """One parameter of a recurrent layer over a watched step; the lists have a number for each gate."""

    name: str
    """Its name in the model."""
    tensor: Tensor
    """The parameter itself."""
    gates: tuple[str, ...]
    """The gates that it stacks; ("",) where it has none."""
    start: Tensor | None = None
    """Its values when the watch began."""
    gradient: list[float] | None = None
    """‖dL/dW‖ as the optimiser read it."""
    update: list[float] | None = None
    """‖ΔW‖ since the watch began."""

    def norms(self) -> list[float]:
        """‖W‖ before the update."""
        values = self.tensor.detach() if self.start is None else self.start
        return norms_of_parts([values], [len(self.gates)])[0]


class OptimizerMonitor:
    """Hooks on a model's parameters and on optimisers, from `begin` to `end`."""

    def __init__(self, modules: Sequence[tuple[str, nn.Module]]) -> None:
        """`modules`: those of a model by name, as `modules_by_name` gives them."""
        self.recurrent = list(_recurrent_parameters(modules).values())
        """The parameters of the recurrent layers, in their order."""
        self.norms_before: list[float] = []
        """‖dL/dW‖ of all parameters before clipping, for each step of an optimiser; NaN where it was not observed."""
        self.norms_after: list[float] = []
        """The same as the optimiser read it."""
        every = {id(p): p for _, m in modules for p in own_parameters(m).values() if p is not None}
        self._parameters = list(every.values())
        self._ids = set(map(id, self._parameters))
        self._part_counts = {id(p.tensor): len(p.gates) for p in self.recurrent}
        self._handles: list[RemovableHandle] = []
        self._arrived: dict[int, list[float]] = {}
        self._passes: set[int] = set()

    def begin(self) -> None:
        """Sets the hooks, and copies the parameters of the recurrent layers."""
        for p in self.recurrent:
            values = p.tensor.detach()
            plain = type(values) is Tensor and values.is_cpu
            p.start = backends.empty(values.shape, values).copy_(values) if plain else values.clone()
        for q in self._parameters:
            if q.requires_grad and q.is_leaf:
                self._handles.append(q.register_post_accumulate_grad_hook(self._gradient_arrived))
        self._handles.append(register_optimizer_step_pre_hook(self._before_step))
        self._handles.append(register_optimizer_step_post_hook(self._after_step))

    def end(self) -> None:
        """Removes the hooks. Without a step of an optimiser the gradients are read as they are now."""
        for handle in self._handles:
            handle.remove()
        if not self.norms_after:
            self._read_gradients({})

    def largest_norm(self) -> float:
        """The largest norm whose square the gradients' number type holds.

        Sums of squares are in float32 at least; a norm in float16 ends where float16 does.
        """
        types = {p.dtype for p in self._parameters if p.dtype.is_floating_point and p.dtype.itemsize > 1}
        sums = [math.sqrt(torch.finfo(torch.promote_types(t, torch.float32)).max) for t in types]
        return min([*sums, *(torch.finfo(t).max for t in types)], default=math.inf)

    def _gradient_arrived(self, parameter: Tensor) -> None:
        number = inside_which_backward()
        if number not in self._passes:
            self._passes.add(number)
            self._arrived = {}
            after_backward(self._backward_done)

    def _backward_done(self) -> None:
        """Backward is over, and means over several processes have been taken."""
        parameters = self._with_gradients()
        self._arrived = dict(zip(map(id, parameters), self._gradient_norms(parameters)))

    def _before_step(self, optimiser: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if not self._concerns(optimiser):
            return
        parameters = self._with_gradients()
        norms = self._gradient_norms(parameters)
        # One that steps inside of a backward pass reads gradients that are not all there yet.
        known = not inside_backward() and all(id(p) in self._arrived for p in parameters)
        self.norms_before.append(_hypot(chain(*(self._arrived[id(p)] for p in parameters))) if known else math.nan)
        self.norms_after.append(_hypot(chain(*norms)))
        self._read_gradients(dict(zip(map(id, parameters), norms)))

    def _after_step(self, optimiser: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if self._concerns(optimiser):
            started = [p for p in self.recurrent if p.start is not None]
            moved = norms_of_parts(
                [p.tensor.detach() for p in started],
                [len(p.gates) for p in started],
                [p.start for p in started if p.start is not None],
            )
            for p, update in zip(started, moved):
                p.update = update

    def _concerns(self, optimiser: torch.optim.Optimizer) -> bool:
        return any(id(p) in self._ids for group in optimiser.param_groups for p in group["params"])

    def _with_gradients(self) -> list[Tensor]:
        return [p for p in self._parameters if p.grad is not None]

    def _gradient_norms(self, parameters: Sequence[Tensor]) -> list[list[float]]:
        """The norms of the gradients of some parameters, gate by gate where they have gates."""
        counts = [self._part_counts.get(id(p), 1) for p in parameters]
        return norms_of_parts([p.grad for p in parameters if p.grad is not None], counts)

    def _read_gradients(self, known: dict[int, list[float]]) -> None:
        """known  id → norms, of the parameters whose gradients were measured just now"""
        unknown = [] if known else [p.tensor for p in self.recurrent if p.tensor.grad is not None]
        if unknown:
            known = dict(zip(map(id, unknown), self._gradient_norms(unknown)))
        for p in self.recurrent:
            p.gradient = known.get(id(p.tensor))


_LETTERS = {"weight_ih": "W", "weight_hh": "U", "weight_hr": "V", "bias_ih": "b", "bias_hh": "d"}


def _recurrent_parameters(modules: Iterable[tuple[str, nn.Module]]) -> dict[str, MonitoredParameter]:
    """Those of the recurrent layers by their name in the model."""
    parameters = {}
    for prefix, module in modules:
        if isinstance(module, Layer):
            cell = module.cell
            own = {id(p): (name, p) for name, p in reversed(own_parameters(module).items()) if p is not None}
            for name, p in reversed(own.values()):
                full = f"{prefix}.{name}".removeprefix(".")
                parameters[full] = MonitoredParameter(full, p, _gates_of(cell, name))
    return parameters


def _gates_of(cell: Cell, name: str) -> tuple[str, ...]:
    """The gates that a parameter stacks; ("",) where it has none."""
    for start, letter in _LETTERS.items():
        if name.startswith(start):
            return tuple(cell.gates[letter]) if letter in cell.gates else ("",)
    return ("",)


def _hypot(norms: Iterable[float]) -> float:
    """Of the norms of parts that of the whole; NaN where one is NaN."""
    parts = list(norms)
    return math.nan if any(map(math.isnan, parts)) else math.hypot(*parts)
