"""scikit-learn's face over transcription: `Transcriber`.

Letters: N rows, T steps, C features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from sklearn.utils.validation import check_is_fitted

from ..cells import Cell
from .data.examples import Examples
from .data.from_python import examples_from
from .estimators import NetworkEstimator
from .text_options import text_options

WHERE = "Transcriber"


class Transcriber(NetworkEstimator):
    """A model of texts whose units follow each other as the steps of their inputs do.

        reader = ostinato.Transcriber(minutes=5).fit(list_of_arrays, list_of_texts)
        reader.predict(other_arrays)

    X is a list of N series [T, C] of unequal T, such as spectra of recordings, or a list of N texts or lists of
    symbols; y is a list of N texts. An option that is None has the default of the task; the others are those of
    `SequenceEstimator`.

    unit  what a transcript is written in, char or word; None: characters
    beam  prefixes that the search follows; 1: the most probable path
    """

    task_name = "transcribe"
    target_kind = "transcript"

    def __init__(
        self,
        cell: str | Cell | None = None,
        hidden: int | None = None,
        layers: int | None = None,
        both_directions: bool = True,
        embedding: int | None = None,
        dropout: float | None = None,
        unit: str | None = None,
        lowercase: bool = False,
        beam: int | None = None,
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
        self.both_directions = both_directions
        self.embedding = embedding
        self.dropout = dropout
        self.unit = unit
        self.lowercase = lowercase
        self.beam = beam
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

    def fit(self, X: Any, y: Any) -> Self:
        """Trains on N rows and their transcripts. Raises InputError for rows or options that cannot be used."""
        options = text_options(self, WHERE, self.task_name)
        return self._fit(examples_from(X, y, target_kind=self.target_kind), self.task_name, options)

    def predict(self, X: Any) -> list[str]:
        """The transcript of each of N rows."""
        return [str(text) for text in self._predictions(X).values]

    def score(self, X: Any, y: Any) -> float:
        """1 minus the character error rate of all N rows together: more is better, and 1 the most."""
        check_is_fitted(self, "network_")
        examples = X if isinstance(X, Examples) else examples_from(X, y, target_kind=self.target_kind)
        return 1 - float(self.task_.score(examples, self._predictions(examples)))
