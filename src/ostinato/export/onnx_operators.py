"""ONNX's operators RNN, GRU and LSTM, for the cells whose equations they compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..cells import Cell
from ..cells.gate_layouts import supported_as, write
from .onnx_graph import GraphBuilder, Name

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "elman": ("RNN", {"activations": ["Tanh"]}),
    "elman_sigmoid": ("RNN", {"activations": ["Sigmoid"]}),
    "elman_relu": ("RNN", {"activations": ["Relu"]}),
    "elman_leaky_relu": ("RNN", {"activations": ["LeakyRelu"], "activation_alpha": [0.01]}),
    "elman_softplus": ("RNN", {"activations": ["Softplus"]}),
    "gru": ("GRU", {"linear_before_reset": 1}),
    "gru_reset_before": ("GRU", {"linear_before_reset": 0}),
    "lstm": ("LSTM", {}),
    "lstm_peephole": ("LSTM", {}),
    "lstm_coupled": ("LSTM", {"input_forget": 1}),
}
"""A cell of the catalogue → ONNX's operator and its attributes."""


def kind_of(cell: Cell, dtype: torch.dtype) -> str | None:
    """The catalogue's name of a cell that goes into an operator; None where it takes a Scan.

    ONNX Runtime has these operators for float32 alone, so float64 takes a Scan, which it runs.
    """
    return supported_as("onnx", cell) if dtype == torch.float32 else None


def operator(
    nodes: GraphBuilder,
    cell: Cell,
    weights: Sequence[Sequence[Tensor]],
    x: Name,
    states: Sequence[Name] | None,
    lengths: Name | None,
    hidden_size: int,
) -> tuple[Name, list[Name]]:
    """One layer, all directions, as one node → the output [T, B, D·H] and the final states [D, B, H].

    weights, a list for each direction; x [T, B, C]; states [D, B, H] each, None for zeros; lengths int64 [B].
    """
    known = kind_of(cell, nodes.dtype)
    assert known is not None
    kind, settings = KINDS[known]
    directions = len(weights)
    theirs = [write("onnx", cell, [w.detach() for w in group]) for group in weights]
    stacked = {key: torch.stack([one[key] for one in theirs]) for key in theirs[0]}
    repeated = {k: v * directions if isinstance(v, list) else v for k, v in settings.items()}
    finals = [nodes.name(f"last_{s}") for s in cell.states]
    rows = None
    if lengths is not None:
        rows = nodes.make("Cast", lengths, to=nodes.kind(torch.int32))
    starts = [None] * len(cell.states) if states is None else list(states)
    inputs = [x, *[stacked.get(key) for key in ("W", "R", "B")], rows, *starts, stacked.get("P")]
    y = nodes.make(
        kind,
        *inputs,
        out=[nodes.name("y"), *finals],
        direction="bidirectional" if directions == 2 else "forward",
        hidden_size=hidden_size,
        **repeated,
    )
    if lengths is not None and states is not None:
        # A row of length 0 keeps its initial state; ONNX does not define it, and ONNX Runtime returns 0.
        living = nodes.unsqueeze(nodes.make("Greater", lengths, torch.tensor(0, device="cpu")), 1)
        finals = [nodes.make("Where", living, end, start) for end, start in zip(finals, states, strict=True)]
    if directions == 1:
        return nodes.squeeze(y, 1), finals
    side_by_side = nodes.make("Transpose", y, perm=[0, 2, 1, 3])
    return nodes.make("Reshape", side_by_side, torch.tensor([0, 0, directions * hidden_size], device="cpu")), finals
