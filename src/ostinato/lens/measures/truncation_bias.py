"""The bias of truncated backpropagation: the gradient of k2 steps against the whole one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import InputError, phrase
from ..report.format import aligned, number, to_dict, to_json
from .age_decomposition import AgeDecomposition, Loss

_WHERE = "lens.truncation_bias"


@dataclass(frozen=True)
class TruncationBias:
    """The gradient in which each loss sees exactly k2 steps, G_(k2) = Σ_{a<k2} G_a, beside the whole G.

    Formula: G_(k2) = Σ_t Σ_{t-k2<k≤t} of the terms of `ByAge`. k2 = 1 is the gradient of a step's loss through the same
    step. W weights, K values of k2.

    This is truncated backpropagation with k1 = 1. A window that moves on by k1 > 1 steps at a time gives its last loss
    k2 steps and its first only k2 - k1 + 1: it loses every age from k2 on too, and of the k1 - 1 ages below it the part
    of the losses at the front of windows. Weights are constant here, as in one batch.
    Source: C. Tallec, Y. Ollivier, arXiv 1705.08209, on the bias of truncation; R. Williams, J. Peng, Neural
    Computation 2 (1990), for k1 and k2.
    """

    k2_in_steps: tuple[int, ...]
    """The K horizons, in steps."""
    weights: tuple[str, ...]
    """The W parameters' names, as in `ByAge`."""
    cosine: Tensor
    """cos ∠(G_(k2), G) [K, W], no unit, from -1 to 1: 1 where truncation keeps the direction. NaN where either is 0."""
    relative_error: Tensor
    """‖G_(k2) - G‖ / ‖G‖ [K, W], no unit: 0 where nothing is lost, 1 where as much is lost as there is."""
    norm_ratio: Tensor
    """‖G_(k2)‖ / ‖G‖ [K, W], no unit: below 1 where truncated steps are also too short."""
    whole_cosine: Tensor
    """`cosine` of all weights together [K], no unit."""
    whole_relative_error: Tensor
    """`relative_error` of all weights together [K], no unit."""
    whole_norm_ratio: Tensor
    """`norm_ratio` of all weights together [K], no unit."""

    def smallest_k2(self, relative_error: float = 0.1) -> int | None:
        """The least of the measured k2 from which on the whole gradient's relative error stays at most this much.

        None where the largest k2 is not enough: measure larger ones.
        """
        enough = None
        for k2, e in reversed(list(zip(self.k2_in_steps, self.whole_relative_error.tolist()))):
            if not e <= relative_error:
                break
            enough = k2
        return enough

    def table(self) -> str:
        """As text, a k2 a line: cosine, relative error and norm ratio of all weights, then each weight's error."""
        whole = (self.whole_cosine, self.whole_relative_error, self.whole_norm_ratio)
        each = torch.cat([torch.stack(whole, 1), self.relative_error], 1)
        rows = [[str(k2), *map(number, row.tolist())] for k2, row in zip(self.k2_in_steps, each)]
        errors = [f"error of {name}" for name in self.weights]
        return aligned(["k2 (steps)", "cosine", "relative error", "norm ratio", *errors], rows)

    def to_dict(self) -> dict[str, Any]:
        """All fields as numbers, texts and lists; None for what is not defined."""
        return to_dict(self)

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return to_json(self.to_dict())

    def __str__(self) -> str:
        return self.table()


def truncation_bias(model: nn.Module, loss_per_step: Loss, k2: int | Iterable[int]) -> TruncationBias:
    """The bias of a gradient in which each loss sees k2 steps back: cosine and relative error to the whole gradient.

        record = ostinato.lens.truncation_bias(model, lambda model: loss(model(x)[0], target), k2=[10, 20, 50, 100])
        record.smallest_k2(relative_error=0.1)

    model, loss_per_step  as for `by_age`
    k2                    a horizon in steps, or several; 1 is a step's own loss alone. Sequences should be longer than
                          the largest, and as long as the dependencies that matter: steps beyond the
                          reach of every loss in the data are missing from the whole gradient too

    The errors are relative, without a unit. Raises InputError as `by_age` does, and for a k2 below 1.
    Known answer: from k2 = T on, T the longest sequence, the error is 0.
    Cost: that of `by_age` with max(k2) ages. Memory: that and two gradients in float64.
    """
    horizons = sorted({k2} if isinstance(k2, int) else set(k2) if isinstance(k2, Iterable) else set())
    if not horizons or not all(isinstance(k, int) and not isinstance(k, bool) and k >= 1 for k in horizons):
        remedy = "k2=[10, 20, 50] compares three."
        raise InputError(phrase(_WHERE, "k2", "horizons of 1 step or more", repr(k2), remedy))
    split = AgeDecomposition(model, loss_per_step, _WHERE)
    total = [g.double() for g in split.total.values()]
    so_far = [torch.zeros_like(g) for g in total]
    rows: list[Tensor] = []
    for age, parts in split.by_age(last=horizons[-1] - 1):
        for sum_, part in zip(so_far, parts.values(), strict=True):
            sum_ += part
        if age + 1 in horizons:
            rows.append(_compared(so_far, total))
    rows += [_compared(so_far, total)] * (len(horizons) - len(rows))  # horizons beyond the oldest path
    # K × (cosine, relative error, norm ratio) × (each weight, then all together)
    table = torch.stack(rows).cpu()
    each, whole = table[..., :-1], table[..., -1]
    return TruncationBias(tuple(horizons), tuple(split.total), *each.unbind(1), *whole.unbind(1))


def _compared(truncated: list[Tensor], total: list[Tensor]) -> Tensor:
    """[3, W + 1]: cosine, relative error and norm ratio of each weight, then of all together."""
    pairs = zip(truncated, total, strict=True)
    sums = torch.stack(
        [torch.stack([(f * g).sum(), (f - g).square().sum(), f.square().sum(), g.square().sum()]) for f, g in pairs], 1
    )
    dot, error, size, whole = torch.cat([sums, sums.sum(1, keepdim=True)], 1)
    return torch.stack([dot / (size * whole).sqrt(), (error / whole).sqrt(), (size / whole).sqrt()])
