"""scikit-learn's face over models of gaps: `TextFiller`.

Letters: N texts, T units of a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..cells import Cell
from .data.items_from_python import documents_from, passages_from
from .data.text.files import of_strings
from .estimators import NetworkEstimator
from .running.fill import COUNT, Filler
from .text_options import text_options

WHERE = "TextFiller"


class TextFiller(NetworkEstimator):
    """A model of the units of a text that are missing between two others.

        filler = ostinato.TextFiller(minutes=5).fit(text)
        filler.fill("the ___ was cold")

    X is one text, or a list of N documents. An option that is None has the default of the task; the others are those of
    `SequenceEstimator`. Both directions are always read.

    unit  word, char, or bpe:8000, of which a text consists; None: word
    """

    task_name = "fill"

    def __init__(
        self,
        cell: str | Cell | None = None,
        hidden: int | None = None,
        layers: int | None = None,
        embedding: int | None = None,
        dropout: float | None = None,
        unit: str | None = None,
        lowercase: bool = False,
        minutes: float = 5.0,
        updates: int | None = None,
        batch: int | None = None,
        learning_rate: float | None = None,
        clip: float = 1.0,
        weight_decay: float = 0.0,
        patience: int = 8,
        seed: int = 0,
        valid_share: float = 0.1,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.cell = cell
        self.hidden = hidden
        self.layers = layers
        self.embedding = embedding
        self.dropout = dropout
        self.unit = unit
        self.lowercase = lowercase
        self.minutes = minutes
        self.updates = updates
        self.batch = batch
        self.learning_rate = learning_rate
        self.clip = clip
        self.weight_decay = weight_decay
        self.patience = patience
        self.seed = seed
        self.valid_share = valid_share
        self.options = options

    def fit(self, X: Any, y: None = None) -> Self:
        """Trains on one text or N documents, of which the last `valid_share` chooses the weights.

        Raises InputError for what is no text.
        """
        options = text_options(self, WHERE, "fill")
        return self._fit(of_strings(documents_from(X, y, WHERE), options.data), "fill", options)

    def fill(self, text: str, count: int = COUNT) -> list[list[tuple[str, float]]]:
        """For each gap of the text, three underscores, the `count` most probable units with their probabilities.

        Other gaps are read as unknown units. Raises InputError for a text without a gap.
        """
        check_is_fitted(self, "network_")
        return [list(gap) for gap in Filler(self.task_, self.network_, WHERE).fill(text, count).gaps]

    def predict(self, X: Any) -> np.ndarray:
        """float64 [N]: the mean nats of a missing unit of each text, over all T of its units."""
        check_is_fitted(self, "network_")
        texts = documents_from(X, None, WHERE)
        return np.array([np.concatenate(self._predictions(passages_from([t])).values).mean() for t in texts])

    def score(self, X: Any, y: None = None) -> float:
        """Minus the nats of a missing unit over all N texts: more is better."""
        check_is_fitted(self, "network_")
        examples = passages_from(documents_from(X, y, WHERE))
        return -float(self.task_.score(examples, self._predictions(examples)))
