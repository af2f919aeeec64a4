"""The two counting models: naive Bayes, and each word scored alone.

Letters: N rows, V entries, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class NaiveBayes(ClassifierMixin, BaseEstimator):
    """Multinomial naive Bayes on counts [N, V].

    alpha  added to every count
    share  of the log-likelihood that counts beside the prior: 1/2 tempers what dependent features count twice
    """

    def __init__(self, alpha: float = 1.0, share: float = 1.0) -> None:
        self.alpha, self.share = alpha, share

    def fit(self, X: Any, y: Any) -> NaiveBayes:
        from sklearn.naive_bayes import MultinomialNB

        model = MultinomialNB(alpha=self.alpha).fit(X, y)
        self.classes_ = model.classes_
        self._prior, self._terms = model.class_log_prior_, model.feature_log_prob_
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        scores = self._prior + self.share * np.asarray(X @ self._terms.T)
        scores -= scores.max(1, keepdims=True)
        whole = np.exp(scores)
        return whole / whole.sum(1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(1)]


class EachWordAlone(ClassifierMixin, BaseEstimator):
    """P(class | word) by counting, averaged over the words of a row: [N, V] counts → [N, K].

    P(c | w) = (rows of c that have w + P(c)) / (rows that have w + 1).
    """

    def fit(self, X: Any, y: Any) -> EachWordAlone:
        self.classes_, places = np.unique(y, return_inverse=True)
        one_hot = np.eye(len(self.classes_))[places]
        self._prior = one_hot.mean(0)
        present = X.sign()
        counts = np.asarray(present.T @ one_hot)
        self._terms = (counts + self._prior) / (counts.sum(1, keepdims=True) + 1)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        words = np.asarray(X.sum(1)).reshape(-1, 1)
        mean = np.asarray(X @ self._terms) / np.maximum(words, 1e-300)
        return np.where(words > 0, mean, self._prior)

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(1)]
