"""Recurrent layers as nodes of a network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import InputError, phrase
from ..layers.base import Layer
from ..layers.init import learned_names
from ..network import Concatenate, Node, Parameter, Recurrent

WHERE = "stream"


def parameter(module: nn.Module, name: str, place: str, dtype: torch.dtype) -> Parameter:
    """The parameter or buffer `name` of a module at `place` in the model; a parametrized one is computed."""

    def read() -> Tensor:
        value: Tensor = getattr(module, name)
        return value.detach().to("cpu", dtype).contiguous()

    return Parameter(f"{place}.{name}" if place else name, tuple(getattr(module, name).shape), read)


@dataclass(frozen=True)
class Place:
    """Where the nodes of a layer go.

    name    of the layer in the model, "" for the model itself
    source  index of the node that the layer reads
    first   index of the first node that is made
    whole   whether the network may run on whole sequences alone
    """

    name: str
    source: int
    first: int
    whole: bool = False


def recurrent_nodes(layer: Layer, place: Place, dtype: torch.dtype) -> list[Node]:
    """The nodes of a recurrent layer; the last one's value is the layer's output.

    One for each of its layers; for two directions three, the forward one, the reverse one and both side by side.
    """
    name = place.name or type(layer).__name__
    if layer.bidirectional and not place.whole:
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
    directions = 2 if layer.bidirectional else 1
    nodes: list[Node] = []
    source, width = place.source, layer.input_size
    for k, group in enumerate(layer._weight_names()):
        own = f"{k // directions}{'.reverse' if k % directions else ''}"
        weights = tuple(parameter(layer, n, place.name, dtype) for n in group)
        learned = tuple(parameter(layer, names[k], place.name, dtype) for names in initial)
        sizes = (width, layer.hidden_size, layer.proj_size or layer.hidden_size)
        nodes.append(
            Recurrent(
                place=f"{place.name}.{own}" if place.name else own,
                inputs=(source,),
                width=cell.width(cell.output_width, *sizes),
                cell=cell,
                sizes=sizes,
                weights=weights,
                initial=learned or (None,) * len(cell.states),
                reverse=k % directions == 1,
            )
        )
        if k % directions == directions - 1:
            last = place.first + len(nodes) - 1
            source, width = last, nodes[-1].width * directions
            if directions == 2:
                nodes.append(Concatenate(place=f"{place.name}.{own}", inputs=(last - 1, last), width=width))
                source = last + 1
    return nodes
