"""What optimisers did while watched: gradients before and after clipping, and the size of updates, gate by gate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from .._torch_private import after_backward, inside_backward, inside_which_backward
from ..cells import Cell
from ..layers.layer import Layer
from .names import modules_by_name
from .norms import norms_of
from .record import Clipping, WeightReport


class Steps:
    """Hooks on a model's parameters and on optimisers, from `begin` to `end`."""

    def __init__(self, model: nn.Module):
        self._parameters = list(model.parameters())
        self._own = {id(p) for p in self._parameters}
        self._gates = {n: (p, m.cell, p_name) for n, p, m, p_name in _recurrent(model)}
        self._parts = {id(p): len(_gates(cell, own)) for p, cell, own in self._gates.values()}
        self._handles: list[RemovableHandle] = []
        self._arrived: dict[int, float] = {}
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
        having = [p for p in self._parameters if p.grad is not None]
        self._arrived = dict(zip(map(id, having), (_together(s) for s in self._sizes(having))))

    def _about_to_step(self, optimiser: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if not self._concerns(optimiser):
            return
        having = [p for p in self._parameters if p.grad is not None]
        sizes = self._sizes(having)
        # One that steps inside of a backward pass reads gradients that are not all there yet.
        known = not inside_backward() and all(id(p) in self._arrived for p in having)
        self._before.append(_together(self._arrived[id(p)] for p in having) if known else math.nan)
        self._after.append(_together(map(_together, sizes)))
        self._read_gradients(dict(zip(map(id, having), sizes)))

    def _stepped(self, optimiser: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if self._concerns(optimiser):
            parts = [(p, len(_gates(cell, n))) for p, cell, n in self._gates.values()]
            sizes = _by_rows([(p.detach(), n) for p, n in parts], list(self._starts.values()))
            self._moved = dict(zip(self._gates, sizes))

    def _concerns(self, optimiser: torch.optim.Optimizer) -> bool:
        return any(id(p) in self._own for group in optimiser.param_groups for p in group["params"])

    def _sizes(self, having: Sequence[Tensor]) -> list[list[float]]:
        """The norms of the gradients of some parameters, gate by gate where they have gates."""
        return _by_rows([(p.grad.detach(), self._parts.get(id(p), 1)) for p in having if p.grad is not None])

    def _read_gradients(self, known: dict[int, list[float]] | None = None) -> None:
        if known is None:
            having = [p for p, _, _ in self._gates.values() if p.grad is not None]
            known = dict(zip(map(id, having), self._sizes(having)))
        self._gradients = {name: known[id(p)] for name, (p, _, _) in self._gates.items() if id(p) in known}

    def clipping(self) -> Clipping:
        return Clipping(tuple(self._before), tuple(self._after), self._largest_norm())

    def _largest_norm(self) -> float:
        """Sums of squares are in float32 at least; a norm in float16 ends where float16 does."""
        types = {p.dtype for p in self._parameters if p.dtype.is_floating_point and p.dtype.itemsize > 1}
        sums = [math.sqrt(torch.finfo(torch.promote_types(t, torch.float32)).max) for t in types]
        return min([*sums, *(torch.finfo(t).max for t in types)], default=math.inf)

    def weights(self) -> tuple[WeightReport, ...]:
        """Every parameter of the recurrent layers, in their order, gate by gate."""
        found = []
        for name, (p, cell, own) in self._gates.items():
            (sizes,) = _by_rows([(self._starts.get(name, p.detach()), len(_gates(cell, own)))])
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


def _by_rows(tensors: Sequence[tuple[Tensor, int]], less: Sequence[Tensor] = ()) -> list[list[float]]:
    """The norm of each of the n equal parts of each tensor (or of its difference from `less`), n given with it."""
    dense = [(t.coalesce().values() if t.is_sparse else t, n) for t, n in tensors]
    found: list[list[float]] = [[] for _ in dense]
    kinds: dict[tuple[torch.dtype, torch.device], list[int]] = {}
    for k, (t, _) in enumerate(dense):
        kinds.setdefault((t.dtype, t.device), []).append(k)
    for places in kinds.values():
        rows = [dense[k][0].reshape(dense[k][1], -1) for k in places]
        taken = [less[k].reshape(dense[k][1], -1) for k in places] if less else []
        sizes = torch.cat(norms_of(rows, taken)).tolist()
        for k in places:
            count = dense[k][1]
            found[k], sizes = sizes[:count], sizes[count:]
    return found


def _together(norms: Iterable[float]) -> float:
    """Of norms of parts that of the whole."""
    several = list(norms)
    return math.nan if any(map(math.isnan, several)) else math.hypot(*several)
