"""scikit-learn's face over translation: `Translator`.

Letters: N texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from sklearn.utils.validation import check_is_fitted

from ..cells import Cell
from ..errors import InputError, phrase
from .data.examples import Examples
from .data.findings import many
from .data.from_python import rows_of
from .estimators import NetworkEstimator
from .options import BEAMS, ONE_HYPOTHESIS, is_beam
from .text_options import text_options

WHERE = "Translator"


class Translator(NetworkEstimator):
    """A text for each text.

        model = ostinato.Translator(minutes=10).fit(english, french)
        model.predict(["Where is the station?"])

    X and y are lists of N strings. An option that is None has the default of the task; the others are those of
    `SequenceEstimator`.

    unit            word, char, or bpe:8000, of both sides; None or auto: by the training texts
    vocabulary      most frequent words of each side with a vector
    attention       additive, multiplicative or none
    beam            hypotheses that a search follows
    length_penalty  power of its length by which the logarithm of a translation's probability is divided
    """

    task_name = "translate"
    target_kind = "translation"

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
        vocabulary: int | None = None,
        attention: str = "additive",
        beam: int = 5,
        length_penalty: float = 1.0,
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
        self.vocabulary = vocabulary
        self.attention = attention
        self.beam = beam
        self.length_penalty = length_penalty
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
        """Trains on N texts and their translations; equal texts of X are in one part of the split.

        Raises InputError for what is no text, for X and y of different lengths, and where every pair has an empty side.
        """
        examples = pairs_of(X, y)
        if not any(a.strip() and b.strip() for a, b in zip(examples.inputs, examples.targets or ())):
            remedy = "Pass texts and their translations."
            raise InputError(phrase(WHERE, "X and y", "at least one pair with a text on both sides", "none", remedy))
        return self._fit(examples, "translate", text_options(self, WHERE, "translate"))

    def predict(self, X: Any, beam: int | None = None) -> list[str]:
        """[N] translations; `beam` hypotheses instead of as many as the model has.

        Raises InputError for what is no text, and for a beam below 1 or above 1,000.
        """
        check_is_fitted(self, "network_")
        if beam is not None and not is_beam(beam):
            raise InputError(phrase(WHERE, "beam", BEAMS, repr(beam), ONE_HYPOTHESIS))
        network: Any = self.network_
        usual = network.beam
        network.beam = usual if beam is None else int(beam)
        try:
            return list(self._predictions(Examples("text", texts_of(X, "X"), "translation", None, ("text",))).values)
        finally:
            network.beam = usual

    def score(self, X: Any, y: Any) -> float:
        """chrF of the translations of N texts, from 0 to 100: more is better. Equal texts of X are one sentence with
        several references.

        Raises InputError for what is no text, and for X and y of different lengths.
        """
        check_is_fitted(self, "network_")
        truth = pairs_of(X, y)
        return float(self.task_.score(truth, self._predictions(truth)))


def pairs_of(X: Any, y: Any) -> Examples:
    """N texts with their translations."""
    sources, targets = texts_of(X, "X"), texts_of(y, "y")
    if len(sources) != len(targets):
        expected, received = f"of {many(len(sources), 'text')}, as X", f"{len(targets)}"
        raise InputError(phrase(WHERE, "y", expected, received, "Pass one translation for each text."))
    return Examples("text", sources, "translation", targets, ("text",))


def texts_of(values: Any, name: str) -> list[str]:
    """The strings of a list, an array or a column."""
    texts = rows_of(values)
    wrong = next((k for k, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None or not texts:
        received = "none" if wrong is None else f"{type(texts[wrong]).__name__} at place {wrong}"
        raise InputError(phrase(WHERE, name, "a list of texts", received, "Pass [text, text, …]."))
    return [str(text) for text in texts]
