"""Torch modules with gradients around the cells."""

from .convert import convert
from .optimizer_state import permute_optimizer_state
from .options import Options
from .parameters import gate_order
from .prepacked import prepacked
from .recurrent import Recurrent
from .torch_layers import GRU, LSTM, RNN
from .warmup import warmup

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Options",
    "Recurrent",
    "convert",
    "gate_order",
    "permute_optimizer_state",
    "prepacked",
    "warmup",
]
