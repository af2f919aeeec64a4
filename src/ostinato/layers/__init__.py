"""Torch modules with gradients around the cells."""

from .convert import convert
from .drop_in import GRU, LSTM, RNN
from .options import Options
from .recurrent import Recurrent
from .warmup import warmup

__all__ = ["GRU", "LSTM", "RNN", "Options", "Recurrent", "convert", "warmup"]
