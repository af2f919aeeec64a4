"""The early word: whether a dependency at a given lag is being learned, after 2 % of the updates of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...errors import InputError, phrase
from ..report.data import ReportData
from ..report.diagnosis import share_at
from ..report.fields import quantity
from ..report.format import number

AFTER = 0.02
"""The share of the updates after which the word is given; losses are averaged over the second half of them."""
LOSS_WEIGHT = 1.0
"""How many powers of ten of the share one unit of the relative loss counts for."""
SCORE_BELOW = -4.0
"""Runs with a smaller score are taken for hopeless."""
SMALLEST = 1e-6
"""Smaller shares count as this."""
SOURCE = "136 training runs of docs/lab-lag.md, one task left out at a time"
_WHERE = "lens.Live"


@dataclass(frozen=True)
class EarlyWord:
    """Whether a dependency is being learned, judged by its gradient and the loss so far."""

    learning: bool
    """False where `score` lies below `threshold`: of the lab's runs with such a score nearly none learned."""
    lag: int = field(metadata=quantity("steps"))
    """Of the dependency, in steps back from the last one."""
    step: int = field(metadata=quantity("steps"))
    """The training step that was watched, from 0."""
    share: float = field(metadata=quantity("share"))
    """Of the last step's gradient, how much goes to the state at the lag, from 0 to 1; of the layer with most of it."""
    loss: float = field(metadata=quantity("share"))
    """The mean loss noted over the second half of the updates so far, over that of the best constant answer: 1 where
    nothing is learned, 0 where everything is."""
    score: float = field(metadata=quantity("powers of ten"))
    """log10(share) - LOSS_WEIGHT · loss, shares below SMALLEST counted as that."""
    threshold: float = field(metadata=quantity("powers of ten"))
    """SCORE_BELOW."""
    source: str = SOURCE
    """Where rule and threshold come from."""

    @property
    def sentence(self) -> str:
        """What is the matter, how it was measured, and what to try."""
        seen = (
            f"after {self.step} updates the state {self.lag} steps before the last gets {number(100 * self.share)} % of "
            f"the last step's gradient, and the loss is {number(self.loss)} of the best constant answer's"
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

    losses: of the second half of the updates so far, each over that of the best constant answer.
    Raises InputError without losses, and where no gradient begins at the last step.
    """
    if not losses:
        remedy = "Call live.loss(loss, constant) in each training step."
        raise InputError(phrase(_WHERE, "loss", f"noted before step {step}, where the early word is due", "none", remedy))
    shares = [share for layer in report.layers if not math.isnan(share := share_at(layer, lag))]
    if not shares:
        remedy = "The lag is counted from the last step: leave out what follows the answer, or leave out lag=."
        raise InputError(phrase(_WHERE, "the training step", "a loss that reads the last step", "none", remedy))
    share, loss = max(shares), sum(losses) / len(losses)
    score = math.log10(max(SMALLEST, share)) - LOSS_WEIGHT * loss
    return EarlyWord(score >= SCORE_BELOW, lag, step, share, loss, score, SCORE_BELOW)
