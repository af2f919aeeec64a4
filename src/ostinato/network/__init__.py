"""A model as a network that runs step by step: nodes in the order of computation, parameters and states by name."""

from .network import Network, StateField
from .nodes import (
    Columns,
    Concatenate,
    Constant,
    Convolution,
    Embedding,
    Input,
    LayerNorm,
    Linear,
    Node,
    Number,
    Parameter,
    Pointwise,
    Recurrent,
    Running,
    Softmax,
)

__all__ = [
    "Columns",
    "Concatenate",
    "Constant",
    "Convolution",
    "Embedding",
    "Input",
    "LayerNorm",
    "Linear",
    "Network",
    "Node",
    "Number",
    "Parameter",
    "Pointwise",
    "Recurrent",
    "Running",
    "Softmax",
    "StateField",
]
