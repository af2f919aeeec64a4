"""The closing sentence about time: would more of it have helped?"""

from __future__ import annotations

from collections.abc import Sequence

from .records import Evaluation

LAST = 4
"""The last evaluations, which are compared with those before them."""
FALL = 0.02
"""The share of the validation loss by which it must fall to count where the metric does not improve."""


OF_HUNDRED = ("chrF", "BLEU")
"""Metrics whose largest value is 100."""


def limit_of(metric: str, higher_is_better: bool) -> float:
    """The best value that a metric can have, by its name in words: 0 where lower is better, else 1 or 100."""
    if not higher_is_better:
        return 0.0
    return 100.0 if metric in OF_HUNDRED else 1.0


def advice(history: Sequence[Evaluation], stopped: str, metric: str, higher_is_better: bool) -> str:
    """One sentence, from the best values of the metric, and of the loss, before and within the last evaluations.

    metric            its name in words
    higher_is_better  whether it is
    """
    sign = 1 if higher_is_better else -1
    limit = limit_of(metric, higher_is_better)
    if any(e.metric == limit for e in history):
        reached = f"reached its {'largest' if higher_is_better else 'smallest'} value, {limit:g}."
        return f"More time would probably not have helped: {metric} on validation rows {reached}"
    trained = [e for e in history if e.update]
    if len(trained) < 2:
        return "The time was enough for one evaluation or none, so more time would probably help: raise --minutes."
    if stopped == "patience":
        best = max(history, key=lambda e: sign * e.metric)
        return f"More time would not have helped: {metric} on validation rows was best after update {best.update}."
    count = min(LAST, len(trained) - 1)
    earlier = max(sign * e.metric for e in trained[:-count])
    gain = max(sign * e.metric for e in trained[-count:]) - earlier
    verb = "rose" if higher_is_better else "fell"
    if gain > 0:
        return (
            f"More time would probably have helped: the best {metric} on validation rows {verb} by {gain:.3g} "
            f"over the last {count} of {len(trained)} evaluations."
        )
    before, after = (min(e.valid_loss for e in part) for part in (trained[:-count], trained[-count:]))
    if after < (1 - FALL) * before:
        return (
            f"More time might have helped: the best {metric} on validation rows did not improve over the last {count} "
            f"of {len(trained)} evaluations, but the loss there fell from {before:.3g} to {after:.3g}."
        )
    return (
        f"More time would probably not have helped: the best {metric} on validation rows did not improve "
        f"over the last {count} of {len(trained)} evaluations."
    )
