"""The outcome of a training: one table of baselines and network, on the same rows, and what it says in a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..data.findings import many
from ..tasks.metric_names import is_share, title_of
from ..tasks.task import Metric


@dataclass(frozen=True)
class Scored:
    """One row of the table: a model and its metrics on the test rows."""

    name: str
    metrics: Sequence[Metric]
    """The task's own metric first."""
    trivial: bool = False
    """Whether the model reads no input: majority, mean."""
    without_order: bool = False
    """Whether the order of the steps changes nothing."""
    seconds: float = 0.0
    """Of fitting and predicting."""
    note: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the task counts beside its metrics, for the network; of forecasts, for each baseline too."""
    ablation: bool = False
    """Whether it is the network itself without a part of its input, which is no baseline to beat."""

    @property
    def metric(self) -> Metric:
        return self.metrics[0]


@dataclass(frozen=True)
class Gain:
    """The network's metric minus a baseline's on the same rows, positive where the network is better."""

    baseline: str
    value: float
    low: float
    """The ends of the 95 % interval, by resampling the same units for both."""
    high: float


@dataclass(frozen=True)
class Outcome:
    """What a training found: baselines first, the network last."""

    baselines: Sequence[Scored]
    network: Scored
    gains: Sequence[Gain]
    """Over each baseline, in their order."""
    n: int
    """Test rows."""

    @property
    def status(self) -> int:
        """0, or 1 where the interval of the gain over a trivial baseline includes or lies below 0, or is not known."""
        trivial = {b.name for b in self.baselines if b.trivial}
        return int(any(not g.low > 0 for g in self.gains if g.baseline in trivial))

    @property
    def best_baseline(self) -> Scored | None:
        """The best of them by the task's metric."""
        others = [b for b in self.baselines if not b.ablation]
        if not others:
            return None
        sign = 1 if self.network.metric.higher_is_better else -1
        return max(others, key=lambda b: sign * b.metric.value)

    def sentence(self) -> str:
        """What the network gains over the best baseline, with its 95 % interval, also where that is nothing.

        What the task remarks about the network follows.
        """
        return " ".join(filter(None, [self._gained(), str(self.network.details.get("remark", ""))]))

    def _gained(self) -> str:
        best = self.best_baseline
        if best is None:
            return "No baselines were fitted, so the gain of the network over them is not known."
        gain = next(g for g in self.gains if g.baseline == best.name)
        name = self.network.metric.name
        interval = f"95 % interval {signed(name, gain.low)} to {signed(name, gain.high)}"
        amount = f"{amount_of(name, abs(gain.value))} of {title_of(name)}"
        if math.isnan(gain.value):
            return f"No test row counts for the {title_of(name)}, so the gain of the network is not known."
        if math.isnan(gain.low):
            rows = f"{many(self.n, 'test row')} {'gives' if self.n == 1 else 'give'}"
            return f"{rows} no interval; the network's gain over {best.name} is {signed(name, gain.value)}."
        if gain.low > 0:
            return f"The network gains {amount} over the best baseline, {best.name} ({interval})."
        if gain.high < 0:
            return f"The network is worse than {best.name} by {amount} ({interval}): use the baseline."
        order = "; the order of the steps matters little here" if best.without_order and not best.trivial else ""
        return f"On {many(self.n, 'row')} the network is not certainly better than {best.name} ({interval}){order}."


def shown(metric: str, value: float) -> str:
    """A value as the table has it: percent of shares, four digits of all else."""
    return f"{100 * value:.1f} %" if is_share(metric) else f"{value:.4g}"


def signed(metric: str, value: float) -> str:
    """A difference with its sign: in points of shares."""
    return f"{round(100 * value, 1) + 0.0:+.1f}" if is_share(metric) else f"{value + 0.0:+.3g}"


def amount_of(metric: str, value: float) -> str:
    """The size of a difference: `1.2 points` of shares."""
    return f"{100 * value:.1f} points" if is_share(metric) else f"{value:.3g}"


def interval_of(metric: Metric) -> str:
    """`87.1 % [86.6, 87.5]`: a value with its 95 % interval; - where no row counts for the metric."""
    name = metric.name
    if math.isnan(metric.value):
        return "-"
    if math.isnan(metric.low):
        return shown(name, metric.value)
    if is_share(name):
        return f"{100 * metric.value:.1f} % [{100 * metric.low:.1f}, {100 * metric.high:.1f}]"
    return f"{metric.value:.4g} [{metric.low:.4g}, {metric.high:.4g}]"


def table_of(outcome: Outcome, most: int | None = None) -> tuple[list[str], list[list[str]]]:
    """(headings, rows) of the table: baselines first, the network last, the gain over each baseline beside it.

    most: metrics that are shown, the task's own first; None: all.
    """
    metrics = [m.name for m in outcome.network.metrics][:most]
    gains = {g.baseline: g for g in outcome.gains}
    rows = []
    for scored in (*outcome.baselines, outcome.network):
        values = {m.name: m for m in scored.metrics}
        cells = [interval_of(values[m]) if m in values else "-" for m in metrics]
        gain = gains.get(scored.name)
        name = metrics[0]
        said = _gain_of(name, gain) if gain else ""
        rows.append([scored.name, *cells, said])
    return ["model", *(title_of(m) for m in metrics), "network's gain"], rows


def _gain_of(name: str, gain: Gain) -> str:
    value = "-" if math.isnan(gain.value) else signed(name, gain.value)
    return value if math.isnan(gain.low) else f"{value} [{signed(name, gain.low)}, {signed(name, gain.high)}]"
