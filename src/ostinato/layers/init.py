"""First values beyond torch's: those of U and of the gates' biases, and the initial state where it is learned.

Letters: T steps, B rows of the batch, G gates, H hidden units, P the projection's width, L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import PackedSequence

from .. import _torch_private
from ..caching import bounded_cache, graph_bytes
from ..cells import Cell
from ..errors import InputError, OstinatoError, phrase
from .arguments import State, state_shapes
from .options import Options
from .parameters import suffixes
from .structure import LayerStructure


def check_options(layer: LayerStructure, where: str) -> OstinatoError | None:
    """The error for options that the layer's cell does not support; None where it supports them."""
    cell, options = layer.cell, layer.options
    if options.init in ("orthogonal", "identity"):
        if "U" not in cell.letters:
            expected = f"'torch' or 'chrono(T)' for the cell {cell.name}, which has no U"
            remedy = "There is no recurrent weight to start."
            return InputError(phrase(where, "init", expected, repr(options.init), remedy))
        columns = cell.width(cell.operand_width, layer.input_size, layer.hidden_size, layer.proj_size)
        if options.init == "identity" and columns != layer.hidden_size:
            expected = f"another than 'identity' where a block of U is [{layer.hidden_size}, {columns}]"
            remedy = "A projection makes U read fewer numbers than there are units; 'orthogonal' takes any shape."
            return InputError(phrase(where, "init", expected, repr(options.init), remedy))
    if options.chrono_steps is None and options.forget_bias is None:
        return None
    asked = f"init={options.init!r}" if options.chrono_steps else f"forget_bias={options.forget_bias}"
    if not cell.roles:
        remedy = 'Write @ostinato.cell(forget="f", input="i") above its equations, with the names of its gates.'
        return InputError(phrase(where, "cell", f"one that declares its forget gate, for {asked}", cell.name, remedy))
    for gate in _biased(cell, options):
        if not _biases(cell, gate):
            expected, received = f"one whose gate {gate} has a bias, for {asked}", f"{cell.name} without b.{gate}"
            remedy = f"Leave bias=True, or add b.{gate} to the equations."
            return InputError(phrase(where, "cell", expected, received, remedy))
    expected = f"one whose declared gate decides what the state keeps, for {asked}"
    declared = ", ".join(f"{role}={gate!r}" for role, gate in cell.roles.items())
    if "forget" in cell.roles and _direction(cell, cell.roles["forget"]) <= 0:
        remedy = "A forget gate keeps more of the state as it rises; one that keeps less is declared with input=."
        return InputError(phrase(where, "cell", expected, f"{cell.name} with {declared}", remedy))
    if "forget" not in cell.roles and _direction(cell, cell.roles["input"]) >= 0:
        remedy = "Its input gate takes nothing away from the state, so no bias could keep more of it."
        return InputError(phrase(where, "cell", expected, f"{cell.name} with {declared}", remedy))
    return None


def initialize(layer: LayerStructure) -> None:
    """Sets the first values that the options ask for, on parameters that were drawn as torch draws them."""
    cell, options = layer.cell, layer.options
    if options == Options():
        return
    with torch.no_grad():
        for names in layer._weight_names():
            parameters = dict(zip([letter for letter in cell.letters if letter != "p"], names))
            if options.init in ("orthogonal", "identity"):
                for _, block in _blocks(layer, parameters["U"], cell.gates["U"]):
                    block.copy_(_orthogonal(block) if options.init == "orthogonal" else _identity(block))
            if options.init == "identity":
                for letter in sorted({"b", "d"} & set(parameters)):
                    for _, block in _blocks(layer, parameters[letter], cell.gates[letter]):
                        block.zero_()
            if options.chrono_steps is not None or options.forget_bias is not None:
                first = _forget_bias(layer, parameters)
                for gate, sign in _biased(cell, options).items():
                    for letter, value in zip(_biases(cell, gate), (sign * first, torch.zeros_like(first))):
                        for name, block in _blocks(layer, parameters[letter], cell.gates[letter]):
                            if name == gate:
                                block.copy_(value)
        vectors = {f"p_{key.removeprefix('p.')}": value for key, value in cell.init.items()}
        for name in (name for names in layer._weight_names() for name in names):
            first_value = vectors.get(name.rpartition("_l")[0])
            if first_value is not None:
                for _, block in _blocks(layer, name, [name]):
                    block.fill_(first_value)
        for name in (name for names in learned_names(layer) for name in names):
            for _, block in _blocks(layer, name, [name]):
                block.zero_()


def learned_names(layer: LayerStructure) -> list[list[str]]:
    """For each state the parameters it starts from, one for each layer and direction; [] where they are not learned."""
    if not layer.options.learn_initial_state:
        return []
    ends = suffixes(layer.num_layers, layer.bidirectional)
    return [[f"initial_{state}{end}" for end in ends] for state in layer.cell.states]


def add_parameters(layer: LayerStructure, device: Any, dtype: torch.dtype | None) -> None:
    """Adds the parameters of the layer's options: initial_NAME_lk, [H], or [P] for a projection's state."""
    for symbol, names in zip(layer.cell.state_widths, learned_names(layer)):
        width = layer.cell.width(symbol, layer.input_size, layer.hidden_size, layer.proj_size)
        for name in names:
            layer.register_parameter(name, nn.Parameter(torch.empty(width, device=device, dtype=dtype)))


