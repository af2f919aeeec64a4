"""What optimisers did: the size of weights, gradients and updates, and how much clipping cut."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from ..._renamed import RenamedAttribute
from .fields import quantity


@dataclass(frozen=True)
class WeightReport:
    """One gate's part of one parameter of a recurrent layer, or a parameter without gates, over the watched step."""

    parameter: str
    """The parameter's name in the model, such as "rnn.weight_hh_l0"."""
    gate: str
    """The gate's name; "" for a parameter without gates."""
    norm: float = field(metadata=quantity("units of the weight", json="norm_weight_units"))
    """‖W‖ before the update, in units of the weight. Range: 0 and up."""
    gradient_norm: float | None = field(
        metadata=quantity("loss per unit of the weight", json="gradient_norm_loss_per_weight_unit")
    )
    """‖dL/dW‖ as the optimiser read it, after clipping, in units of the loss per unit of the weight; of several steps
    the last. None: not observed."""
    update_norm: float | None = field(metadata=quantity("units of the weight", json="update_norm_weight_units"))
    """‖ΔW‖ over the watched step, in units of the weight; None where no optimiser took a step."""

    norm_weight_units = RenamedAttribute("norm")
    gradient_norm_loss_per_weight_unit = RenamedAttribute("gradient_norm")
    update_norm_weight_units = RenamedAttribute("update_norm")

    @property
    def relative_update(self) -> float | None:
        """‖ΔW‖ / ‖W‖, no unit. Healthy: about 0.001; inf for a parameter that was 0."""
        if self.update_norm is None:
            return None
        if not self.norm:
            return math.inf if self.update_norm else 0.0
        return self.update_norm / self.norm

    def derived(self) -> dict[str, Any]:
        """The values that follow from the fields, as JSON has them."""
        return {"relative_update": self.relative_update}


@dataclass(frozen=True)
class Clipping:
    """The norm of all the model's gradients together, as backward left it and as the optimiser read it."""

    norms_before: tuple[float, ...] = field(
        metadata=quantity("loss per unit of the weights", json="norms_before_loss_per_weight_unit")
    )
    """One for each step of an optimiser: ‖dL/dW‖ of all weights before clipping, in units of the loss per unit of the
    weights; NaN where backward ran outside of the watch."""
    norms_after: tuple[float, ...] = field(
        metadata=quantity("loss per unit of the weights", json="norms_after_loss_per_weight_unit")
    )
    """One for each step of an optimiser: the same norm as the optimiser read it."""
    largest_norm: float = math.inf
    """The largest norm whose square the gradients' number type holds, in the same unit; clip_grad_norm_ takes a larger
    one for inf, and multiplies every gradient by 0."""

    norms_before_loss_per_weight_unit = RenamedAttribute("norms_before")
    norms_after_loss_per_weight_unit = RenamedAttribute("norms_after")

    @property
    def steps(self) -> int:
        """How many steps optimisers took while watched."""
        return len(self.norms_after)

    @property
    def rate(self) -> float:
        """Share of the steps at which the norm was cut by more than 1 in 1000; NaN where no step shows it."""
        pairs = zip(self.norms_before, self.norms_after, strict=True)
        cut = [after < 0.999 * before for before, after in pairs if not math.isnan(before)]
        return sum(cut) / len(cut) if cut else math.nan

    def derived(self) -> dict[str, Any]:
        """The values that follow from the fields, as JSON has them."""
        return {"steps": self.steps, "rate": self.rate}
