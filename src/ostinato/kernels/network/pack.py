"""Packs the values of a network's parameters as its kernel reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...network import Constant, Convolution, Embedding, LayerNorm, Linear, Recurrent
from ..system import memory_pool
from .layout import Blocks, NetworkLayout, Panel


def pack(layout: NetworkLayout, values: Mapping[str, Tensor]) -> Tensor:
    """The packed weights [columns], in memory that begins at a cache line.

    values  parameter's name → its value, on the CPU, in the network's dtype
    """
    network, packed = layout.network, aligned_zeros(layout.weights.size, layout.network.dtype)
    for k, node in enumerate(network.nodes):
        match node:
            case Embedding():
                width = layout.padded(node.width)
                table = values[node.table.name]
                packed[layout.tables[k] :][: len(table) * width].view(-1, width)[:, : node.width] = table
            case Linear():
                bias = None if node.bias is None else values[node.bias.name]
                _pack_panel(packed, layout.panels[k], [values[node.weight.name]], [bias])
            case Convolution():
                bias = None if node.bias is None else values[node.bias.name]
                weight = values[node.weight.name].transpose(1, 2).reshape(node.width, -1)
                _pack_panel(packed, layout.panels[k], [weight], [bias])
            case Recurrent():
                _pack_recurrent(packed, layout, k, node, values)
            case Constant() | LayerNorm():
                for p, column in zip(node.parameters, layout.vectors[k], strict=True):
                    packed[column:][: p.shape[0]] = values[p.name]
    return packed


def pack_initial(layout: NetworkLayout, values: Mapping[str, Tensor]) -> Tensor:
    """The states [S] of one row before its first step, as its kernel reads them; `values` as in `pack`."""
    first = torch.zeros(layout.state.size, dtype=layout.network.dtype, device="cpu")
    for field in layout.network.states:
        at = layout.states[field.name]
        first[at : at + field.width] = field.fill if field.initial is None else values[field.initial.name]
    return first


def aligned_zeros(count: int, dtype: torch.dtype) -> Tensor:
    """Zeros [count] that begin at a cache line of 64 bytes."""
    return aligned_empty(count, dtype).zero_()


def aligned_empty(count: int, dtype: torch.dtype) -> Tensor:
    """The same with undefined content."""
    whole = memory_pool.empty((count + 64 // dtype.itemsize,), dtype)
    skip = -whole.data_ptr() % 64 // dtype.itemsize
    return whole[skip : skip + count]


def _pack_recurrent(
    packed: Tensor, layout: NetworkLayout, k: int, node: Recurrent, values: Mapping[str, Tensor]
) -> None:
    cell, own = node.cell, layout.recurrent[k]
    parts = cell.split([values[p.name] for p in node.weights])
    for q in own.step.products:
        weights = [parts[letter][name] for letter, name in q.operands[0].weights]
        biases = [None if b is None else parts[b[0]][b[1]] for b in q.bias_init]
        _pack_panel(packed, own.panels[id(q)], weights, biases)
    for name, column in own.vectors.items():
        letter, gate = name.split(".")
        vector = parts[letter][gate]
        packed[column:][: len(vector)] = vector


def _pack_panel(packed: Tensor, panel: Panel, weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> None:
    """weights: [units, K] for each gate; biases: [units] or None for each."""
    b, K, G = panel.blocks, panel.depth, panel.gates
    lines = packed.new_zeros(G, b.padded, K + 1)
    for g, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        lines[g, : b.width, :K] = weight
        if bias is not None:
            lines[g, : b.width, K] = bias
    at, start = panel.weights, panel.start
    for first, count, span in _groups(b):
        units = count * span * b.lanes
        # [G, units, K + 1] → [count, K + 1, G, span, lanes]
        block = lines[:, first : first + units].reshape(G, count, span * b.lanes, K + 1).permute(1, 3, 0, 2)
        size = units * G
        packed[at : at + size * K] = block[:, :K].reshape(-1)
        packed[start : start + size] = block[:, K].reshape(-1)
        at, start = at + size * K, start + size


def _groups(b: Blocks) -> list[tuple[int, int, int]]:
    """(first unit, number of blocks, span) of the full blocks and of the last one."""
    groups = [(0, b.full, b.span)] if b.full else []
    return [*groups, (b.full * b.span * b.lanes, 1, b.rest)] if b.rest else groups
