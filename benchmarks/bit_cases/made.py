"""What cases are made of: layers and sequences drawn from a seed, and all that a call gives, gradients included.

Letters: T steps, B rows, C input features, H hidden units, L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import ostinato

TORCH_NAMED = ("RNN tanh", "RNN relu", "GRU", "LSTM", "LSTM proj")


class Size(NamedTuple):
    """T, B, C, H, and P where the cell has a projection."""

    steps: int
    rows: int
    features: int
    hidden: int
    projected: int


SMALL = Size(7, 5, 11, 19, 6)
"""Odd throughout: every tile and vector has a tail."""
LARGE = Size(40, 32, 48, 64, 24)
"""Whole tiles, several blocks of rows, and enough work for two threads."""


@dataclass(frozen=True)
class Call:
    """How a layer is built and called, beyond its kind and options.

    build    arguments of the constructor, such as num_layers
    grad     whether gradients are computed; without it the call runs in inference mode
    start    whether initial states are given
    """

    build: Mapping[str, Any] = field(default_factory=dict)
    size: Size = SMALL
    dtype: torch.dtype = torch.float32
    training: bool = True
    grad: bool = True
    start: bool = True
    lengths: bool = False
    resets: bool = False
    packed: bool = False
    one: bool = False
    return_states: bool = False
    threads: int = 1


def drawn(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers [*shape] from a generator of their own."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def layer_of(kind: Any, size: Size = SMALL, *, noise: float = 0.1, **options: Any) -> Any:
    """A layer of torch's name, of the catalogue's, or of a cell. `noise` is added to each weight, also to those that
    start at a constant, so that no two units are equal."""
    torch.manual_seed(3)
    more: dict[str, Any]
    if kind in TORCH_NAMED:
        family, _, variant = kind.partition(" ")
        more = {"nonlinearity": variant} if family == "RNN" else {"proj_size": size.projected} if variant else {}
        layer = getattr(ostinato, family)(size.features, size.hidden, **more, **options)
    else:
        cell = ostinato.cells.catalogue()[kind] if isinstance(kind, str) else kind
        more = {"proj_size": size.projected} if cell.projected else {}
        layer = ostinato.Recurrent(cell, size.features, size.hidden, **more, **options)
    with torch.no_grad():
        for k, parameter in enumerate(layer.parameters()):
            parameter += noise * drawn(*parameter.shape, seed=50 + k, dtype=parameter.dtype)
    return layer


def lengths_of(size: Size, least: int = 0) -> Tensor:
    """Steps of each row, from `least` to T, in no order: int64 [B]."""
    return torch.tensor([max(least, k * 7 % (size.steps + 1)) for k in range(1, size.rows + 1)])


def resets_of(size: Size) -> Tensor:
    """bool [T, B], about one step in five, the first step of some rows among them."""
    return drawn(size.steps, size.rows, seed=9) > 0.8


def start_of(layer: Any, size: Size = SMALL, dtype: torch.dtype = torch.float32, rows: Sequence[int] = ()) -> Any:
    """Initial states as the layer takes them, [D·L, B, H] each; [D·L, H] with rows=()."""
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    widths = [size.projected if w == "P" and layer.proj_size else size.hidden for w in layer.cell.state_widths]
    states = tuple(0.5 * drawn(count, *rows, w, seed=20 + k, dtype=dtype) for k, w in enumerate(widths))
    return states if len(states) > 1 else states[0]


def outcome(kind: Any, call: Call, **options: Any) -> dict[str, Any]:
    """Everything that one call of a layer gives: see `called`."""
    layer = layer_of(kind, call.size, dtype=call.dtype, **call.build, **options)
    with threads(call.threads):
        return called(layer.train(call.training), call)


def called(layer: Any, call: Call) -> dict[str, Any]:
    """Output, states, and with `grad` the gradients of x, initial states and parameters, all from random upstream
    gradients in everything that the call returned."""
    size = call.size
    keywords: dict[str, Any] = {}
    x = drawn(size.steps, *([] if call.one else [size.rows]), size.features, seed=2, dtype=call.dtype)
    x = x.transpose(0, 1).contiguous() if layer.batch_first and not call.one else x
    if call.resets:
        resets = resets_of(size)[:, 0] if call.one else resets_of(size)
        keywords["resets"] = resets.t() if layer.batch_first and not call.one else resets
    if call.lengths:
        keywords["lengths"] = lengths_of(size)
    if call.return_states:
        keywords["return_states"] = True
    given: Any = x
    if call.packed:
        given = pack_padded_sequence(x, lengths_of(size, 1), layer.batch_first, enforce_sorted=False)
        x = given.data
        given = PackedSequence(x, *given[1:])
    state = start_of(layer, size, call.dtype, [] if call.one else [size.rows]) if call.start else None
    torch.manual_seed(5)
    if not call.grad:
        with torch.inference_mode():
            return named(layer(given, state, **keywords))
    starts = [] if state is None else [state] if isinstance(state, Tensor) else list(state)
    for leaf in (x, *starts):
        leaf.requires_grad_()
    found = named(layer(given, state, **keywords))
    return found | gradients(layer, found, {"x": x, **{f"start {k}": s for k, s in enumerate(starts)}})


def named(result: Any) -> dict[str, Any]:
    """What a layer returned, its tensors by name."""
    found: dict[str, Any] = {}
    for name, part in zip(("output", "final", "states"), result):
        if isinstance(part, PackedSequence):
            found |= {name: part.data, f"{name} sizes": part.batch_sizes, f"{name} order": part.sorted_indices}
        else:
            parts = (part,) if isinstance(part, Tensor) else part
            found |= {f"{name} {k}" if len(parts) > 1 else name: t for k, t in enumerate(parts)}
    return found


def gradients(module: nn.Module, results: Mapping[str, Any], leaves: Mapping[str, Tensor]) -> dict[str, Any]:
    """The gradients of all parameters and leaves, from random upstream gradients in all results that have a graph."""
    heads = [t for t in results.values() if isinstance(t, Tensor) and t.requires_grad]
    upstream = [drawn(*t.shape, seed=100 + k, dtype=t.dtype) for k, t in enumerate(heads)]
    wanted = {**leaves, **dict(module.named_parameters())}
    found = torch.autograd.grad(heads, list(wanted.values()), upstream, allow_unused=True)
    return {f"gradient {name}": g for name, g in zip(wanted, found, strict=True)}


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch's number of threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
