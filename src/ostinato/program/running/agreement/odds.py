"""How probable the right form of a verb is beside the wrong one, by a network and by an n-gram.

The probability of a form is that of its units and that the word ends there: the sum over all units that begin with no
letter. Without it `run` has the probability of all words that begin so, `runs` among them, and with the space as a unit
of the next word, as words and sub-word units have it, no unit ends a word. T. Pimentel and C. Meister, How to compute
the probability of a word, EMNLP 2024, arXiv 2406.14561.

Letters: N pairs, T steps, B rows of a batch, V entries of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ...tasks.baselines.ngrams import WittenBell
from ...tasks.texts.passage_units import FIRST
from ...tasks.texts.units import UNKNOWN, UNKNOWN_TEXT, TextUnits
from .pairs import Pair

MOST_SCORES = 1 << 25
"""Numbers of the scores [T, B, V] that are in memory at a time."""


@dataclass(frozen=True)
class Forms:
    """A pair as entries of the vocabulary, a line break before the sentence."""

    right: np.ndarray
    """int32 [T]: the beginning and the right form."""
    wrong: np.ndarray
    """int32 [T']"""
    same: int
    """Entries at the beginning that both have."""
    subject: int
    """The place of the last entry of the subject."""

    @property
    def known(self) -> bool:
        """Whether the vocabulary has both forms."""
        return all(len(row) > 0 and not (row == UNKNOWN).any() for row in self._apart) and self.same > 0

    @property
    def _apart(self) -> list[np.ndarray]:
        """From the first entry that differs; of a form that is the beginning of the other, from the one before."""
        first = min(self.same, len(self.right) - 1, len(self.wrong) - 1)
        return [self.right[first:], self.wrong[first:]]


def forms_of(pair: Pair, units: TextUnits) -> Forms:
    """The entries of a pair."""
    right, wrong = (units.encode(FIRST + pair.before + form) for form in (pair.right, pair.wrong))
    least = min(len(right), len(wrong))
    differ = np.flatnonzero(right[:least] != wrong[:least])
    subject = len(units.encode(FIRST + pair.before[: pair.subject_end])) - 1
    return Forms(right, wrong, int(differ[0]) if len(differ) else least, subject)


def word_ends(units: TextUnits) -> np.ndarray:
    """bool [V]: whether the word before is over where an entry follows; with words as units it always is."""
    if units.unit == "word":
        return np.ones(len(units), bool)
    texts = [units.pieces([entry])[0] for entry in range(len(units))]
    return np.array([bool(t) and not (t[0].isalnum() or t[0] in f"_{UNKNOWN_TEXT}") for t in texts])


def by_network(network: nn.Module, forms: Sequence[Forms], ends: np.ndarray) -> np.ndarray:
    """float64 [N]: the log-odds of the right form."""
    rows = [(row, f.same) for f in forms for row in (f.right, f.wrong)]
    found, barred = np.zeros(len(rows)), torch.from_numpy(~ends)
    device = next(network.parameters()).device
    order = sorted(range(len(rows)), key=lambda k: len(rows[k][0]))
    for chosen in _batches(order, [len(row) for row, _ in rows], len(ends)):
        read = np.zeros((len(rows[chosen[-1]][0]), len(chosen)), np.int64)
        for column, k in enumerate(chosen):
            read[: len(rows[k][0]), column] = rows[k][0]
        with torch.no_grad():
            scores = network({"units": torch.from_numpy(read).to(device)}).cpu()
        for column, k in enumerate(chosen):
            row, same = rows[k]
            logs = torch.log_softmax(scores[same - 1 : len(row), column].double(), -1)
            own = logs[:-1].gather(1, torch.from_numpy(row[same:].astype(np.int64))[:, None]).sum()
            found[k] = float(own + logs[-1].masked_fill(barred, -torch.inf).logsumexp(0))
    return found[0::2] - found[1::2]


def by_ngram(model: WittenBell, forms: Sequence[Forms], ends: np.ndarray) -> np.ndarray:
    """float64 [N]: the same by an n-gram."""

    def log_probability(row: np.ndarray, same: int) -> float:
        read = row[max(0, same - model.order) :]
        own = np.log(model.probabilities(read, len(read) - (len(row) - same))[-1]).sum()
        after = model.histories(np.append(read, 0))[:, -1:]
        return float(own + np.log(model.distributions(after)[0, ends].sum()))

    return np.array([log_probability(f.right, f.same) - log_probability(f.wrong, f.same) for f in forms])


def at_the_parting(
    forms: Sequence[Forms], head: Callable[[Tensor], Tensor], ends: np.ndarray
) -> Callable[[Tensor], Tensor]:
    """Outputs [B, H] after the entries that both forms have → [B]: the log-odds of how they go on.

    A form that is the beginning of the other goes on with the end of the word.
    """
    barred, end = torch.from_numpy(~ends), len(ends)
    right, wrong = (
        torch.tensor([int(row[f.same]) if len(row) > f.same else end for f, row in rows])
        for rows in ([(f, f.right) for f in forms], [(f, f.wrong) for f in forms])
    )

    def odds(output: Tensor) -> Tensor:
        scores = head(output)
        over = scores.masked_fill(barred.to(scores.device), -torch.inf).logsumexp(1, keepdim=True)
        whole = torch.cat([scores, over], 1)
        chosen = (whole.gather(1, entry.to(scores.device)[:, None])[:, 0] for entry in (right, wrong))
        return next(chosen) - next(chosen)

    return odds


def _batches(order: Sequence[int], lengths: Sequence[int], entries: int) -> Iterable[list[int]]:
    """Rows from short to long, as many at a time as their scores have room."""
    chosen: list[int] = []
    for k in order:
        if chosen and (len(chosen) + 1) * lengths[k] * entries > MOST_SCORES:
            yield chosen
            chosen = []
        chosen.append(k)
    if chosen:
        yield chosen
