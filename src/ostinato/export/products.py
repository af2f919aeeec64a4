"""How many multiply-adds the products of a network have."""

from __future__ import annotations

import math

from ..network import Convolution, Linear, Network, Recurrent


def multiply_adds(network: Network) -> int:
    """Multiply-adds of the products of one step; pointwise operations are not counted."""
    total = 0
    for node in network.nodes:
        if isinstance(node, Linear | Convolution):
            total += math.prod(node.weight.shape)
        elif isinstance(node, Recurrent):
            total += sum(math.prod(p.shape) for p in node.weights if len(p.shape) == 2)
    return total
