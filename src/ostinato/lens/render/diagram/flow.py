"""The data flow of a model: its innermost modules in the order of their calls, and which of them reads which.

Letters: T steps, B rows, C input features, H hidden units, L layers, D directions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from torch import nn

from ....layers.base import Layer

Shape = tuple[str, ...]
"""Sizes in letters where they are T or B, in numbers elsewhere: ("T", "B", "64")."""


@dataclass(frozen=True)
class Recurrence:
    """The recurrent part of a block."""

    layers: int
    """L."""
    directions: int
    """D."""
    width: int
    """D·H, the width of each layer's output."""
    states: dict[str, Shape]
    """Name → its shape in one layer and direction, [B, H]."""
    start: str
    """The initial state: "0", "learned" or "given"."""


@dataclass(frozen=True)
class Block:
    """One box: an innermost module, an input of the model, or an output."""

    name: str
    """Its path in the model; of an input its argument."""
    kind: str
    """The cell's or the class's name; "input" and "output"."""
    detail: str = ""
    """Sizes in words: "64 → 256"."""
    recurrence: Recurrence | None = None
    """Its recurrent part; None where it has none."""
    over_time: bool = True
    """Whether it is computed at every step."""
    calls: int = 1
    """How often it was called."""
    looped: bool = False
    """Whether one call reads the output of another."""


@dataclass(frozen=True)
class Edge:
    """The target reads an output of the source."""

    source: int
    """Number of the block that is read."""
    target: int
    """Number of the block that reads."""
    given: Shape
    """The shape of the output."""
    read: Shape
    """The shape that the target reads; another where functions lie between, such as the choice of the last step."""
    steps: str = "each"
    """Which steps of the source the target reads: "each" where both are computed at every step; else "last", "first",
    "first and last", "all", "some" or "one of each row"."""
    from_state: bool = False
    """Whether it is the source's final state."""
    to_state: bool = False
    """Whether it is the target's initial state."""
    proved: bool = True
    """Whether a gradient shows the path; else it follows the order of the calls."""


@dataclass(frozen=True)
class Flow:
    """Blocks in the order of their calls, inputs first and outputs last, and the edges between them."""

    blocks: tuple[Block, ...]
    """The boxes."""
    edges: tuple[Edge, ...]
    """The arrows."""
    sizes: dict[str, int] = field(default_factory=dict)
    """The letters of the example: {"T": 7, "B": 2}."""

    def into(self, target: int) -> list[Edge]:
        """The edges to a block."""
        return [e for e in self.edges if e.target == target]


def is_recurrent(module: nn.Module) -> bool:
    """A layer of ours, or torch.nn's RNN, GRU or LSTM."""
    return isinstance(module, Layer | nn.RNNBase)


def block_of(module: nn.Module, name: str, *, batched: bool = True, given: bool = False) -> Block:
    """The block of a module; `over_time` and `calls` are set later."""
    if not is_recurrent(module):
        return Block(name, type(module).__name__, _detail(module))
    hidden, projected = cast(int, module.hidden_size), cast(int, getattr(module, "proj_size", 0))
    if isinstance(module, Layer):
        widths = {"H": hidden, "P": projected or hidden}
        sizes = [widths[w] for w in module.cell.state_widths]
        names, learned = module.cell.states, module.options.learn_initial_state
        kind = module.cell.name if type(module).__name__ == "Recurrent" else type(module).__name__
        out = widths[module.cell.output_width]
    else:
        names, sizes = ("h",), [projected or hidden]
        kind, learned, out = type(module).__name__, False, projected or hidden
        if isinstance(module, nn.LSTM):
            names, sizes = ("h", "c"), [out, hidden]
    rows: Shape = ("B",) if batched else ()
    states = {n: (*rows, str(s)) for n, s in zip(names, sizes, strict=True)}
    directions = 2 if module.bidirectional else 1
    start = "given" if given else "learned" if learned else "0"
    recurrence = Recurrence(cast(int, module.num_layers), directions, directions * out, states, start)
    return Block(name, kind, f"{module.input_size} → {directions * out}", recurrence)


def alone(layer: nn.Module) -> Flow:
    """The flow of a single recurrent layer, from its sizes; nothing is run."""
    block = block_of(layer, "")
    features = block.detail.split(" → ")
    order: Shape = ("B", "T") if layer.batch_first else ("T", "B")
    x, y = (*order, features[0]), (*order, features[1])
    blocks = (Block("x", "input"), block, Block("output", "output"))
    return Flow(blocks, (Edge(0, 1, x, x), Edge(1, 2, y, y)))


_SIZES = (("in_features", "out_features"), ("num_embeddings", "embedding_dim"), ("in_channels", "out_channels"))


def _detail(module: nn.Module) -> str:
    """Input and output size of the modules that name them; a short repr of the others."""
    for names in (
        ("in_features", "out_features"),
        ("num_embeddings", "embedding_dim"),
        ("in_channels", "out_channels"),
    ):
        if all(hasattr(module, name) for name in names):
            return " → ".join(str(getattr(module, name)) for name in names)
    said = module.extra_repr()
    return said if len(said) <= 24 else ""
