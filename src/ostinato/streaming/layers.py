"""Recurrent layers as nodes of a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import InputError, phrase
from ..layers.base import Layer
from ..layers.init import learned_names
from ..network import Node, Parameter, Recurrent

WHERE = "stream"


def parameter(module: nn.Module, name: str, place: str, dtype: torch.dtype) -> Parameter:
    """The parameter or buffer `name` of a module at `place` in the model; a parametrized one is computed."""

    def read() -> Tensor:
        value: Tensor = getattr(module, name)
        return value.detach().to("cpu", dtype).contiguous()

    return Parameter(f"{place}.{name}" if place else name, tuple(getattr(module, name).shape), read)


def recurrent_nodes(layer: Layer, place: str, source: int, first: int, dtype: torch.dtype) -> list[Node]:
    """The nodes of a recurrent layer, one for each of its layers; the last one's value is the layer's output.

    source  index of the node that the layer reads
    first   index of the first node that is returned
    """
    name = place or type(layer).__name__
    if layer.bidirectional:
        remedy = (
            "A second direction reads from the end of the sequence, which a stream does not have yet. Train the same "
            "model with bidirectional=False, or call it on whole sequences."
        )
        raise InputError(phrase(WHERE, f"the layer {name}", "one-directional", "bidirectional=True", remedy))
    cell = layer.cell
    if cell.random:
        remedy = "Write the cell so that it draws in training only, with the options for dropout and zoneout."
        raise InputError(phrase(WHERE, f"the layer {name}", "without random numbers in evaluation", cell.name, remedy))
    initial = learned_names(layer)
    nodes: list[Node] = []
    for k, group in enumerate(layer._weight_names()):
        weights = tuple(parameter(layer, n, place, dtype) for n in group)
        learned = tuple(parameter(layer, names[k], place, dtype) for names in initial) or (None,) * len(cell.states)
        width_in = nodes[-1].width if nodes else layer.input_size
        sizes = (width_in, layer.hidden_size, layer.proj_size or layer.hidden_size)
        nodes.append(
            Recurrent(
                place=f"{place}.{k}" if place else str(k),
                inputs=(source if not nodes else first + k - 1,),
                width=cell.width(cell.output_width, *sizes),
                cell=cell,
                sizes=sizes,
                weights=weights,
                initial=learned,
            )
        )
    return nodes
