"""Flax's names for the parameters of its cells. linen has one product for each gate, nnx stacks them (but in LSTMCell).

Stacked tensors, as in `ostinato.cells.gate_layouts`: kernel [C, G·H], recurrent_kernel [H, G·H], bias [G·H], and for a
GRU recurrent_bias [G·H]. Read in flax 0.12: flax/linen/recurrent.py and flax/nnx/nn/recurrent.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..errors import InputError, phrase

APIS = ("linen", "nnx")
Parts = dict[str, dict[str, Tensor]]

BIASED: dict[str, str] = {"lstm": "h"}
"""Which of the two products carries the bias of all gates, "i" (with the input) for cells that are not listed."""


def write(cell: str, gates: Sequence[str], tensors: Mapping[str, Tensor], api: str) -> Parts:
    """A cell's stacked tensors under Flax's names."""
    kernels = {"i": tensors["kernel"], "h": tensors["recurrent_kernel"]}
    bias, second = tensors.get("bias"), tensors.get("recurrent_bias")
    biased = BIASED.get(cell, "i")
    recurrent_n = None
    if bias is not None and second is not None:  # a GRU: r and z have one bias, n has one on each side of r
        size = len(bias) // len(gates)
        recurrent_n = second[-size:]
        bias = bias + torch.cat([second[:-size], torch.zeros_like(recurrent_n)])
    if api == "nnx":
        if recurrent_n is not None and bool(recurrent_n.any()):
            remedy = 'nnx.GRUCell has no such bias; write api="linen", or set it to 0.'
            raise InputError(phrase("export.to_flax", "the bias d.n", "0", "other numbers", remedy))
        parts: Parts = {f"dense_{side}": {"kernel": kernel} for side, kernel in kernels.items()}
        if bias is not None:
            parts[f"dense_{biased}"]["bias"] = bias
        return parts
    parts = {}
    for side, kernel in kernels.items():
        for k, gate in enumerate(gates):
            part = parts[_name(side, gate, gates)] = {"kernel": kernel.chunk(len(gates), 1)[k]}
            if bias is not None and side == biased:
                part["bias"] = bias.chunk(len(gates))[k]
    if recurrent_n is not None:
        parts["hn"]["bias"] = recurrent_n
    return parts


def read(gates: Sequence[str], params: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The stacked tensors of a cell of either API; biases that are not there are left out."""
    if "dense_i" in params:
        sides = {side: dict(params[f"dense_{side}"]) for side in "ih"}
    else:
        sides = {side: _stacked(side, gates, params) for side in "ih"}
    stacked = {"kernel": sides["i"]["kernel"], "recurrent_kernel": sides["h"]["kernel"]}
    first, second = sides["i"].get("bias"), sides["h"].get("bias")
    if "r" in gates:
        if first is not None or second is not None:
            stacked["bias"] = stacked["kernel"].new_zeros(stacked["kernel"].shape[1]) if first is None else first
        if second is not None:
            stacked["recurrent_bias"] = second
    elif first is not None or second is not None:
        stacked["bias"] = sum((t for t in (first, second) if t is not None), start=torch.zeros((), device="cpu"))
    return stacked


def _stacked(side: str, gates: Sequence[str], params: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    parts = []
    for gate in gates:
        name = _name(side, gate, gates)
        name = name if name in params else f"{name}_"  # nnx writes if_, because if is a word of Python
        if name not in params:
            expected = f"parameters with {_name(side, gate, gates)} for the gate {gate}"
            raise InputError(phrase("export.from_flax", "params", expected, ", ".join(params)))
        parts.append(params[name])
    stacked = {"kernel": torch.cat([p["kernel"] for p in parts], 1)}
    if any("bias" in p for p in parts):
        stacked["bias"] = torch.cat([p.get("bias", torch.zeros_like(p["kernel"][0])) for p in parts])
    return stacked


def _name(side: str, gate: str, gates: Sequence[str]) -> str:
    return side if len(gates) == 1 else side + gate
