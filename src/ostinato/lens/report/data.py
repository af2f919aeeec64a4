"""The report of a watched step as plain data: each layer, direction and call, the weights, and what a rule found.

Letters: T steps of a call, B rows of its batch, H units of its first state, N segments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from .fields import quantity
from .gradients import GradientCurve, Probe, WeightGradients
from .states import Carry, Gate, StateHealth
from .training import Clipping, WeightReport


@dataclass(frozen=True)
class LayerReport:
    """One layer and direction of one call of a recurrent layer."""

    module: str
    """The layer's name in the model; "" where it is the model itself."""
    kind: str
    """Its class: "LSTM", "Recurrent", …"""
    cell: str
    """The cell's name."""
    depth: int
    """Which of its L layers, from 0."""
    reverse: bool
    """True for the second direction, which starts at the row's last step."""
    call: int
    """Which call of this module within the watched step, from 0."""
    training: bool
    """Whether the module was in training mode."""
    steps: int
    """T, of the call."""
    rows: int
    """B, of the call."""
    units: int
    """H, of the first state."""
    lengths_steps: Tensor = field(metadata=quantity("steps"))
    """int64 [N], steps of each segment."""
    gradient: GradientCurve | None
    """None where no backward pass was observed; `gradient_absent` says why."""
    gradient_absent: str
    """Why there are no gradients; "" where there are."""
    probe: Probe | None
    """None where `gradient` is."""
    carries: tuple[Carry, ...]
    """One for each state."""
    gates: tuple[Gate, ...]
    """Those that have one activation of their own, in the order of the cell."""
    health: tuple[StateHealth, ...]
    """One for each state."""
    weight_gradients: tuple[WeightGradients, ...]
    """One for each weight matrix; () where `gradient` is None."""

    @property
    def label(self) -> str:
        """As messages name it: "rnn layer 1, reversed, call 2"."""
        name = self.module or self.kind
        parts = [f"{name if name.endswith('layer') else f'{name} layer'} {self.depth}"]
        return ", ".join(parts + ["reversed"] * self.reverse + [f"call {self.call}"] * (self.call > 0))

    def derived(self) -> dict[str, Any]:
        """The values that follow from the fields, as JSON has them."""
        return {"label": self.label}


@dataclass(frozen=True)
class Finding:
    """One rule that applies, as a sentence: `str(finding)`."""

    rule: str
    """"vanishing", "exploding", …: the name under which docs/lens.md gives threshold and source."""
    where: str
    """The label of the layer, of several layers for which it holds alike ("rnn layers 0 and 1"), or "optimiser"."""
    sentence: str
    """What is the matter, how it was measured, and what to try. Numbers of several layers are given as a range."""
    measured: float
    """The measured number; of several layers the worst."""
    threshold: float
    """The bound that `measured` exceeds or falls below, in the same unit."""
    source: str
    """Where the rule comes from."""

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True)
class ReportData:
    """The numbers of a watched step; `lens.Report` adds text, pictures and the diagnosis."""

    layers: tuple[LayerReport, ...]
    """In the order of the calls; within a call in the order of the layers, of each the first direction first."""
    weights: tuple[WeightReport, ...]
    """The parameters of the model's recurrent layers, by gates."""
    clipping: Clipping
    """The norm of all gradients together, before and after clipping."""
    lag: int | None = field(default=None, metadata=quantity("steps"))
    """The lag of a dependency that the model should learn, in steps back from the last one, as `watch` was given it."""
