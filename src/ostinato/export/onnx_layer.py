"""A whole layer as nodes: its layers one after the other, its directions, lengths and states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import InputError, phrase
from ..layers import init
from ..layers.base import Layer
from .onnx_graph import WHERE, GraphBuilder, Name
from .onnx_operators import KINDS, kind_of, operator
from .onnx_scan import scan


class Inputs(NamedTuple):
    """What a layer is called with.

    x        [T, B, C], or [B, T, C] with batch_first
    lengths  int64 [B]; None where all rows have T steps
    states   [D·L, B, H or P] for each state; None for the layer's own start
    """

    x: Name
    lengths: Name | None
    states: Sequence[Name] | None


def described(layer: Layer) -> str:
    """How a layer is written, in a few words."""
    known = kind_of(layer.cell, own_type(layer))
    calls = layer.num_layers * (2 if layer.bidirectional else 1)
    if known is None:
        return f"{layer.cell.name}: {calls} Scan"
    return f"{layer.cell.name}: {layer.num_layers} {KINDS[known][0]}"


def own_type(layer: Layer) -> torch.dtype:
    """The number type of a layer's weights, which is that of its nodes. Refuses what ONNX's evaluators do not run."""
    dtype = next((p.dtype for p in layer.parameters()), torch.float32)
    if dtype not in (torch.float32, torch.float64):
        remedy = "Export a copy in float32, copy.deepcopy(model).float()."
        raise InputError(phrase(WHERE, "the layer's number type", "float32 or float64", dtype, remedy))
    return dtype


def state_sizes(layer: Layer) -> list[int]:
    """H or P of each state."""
    sizes = (layer.input_size, layer.hidden_size, layer.proj_size)
    return [layer.cell.width(symbol, *sizes) for symbol in layer.cell.state_widths]


def output_size(layer: Layer) -> int:
    """D·H or D·P, the entries of the output."""
    width = layer.cell.width(layer.cell.output_width, layer.input_size, layer.hidden_size, layer.proj_size)
    return width * (2 if layer.bidirectional else 1)


def write_layer(nodes: GraphBuilder, layer: Layer, given: Inputs, output: Name, finals: Sequence[Name]) -> None:
    """What `layer.eval()` computes, from the values named in `given`, under the names `output` and `finals`."""
    cell, directions = layer.cell, 2 if layer.bidirectional else 1
    x = nodes.make("Transpose", given.x, perm=[1, 0, 2]) if layer.batch_first else given.x
    weights = [[getattr(layer, name).detach() for name in group] for group in layer._weight_names()]
    known = kind_of(cell, nodes.dtype) is not None
    valid = None if given.lengths is None or known else _valid(nodes, x, given.lengths)
    states = given.states
    if states is None and (layer.options.learn_initial_state or not known):
        states = _starts(nodes, layer, x)
    groups = [nodes.split(s, layer.num_layers, directions, 0) for s in states] if states is not None else []
    ends: list[list[Name]] = []
    for k in range(layer.num_layers):
        now, starts = weights[k * directions : (k + 1) * directions], [group[k] for group in groups]
        if known:
            x, last = operator(nodes, cell, now, x, starts or None, given.lengths, layer.hidden_size)
        else:
            x, last = _scans(nodes, layer, now, x, starts, valid)
        ends.append(last)
    if layer.batch_first:
        nodes.make("Transpose", x, out=output, perm=[1, 0, 2])
    else:
        nodes.make("Identity", x, out=output)
    for parts, name in zip(zip(*ends, strict=True), finals, strict=True):
        nodes.concat(parts, 0, out=name)


def _scans(
    nodes: GraphBuilder, layer: Layer, weights: list[list[Tensor]], x: Name, states: Sequence[Name], valid: Name | None
) -> tuple[Name, list[Name]]:
    """All directions of one layer: output [T, B, D·H], final states [D, B, H]."""
    directions = len(weights)
    each = [nodes.split(s, directions, 1, 0) for s in states]
    sizes = [*state_sizes(layer), output_size(layer) // directions]
    outputs, finals = [], []
    for d, group in enumerate(weights):
        starts = [nodes.squeeze(s[d], 0) for s in each]
        output, last = scan(nodes, layer.cell, group, x, starts, sizes, valid, reverse=d == 1)
        outputs.append(output)
        finals.append([nodes.unsqueeze(s, 0) for s in last])
    return nodes.concat(outputs, 2), [nodes.concat(s, 0) for s in zip(*finals, strict=True)]


def _valid(nodes: GraphBuilder, x: Name, lengths: Name) -> Name:
    """bool [T, B, 1]: whether a row has a step."""
    steps = nodes.squeeze(nodes.size(x, 0), 0)
    numbers = nodes.make("Range", torch.tensor(0, device="cpu"), steps, torch.tensor(1, device="cpu"))
    valid = nodes.make("Less", nodes.unsqueeze(numbers, 1), nodes.unsqueeze(lengths, 0))
    return nodes.unsqueeze(valid, 2)


def _starts(nodes: GraphBuilder, layer: Layer, x: Name) -> list[Name]:
    """The layer's own start, [D·L, B, H] each: zeros, or what it learned."""
    probe = torch.zeros(1, 1, layer.input_size, dtype=nodes.dtype, device=next(layer.parameters()).device)
    own = [s.detach() for s in init.initial_state(layer, probe, rows=1)]
    rows, initial = nodes.size(x, 1), []
    for s in own:
        shape = nodes.make(
            "Concat", torch.tensor([s.shape[0]], device="cpu"), rows, torch.tensor([s.shape[2]], device="cpu"), axis=0
        )
        initial.append(nodes.make("Expand", s, shape))
    return initial
