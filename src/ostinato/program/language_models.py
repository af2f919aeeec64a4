"""scikit-learn's face over models of texts: `LanguageModel`.

Letters: N texts, K columns of a condition, C numbers of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..cells import Cell
from ..errors import InputError, phrase
from .data.findings import many
from .data.items_from_python import WHERE, documents_from, items_from, passages_from
from .data.text.files import of_strings
from .estimators import NetworkEstimator
from .running.writing import Request, Writer
from .tasks.texts.generate import Generate
from .tasks.texts.sampling import Sampling, check_seed, is_count
from .text_options import text_options


class LanguageModel(NetworkEstimator):
    """A model of texts that can write new ones, with or without a condition.

        names = ostinato.LanguageModel(minutes=2).fit(list_of_names, given=list_of_languages)
        names.generate(5, given="Russian")
        novel = ostinato.LanguageModel().fit(text)
        novel.generate(prompt="It was")

    X is one text, or a list of N items, each a whole with a beginning and an end. An option that is None has the
    default of the task. The others are those of `SequenceEstimator`, without both directions: a unit is predicted from
    those before it.

    unit      char, word, or bpe:8000, of which a text consists
    k1, k2    of one text: steps between two updates, and steps that gradients reach back
    items     False: a list holds documents of one text, which the network reads on and on; no state crosses from one
              to the next
    seed      of the first weights, the order of items and dropout
    """

    task_name = "generate"
    more_tasks = ("language-model",)

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
        k1: int = 64,
        k2: int | None = None,
        items: bool = True,
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
        self.k1 = k1
        self.k2 = k2
        self.items = items
        self.seed = seed
        self.valid_share = valid_share
        self.options = options

    def fit(self, X: Any, given: Any = None) -> Self:
        """Trains on N items, or on one text or documents, of which the last `valid_share` chooses the weights.

        given  of items; None, or of each item a string, a tuple of K strings, or numbers: an array or a DataFrame
               [N, C], or a DataFrame of K columns of strings
        Raises InputError for other values, with their place.
        """
        if isinstance(X, str) or not self.items:
            options = text_options(self, WHERE, "language-model")
            return self._fit(of_strings(documents_from(X, given), options.data), "language-model", options)
        return self._fit(items_from(X, given), "generate", text_options(self, WHERE, "generate"))

    def generate(
        self,
        count: int = 1,
        prompt: str = "",
        given: Mapping[str, Any] | Sequence[Any] | str | None = None,
        *,
        length: int = 300,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: str | None = None,
        seed: int = 0,
    ) -> list[str]:
        """`count` new texts, the prompt included; the same seed gives the same texts.

        given        {column: value}, or the values of all columns; a column that is left out has the value of a
                     training row, drawn by its frequency
        length       units of a text at most, without those of the prompt
        temperature  by which scores are divided; 0: always the most probable unit
        top_k        units that are drawn from, the most probable ones
        top_p        share: the fewest most probable units that have it are drawn from
        stop         a text that ends the writing and is not written
        Raises InputError for a prompt with unknown units, and for an unknown column or value.
        """
        check_is_fitted(self, "network_")
        if not is_count(count):
            raise InputError(phrase(WHERE, "count", "a whole number of 1 or more", repr(count)))
        check_seed(WHERE, seed)
        request = Request(prompt, self._named(given), length, stop, Sampling(temperature, top_k, top_p), seed)
        writer = Writer(self.task_, self.network_, WHERE)
        return [prompt + writer.write(request, number).text for number in range(count)]

    def predict(self, X: Any, given: Any = None) -> np.ndarray:
        """float64 [N]: nats of a unit of each text, the end of an item included."""
        check_is_fitted(self, "network_")
        if self._of_items:
            values = self._predictions(items_from(X, given)).values
        else:
            values = [np.concatenate(self._predictions(passages_from([t])).values) for t in documents_from(X, given)]
        return np.array([float(np.mean(nats)) for nats in values])

    def score(self, X: Any, given: Any = None) -> float:
        """Minus the nats of a unit over all N texts: more is better."""
        return -self._metric(X, given, str(self.task_.metric))

    def bits_per_character(self, X: Any, given: Any = None) -> float:
        """Bits of a character of N texts; the end of an item counts as one character."""
        return self._metric(X, given, "bits_per_character")

    @property
    def _of_items(self) -> bool:
        """Whether the model was fitted on items, not on one text or documents."""
        return isinstance(self.task_, Generate)

    def _named(self, given: Any) -> dict[str, str]:
        """{column: value} of what a text is given."""
        if given is None or isinstance(given, Mapping):
            return {str(name): str(value) for name, value in (given or {}).items()}
        values = [given] if isinstance(given, str) or not hasattr(given, "__len__") else list(given)
        columns = self.task_.conditions.columns if self._of_items else ()
        if len(values) != len(columns):
            expected = f"{many(len(columns), 'value')}, one for each column, or {{column: value}}"
            received = many(len(values), "value")
            raise InputError(phrase(WHERE, "given", expected, received, "Pass {column: value}."))
        return dict(zip(columns, map(str, values)))

    def _metric(self, X: Any, given: Any, name: str) -> float:
        check_is_fitted(self, "network_")
        examples = items_from(X, given) if self._of_items else passages_from(documents_from(X, given))
        return float(self.task_.tally(examples, self._predictions(examples)).value(name))
