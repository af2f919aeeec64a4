"""scikit-learn's face over a task: `SequenceClassifier`, `SequenceRegressor`, `SequenceTagger`.

X is a list of N rows: strings, lists of tokens, or arrays [T, C] of unequal T; an array [N, T, C]; or a column of a
DataFrame. Letters: N rows, T steps, C features, K classes.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from ..cells import Cell
from .data.examples import DataSet, Examples, TargetKind
from .data.from_python import examples_from, rows_of
from .data.split import split
from .options import TrainOptions
from .spelling import keyword_errors
from .tasks.cell_argument import resolve_cell
from .tasks.registry import task_named
from .tasks.task import Predictions
from .training.evaluate import predict
from .training.fit import fit
from .training.records import Part, Surroundings
from .training.seeds import new_network


class NetworkEstimator(BaseEstimator):
    """What all estimators share: a task and its network, fitted on examples."""

    task_name: ClassVar[str]
    target_kind: ClassVar[TargetKind | None] = None
    more_tasks: ClassVar[Sequence[str]] = ()
    """Names of other tasks that the estimator has a network for, by what it is fitted to."""

    def __init_subclass__(cls) -> None:
        """Errors of the public methods spell options as keywords, in every estimator."""
        super().__init_subclass__()
        for name, method in list(vars(cls).items()):
            if inspect.isfunction(method) and not name.startswith("_"):
                setattr(cls, name, keyword_errors(method))

    @classmethod
    def names(cls) -> list[str]:
        """The tasks whose networks are such an estimator."""
        return [cls.task_name, *cls.more_tasks]

    minutes: float
    seed: int
    valid_share: float

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags

    def _fit(self, examples: Examples, name: str, options: TrainOptions) -> Self:
        """Trains the network of a task, by its name."""
        began = time.perf_counter()
        made = split(DataSet(examples, name, ""), options.data)
        train, valid = examples.take(made.train), examples.take(made.valid)
        task = task_named(name).encode_from(train, options.network)
        network = new_network(task, options.network, self.seed)
        parts = Part(train, task.encode(train)), Part(valid, task.encode(valid))
        left = Surroundings(seconds_left=lambda: 60 * self.minutes - (time.perf_counter() - began))
        self.fitted_ = fit(task, network, *parts, options.fit, left)
        self.keep(task, network, options)
        return self

    def keep(self, task: Any, network: torch.nn.Module, options: TrainOptions) -> None:
        """Takes a trained network over, with its task and options."""
        self.task_, self.network_, self.train_options_ = task, network, options
        self.history_ = list(self.fitted_.history) if hasattr(self, "fitted_") else []
        if task.classes:
            self.classes_ = np.array(task.classes, dtype=object)

    def _predictions(self, X: Any) -> Predictions:
        check_is_fitted(self, "network_")
        examples = X if isinstance(X, Examples) else examples_from(X)
        return predict(self.task_, self.network_, self.task_.encode(examples))[0]

    @keyword_errors
    def predict(self, X: Any) -> Any:
        """The prediction of each of N rows: an array [N]; a list of lists of tags for a tagger."""
        return np.array(self._predictions(X).values)

    @keyword_errors
    def save(self, folder: str | Path) -> Path:
        """Writes the model to a new folder, which `ostinato.load` and the commands read; returns its path."""
        from .folder.estimator import save_estimator

        check_is_fitted(self, "network_")
        return save_estimator(self, Path(folder))


class SequenceEstimator(NetworkEstimator):
    """What the three estimators share.

    cell             a name of the catalogue, a Cell, a cell's canonical text, or FILE.py:NAME
    hidden, layers   hidden units H of each of the recurrent layers
    both_directions  whether the layers also read from the end
    embedding        numbers of a word's vector
    dropout          share of the numbers between layers that training sets to 0
    unit, lowercase  what a text is divided into, word, char or auto; whether capitals become small letters
    minutes, updates time for `fit`, or exactly so many updates
    batch, learning_rate, clip, weight_decay, patience   of the fit, as the flags of `ostinato train`
    seed             of the first weights, the order of rows and dropout
    valid_share      share of the rows of `fit` that choose the weights and end the training
    options          options of the layers by name: {"zoneout": 0.1}

    After `fit`: task_, network_, history_ (a list of Evaluation), fitted_; classes_ of a classifier, sorted.
    """

    def __init__(
        self,
        cell: str | Cell = "gru",
        hidden: int = 128,
        layers: int = 1,
        both_directions: bool = True,
        embedding: int = 64,
        dropout: float = 0.3,
        unit: str = "auto",
        lowercase: bool = False,
        minutes: float = 5.0,
        updates: int | None = None,
        batch: int | None = None,
        learning_rate: float = 3e-3,
        clip: float = 1.0,
        weight_decay: float = 0.0,
        patience: int = 8,
        class_weights: str = "none",
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
        self.minutes = minutes
        self.updates = updates
        self.batch = batch
        self.learning_rate = learning_rate
        self.clip = clip
        self.weight_decay = weight_decay
        self.patience = patience
        self.class_weights = class_weights
        self.seed = seed
        self.valid_share = valid_share
        self.options = options

    def fit(self, X: Any, y: Any) -> Self:
        """Trains on N rows and their targets. Raises InputError for rows or options that cannot be used."""
        examples = examples_from(X, y, target_kind=self.target_kind)
        return self._fit(examples, self.task_name, self._options())

    def _options(self) -> TrainOptions:
        given = {name: value for name, value in self.get_params().items() if name not in ("valid_share", "cell")}
        given["cell"] = (self.cell if isinstance(self.cell, Cell) else resolve_cell(self.cell)).text
        given["options"] = dict(self.options or {})
        made = TrainOptions.of(type(self).__name__, given)
        return made.but(valid_share=self.valid_share, test_share=0.0)


CLASS_TYPES: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float, "bool": "True".__eq__}
"""Types of y whose values `predict` gives back; a model folder keeps the name of the type and the classes as text."""


def type_of_classes(values: Sequence[Any]) -> str:
    """int, float or bool where all of y is of that type, numpy's included; else str."""
    kinds = {"bool": (bool, np.bool_), "int": (int, np.integer), "float": (float, np.floating)}
    return next((n for n, kind in kinds.items() if values and all(isinstance(v, kind) for v in values)), "str")


