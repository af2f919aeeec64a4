"""The ONNX file of a stream: x and every state are inputs, y and every state after the last step outputs."""

from __future__ import annotations

import json
import math
from typing import Any

import torch
from torch import Tensor

from .._version import __version__
from ..errors import InputError, phrase
from ..network import Network, Recurrent, StateField
from ..streaming import Stream
from ..streaming.runner import digest_of
from .onnx_graph import IR, OPSET, WHERE, GraphBuilder
from .onnx_network import NetworkWriter
from .onnx_operators import KINDS, kind_of

INPUT, OUTPUT, NEXT = "x", "y", ".next"
"""Names of the file's first input and output, and what follows a state's name in that of its output."""
STATES = "ostinato.states"
"""The key of the file's metadata under which the states are described, as JSON."""


def stream_file(stream: Stream) -> Any:
    """onnx.ModelProto of a stream's network with its weights."""
    network = stream.network
    if network.dtype not in (torch.float32, torch.float64):
        remedy = "Export a stream of a copy in float32, copy.deepcopy(model).float()."
        raise InputError(phrase(WHERE, "the stream's number type", "float32 or float64", network.dtype, remedy))
    values = {p.name: p.read() for p in network.parameters}
    if digest_of(values) != stream.state([]).weights:
        remedy = "Write stream.refresh() before the export."
        received = "others, as the model has changed since"
        raise InputError(phrase(WHERE, "the model's weights", "those that the stream runs with", received, remedy))
    nodes = GraphBuilder("", network.dtype)
    writer = NetworkWriter(nodes, network, values, INPUT)
    writer.write(OUTPUT)
    for name, after in writer.states.items():
        nodes.make("Identity", after, out=f"{name}{NEXT}")
    tokens = network.input.tokens is not None
    x = nodes.value(INPUT, ("T", "B") if tokens else ("T", "B", network.input.width), torch.int64 if tokens else None)
    y = nodes.value(OUTPUT, ("T", "B", network.nodes[network.output].width))
    graph = nodes.helper.make_graph(
        nodes.nodes,
        "stream",
        [x, *(nodes.value(f.name, ("B", f.width)) for f in network.states)],
        [y, *(nodes.value(f"{f.name}{NEXT}", ("B", f.width)) for f in network.states)],
        nodes.initializers(),
        doc_string=f"The output NAME{NEXT} of one call is the input NAME of the next. T steps, B rows.",
    )
    proto = nodes.helper.make_model(
        graph,
        opset_imports=[nodes.helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="ostinato",
        producer_version=__version__,
    )
    described = [_described(field, network, values) for field in network.states]
    nodes.helper.set_model_props(proto, {STATES: json.dumps(described, allow_nan=False)})
    return proto


def recurrent_operators(network: Network) -> dict[str, str]:
    """The place of each recurrent node → the cell, and the operator that it is written as."""
    found = {}
    for node in network.nodes:
        if isinstance(node, Recurrent):
            known = kind_of(node.cell, network.dtype)
            found[node.place] = f"{node.cell.name}: 1 {KINDS[known][0] if known else 'Scan'}"
    return found


def _described(field: StateField, network: Network, values: dict[str, Tensor]) -> dict[str, Any]:
    """What a program needs to begin: names, sizes and the initial value, one number where all are equal."""
    dtype = str(network.dtype).removeprefix("torch.")
    initial: Any = _as_json(field.fill)
    if field.initial is not None:
        initial = [_as_json(v) for v in values[field.initial.name].tolist()]
    name = field.name
    return {"input": name, "output": f"{name}{NEXT}", "width": field.width, "type": dtype, "initial": initial}


def _as_json(value: float) -> float | str:
    """JSON has no number for an infinite one or NaN; Python's float and JavaScript's Number read these words."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
