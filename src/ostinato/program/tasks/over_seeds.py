"""The difference between two models that were trained with several seeds each, on the same test rows.

Two sources of chance are counted. Which rows are in the test part: units are resampled in pairs, the same ones for all
runs of both models, and the metric is averaged over the runs of each. Which first weights and order of rows a run had:
the deviation of the runs' metrics. T. Sellam et al., The MultiBERTs, ICLR 2022, arXiv 2106.16163, section 3, resample
both in a bootstrap; with 2 or 3 runs that draws the same few runs again and its intervals are too short. The variance
of the runs is therefore added as in B. Welch's test of 1947, whose t distribution has few degrees of freedom where the
runs are few.

Letters: S runs of one model, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import sparse, stats

from ...errors import InputError, phrase
from .intervals import SHARE, Tally, resampled
from .task import Metric


def gain_over_seeds(ours: Sequence[Tally], theirs: Sequence[Tally], name: str, seed: int = 0) -> Metric:
    """The mean of a metric over our S runs minus the mean over theirs, positive where ours is better.

    All tallies are of the same units. Where each side has one run the interval is that of `Tally.gain`, and is for
    these two runs; else it is for any runs of both models.
    """
    if len({tally.units for tally in (*ours, *theirs)}) != 1:
        remedy = "Predict the same rows with all of them."
        received = " and ".join(str(tally.units) for tally in (*ours, *theirs))
        raise InputError(phrase("gain", "the runs", "of the same units", received, remedy))
    if len(ours) == len(theirs) == 1:
        return Metric(f"gain_{name}", *ours[0].gain(theirs[0], name, seed), ours[0].units, True)
    sign = 1.0 if ours[0].values[name][1] else -1.0
    values = [[tally.value(name) for tally in side] for side in (ours, theirs)]
    gain = sign * float(np.mean(values[0]) - np.mean(values[1])) + 0.0  # 0 without a sign where they are equal
    by_resample = _gains(ours, theirs, name, seed)
    known = by_resample[np.isfinite(by_resample)]
    rows = float(np.var(known, ddof=1)) if len(known) > 1 else math.nan
    runs = [(float(np.var(side, ddof=1)) / len(side), len(side) - 1) for side in values if len(side) > 1]
    reach = half_width(rows, runs)
    return Metric(f"gain_{name}", gain, gain - reach, gain + reach, ours[0].units, True)


def half_width(rows: float, runs: Sequence[tuple[float, int]]) -> float:
    """Half of the 95 % interval of a sum with variance `rows`, well known, and variances of means of a few runs each.

    runs  (variance of the mean, degrees of freedom) of each model that has several runs
    F. Satterthwaite's degrees of freedom, 1946.
    """
    whole = rows + sum(variance for variance, _ in runs)
    uncertain = sum(variance**2 / freedom for variance, freedom in runs)
    freedom = whole**2 / uncertain if uncertain > 0 else math.inf
    return float(stats.t.ppf((1 + SHARE) / 2, freedom)) * math.sqrt(whole)


def _gains(ours: Sequence[Tally], theirs: Sequence[Tally], name: str, seed: int) -> np.ndarray:
    """[R]: the difference of the means of a metric over the runs, all on the same resamples of units."""
    tallies = [*ours, *theirs]
    sums = resampled(sparse.hstack([tally.sums for tally in tallies], "csr"), seed, ours[0].blocks)
    parts = np.split(sums, np.cumsum([tally.sums.shape[1] for tally in tallies])[:-1], axis=1)
    found = [tally.values[name][0](part) for tally, part in zip(tallies, parts)]
    return np.asarray(np.mean(found[: len(ours)], axis=0) - np.mean(found[len(ours) :], axis=0), np.float64)