class SequenceClassifier(ClassifierMixin, SequenceEstimator):
    """A class for each row: y [N] strings or numbers, or a list of tuples of labels for several a row."""

    task_name = "classify"

    def predict(self, X: Any) -> Any:
        """[N] classes, of the type that y had; a list of tuples where rows have several labels."""
        values = self._predictions(X).values
        if values and isinstance(values[0], tuple):
            return list(values)
        return np.array([self._class(v) for v in values])

    def predict_proba(self, X: Any) -> np.ndarray:
        """[N, K] float64, columns in the order of `classes_`."""
        found = np.asarray(self._predictions(X).probabilities, np.float64)
        return found[:, self._columns]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of N rows whose prediction is y; where rows have several labels, all of them must be."""
        said = self.predict(X)
        same = [set(a) == set(b) if isinstance(a, tuple) else a == b for a, b in zip(said, rows_of(y), strict=True)]
        return float(np.average(same, weights=sample_weight))

    def fit(self, X: Any, y: Any) -> Self:
        values = rows_of(y)
        self.class_type_ = type_of_classes(values)
        return super().fit(X, values if self.class_type_ == "str" else [str(v) for v in values])

    def keep(self, task: Any, network: torch.nn.Module, options: TrainOptions) -> None:
        super().keep(task, network, options)
        convert = CLASS_TYPES[getattr(self, "class_type_", "str")]
        self._values = {name: convert(name) for name in task.classes}
        values = list(self._values.values())
        self._columns = sorted(range(len(values)), key=values.__getitem__)
        self.classes_ = np.array([values[k] for k in self._columns], object if convert is str else None)

    def _class(self, name: str) -> Any:
        return self._values[name]


class SequenceRegressor(RegressorMixin, SequenceEstimator):
    """A number for each row: y [N]."""

    task_name = "regress"
    target_kind = "number"

    def predict(self, X: Any) -> np.ndarray:
        """[N] float64, in the unit of y."""
        return np.asarray(self._predictions(X).values, np.float64)


class SequenceTagger(SequenceEstimator):
    """A tag for each token: X a list of lists of tokens, y a list of lists of as many tags."""

    task_name = "tag"
    target_kind = "tags"

    def predict(self, X: Any) -> list[list[str]]:
        """A list of tags for each row."""
        return [list(tags) for tags in self._predictions(X).values]

    def score(self, X: Sequence[Any], y: Sequence[Any]) -> float:
        """The share of tokens that are tagged as y has them."""
        pairs = [(a, b) for said, right in zip(self.predict(X), y, strict=True) for a, b in zip(said, right)]
        return sum(a == b for a, b in pairs) / len(pairs) if pairs else float("nan")
