"""Ostinato: recurrent networks for PyTorch, written as equations, compiled, with a lens that shows how they learn."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from . import cells
from ._version import __version__
from .bptt import TruncatedBPTT
from .cells import Cell, cell, clip_gradient, mean, norm
from .layers import GRU, LSTM, RNN, Recurrent, convert, gate_order, permute_optimizer_state, warmup
from .loss import sequence_loss

if TYPE_CHECKING:
    from . import export, lens
    from .lens import detect_anomaly

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "Recurrent",
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
    "mean",
    "norm",
    "permute_optimizer_state",
    "sequence_loss",
    "warmup",
]


def __getattr__(name: str) -> Any:
    """Chapters that most programs do not need are imported when they are first named."""
    if name in ("export", "lens"):
        return _import_module(f".{name}", __name__)
    if name == "detect_anomaly":
        return _import_module(".lens", __name__).detect_anomaly
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
