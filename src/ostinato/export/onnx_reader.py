"""Reads the weights of the recurrent nodes of any ONNX file."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cells.gate_layouts import supported_as
from ..errors import InputError, phrase
from ..layers.base import Layer
from .onnx_operators import KINDS
from .packages import require

WHERE = "export.from_onnx"


def recurrent_nodes(path: str | PathLike[str], layer: Layer) -> list[dict[str, NDArray[Any]]]:
    """W, R, B and P of each RNN, GRU or LSTM node of a file. Refuses nodes of other equations than the layer's."""
    onnx = require("onnx", WHERE)
    array, value = require("onnx.numpy_helper", WHERE).to_array, onnx.helper.get_attribute_value
    graph = onnx.load(path).graph
    constants = {t.name: array(t) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = array(node.attribute[0].t)
    kind, settings = KINDS[supported_as("onnx", layer.cell) or ""]
    weights = []
    for node in graph.node:
        if node.domain or node.op_type not in ("RNN", "GRU", "LSTM"):
            continue
        given = {a.name: value(a) for a in node.attribute}
        names = dict(zip(("X", "W", "R", "B", "lengths", "h", "c", "P"), node.input))
        _check(node.op_type, given, bool(names.get("P")), kind, settings, layer)
        parts = {key: names[key] for key in "WRBP" if names.get(key)}
        missing = [name for name in parts.values() if name not in constants]
        if missing:
            remedy = "Weights that a graph computes are not read; fold the file's constants first."
            raise InputError(phrase(WHERE, "the weights of a node", "stored in the file", missing[0], remedy))
        weights.append({key: np.array(constants[name]) for key, name in parts.items()})
    return weights


def _check(op: str, given: dict[str, Any], peepholes: bool, kind: str, settings: dict[str, Any], layer: Layer) -> None:
    """Raises InputError where a node and the layer have different equations."""
    words = [w.decode() for w in given.get("activations", [])]
    defaults = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}[op]
    directions = 2 if given.get("direction") == b"bidirectional" else 1
    got: dict[str, Any] = {"operator": op, "activations": words or defaults * directions, "peepholes": peepholes}
    got["direction"] = given.get("direction", b"forward").decode()
    wanted = {"operator": kind, "peepholes": "p" in layer.cell.letters}
    if op == kind:
        wanted["activations"] = settings.get("activations", defaults) * directions
    wanted["direction"] = "bidirectional" if layer.bidirectional else "forward"
    for name in ("linear_before_reset", "input_forget", "clip"):
        got[name], wanted[name] = given.get(name, 0), settings.get(name, 0)
    for name, value in wanted.items():
        if got[name] != value:
            expected = f"{value} for the cell {layer.cell.name}"
            raise InputError(phrase(WHERE, f"{name} of a node", expected, got[name], "Build the layer that it needs."))
