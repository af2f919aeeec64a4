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
from .data.examples import Examples
from .data.findings import many
from .data.from_python import rows_of
from .data.texts import each_text
from .estimators import NetworkEstimator
from .options import TrainOptions
from .running.writing import Wish, Writer
from .tasks.cell_argument import resolve_cell
from .tasks.registry import task_named
from .tasks.sampling import Sampling

WHERE = "LanguageModel"


class LanguageModel(NetworkEstimator):
    """A model of texts that can write new ones, with or without a condition.

        names = ostinato.LanguageModel(minutes=2).fit(list_of_names, given=list_of_languages)
        names.generate(5, given={"given": "Russian"})

    X is a list of N items: each is a whole with a beginning and an end. An option that is None has the default of the
    task. The others are those of `SequenceEstimator`, without both directions: a unit is predicted from those before.

    unit      char, word, or bpe:8000, of which a text consists
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
        self.patience = patience
        self.seed = seed
        self.valid_share = valid_share
        self.options = options

    def fit(self, X: Any, given: Any = None) -> Self:
        """Trains on N items.

        given  None; or of each item a string, a tuple of K strings, or numbers: an array or a DataFrame [N, C], or a
               DataFrame of K columns of strings
        Raises InputError for other values, with their place.
        """
        return self._fit(self._examples(X, given))

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
        if count < 1:
            raise InputError(phrase(WHERE, "count", "a whole number of 1 or more", count))
        wish = Wish(prompt, self._named(given), length, stop, Sampling(temperature, top_k, top_p), seed)
        writer = Writer(self.task_, self.network_, WHERE)
        return [prompt + writer.write(wish, number).text for number in range(count)]

    def predict(self, X: Any, given: Any = None) -> np.ndarray:
        """float64 [N]: nats of a unit of each text, its end included."""
        values = self._predictions(self._examples(X, given)).values
        return np.array([float(np.mean(nats)) for nats in values])

    def score(self, X: Any, given: Any = None) -> float:
        """Minus the nats of a unit over all N texts: more is better."""
        return -self._metric(X, given, str(self.task_.metric))

    def bits_per_character(self, X: Any, given: Any = None) -> float:
        """Bits that the model needs for a character of N texts; the end of an item counts as one character."""
        return self._metric(X, given, "bits_per_character")

    def _named(self, given: Any) -> dict[str, str]:
        """{column: value} of what a text is given."""
        if given is None or isinstance(given, Mapping):
            return {str(name): str(value) for name, value in (given or {}).items()}
        values = [given] if isinstance(given, str) or not hasattr(given, "__len__") else list(given)
        columns = self.task_.conditions.columns
        if len(values) != len(columns):
            expected = f"{many(len(columns), 'value')}, one for each column, or {{column: value}}"
            received = many(len(values), "value")
            raise InputError(phrase(WHERE, "given", expected, received, "Pass {column: value}."))
        return dict(zip(columns, map(str, values)))

    def _metric(self, X: Any, given: Any, name: str) -> float:
        examples = self._examples(X, given)
        return float(self.task_.tally(examples, self._predictions(examples)).value(name))

    def _options(self) -> TrainOptions:
        own = {name: value for name, value in self.get_params().items() if name not in ("valid_share", "cell")}
        chosen = {name: value for name, value in own.items() if value is not None}
        if self.cell is not None:
            chosen["cell"] = (self.cell if isinstance(self.cell, Cell) else resolve_cell(self.cell)).text
        made = TrainOptions.of(WHERE, chosen).for_task(task_named(self.task_name).defaults)
        return made.but(cell=resolve_cell(made.network.cell).text, valid_share=self.valid_share, test_share=0.0)

    def _examples(self, X: Any, given: Any) -> Examples:
        """The items with what each is given; of a model of text files, each text as one passage."""
        texts = rows_of(X)
        wrong = next((k for k, text in enumerate(texts) if not isinstance(text, str)), None)
        if wrong is not None or not texts:
            received = "none" if not texts else f"{type(texts[wrong or 0]).__name__} at place {wrong}"
            raise InputError(phrase(WHERE, "X", "a list of texts", received, "Pass [text, text, …]."))
        if getattr(getattr(self, "task_", None), "kind", "") == "passage" and given is None:
            return each_text(texts)
        values: Any = [()] * len(texts) if given is None else rows_of(given)
        if len(values) != len(texts):
            remedy = "Pass one value, or one row of values, for each text."
            raise InputError(phrase(WHERE, "given", f"of {len(texts)} rows, as X", f"{len(values)} rows", remedy))
        names = [str(name) for name in given.columns] if hasattr(given, "columns") else None
        if given is not None and not _is_text(values[0]):
            return self._of_numbers(texts, values, names)
        rows = [(value,) if isinstance(value, str) else tuple(map(str, value)) for value in values]
        width = len(rows[0])
        names = names or (["given"] if width == 1 else [f"given_{k}" for k in range(1, width + 1)])
        uneven = next((k for k, row in enumerate(rows) if len(row) != width), None)
        if uneven is not None:
            remedy = "Pass as many values for each text."
            received = f"{len(rows[uneven])} at place {uneven}"
            raise InputError(phrase(WHERE, "given", f"rows of {width} values", received, remedy))
        return Examples("given", rows, "text", texts, tuple(names) if width else (), "text")

    def _of_numbers(self, texts: list[str], values: Any, names: list[str] | None) -> Examples:
        try:
            rows = list(np.asarray(values, np.float64).reshape(len(texts), -1))
        except (TypeError, ValueError) as error:
            remedy = "Pass strings, tuples of strings, or an array [N, C]."
            raise InputError(phrase(WHERE, "given", "strings, or numbers [N, C]", str(error), remedy)) from None
        channels = names or [f"channel_{c}" for c in range(1, rows[0].shape[0] + 1)]
        return Examples("features", rows, "text", texts, tuple(channels), "text")


def _is_text(value: Any) -> bool:
    """Whether a condition is a string or has one; numbers are none."""
    listed = isinstance(value, list | tuple | np.ndarray)
    return isinstance(value, str) or (listed and any(isinstance(v, str) for v in value))
