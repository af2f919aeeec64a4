"""How well the gradient before training predicts which runs learn: rank correlations, and the wrong predictions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ostinato.apps.problems import named

from .experiment import EPSILON, Result
from .settings import Case


def ranks(values: Sequence[float]) -> np.ndarray:
    """1 for the smallest value; equal values share the mean of their ranks."""
    _, place, counts = np.unique(np.asarray(values, dtype=float), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's: the correlation of the ranks, from -1 to 1; NaN where one side is all the same."""
    a, b = ranks(x), ranks(y)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def learned(case: Case, result: Result) -> float:
    """How well a run went, as one number to rank by.

    Not bridged: 1 - error / chance, at least 0; bridged: 1 and what was left of the updates, from 1 to 2.
    """
    if result.bridged:
        return 2 - result.updates / case.training.updates
    if result.error is None:
        return 0.0
    return min(1.0, max(0.0, 1 - result.error / named(case.task).chance))


@dataclass(frozen=True)
class PredictiveValue:
    """Over a set of runs. NaN where all runs went alike.

    runs          how many
    ratio         rank correlation of the gradient ratio at the lag with `learned`
    reach         rank correlation of reach / (lag - 1) with `learned`
    share         rank correlation of the cue's share of the gradient with `learned`; NaN where some record has none
    lag           rank correlation of -lag with `learned`: the baseline without any measurement
    ratio_yes     of the gradient ratio with bridged or not: a perfect prediction of p bridged and q others is below 1
    best_yes      the largest value that `ratio_yes` could have
    right         runs where reach ≥ lag - 1 and the lag was bridged, or neither
    """

    runs: int
    ratio: float
    reach: float
    share: float
    lag: float
    ratio_yes: float
    best_yes: float
    right: int


def predictive_value(results: Mapping[Case, Result]) -> PredictiveValue:
    """How well the measurements before training predict these runs."""
    ratios = [result.reach.ratio for result in results.values()]
    reaches = [min(1.0, result.reach.steps / (case.lag - 1)) for case, result in results.items()]
    shares = [result.reach.share for result in results.values() if result.reach.share is not None]
    went = [learned(case, result) for case, result in results.items()]
    bridged = [float(result.bridged) for result in results.values()]
    return PredictiveValue(
        len(results),
        rank_correlation(ratios, went),
        rank_correlation(reaches, went),
        rank_correlation(shares, went) if len(shares) == len(went) else float("nan"),
        rank_correlation([-case.lag for case in results], went),
        rank_correlation(ratios, bridged),
        rank_correlation(range(len(bridged)), sorted(bridged)),
        sum(reached(result) == result.bridged for result in results.values()),
    )


def reached(result: Result) -> bool:
    """Whether the state that has just read the cue got EPSILON of the gradient at lag 0, before training."""
    return result.reach.ratio >= EPSILON


def misleading(results: Mapping[Case, Result]) -> tuple[list[Case], list[Case]]:
    """Runs that bridged a lag out of reach, and runs that did not bridge a lag within reach."""

    def those(pick: Iterable[tuple[Case, Result]], bridged: bool) -> list[Case]:
        return [case for case, result in pick if result.bridged == bridged and reached(result) != bridged]

    return those(results.items(), True), those(results.items(), False)
