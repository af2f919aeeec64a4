"""Which baselines a classification or a regression of rows has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from ...data.examples import InputKind, TargetKind
from ..task import Baseline
from ..texts.units import TextUnits
from .estimators import EachWordAlone, NaiveBayes
from .extract import Bag, Moments, Resampled, Weighed, Window, letters, words
from .features import FeatureBaseline
from .gaps import GapNGram, GapProduct, GapUnigram
from .texts import FixedWindow, NGram, Unigram
from .trivial import Constant, Majority

STEPS_OF_WINDOW = 5
MOST_ORDER, MOST_ORDER_OF_WORDS = 6, 3
"""Units of the longest history of an n-gram of characters, and of words or sub-word units."""
MOST_NEIGHBOURS = 5_000
"""Training rows that the nearest neighbour is looked for in: its cost is their number times the rows predicted."""


def for_rows(kind: InputKind, target: TargetKind, unit: str) -> list[Baseline]:
    """The baselines of rows of `kind`, unfitted, the trivial ones first."""
    numbers = target == "number"
    trivial: list[Baseline] = [Constant("mean"), Constant("median")] if numbers else [Majority()]
    if kind in ("text", "tokens"):
        return [*trivial, *(_characters(numbers) if unit == "char" and kind == "text" else _words(numbers))]
    neighbour = _neighbour(numbers)
    if kind == "features":
        name = "linear model" if numbers else "logistic regression"
        linear = FeatureBaseline(name, Resampled(), _linear(numbers), True)
        return [*trivial, linear, FeatureBaseline("nearest row", Resampled(), neighbour, True, MOST_NEIGHBOURS)]
    window = f"window of the first and last {STEPS_OF_WINDOW} steps"
    return [
        *trivial,
        FeatureBaseline("mean and deviation", Moments(), _linear(numbers), True),
        FeatureBaseline(window, Window(STEPS_OF_WINDOW), _linear(numbers), False),
        FeatureBaseline("nearest series", Resampled(), neighbour, False, MOST_NEIGHBOURS),
    ]


def for_passages(units: TextUnits) -> list[Baseline]:
    """The baselines of a language model, unfitted, the trivial one first."""
    longest = MOST_ORDER if units.unit == "char" else MOST_ORDER_OF_WORDS
    return [Unigram(units), NGram(units, longest), FixedWindow(units)]


def for_gaps(units: TextUnits) -> list[Baseline]:
    """The baselines of missing units between two contexts, unfitted, the trivial one first."""
    longest = MOST_ORDER if units.unit == "char" else MOST_ORDER_OF_WORDS
    return [GapUnigram(units, 0), GapNGram(units, longest), GapProduct(units, longest)]


def _words(numbers: bool) -> list[Baseline]:
    bag = Bag(words, least=2, presence=True)
    pairs = FeatureBaseline("window of 2 words", Weighed(Bag(words, 2, 3, True)), _sparse(numbers), False)
    average = FeatureBaseline("bag of words", Weighed(bag), _sparse(numbers), True)
    if numbers:
        return [average, pairs]
    counting = FeatureBaseline("naive Bayes", bag, NaiveBayes, True)
    return [counting, FeatureBaseline("each word alone", bag, EachWordAlone, True), average, pairs]


def _characters(numbers: bool) -> list[Baseline]:
    runs = Bag(letters, 4, joint="")
    average = FeatureBaseline("bag of characters", Weighed(Bag(letters, joint="")), _sparse(numbers), True)
    window = FeatureBaseline("window of 4 characters", Weighed(runs), _sparse(numbers), False)
    if numbers:
        return [average, window]
    counting = FeatureBaseline("naive Bayes on 1 to 4 characters", runs, lambda: NaiveBayes(alpha=0.1), False)
    return [counting, average, window]


def _linear(numbers: bool) -> Callable[[], Any]:
    return Ridge if numbers else lambda: LogisticRegression(max_iter=200)


def _sparse(numbers: bool) -> Callable[[], Any]:
    """Logistic regression by stochastic gradients: seconds where a bag has many entries and many classes."""
    if numbers:
        return lambda: Ridge(alpha=0.1, solver="sparse_cg")
    return lambda: SGDClassifier(loss="log_loss", alpha=1e-5, max_iter=20, random_state=0)


def _neighbour(numbers: bool) -> Callable[[], Any]:
    model = KNeighborsRegressor if numbers else KNeighborsClassifier
    return lambda: model(1, algorithm="brute")
