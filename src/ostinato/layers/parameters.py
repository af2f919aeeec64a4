"""Parameters of a layer: their names, their first values, and the order of gates that travels with a state_dict.

Names are torch.nn's: weight_ih_l0, weight_hh_l0, weight_hr_l0, bias_ih_l0, bias_hh_l0, and p_NAME_l0 for each vector of
a cell; the layer's number at the end, then `_reverse` for the second direction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..cells import Cell, as_cell
from ..cells.cell import PARAMETER
from ..errors import phrase
from .structure import LayerStructure

STACKED = {parameter: letter for letter, parameter in PARAMETER.items()}
"""Parameter name without its layer → letter; these hold one block of rows for each gate."""
RECORD = "gate_order._extra_state"
"""The entry of a state_dict, after a layer's prefix, that holds `gate_order`."""
_KEY = re.compile(rf"(parametrizations\.)?({'|'.join(STACKED)})_l\d+(?:_reverse)?(.*)")
"""A state_dict's key after the layer's prefix: parametrized or not, the parameter, and what a hook made of it."""
_REGISTERED = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
"""torch.nn's order of registration; optimisers count parameters in it, and random draws follow it."""


def suffixes(layers: int, bidirectional: bool) -> list[str]:
    """`_l0`, `_l0_reverse`, `_l1`, …: one for each layer and direction, in the order of a state's rows."""
    return [f"_l{layer}{end}" for layer in range(layers) for end in ("", "_reverse")[: 1 + bidirectional]]


def in_torch_order(names: list[str]) -> list[str]:
    """The names of one layer and direction as torch.nn registers them; vectors p last."""
    return [n for n in _REGISTERED if n in names] + [n for n in names if n not in _REGISTERED]


def gate_record(cell: Cell) -> dict[str, list[str]]:
    """letter → the names stacked in its parameter, in order. Plain values: torch.load with weights_only reads them."""
    return {letter: list(names) for letter, names in cell.gates.items() if letter in PARAMETER}


def gate_order(cell: Cell | str | Callable | LayerStructure) -> Tensor:
    """The names of a cell's gates, in the order in which its weights stack them, as an entry of a state_dict.

    cell   a cell, a name of the catalogue, a function that @ostinato.cell would take, or a layer

    Returns uint8 [N], JSON in ASCII: a tensor, so that every format of files keeps it. A layer of a cell that torch.nn
    does not have writes it into its state_dict as "gate_order._extra_state". Weights that come without it, from
    torch.nn or another library, load into such a layer once the entry says how they are stacked:

        state = torch_lstm.state_dict()
        state["gate_order._extra_state"] = ostinato.gate_order("lstm")
        ostinato.Recurrent(my_lstm, 64, 256).load_state_dict(state)

    Raises InputError for what is no cell.
    """
    own = getattr(cell, "cell", None)
    return _written(gate_record(own if isinstance(own, Cell) else as_cell(cell, "gate_order")))


class GateOrder(nn.Module):
    """The part of a layer that writes `gate_order` into its state_dict. It has no parameters, buffers or forward."""

    def __init__(self, cell: Cell):
        super().__init__()
        self.cell = cell

    def get_extra_state(self) -> Tensor:
        return gate_order(self.cell)

    def extra_repr(self) -> str:
        return " ".join(self.cell.trace.order)

    def _load_from_state_dict(self, *_: Any) -> None:
        """Nothing: the layer reads the entry, before its own weights."""


class Incoming(NamedTuple):
    """What a layer makes of a state_dict before it loads it."""

    state: Mapping[str, Any]
    """The state_dict with this layer's gates in the order of its cell, and without `RECORD`."""
    moved: dict[str, list[int]] | None
    """Parameter's name → where each of its blocks of rows was, for those that were permuted; None: none arrived."""
    record: dict[str, list[str]]
    """letter → names: what the entry says of the weights as this layer has them."""
    problem: str | None = None
    """Why the weights cannot be loaded."""


