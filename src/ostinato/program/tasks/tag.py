"""Tagging: a tag for every token of a sentence.

Letters: N sentences, B sentences of a batch, T tokens, K tags, W different words of a batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputError, phrase
from ...loss import sequence_loss
from ..data.examples import Examples
from ..options import NetworkOptions
from .base import ScoredTask
from .baselines.tags import MajorityTag, MostFrequentTag, WindowOfWords
from .inputs import TextInputs, padded
from .intervals import Tally
from .networks import TaggerNetwork
from .scored import targets_of, truth_of
from .spans import are_spans
from .tag_metrics import details_of_tags, tally_of_tags
from .task import Baseline, Batch, Encoded, Predictions
from .vocabulary import Vocabulary

UNSEEN = -100
"""The target of a tag that the training rows lack; its tokens add nothing to the loss."""


class Tag(ScoredTask):
    """The task of one tag for every token."""

    name = "tag"

    def __init__(self, words: TextInputs, letters: Vocabulary, classes: Sequence[str], counts: Sequence[int]) -> None:
        self.words, self.letters, self.classes, self.counts = words, letters, classes, counts
        self.place = {tag: k for k, tag in enumerate(classes)}
        self.spans = are_spans(classes)
        self.metric = "span_f1" if self.spans else "tag_accuracy"
        self.class_weights: Tensor | None = None

    @classmethod
    def encode_from(cls, train: Examples, options: NetworkOptions) -> Tag:
        targets = targets_of(train, "tag")
        _check(train)
        counts = _counts(targets)
        if len(counts) < 2:
            received = f"only {next(iter(counts))!r}" if counts else "none"
            remedy = "There is nothing to tell apart: check the target column."
            raise InputError(phrase("tag", "the tags", "of at least two kinds", received, remedy))
        words = TextInputs.of(train, replace(options, unit="word"), least=1)
        letters = Vocabulary.of((word for row in train.inputs for word in row), 5000, 2)
        classes = sorted(counts)
        return cls(words, letters, classes, [counts[c] for c in classes])

    @property
    def inputs(self) -> TextInputs:
        """What the task reads: words."""
        return self.words

    def balance(self, train: Examples) -> None:
        """Weighs each tag by tokens / (K · tokens of the tag), so that all tags count alike in the loss."""
        found = _counts(targets_of(train, "tag"))
        counts = torch.tensor([found[c] for c in self.classes], dtype=torch.float32).clamp(min=1)
        self.class_weights = counts.sum() / (len(counts) * counts)

    def encode(self, examples: Examples) -> Encoded:
        """Rows are (sentence, entries of its words, targets)."""
        encoded = self.words.encode(examples)
        if examples.targets is None:
            return Encoded([(s, row, None) for s, row in zip(examples.inputs, encoded.rows)], encoded.lengths)
        _check(examples)
        targets = [np.array([self.place.get(t, UNSEEN) for t in tags], np.int64) for tags in examples.targets]
        return Encoded(list(zip(examples.inputs, encoded.rows, targets)), encoded.lengths)

    def batch(self, encoded: Encoded, rows: Sequence[int]) -> Batch:
        chosen = [encoded.rows[r] for r in rows]
        lengths = torch.from_numpy(encoded.lengths[np.asarray(rows, np.int64)])
        column: dict[str, int] = {}
        which = [np.array([column.setdefault(w, len(column)) for w in words], np.int64) for words, _, _ in chosen]
        letters = [self.letters.numbers(list(word)) for word in column] or [np.zeros(0, np.int64)]
        x = {
            "words": torch.from_numpy(padded([row for _, row, _ in chosen], np.int64)),
            "letters": torch.from_numpy(padded(letters, np.int64)),
            "letter_lengths": torch.tensor([len(word) for word in letters]),
            "which": torch.from_numpy(padded(which, np.int64)),
        }
        targets = [target for _, _, target in chosen]
        target = None if any(t is None for t in targets) else torch.from_numpy(padded(targets, np.int64))
        return Batch(x, lengths, target, int(lengths.sum()))

    def network(self, options: NetworkOptions) -> nn.Module:
        return TaggerNetwork(self.words, self.letters, options, len(self.classes))

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Nats: the mean over tokens of -log p of the tag."""
        assert batch.target is not None  # only rows with targets are trained on
        weights = None if self.class_weights is None else self.class_weights.to(outputs)
        terms = sequence_loss(outputs, batch.target, lengths=batch.lengths, reduction="none", weight=weights)
        return terms.sum(0).sum() / max(batch.weight, 1)  # in two steps: the order does not depend on threads

    def decode(self, outputs: Tensor, batch: Batch) -> Predictions:
        scores = torch.softmax(outputs.detach().to("cpu", torch.float64), -1).numpy()
        probabilities = [scores[:length, b].copy() for b, length in enumerate(batch.lengths.tolist())]
        return Predictions([[self.classes[k] for k in p.argmax(-1)] for p in probabilities], probabilities)

    def tally(self, truth: Examples, predictions: Predictions) -> Tally:
        """What the predictions of N sentences got right, by unit; known words are those of the vocabulary."""
        targets: Any = truth_of(truth, predictions)
        lower = self.words.lowercase
        tokens = [[w.lower() for w in row] if lower else row for row in truth.inputs]
        known = self.words.vocabulary.places
        return tally_of_tags(targets, predictions.values, tokens, known, self.spans, truth.groups)

    def details(self, truth: Examples, predictions: Predictions) -> dict[str, Any]:
        """By tag, the confusion matrix, and by span type."""
        targets: Any = truth_of(truth, predictions)
        return details_of_tags(targets, predictions.values, self.classes, self.spans)

    def baselines(self) -> list[Baseline]:
        return [MajorityTag(), MostFrequentTag(), WindowOfWords()]

    def to_json(self) -> Mapping[str, Mapping[str, Any]]:
        vocabulary = {**self.words.to_json(), "letters": self.letters.to_json()}
        return {"vocabulary.json": vocabulary, "labels.json": {"classes": self.classes, "counts": self.counts}}

    @classmethod
    def from_json(cls, files: Mapping[str, Mapping[str, Any]]) -> Tag:
        content, labels = files["vocabulary.json"], files["labels.json"]
        letters = Vocabulary.from_json(content["letters"])
        classes, counts = [str(c) for c in labels["classes"]], [int(n) for n in labels["counts"]]
        return cls(TextInputs.from_json(content), letters, classes, counts)


def _check(examples: Examples) -> None:
    """Refuses what is no sentence of tokens, and sentences with more or fewer tags than tokens."""
    if examples.kind != "tokens" or examples.targets is None:
        remedy = "Give a list of tokens and a list of tags for each sentence."
        raise InputError(phrase("tag", "the rows", "tokens with tags", examples.kind, remedy))
    for row, (words, tags) in enumerate(zip(examples.inputs, examples.targets, strict=True)):
        if len(words) != len(tags):
            expected = f"{len(words)}, one for each token"
            raise InputError(phrase("tag", f"the tags of sentence {row}", expected, len(tags), "Mend the sentence."))


def _counts(targets: Sequence[Any]) -> Counter[str]:
    """Tokens of each tag."""
    return Counter(str(tag) for row in targets for tag in row)
