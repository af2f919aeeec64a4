"""Ostinato: recurrent networks for PyTorch, written as equations, compiled, with a lens that shows how they learn."""

from . import cells
from ._version import __version__
from .cells import Cell, cell, mean, norm
from .layers import GRU, LSTM, RNN, Recurrent, convert, warmup
from .loss import sequence_loss

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "Recurrent",
    "__version__",
    "cell",
    "cells",
    "convert",
    "mean",
    "norm",
    "sequence_loss",
    "warmup",
]
