"""A model folder on pairs of subjects and verbs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import InputError, phrase
from ...tasks.baselines.choose import for_passages
from ...tasks.baselines.texts import NGram
from ...tasks.texts.units import UNKNOWN
from ..memorised import training_rows
from ..model import Model, open_model
from .odds import Forms, by_network, by_ngram, forms_of, word_ends
from .pairs import Pairs
from .reach import shares_at_the_subject
from .report import NETWORK, NGRAM, Agreement, agreement_of, by_rules, counted

WHERE = "ostinato evaluate"


def evaluate_agreement(model: Path, found: Pairs) -> Agreement:
    """The report of a language model on pairs; an n-gram of its training text is beside it where that is there.

    Raises InputError for a model of another task, and where the vocabulary has no verb of the pairs.
    """
    opened = open_model(model)
    task: Any = opened.task
    if task.name != "language-model":
        remedy = "Train one on a text: --task language-model."
        raise InputError(phrase(WHERE, "MODEL", "a language model where --agreement is given", task.name, remedy))
    every = [forms_of(pair, task.units) for pair in found.pairs]
    kept = [k for k, forms in enumerate(every) if forms.known]
    if not kept:
        received = f"none of {len(every)} pairs"
        remedy = "Train with units of characters, or on a text with such words."
        raise InputError(
            phrase(WHERE, "the vocabulary", f"one with both forms of verbs of {found.source}", received, remedy)
        )
    forms, pairs = [every[k] for k in kept], [found.pairs[k] for k in kept]
    ends = word_ends(task.units)
    right = {NETWORK: by_network(opened.network, forms, ends) > 0, **by_rules(pairs)}
    counts, note = _ngram(opened, forms, ends)
    right |= counts
    notes = [counted(len(every) - len(kept), len(every)), _unknown(forms), note]
    reach = shares_at_the_subject(opened.network, forms, ends)
    return agreement_of(replace(found, pairs=pairs), right, reach, [said for said in notes if said])


def _ngram(opened: Model, forms: list[Forms], ends: np.ndarray) -> tuple[dict[str, np.ndarray], str]:
    """Whether the n-gram of the training text has each pair right, and its note; without that text only why."""
    task: Any = opened.task
    config = opened.config
    train, said = training_rows(config.options.data, config.sources, "there is no n-gram of the training text")
    if train is None:
        return {}, said
    ngram = next(baseline for baseline in for_passages(task.units) if isinstance(baseline, NGram)).fit(train)
    return {NGRAM: by_ngram(ngram.model, forms, ends) > 0}, f"n-gram: {ngram.note}"


def _unknown(forms: list[Forms]) -> str:
    """How many units before the verbs the vocabulary lacks."""
    unknown = sum(int((f.right[1 : f.same] == UNKNOWN).sum()) for f in forms)
    whole = sum(f.same - 1 for f in forms)
    return f"{unknown:,} of {whole:,} units before the verbs are not in the vocabulary." if unknown else ""
