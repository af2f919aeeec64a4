"""The estimator of each task by the task's name: what `ostinato.train` and `ostinato.load` give back."""

from __future__ import annotations

from .estimators import NetworkEstimator, SequenceClassifier, SequenceRegressor, SequenceTagger
from .forecaster import Forecaster
from .language_models import LanguageModel
from .music_model import MusicModel
from .text_filler import TextFiller
from .transcriber import Transcriber
from .translator import Translator

ESTIMATORS: dict[str, type[NetworkEstimator]] = {
    "classify": SequenceClassifier,
    "regress": SequenceRegressor,
    "tag": SequenceTagger,
    "forecast": Forecaster,
    "language-model": LanguageModel,
    "fill": TextFiller,
    "generate": LanguageModel,
    "transcribe": Transcriber,
    "translate": Translator,
    "music": MusicModel,
}
