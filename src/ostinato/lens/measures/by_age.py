"""How much of the weights' gradient comes from how far back: the double sum of BPTT, by the age of its terms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...errors import InputError, phrase
from ..report.format import aligned, number, to_dict, to_json
from .age_decomposition import AgeDecomposition, Loss

_WHERE = "lens.by_age"


@dataclass(frozen=True)
class ByAge:
    """The gradient of each weight, split by age: G = Σ_a G_a. W weights, A ages.

    Formula: with G = Σ_t Σ_{k≤t} ∂E_t/∂h_t (Π_{j=k+1..t} ∂h_j/∂h_{j-1}) ∂h_k/∂U, G_a is the sum of the terms of age
    t - k = a. Where several layers, directions or calls follow each other, the age of a path from the loss to a weight
    is the number of states that it crosses from one step to the next, in all of them together.
    """

    ages_in_steps: tuple[int, ...]
    """The A ages, in steps. Age 0 is the gradient of a step's own loss through the same step."""
    weights: tuple[str, ...]
    """The W parameters' names: those of the recurrent layers, and of the modules before them, such as an embedding."""
    norm_by_age: Tensor
    """‖G_a‖ [A, W], in units of the loss per unit of the weight. Range: 0 and up."""
    share_by_age: Tensor
    """⟨G_a, G⟩ / ‖G‖² [A, W], no unit: the signed share of an age in the gradient, its part along the whole. The shares
    of all ages sum to 1; an age below 0 points against the whole. Healthy: shares that have not yet died away at the
    lag where the task's answer lies."""
    norm_of_other_ages: Tensor
    """‖G - Σ G_a‖ [W], of all ages that are not in `ages_in_steps`, in units of the loss per unit of the weight."""
    share_of_other_ages: Tensor
    """1 - Σ shares [W], of the same ages, no unit."""
    norm: Tensor
    """‖G‖ [W], in units of the loss per unit of the weight."""

    @property
    def cosine_by_age(self) -> Tensor:
        """cos ∠(G_a, G) [A, W], no unit, from -1 to 1; NaN where G_a or G is 0."""
        return self.share_by_age * self.norm / self.norm_by_age

    @property
    def norm_share_by_age(self) -> Tensor:
        """‖G_a‖ / Σ_a ‖G_a‖ [A, W] over the ages measured, no unit: the size of an age whether or not it cancels."""
        return self.norm_by_age / self.norm_by_age.sum(0)

    @property
    def whole(self) -> ByAge:
        """The same of all weights together, as if they were one: W = 1."""
        size = self.norm.square()
        total = size.sum()

        def norm(t: Tensor) -> Tensor:
            return t.square().sum(-1, keepdim=True).sqrt()

        def share(t: Tensor) -> Tensor:
            # A weight whose gradient is 0 has no share (NaN) and adds none.
            return torch.where(size > 0, t * size, 0.0).sum(-1, keepdim=True) / total

        return replace(
            self,
            weights=("all weights",),
            norm_by_age=norm(self.norm_by_age),
            share_by_age=share(self.share_by_age),
            norm_of_other_ages=norm(self.norm_of_other_ages),
            share_of_other_ages=share(self.share_of_other_ages),
            norm=norm(self.norm),
        )

    def table(self) -> str:
        """The signed shares as text, an age a line and a weight a column, all weights together first."""
        whole = self.whole
        shares = torch.cat([whole.share_by_age, self.share_by_age], 1)
        rest = torch.cat([whole.share_of_other_ages, self.share_of_other_ages])
        norms = torch.cat([whole.norm, self.norm])
        rows = [[str(age), *map(number, row.tolist())] for age, row in zip(self.ages_in_steps, shares)]
        rows.append(["other ages", *map(number, rest.tolist())])
        rows.append(["norm of the gradient", *map(number, norms.tolist())])
        return aligned(["age (steps)", *whole.weights, *self.weights], rows)

    def to_dict(self) -> dict[str, Any]:
        """All fields as numbers, texts and lists; None for what is not defined."""
        return to_dict(self)

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return to_json(self.to_dict())

    def __str__(self) -> str:
        return self.table()


def by_age(model: nn.Module, loss_per_step: Loss, ages: int | Iterable[int] | None = None) -> ByAge:
    """How much each age contributes to the gradient of every weight, exactly.

        record = ostinato.lens.by_age(model, lambda model: loss(model(x)[0], target), ages=range(50))

    model          any module that holds recurrent layers of ostinato, of any cell, with or without lengths. It is
                   measured in eval mode and left as it was; no weight's .grad is touched
    loss_per_step  a function from the model to its losses, one for each step [T] or [T, B], or their sum: the gradient
                   of their sum is measured. It is called twice and must return the same both times
    ages           the ages, in steps: a number n for 0 … n - 1, or the ages themselves; all without it

    `ByAge` defines age for a model of more than one layer. Paths through recurrent layers that are not ostinato's have
    no age; `ostinato.convert` makes them layers that have. A loop of single steps outside of the layers counts: a state
    that one call returns and another takes is crossed from one step to the next. Raises InputError for a model without
    such layers or without learned weights, for clip_gradient, and for a loss that is not a function of their outputs.
    Known answer: h_t = a h_{t-1} + w x_t and a loss on the last step alone give the weight w, at age k, the gradient
    a^k ∂E/∂h_T x_{T-k}.
    Cost: two forward passes and a backward one, and for each age up to the largest one backward pass of a single step
    with T·B rows, no loop over time. Memory: what backpropagation through all steps keeps, and one gradient.
    """
    chosen = None if ages is None else _ages(ages)
    split = AgeDecomposition(model, loss_per_step, _WHERE)
    names = tuple(split.total)
    total = [g.double() for g in split.total.values()]
    rest = [g.clone() for g in total]
    nothing = torch.zeros(len(names), dtype=torch.float64, device="cpu")
    measured = dict.fromkeys(chosen or (), (nothing, nothing))  # what no path is old enough for
    for age, parts in split.by_age(chosen, None if chosen is None else max(chosen)):
        each = [parts[name].double() for name in names]
        measured[age] = _norms(each), _shares(each, total)
        for r, g in zip(rest, each):
            r -= g
    ordered = sorted(measured)
    return ByAge(
        tuple(ordered),
        names,
        torch.stack([measured[age][0] for age in ordered]),
        torch.stack([measured[age][1] for age in ordered]),
        _norms(rest),
        _shares(rest, total),
        _norms(total),
    )


def _norms(gradients: list[Tensor]) -> Tensor:
    return torch.stack([g.norm() for g in gradients]).cpu()


def _shares(gradients: list[Tensor], total: list[Tensor]) -> Tensor:
    """⟨G_a, G⟩ / ‖G‖² of each weight."""
    return torch.stack([(g * t).sum() / t.square().sum() for g, t in zip(gradients, total, strict=True)]).cpu()


def _ages(ages: int | Iterable[int]) -> frozenset[int]:
    if isinstance(ages, int) and not isinstance(ages, bool):
        ages = range(ages)
    listed = isinstance(ages, Iterable) and not isinstance(ages, str | bytes | Tensor)
    chosen = frozenset(cast(Iterable[int], ages)) if listed else frozenset()
    if not chosen or not all(isinstance(a, int) and a >= 0 for a in chosen):
        remedy = "ages=50 measures 0 to 49, ages=[0, 1, 10, 100] those four."
        raise InputError(phrase(_WHERE, "ages", "a number of ages, or ages from 0 up", repr(ages), remedy))
    return chosen