def incoming(
    layer: LayerStructure, state_dict: Mapping[str, Any], prefix: str, metadata: object, where: str
) -> Incoming:
    """The state_dict as `layer` can load it.

    The order of the saved gates is that of the entry `RECORD`; without the entry, that of torch's `_metadata`, which
    `metadata` is; without both, it is unknown, and taken for the cell's own only where `layer.knows_order`.
    """
    own, entry = gate_record(layer.cell), state_dict.get(prefix + RECORD)
    state = {key: value for key, value in state_dict.items() if key != prefix + RECORD}
    keys = [(key, found) for key in state if key.startswith(prefix) and (found := _KEY.fullmatch(key[len(prefix) :]))]
    stacked = [(key, STACKED[found[2]], found) for key, found in keys if len(own.get(STACKED[found[2]], ())) > 1]
    recorded = metadata if isinstance(metadata, dict) else None
    if isinstance(entry, Tensor):
        recorded = _read(entry)
        if recorded is None:
            expected = f"a state_dict whose entry {prefix + RECORD} is an order of gates"
            received = f"{entry.dtype} {list(entry.shape)} that is none"
            remedy = f"ostinato.gate_order(cell) makes it; the saved one was changed on its way{_set(layer, prefix)}."
            return Incoming(state, {}, own, phrase(where, "state_dict", expected, received, remedy))
    if not stacked:
        return Incoming(state, None, own)
    if recorded is None and layer.knows_order:
        return Incoming(state, {}, own)
    if recorded is None:
        expected = f"weights that come with the order of their gates, in the entry {prefix + RECORD}"
        remedy = (
            "Save with `layer.state_dict()`, and keep that entry. If the gates are in this cell's order "
            f"({' '.join(layer.cell.trace.order)}){_set(layer, prefix)}; from the cell of torch.nn, "
            'ostinato.gate_order("lstm") or its like.'
        )
        return Incoming(state, {}, own, phrase(where, "state_dict", expected, "none", remedy))
    moved: dict[str, list[int]] = {}
    for key, letter, found in stacked:
        names, saved = own[letter], recorded.get(letter, [])
        if sorted(saved) != sorted(names):
            expected = f"weights of the gates {' '.join(names)} for {letter}, as in the cell {layer.cell.name}"
            remedy = (
                "Load into a layer whose equations name the same gates. If the gates are the same ones under other "
                f"names and in the same order{_set(layer, prefix)}."
            )
            received = " ".join(map(str, saved)) or "no names"
            return Incoming(state, {}, own, phrase(where, "state_dict", expected, received, remedy))
        if saved == names:
            continue
        rows = None if found[1] else _rows(state[key], letter, found[3])
        if rows is None:
            expected = f"weights with the gates in this cell's order ({' '.join(layer.cell.trace.order)})"
            remedy = "A parametrized weight cannot be permuted; remove the parametrization before saving."
            problem = phrase(where, "state_dict", expected, f"{key} in another order", remedy)
            return Incoming(state, {}, own, problem)
        if rows:
            order = moved[key[len(prefix) :]] = [saved.index(name) for name in names]
            state[key] = permuted(state[key], order)
    return Incoming(state, moved, {**recorded, **{k: v for k, v in own.items() if k in recorded}})


def _rows(value: Any, letter: str, made: str) -> bool | None:
    """Whether the rows of an entry are the weight's; None where the entry does not say.

    made   what torch.nn.utils' weight_norm ("_g", "_v"), spectral_norm ("_orig", "_u", "_v") or prune ("_orig",
           "_mask") appended to the parameter's name
    """
    if isinstance(value, Tensor) and value.dim() == 0:
        return False
    whole = isinstance(value, Tensor) and value.dim() == (2 if letter in "WUV" else 1)
    if not made or (made in ("_g", "_v", "_orig", "_mask") and whole):
        return True
    return {"_u": True, "_v": False}.get(made)


def permuted(weight: Tensor, order: list[int]) -> Tensor:
    """Blocks of rows in another order. A weight of a wrong size is left for torch's own message about sizes."""
    if weight.dim() == 0 or weight.shape[0] % len(order):
        return weight
    blocks = weight.chunk(len(order))
    return torch.cat([blocks[k] for k in order])


def keep_true(state_dict: Mapping[str, Any], prefix: str, taken: Incoming, layer: nn.Module) -> None:
    """Corrects the entry of a state_dict whose tensors are the layer's own: loading has permuted them in place.

    So it is where torch.distributed.checkpoint has read into `layer.state_dict()`: loaded or saved once more, that
    state_dict would be taken for one in the old order.
    """
    entry, own = state_dict.get(prefix + RECORD), {_address(p) for p in layer.parameters(recurse=False)} - {0}
    if isinstance(entry, Tensor) and any(_address(state_dict[prefix + name]) in own for name in taken.moved or ()):
        entry.copy_(_written(taken.record))


def _address(t: Any) -> int:
    """Where a tensor's numbers are in memory, of a distributed one those of this process."""
    return (t.to_local() if hasattr(t, "to_local") else t).data_ptr()


def _set(layer: LayerStructure, prefix: str) -> str:
    """How to say that weights are in the layer's order already."""
    if layer.knows_order:
        return f", load a dict(state_dict) without the entry {prefix + RECORD}"
    return f', set state_dict["{prefix + RECORD}"] = ostinato.gate_order(layer)'


def _written(record: Mapping[str, list[str]]) -> Tensor:
    text = json.dumps(record, separators=(",", ":"))
    return torch.tensor(list(text.encode("ascii")), dtype=torch.uint8, device="cpu")


def _read(entry: Tensor) -> dict[str, list[str]] | None:
    """The record of an entry, also where an average of state_dicts made floating-point numbers of its characters."""
    numbers = entry.detach().reshape(-1).double().round().tolist()
    if not all(0 <= n < 128 for n in numbers):
        return None
    try:
        found = json.loads(bytes(map(int, numbers)))
    except ValueError:
        return None
    holds = isinstance(found, dict) and all(
        isinstance(names, list) and all(isinstance(n, str) for n in names) for names in found.values()
    )
    return found if holds else None
