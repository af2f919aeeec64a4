"""The early word: whether a dependency at a given lag is being learned, after 2 % of the updates of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...errors import InputError, phrase
from ..report.data import ReportData
from ..report.diagnosis import ratio_at
from ..report.fields import quantity
from ..report.format import number

AFTER = 0.02
"""The share of the updates after which the word is given; losses are averaged over the latest half of as many."""
CONSTANT, OF_LAG, OF_RATIO, OF_LOSS = 1.088, 0.217, 0.0456, 0.0963
"""Of the score, fitted by least squares to the ranks of 136 runs by how well they learned."""
SCORE_BELOW = 0.282
"""Runs with a smaller score are taken for hopeless: 1 of 73 runs that learned has one."""
SMALLEST = 1e-6
"""Smaller ratios count as this."""
SOURCE = "136 training runs of docs/lab-lag.md, at lags from 10 to 100"
_WHERE = "lens.Live"


@dataclass(frozen=True)
class EarlyWord:
    """Whether a dependency is being learned, judged by its lag, its gradient and the loss so far."""

    learning: bool
    """False where `score` lies below `threshold`: of the lab's runs with such a score nearly none learned."""
    lag: int = field(metadata=quantity("steps"))
    """Of the dependency, in steps back from the last one."""
    step: int = field(metadata=quantity("steps"))
    """The training step that was watched, from 0."""
    ratio: float = field(metadata=quantity("no unit"))
    """‖δ‖ of the probe at the lag over ‖δ‖ at the last step: the median segment's, in the layer that has most of it."""
    loss: float = field(metadata=quantity("no unit"))
    """The mean loss of the latest 1 % of the updates, over that of the best constant answer: 1 where nothing is
    learned, 0 where everything is."""
    score: float = field(metadata=quantity("share"))
    """CONSTANT - OF_LAG · log10(lag + 1) + OF_RATIO · log10(ratio) - OF_LOSS · loss, ratios below SMALLEST counted as
    that: the rank that this run would have among the 136, about 0 for the worst and 1 for the best."""
    threshold: float = field(metadata=quantity("share"))
    """SCORE_BELOW."""
    source: str = SOURCE
    """Where rule and threshold come from."""

    @property
    def sentence(self) -> str:
        """What is the matter, how it was measured, and what to try."""
        seen = (
            f"after {self.step} updates {number(100 * self.ratio)} % of the last step's gradient reaches the state "
            f"{self.lag} steps before, and the loss is {number(self.loss)} of the best constant answer's"
        )
        if self.learning:
            return f"the dependency at lag {self.lag} may be learned: {seen}"
        remedy = f'stop the run, and try init="chrono({max(2, self.lag)})", another cell, or shorter sequences first'
        return f"the dependency at lag {self.lag} is not being learned: {seen}; {remedy}"

    def __str__(self) -> str:
        return self.sentence


def is_long_enough(report: ReportData, lag: int) -> bool:
    """Whether a sequence of the report has the state `lag` steps before its last."""
    return any(bool((layer.lengths_steps > lag).any()) for layer in report.layers)


def early_word(report: ReportData, lag: int, step: int, losses: Sequence[float]) -> EarlyWord:
    """The word on a watched step, some sequences of which are longer than the lag.

    losses: of the latest 1 % of the updates, each over that of the best constant answer.
    Raises InputError without losses, and where no gradient begins at the last step.
    """
    if not losses:
        remedy = "Call live.loss(loss, constant) in each training step."
        raise InputError(
            phrase(_WHERE, "loss", f"noted before step {step}, where the early word is due", "none", remedy)
        )
    ratios = [ratio for layer in report.layers if not math.isnan(ratio := ratio_at(layer, lag))]
    if not ratios:
        remedy = "The lag is counted from the last step: leave out what follows the answer, or leave out lag=."
        raise InputError(phrase(_WHERE, "the training step", "a loss that reads the last step", "none", remedy))
    ratio, loss = max(ratios), sum(losses) / len(losses)
    score = score_of(lag, ratio, loss)
    return EarlyWord(score >= SCORE_BELOW, lag, step, ratio, loss, score, SCORE_BELOW)


def score_of(lag: int, ratio: float, loss: float) -> float:
    """`EarlyWord.score`."""
    return CONSTANT - OF_LAG * math.log10(lag + 1) + OF_RATIO * math.log10(max(SMALLEST, ratio)) - OF_LOSS * loss
