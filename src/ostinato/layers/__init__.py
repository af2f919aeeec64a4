"""Torch modules with gradients around the cells."""

from .convert import convert
from .drop_in import GRU, LSTM, RNN
from .moments import permute_optimizer_state
from .options import Options
from .recurrent import Recurrent
from .warmup import warmup
from .weights import gate_order

__all__ = ["GRU", "LSTM", "RNN", "Options", "Recurrent", "convert", "gate_order", "permute_optimizer_state", "warmup"]