def initial_state(layer: LayerStructure, x: Tensor | PackedSequence, rows: int | None = None) -> list[Tensor]:
    """The initial state of the rows of x without a given one, zeros or the learned state: [D·L, B, H] for each state;
    [D·L, rows, H] where `rows` is given. It is the same for every row."""
    data = x.data if isinstance(x, PackedSequence) else x
    shapes = [s if rows is None else (s[0], rows, s[-1]) for s in state_shapes(layer, x)]
    if not layer.options.learn_initial_state:
        return [data.new_zeros(shape) for shape in shapes]
    states = []
    for names, shape in zip(learned_names(layer), shapes):
        learned = torch.stack([getattr(layer, name) for name in names]).to(data.dtype)
        states.append(learned.unsqueeze(1).expand(shape).contiguous() if len(shape) == 3 else learned)
    return states


def learned(layer: LayerStructure, x: Tensor | PackedSequence) -> State:
    """The learned state as a caller would give it."""
    states = initial_state(layer, x)
    return states[0] if len(states) == 1 else tuple(states)


def _biased(cell: Cell, options: Options) -> dict[str, int]:
    """The gates whose biases the options set → 1 where a higher bias keeps more of the state, -1 where less.

    The declared forget gate, and the input gate beside it for chrono; in a cell that declares an input gate alone, as
    z of h = (1 - z) * h + z * n, this one, the other way round.
    """
    if "forget" not in cell.roles:
        return {cell.roles["input"]: -1}
    pair = {cell.roles["forget"]: 1}
    if options.chrono_steps is not None and "input" in cell.roles:
        pair[cell.roles["input"]] = -1
    return pair


def _forget_bias(layer: LayerStructure, parameters: dict[str, str]) -> Tensor:
    """The bias of a forget gate, b and d together, [H]: one value for all units, or for chrono one for each."""
    steps, bias = layer.options.chrono_steps, layer.options.forget_bias
    like = getattr(layer, parameters["b" if "b" in parameters else "d"])
    values = torch.empty(layer.hidden_size, device=like.device, dtype=torch.promote_types(like.dtype, torch.float32))
    return values.fill_(cast(float, bias)) if steps is None else values.uniform_(1, steps - 1).log_()


def _biases(cell: Cell, gate: str) -> list[str]:
    """The letters, b before d, that hold a bias of the gate."""
    return [letter for letter in "bd" if gate in cell.gates.get(letter, ())]


@bounded_cache(4 << 20, size_of=lambda found, cell, gate: graph_bytes(cell))
def _direction(cell: Cell, gate: str) -> int:
    """1 where the states keep more of their old values as the gate's bias rises, -1 where less, 0 where it is the same.

    What is kept is ∂new/∂old with all products cut, taken for 64 units in different states and added up.
    """
    with _torch_private.untransformed(), torch.enable_grad():
        units, made = 64, torch.Generator("cpu").manual_seed(0)
        own: dict[str, Any] = {"device": "cpu", "dtype": torch.float64}
        old = [torch.rand(1, units, generator=made, **own) + 0.5 for _ in cell.states]
        shares = [torch.randn(1, units, generator=made, **own) for _ in cell.states]
        weights = [torch.zeros(shape, **own) for shape in cell.parameters(1, units).values()]
        parts = cell.split(weights)
        for name, vector in parts.get("p", {}).items():
            vector.fill_(cell.init.get(f"p.{name}", 0.1))
        kept = []
        for value in (-0.5, 0.5):
            parts[_biases(cell, gate)[0]][gate].fill_(value)
            leaves = [s.clone().requires_grad_() for s in old]
            _, new = cell.step(weights, torch.zeros(1, 1, **own), leaves)
            total = 0.0
            for leaf, s, share in zip(leaves, new, shares):
                if s.requires_grad:
                    (d,) = torch.autograd.grad((s * share).sum(), leaf, retain_graph=True, materialize_grads=True)
                    total += (d * share).sum().item()
            kept.append(total)
    change = kept[1] - kept[0]
    return 0 if abs(change) < 1e-9 else 1 if change > 0 else -1


def _orthogonal(block: Tensor) -> Tensor:
    """A random matrix of the block's shape with orthonormal columns, or rows; half types are drawn in float32."""
    wide = torch.promote_types(block.dtype, torch.float32)
    return nn.init.orthogonal_(torch.empty(block.shape, device=block.device, dtype=wide))


def _identity(block: Tensor) -> Tensor:
    return torch.eye(len(block), device=block.device, dtype=block.dtype)


def _blocks(layer: LayerStructure, name: str, gates: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """(gate, its block of the parameter) one after the other; what is written to them is kept at the end of the loop.

    A parametrized weight is set through its parametrization, which refuses where it cannot be.
    """
    value = getattr(layer, name).detach().clone()
    yield from zip(gates, value.chunk(len(gates)))
    if parametrize.is_parametrized(layer, name):
        setattr(layer, name, value)
    else:
        getattr(layer, name).copy_(value)
