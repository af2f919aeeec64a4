"""What a model is made of: its innermost modules in the order of their calls, and which of them reads which.

Letters: T steps, B rows, C input features, H hidden units, L layers, D directions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from torch import nn

from ....layers.layer import Layer

Shape = tuple[str, ...]
"""Sizes in letters where they are T or B, in numbers elsewhere: ("T", "B", "64")."""


@dataclass(frozen=True)
class Recurrence:
    """The recurrent part of a block.

    width   D·H, what each layer gives to the next
    states  name → its shape in one layer and direction, [B, H]
    start   "0", "learned" or "given"
    """

    layers: int
    directions: int
    width: int
    states: dict[str, Shape]
    start: str


@dataclass(frozen=True)
class Block:
    """One box: an innermost module, an input of the model, or an output.

    name      its path in the model; an input's, its argument
    kind      the cell's or the class's name; "input" and "output"
    detail    sizes in words: "64 → 256"
    over_time  True where it works on every step
    calls     how often it was called
    looped    True where one call reads what another has given
    """

    name: str
    kind: str
    detail: str = ""
    recurrence: Recurrence | None = None
    over_time: bool = True
    calls: int = 1
    looped: bool = False


@dataclass(frozen=True)
class Edge:
    """`target` reads what `source` gave, both numbers of blocks.

    given   the shape that the source gave
    read    the shape that arrived; another where something lies between, such as the choice of the last step
    steps   which steps of the source the target reads: "each" where both work on every step; else "last", "first",
            "first and last", "all", or their numbers
    state   True where it is a state: what a source ends in, or a target starts from
    proved  False where no gradient shows the path and the order of calls stands for it
    """

    source: int
    target: int
    given: Shape
    read: Shape
    steps: str = "each"
    from_state: bool = False
    to_state: bool = False
    proved: bool = True


@dataclass(frozen=True)
class Flow:
    """Blocks in the order in which they work, inputs first and outputs last, and the edges between them."""

    blocks: tuple[Block, ...]
    edges: tuple[Edge, ...]
    sizes: dict[str, int] = field(default_factory=dict)

    def into(self, target: int) -> list[Edge]:
        """What a block reads."""
        return [e for e in self.edges if e.target == target]


def is_recurrent(module: nn.Module) -> bool:
    """A layer of ours, or torch.nn's RNN, GRU or LSTM."""
    return isinstance(module, Layer | nn.RNNBase)


def block_of(module: nn.Module, name: str, *, batched: bool = True, given: bool = False) -> Block:
    """The block of a module, over_time and calls still to be said."""
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


def _detail(module: nn.Module) -> str:
    """Sizes of the modules that have a way in and a way out; a short repr of the others."""
    for ends in (("in_features", "out_features"), ("num_embeddings", "embedding_dim"), ("in_channels", "out_channels")):
        if all(hasattr(module, end) for end in ends):
            return " → ".join(str(getattr(module, end)) for end in ends)
    said = module.extra_repr()
    return said if len(said) <= 24 else ""
