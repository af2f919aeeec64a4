"""What optimisers did: the size of weights, gradients and updates, and how much clipping cut."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class WeightReport:
    """One gate's part of one parameter of a recurrent layer, or a parameter without gates, over the watched step."""

    parameter: str
    gate: str
    """"" for a parameter without gates."""
    norm_weight_units: float
    """‖W‖ before the update."""
    gradient_norm_loss_per_weight_unit: float | None
    """‖dL/dW‖ as the optimiser read it, after clipping; the last step's where there were several. None: not seen."""
    update_norm_weight_units: float | None
    """‖ΔW‖ over the watched step; None where no optimiser took a step."""

    @property
    def relative_update(self) -> float | None:
        """‖ΔW‖ / ‖W‖, no unit. Healthy: about 0.001; inf for a parameter that was 0."""
        if self.update_norm_weight_units is None:
            return None
        if not self.norm_weight_units:
            return math.inf if self.update_norm_weight_units else 0.0
        return self.update_norm_weight_units / self.norm_weight_units


@dataclass(frozen=True)
class Clipping:
    """The norm of all the model's gradients together, as backward left it and as the optimiser read it."""

    norms_before_loss_per_weight_unit: tuple[float, ...]
    """For each step of an optimiser, before clipping; NaN where backward ran outside of the watch."""
    norms_after_loss_per_weight_unit: tuple[float, ...]
    """For each step of an optimiser, as it read them."""
    largest_norm: float = math.inf
    """The largest norm whose square the gradients' number type holds; clip_grad_norm_ takes a larger one for inf, and
    multiplies every gradient by 0."""

    @property
    def steps(self) -> int:
        """How often an optimiser took a step while watched."""
        return len(self.norms_after_loss_per_weight_unit)

    @property
    def rate(self) -> float:
        """Share of the steps at which the norm was cut by more than 1 in 1000; NaN where no step shows it."""
        pairs = zip(self.norms_before_loss_per_weight_unit, self.norms_after_loss_per_weight_unit, strict=True)
        cut = [after < 0.999 * before for before, after in pairs if not math.isnan(before)]
        return sum(cut) / len(cut) if cut else math.nan
