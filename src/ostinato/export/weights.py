"""A layer's weights as another library lays them out, and back. Orders of gates are in `ostinato.cells.gate_layouts`.

Letters: C input features, H hidden units, G gates, L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..cells.gate_layouts import order, read, supported_as, write
from ..errors import InputError, ShapeError, phrase
from ..layers.base import Layer
from . import flax
from .onnx_reader import recurrent_nodes

Array = NDArray[Any]
Tensors = dict[str, Tensor]


def to_keras(layer: Layer) -> list[list[Array]]:
    """For each of the L layers what `set_weights` of the same layer in Keras takes.

        for theirs, arrays in zip(keras_layers, ostinato.export.to_keras(layer)):
            theirs.set_weights(arrays)

    SimpleRNN, LSTM and GRU: kernel [C, G·H], recurrent_kernel [H, G·H], and unless the layer has bias=False bias [G·H],
    for a GRU with reset_after=True [2, G·H] (the reset before the product is reset_after=False). With two directions
    these are Bidirectional's: first those of the forward, then those of the backward direction. Raises InputError for a
    cell that Keras does not have.
    """
    return [[_array(t) for one in group for t in one.values()] for group in _theirs("keras", layer, "to_keras")]


def from_keras(layer: Layer, weights: Sequence[Sequence[Any]]) -> None:
    """Takes over weights in place: for each of the L layers what `get_weights` of Keras gives, [C, G·H] and so on as in
    `to_keras`. Raises InputError for a cell that Keras does not have, and for arrays of another number or shape."""
    shown = _theirs("keras", layer, "from_keras")
    _check_count("from_keras", "layers", len(weights), len(shown))
    given = []
    for arrays, group in zip(weights, shown, strict=True):
        names = [name for one in group for name in one]
        _check_count("from_keras", "arrays of a layer", len(arrays), len(names))
        tensors, size = list(map(_tensor, arrays)), len(group[0])
        given.append([dict(zip(group[0], tensors[k : k + size])) for k in range(0, len(tensors), size)])
    _take("keras", layer, given, "from_keras")


def to_onnx(layer: Layer) -> list[dict[str, Array]]:
    """For each of the L layers the inputs of ONNX's RNN, GRU or LSTM: W [D, G·H, C], R [D, G·H, H], B [D, 2·G·H], and
    P [D, 3·H] of a cell with peepholes. Raises InputError for a cell that ONNX does not have."""
    groups = _theirs("onnx", layer, "to_onnx")
    return [{name: _array(torch.stack([one[name] for one in group])) for name in group[0]} for group in groups]


def from_onnx(layer: Layer, weights: Sequence[Mapping[str, Any]] | str | PathLike[str]) -> None:
    """Takes over weights in place, as `to_onnx` gives them or from the RNN, GRU or LSTM nodes of an ONNX file, which
    are taken for the L layers in their order and must compute the layer's equations: W [D, G·H, C] and so on. A file
    needs the package onnx. Raises InputError for other equations, and for arrays of another number or shape."""
    shown = _theirs("onnx", layer, "from_onnx")
    if isinstance(weights, str | PathLike):
        weights = recurrent_nodes(weights, layer)
    _check_count("from_onnx", "layers", len(weights), len(shown))
    given = []
    for arrays, group in zip(weights, shown, strict=True):
        tensors = {name: _tensor(a) for name, a in arrays.items()}
        for name, t in tensors.items():
            _check_count("from_onnx", f"directions of {name}", len(t), len(group))
        given.append([{name: t[d] for name, t in tensors.items()} for d in range(len(group))])
    _take("onnx", layer, given, "from_onnx")


def to_flax(layer: Layer, api: str = "linen") -> list[dict[str, dict[str, Array]]]:
    """The parameters of Flax's cell for each layer and direction (layer 0 forward, layer 0 backward, layer 1, …).

    api   "linen": {"ii": {"kernel": [C, H]}, "hi": {"kernel": [H, H], "bias": [H]}, …} of LSTMCell, OptimizedLSTMCell,
          GRUCell and SimpleCell; "nnx": {"dense_i": {"kernel": [C, G·H], …}, "dense_h": …} of nnx.OptimizedLSTMCell,
          nnx.GRUCell and nnx.SimpleCell

    Flax's LSTM and SimpleCell have one bias, so two are added up. nnx.GRUCell has no bias on its product with the
    state; a layer whose d.n is not 0 is refused. Raises InputError for that, and for a cell that Flax does not have.
    """
    if api not in flax.APIS:
        raise InputError(phrase("export.to_flax", "api", f"one of {', '.join(flax.APIS)}", repr(api)))
    groups = _theirs("flax", layer, "to_flax")
    name = supported_as("flax", layer.cell) or ""
    gates = order("flax", layer.cell)
    cells = [flax.write(name, gates, one, api) for group in groups for one in group]
    return [{part: {k: _array(t) for k, t in one.items()} for part, one in cell.items()} for cell in cells]


def from_flax(layer: Layer, params: Sequence[Mapping[str, Any]]) -> None:
    """Takes over weights in place: the parameters of Flax's cells, of either API, in the order of `to_flax`.

    nnx.LSTMCell (`ii`, `if_`, …) is understood too. Kernels are [C, H] and [H, H], or [C, G·H] and [H, G·H]. Raises
    InputError for a cell that Flax does not have, and for parameters of another number or shape.
    """
    shown = _theirs("flax", layer, "from_flax")
    _check_count("from_flax", "cells", len(params), sum(map(len, shown)))
    gates = order("flax", layer.cell)
    cells = [
        flax.read(gates, {part: {k: _tensor(a) for k, a in one.items()} for part, one in p.items()}) for p in params
    ]
    directions = len(shown[0])
    _take("flax", layer, [cells[k : k + directions] for k in range(0, len(cells), directions)], "from_flax")


def _theirs(vocabulary: str, layer: Layer, where: str) -> list[list[Tensors]]:
    """For each layer, for each direction, the layer's weights in a vocabulary; without biases that it does not have."""
    given: object = layer
    if not isinstance(given, Layer):
        remedy = "ostinato.convert turns torch.nn's layers into ours."
        raise InputError(phrase(f"export.{where}", "layer", "a layer of this package", type(given).__name__, remedy))
    order(vocabulary, layer.cell)  # says which cells there are, where this is none of them
    bare = not {"b", "d"} & set(layer.cell.letters) and vocabulary != "onnx"
    groups = []
    for names in layer._weight_names():
        tensors = write(vocabulary, layer.cell, [getattr(layer, n).detach() for n in names])
        groups.append({k: t for k, t in tensors.items() if not (bare and "bias" in k)})
    directions = 2 if layer.bidirectional else 1
    return [groups[k : k + directions] for k in range(0, len(groups), directions)]


