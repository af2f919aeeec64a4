"""Gate orders of PyTorch, ONNX, Keras, Flax and haste, by the names of this package: weights move between them by name.

Tables give, for each cell that a vocabulary can say, the cell's gates in the order in which it stacks them.
One layer, one direction; tensors in the layout of the vocabulary:

    torch   weight_ih [G·H, C], weight_hh [G·H, H or P], weight_hr [P, H], bias_ih [G·H], bias_hh [G·H]
    onnx    W [G·H, C], R [G·H, H], B [2·G·H], P [3·H]
    keras   kernel [C, G·H], recurrent_kernel [H, G·H], bias [G·H], for gru [2, G·H]
    haste   kernel [C, G·H], recurrent_kernel [H, G·H], bias [G·H], for gru also recurrent_bias [G·H]
    flax    the same as haste; `ostinato.export` splits it into Flax's own names
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ..errors import InputError, ShapeError, phrase
from .catalogue import catalogue
from .cell import PARAMETER, Cell

# A minus before a name: the vocabulary's gate is 1 - ours, so its weights are ours with the other sign. A point: a gate
# that the vocabulary stacks and does not read.
ORDERS: dict[str, dict[str, str]] = {
    "torch": {"elman": "h", "elman_relu": "h", "gru": "r z n", "lstm": "i f g o", "lstm_projected": "i f g o"},
    "onnx": {
        **dict.fromkeys(("elman", "elman_sigmoid", "elman_relu", "elman_leaky_relu", "elman_softplus"), "h"),
        "gru": "z r n",  # linear_before_reset = 1
        "gru_reset_before": "z r n",
        "lstm": "i o f g",
        "lstm_peephole": "i o f g",
        "lstm_coupled": "-f o . g",  # input_forget = 1: there f is 1 - i, here i is 1 - f
    },
    "keras": {
        **dict.fromkeys(("elman", "elman_sigmoid", "elman_relu"), "h"),
        "gru": "z r n",  # reset_after = True
        "gru_reset_before": "z r n",
        "lstm": "i f g o",
    },
    "haste": {"gru": "z r n", "lstm": "i g f o"},
    "flax": {**dict.fromkeys(("elman", "elman_sigmoid", "elman_relu"), "h"), "gru": "r z n", "lstm": "i f g o"},
}
PEEPHOLES = "i o f"
_SIGNED = {"onnx": ("W", "R"), **dict.fromkeys(("keras", "haste", "flax"), ("kernel", "recurrent_kernel"))}


def permute(stacked: Tensor, given: Sequence[str], wanted: Sequence[str], dim: int = 0) -> Tensor:
    """The same gates in another order, by name: `stacked` holds those of `given` one after the other along `dim`.

    A name of `wanted` may carry a minus, which turns the sign, or be a point, which stands for zeros.
    """
    size = stacked.shape[dim]
    if size % len(given):
        expected = f"a multiple of {len(given)}, for the gates {' '.join(given)}"
        raise ShapeError(phrase("permute", f"size {dim} of the tensor", expected, size))
    parts = dict(zip(given, stacked.chunk(len(given), dim), strict=True))
    zeros = torch.zeros_like(next(iter(parts.values())))
    by_name = {**parts, **{f"-{n}": -p for n, p in parts.items()}, ".": zeros}
    by_name.update({n.removeprefix("-"): -p for n, p in parts.items() if n.startswith("-")})
    if missing := [n for n in wanted if n not in by_name]:
        raise InputError(phrase("permute", "wanted", f"names out of {' '.join(given)}", missing[0]))
    return torch.cat([by_name[n] for n in wanted], dim)


def supported_as(vocabulary: str, cell: Cell) -> str | None:
    """The catalogue's name of a cell that the library has, compared by equations; None for all other cells."""
    if vocabulary not in ORDERS:
        raise InputError(phrase("vocabulary", "name", f"one of {', '.join(ORDERS)}", repr(vocabulary)))
    return _by_equations(vocabulary).get(cell.equations)


@lru_cache(maxsize=len(ORDERS))
def _by_equations(vocabulary: str) -> dict[str, str]:
    cells = [catalogue()[name] for name in ORDERS[vocabulary]]
    return {variant.equations: cell.name for cell in cells for variant in (cell, cell.without_bias())}


