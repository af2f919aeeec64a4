"""Parameters of a layer: their names, their first values, and the order of gates that travels with a state_dict.

Names are torch.nn's: weight_ih_l0, weight_hh_l0, weight_hr_l0, bias_ih_l0, bias_hh_l0, and p_NAME_l0 for each vector of
a cell; the layer's number at the end, then `_reverse` for the second direction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..cells import Cell
from ..cells.cell import PARAMETER
from ..errors import phrase

STACKED = {parameter: letter for letter, parameter in PARAMETER.items()}
"""Parameter name without its layer → letter; these hold one block of rows for each gate."""
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


def in_order_of(
    cell: Cell, state_dict: Mapping[str, Any], prefix: str, recorded: object, where: str
) -> tuple[Mapping[str, Any], str | None]:
    """(state_dict with this layer's gates in the order of `cell`, why that cannot be done or None).

    `recorded` is what `gate_record` said of the layer that was saved; None, as in a state_dict of torch.nn, means that
    the gates already stand in this cell's order.
    """
    own = gate_record(cell)
    if not isinstance(recorded, dict) or recorded == own:
        return state_dict, None
    permutations = {}
    for letter, names in own.items():
        saved = recorded.get(letter, names)
        if sorted(saved) != sorted(names):
            expected = f"weights of the gates {' '.join(names)} for {letter}, as in the cell {cell.name}"
            remedy = (
                "Load into a layer whose equations name the same gates. If the gates are the same ones under other "
                "names and in the same order, load dict(state_dict), which leaves the record of the names behind."
            )
            return state_dict, phrase(where, "state_dict", expected, " ".join(map(str, saved)), remedy)
        if saved != names:
            permutations[letter] = [saved.index(name) for name in names]
    found = dict(state_dict)
    for key, value in state_dict.items():
        parameter, layer, _ = key.removeprefix(prefix).partition("_l")
        letter = STACKED.get(parameter, "") if layer and key.startswith(prefix) else ""
        if letter in permutations:
            found[key] = _permuted(value, permutations[letter])
        elif key.startswith(f"{prefix}parametrizations.") and permutations:
            expected = f"weights with the gates in this cell's order ({' '.join(cell.trace.order)})"
            remedy = "A parametrized weight cannot be permuted; remove the parametrization before saving."
            return state_dict, phrase(where, "state_dict", expected, f"{key} in another order", remedy)
    return found, None


def _permuted(weight: Tensor, order: list[int]) -> Tensor:
    """Blocks of rows in another order. A weight of a wrong size is left for torch's own message about sizes."""
    if weight.dim() == 0 or weight.shape[0] % len(order):
        return weight
    blocks = weight.chunk(len(order))
    return torch.cat([blocks[k] for k in order])
