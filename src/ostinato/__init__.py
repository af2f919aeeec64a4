"""Ostinato: recurrent networks for PyTorch, written as equations, compiled, with a lens that shows how they learn."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from . import _start_up as _start_up  # the first of all: what follows takes a second
from . import cells
from ._version import __version__
from .cells import Cell, cell, clip_gradient, mean, norm
from .layers import GRU, LSTM, RNN, Recurrent, convert, gate_order, permute_optimizer_state, prepacked, warmup
from .loss import sequence_loss

if TYPE_CHECKING:
    from . import export, lens
    from .bptt import TruncatedBPTT
    from .lens import detect_anomaly
    from .program.estimators import SequenceClassifier, SequenceRegressor, SequenceTagger
    from .program.forecaster import Forecaster
    from .program.language_models import LanguageModel
    from .program.music_model import MusicModel
    from .program.python import load, train
    from .program.text_filler import TextFiller
    from .program.transcriber import Transcriber
    from .program.translator import Translator
    from .streaming import State, Stream, stream

__all__ = [
    "GRU",
    "LSTM",
    "LanguageModel",
    "MusicModel",
    "RNN",
    "Cell",
    "Forecaster",
    "Recurrent",
    "SequenceClassifier",
    "SequenceRegressor",
    "SequenceTagger",
    "State",
    "Stream",
    "TextFiller",
    "Transcriber",
    "Translator",
    "TruncatedBPTT",
    "__version__",
    "cell",
    "cells",
    "clip_gradient",
    "convert",
    "detect_anomaly",
    "export",
    "gate_order",
    "lens",
    "load",
    "mean",
    "norm",
    "permute_optimizer_state",
    "prepacked",
    "sequence_loss",
    "stream",
    "train",
    "warmup",
]


_LATER = {
    "Forecaster": ".program.forecaster",
    "TruncatedBPTT": ".bptt",
    "detect_anomaly": ".lens",
    "State": ".streaming",
    "Stream": ".streaming",
    "stream": ".streaming",
    "LanguageModel": ".program.language_models",
    "MusicModel": ".program.music_model",
    "TextFiller": ".program.text_filler",
    "Transcriber": ".program.transcriber",
    "Translator": ".program.translator",
    "load": ".program.python",
    "train": ".program.python",
    "SequenceClassifier": ".program.estimators",
    "SequenceRegressor": ".program.estimators",
    "SequenceTagger": ".program.estimators",
}
"""Name → the module that defines it, imported when the name is first used."""


def __getattr__(name: str) -> Any:
    """Chapters that most programs do not need are imported when they are first named."""
    if name in ("export", "lens"):
        return _import_module(f".{name}", __name__)
    if name in _LATER:
        if _LATER[name].startswith(".program."):
            _import_module(".program.packages", __name__).require_program(f"ostinato.{name}")
        return getattr(_import_module(_LATER[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Also the names that are imported later, which completion shows."""
    return sorted({*globals(), *__all__})