def order(vocabulary: str, cell: Cell) -> tuple[str, ...]:
    """The cell's gates in the order of a vocabulary."""
    name = supported_as(vocabulary, cell)
    if name is None:
        known = ", ".join(ORDERS[vocabulary])
        remedy = "Cells are known by their equations, whatever they are called."
        raise InputError(phrase(f"vocabulary {vocabulary}", "cell", f"one of {known}", cell.name, remedy))
    return tuple(ORDERS[vocabulary][name].split())


def read(vocabulary: str, cell: Cell, tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """The cell's weights, in the order of `cell.parameters`, from a vocabulary's tensors. Absent biases read as zeros.

    A cell with one bias takes the sum of two; a cell with two takes a single one as b and zeros as d.
    """
    theirs = order(vocabulary, cell)
    if vocabulary == "torch":
        plain = {k: tensors[name] for k, name in PARAMETER.items() if name in tensors}
        zeros = plain["W"].new_zeros(len(plain["W"]))
        plain = {"b": zeros, "d": zeros, **plain}
        return [permute(plain[k], theirs if k != "V" else cell.gates[k], cell.gates[k]) for k in cell.letters]
    dim = 0 if vocabulary == "onnx" else 1
    w, u = (tensors[name] for name in _SIGNED[vocabulary])
    by_letter = {"W": permute(w, theirs, cell.gates["W"], dim), "U": permute(u, theirs, cell.gates["U"], dim)}
    if dim:
        by_letter = {k: m.t().contiguous() for k, m in by_letter.items()}
    first, second = (permute(v, theirs, cell.gates["W"]) for v in _biases(vocabulary, tensors, w.shape[dim], w))
    by_letter.update({"b": first, "d": second} if "d" in cell.letters else {"b": first + second})
    weights = [by_letter[k] for k in cell.letters if k != "p"]
    if "p" in cell.letters:
        weights += permute(tensors["P"], PEEPHOLES.split(), cell.gates["p"]).chunk(len(cell.gates["p"]))
    return weights


def write(vocabulary: str, cell: Cell, weights: Sequence[Tensor]) -> dict[str, Tensor]:
    """A vocabulary's tensors from the cell's weights; the inverse of `read`, but that biases may have been added up."""
    theirs = order(vocabulary, cell)
    plain = dict(zip((k for k in cell.letters if k != "p"), weights, strict=False))
    if vocabulary == "torch":
        return {
            PARAMETER[k]: permute(w, cell.gates[k], theirs if k != "V" else cell.gates[k]) for k, w in plain.items()
        }
    moved = {k: permute(w, cell.gates[k], theirs) for k, w in plain.items()}
    zeros = torch.zeros_like(moved["W"][:, 0])
    first, second = moved.get("b", zeros), moved.get("d", zeros)
    names = _SIGNED[vocabulary]
    if vocabulary == "onnx":
        tensors = {names[0]: moved["W"], names[1]: moved["U"], "B": torch.cat([first, second])}
        if "p" in cell.letters:
            vectors = torch.cat(list(weights[len(plain) :]))
            tensors["P"] = permute(vectors, cell.gates["p"], PEEPHOLES.split())
        return tensors
    tensors = {names[0]: moved["W"].t().contiguous(), names[1]: moved["U"].t().contiguous()}
    if supported_as(vocabulary, cell) != "gru":
        return {**tensors, "bias": first + second}
    if vocabulary == "keras":
        return {**tensors, "bias": torch.stack([first, second])}
    return {**tensors, "bias": first, "recurrent_bias": second}


def _biases(vocabulary: str, tensors: Mapping[str, Tensor], size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """The bias of the product with x and that of the product with the state."""
    zeros = like.new_zeros(size)
    bias = tensors.get("B" if vocabulary == "onnx" else "bias")
    if bias is None:
        return zeros, zeros
    if vocabulary == "onnx":
        return bias[:size], bias[size:]
    if bias.dim() == 2:
        return bias[0], bias[1]
    return bias, tensors.get("recurrent_bias", zeros)
