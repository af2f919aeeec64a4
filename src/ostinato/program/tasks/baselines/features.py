"""A baseline of an extractor and a scikit-learn estimator.

Letters: N rows, K classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.multiclass import OneVsRestClassifier

from ...data.examples import Examples
from ..metrics import indicators
from ..scored import targets_of
from ..task import Predictions
from .extract import Extractor

MOST_ROWS = 25_000
"""Training rows that a baseline reads at most."""


class FeatureBaseline:
    """Features of a row, then a model that knows nothing of steps."""

    trivial = False

    def __init__(
        self,
        name: str,
        extractor: Extractor,
        estimator: Callable[[], Any],
        without_order: bool,
        most: int = MOST_ROWS,
    ) -> None:
        self.name, self.without_order, self.note = name, without_order, ""
        self._extractor, self._estimator, self._most = extractor, estimator, most

    def fit(self, train: Examples) -> FeatureBaseline:
        targets: Any = targets_of(train, self.name)
        self._kind = train.target_kind
        if self._kind == "labels":
            self._classes = sorted({name for row in targets for name in row})
        elif self._kind == "class":
            self._classes = sorted(set(targets))
        if len(train) > self._most:
            self.note = f"{self.name}: fitted on {self._most:,} of {len(train):,} training rows, evenly spaced."
            train = train.take(np.linspace(0, len(train) - 1, self._most).astype(np.int64))
            targets = train.targets
        X = self._extractor.fit_transform(train)
        y: Any = np.array(targets, dtype=None if self._kind == "number" else object)
        if self._kind == "labels":
            self._model = OneVsRestClassifier(self._estimator())
            y = indicators(targets, self._classes).astype(np.int64)
        elif self._kind == "class":
            place = {name: k for k, name in enumerate(self._classes)}
            y = np.array([place[name] for name in targets], np.int64)
            one = len(np.unique(y)) == 1  # of the rows that were kept
            self._model = DummyClassifier() if one else self._estimator()
        else:
            self._model = self._estimator()
        with warnings.catch_warnings():
            # An estimator that stopped at its bound of iterations, or a label that all rows have, is no news here.
            warnings.simplefilter("ignore")
            self._model.fit(X, y)
        return self

    def predict(self, examples: Examples) -> Predictions:
        if not len(examples):
            return Predictions([], None if self._kind == "number" else np.zeros((0, len(self._classes))))
        X = self._extractor.transform(examples)
        if self._kind == "number":
            return Predictions(np.asarray(self._model.predict(X), np.float64).ravel().tolist())
        found = np.asarray(self._model.predict_proba(X), np.float64)
        if self._kind == "labels":
            return Predictions([tuple(self._classes[k] for k in np.flatnonzero(row > 0.5)) for row in found], found)
        whole = np.zeros((len(examples), len(self._classes)))
        whole[:, self._model.classes_] = found  # rows that were left out may have had a class of their own
        return Predictions([self._classes[k] for k in whole.argmax(1)], whole)
