"""From a module of torch to a network."""

from __future__ import annotations

import torch
from torch import nn

from ..errors import InputError, phrase
from ..layers.base import Layer
from ..network import Input, Network, Node
from .layers import WHERE, recurrent_nodes


def read(model: nn.Module) -> Network:
    """The network of a model. Raises InputError, with the place, for what cannot run step by step."""
    if not isinstance(model, nn.Module):
        raise InputError(
            phrase(WHERE, "model", "a torch.nn.Module", type(model).__name__, "Give the model, or one of its layers.")
        )
    assert isinstance(model, Layer)
    dtype = next((p.dtype for p in model.parameters()), torch.get_default_dtype())
    nodes: list[Node] = [Input(place="x", width=model.input_size)]
    nodes += recurrent_nodes(model, "", 0, 1, dtype)
    return Network(tuple(nodes), len(nodes) - 1, dtype)
