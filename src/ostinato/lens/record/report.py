"""The record as a whole: a report of each layer, direction and call, of the weights, and the verdict on them.

Letters: T steps of a call, B rows of its batch, H units of its first state, N runs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .gradient import GradientCurve, Probe, WeightGradients
from .state import Carry, Gate, StateHealth
from .training import Clipping, WeightReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    """True for the second direction, whose first step is the row's last."""
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
    lengths_steps: Tensor
    """int64 [N], steps of each run."""
    gradient: GradientCurve | None
    """None where no backward pass was seen; `gradient_absent` says why."""
    gradient_absent: str
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


@dataclass(frozen=True)
class Finding:
    """One sentence of the verdict."""

    rule: str
    """"vanishing", "exploding", …: the name under which docs/lens.md gives threshold and source."""
    where: str
    """The label of the layer, the layers of which it holds alike ("rnn layers 0 and 1"), or "optimiser"."""
    sentence: str
    """What is the matter, how it was measured, and what to try. Numbers of several layers stand as least to most."""
    measured: float
    """Of several layers the worst."""
    threshold: float
    """The bound that `measured` went past, in the same unit."""
    source: str
    """Where the rule comes from."""


@dataclass(frozen=True)
class Report:
    """All that was seen between entering and leaving `lens.watch`."""

    layers: tuple[LayerReport, ...]
    """In the order of the calls; within a call the layers' order, of each the first direction first."""
    weights: tuple[WeightReport, ...]
    """The parameters of the model's recurrent layers, by gates."""
    clipping: Clipping

    def table(self) -> str:
        """One line for each layer, direction and call: how far gradients reach and what is kept, as plain text."""
        from ..writing import table

        return table(self)

    def to_dict(self) -> dict[str, Any]:
        """Numbers, texts, lists and None only. A dimension over rows or runs is written as its quantiles `LEVELS`."""
        from ..writing import to_dict

        return to_dict(self)

    def to_json(self) -> str:
        """`to_dict` as JSON; NaN is written as null, inf as the text "inf"."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def picture(self) -> Figure:
        """A sheet of the first layers: gradient curve, probe, retention, gates, weight gradients. Needs matplotlib."""
        from ..pictures.report import report_picture

        return report_picture(self)

    def to_html(self, **options: Any) -> str:
        """One page that opens offline: the verdict first, then pictures and every number. No script, no address.

        title     of the page
        about     name → value, facts to stand under the title, such as the model's file
        pictures  heading → `Diagram` or figure of matplotlib, such as `lens.fold(model, x)`
        """
        from ..page import to_html

        return to_html(self, **options)

    def save(self, path: str | Path, **options: Any) -> Path:
        """Writes the page (.html, options as `to_html`), the record (.json) or the sheet (.png, .svg)."""
        from ..writing import save

        return save(self, Path(path), **options)

    @property
    def verdict(self) -> tuple[Finding, ...]:
        """What is the matter, in words, from few rules with thresholds and sources; () where no rule has a say."""
        from ..verdict import verdict

        return verdict(self)

    def __str__(self) -> str:
        """The table, then the verdict."""
        return "\n".join([self.table(), *(f"- {finding.sentence}" for finding in self.verdict)])