def _take(vocabulary: str, layer: Layer, given: list[list[Tensors]], where: str) -> None:
    """Copies the weights into the layer's parameters, all of them or, where anything is wrong, none."""
    where, cell = f"export.{where}", layer.cell
    bare = not {"b", "d"} & set(cell.letters)
    own = [{name: getattr(layer, name) for name in names} for names in layer._weight_names()]
    moved: list[tuple[Tensor, Tensor]] = []
    for parameters, tensors in zip(own, [one for group in given for one in group], strict=True):
        like = write(vocabulary, cell, [p.detach() for p in parameters.values()])
        for name, expected in like.items():
            got = tensors.get(name)
            if got is None and "ias" not in name and name != "B":
                raise InputError(phrase(where, name, "given", f"only {', '.join(tensors)}"))
            if got is not None and got.shape != expected.shape:
                remedy = f"Those are the sizes of {cell.name} with C = {layer.input_size} and H = {layer.hidden_size}."
                raise ShapeError(phrase(where, name, f"of shape {list(expected.shape)}", list(got.shape), remedy))
            if got is not None and bare and (name == "B" or "ias" in name) and bool(got.any()):
                remedy = "Build the layer with bias=True."
                raise InputError(phrase(where, name, "zero for a layer without biases", "other numbers", remedy))
        moved += zip(parameters.values(), read(vocabulary, cell, tensors), strict=True)
    known = {id(p) for p in layer.parameters()}
    for k, parameter in enumerate(p for group in own for p in group.values()):
        if id(parameter) not in known:
            name = [n for group in own for n in group][k]
            remedy = "Remove the parametrization before loading."
            raise InputError(phrase(where, name, "a parameter", "a computed weight", remedy))
    with torch.no_grad():
        for parameter, value in moved:
            parameter.copy_(value)


def _check_count(where: str, name: str, got: int, expected: int) -> None:
    if got != expected:
        raise InputError(phrase(f"export.{where}", name, f"{expected}, as in the layer", got))


def _array(t: Tensor) -> Array:
    return t.detach().cpu().contiguous().numpy().copy()


def _tensor(a: Any) -> Tensor:
    return a.detach() if isinstance(a, Tensor) else torch.from_numpy(np.array(a))
