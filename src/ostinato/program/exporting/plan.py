"""How a model is written: its files, and the program's own answer that they are compared with.

Letters: T steps, B rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .parts import Part, Tensors

Arrays = dict[str, np.ndarray]
Run = Callable[[str, Mapping[str, Any]], Arrays]
"""(name of a file, its inputs by name) → its outputs by name, in another runtime."""
Pairs = list[tuple[np.ndarray, np.ndarray]]
"""What another runtime gives beside what the program gives, of equal shapes."""


@dataclass(frozen=True)
class Plan:
    """The files of a model."""

    parts: Sequence[Part]
    runs: str
    """How it is run, a sentence: step by step or on whole sequences, and why."""
    compare: Callable[[Run, torch.Generator], Pairs]
    """Runs the files on one made batch, and the program's network on the same."""
    most: Mapping[str, int]
    """The largest made size of each letter; the rows of a batch are `most["B"]`."""


def one_file(part: Part, runs: str, own: Callable[[Tensors], Sequence[Tensor]], sizes: Mapping[str, int]) -> Plan:
    """The plan of a network in one file.

    own    the inputs by name → the outputs in the order of the file's, by the program's network on whole sequences
    sizes  the largest made size of each letter
    """

    def compare(run: Run, generator: torch.Generator) -> Pairs:
        drawn = {letter: int(torch.randint(1, n + 1, (), generator=generator)) for letter, n in sizes.items()}
        drawn |= {"B": sizes["B"]}
        given = {value.name: value.made(drawn, generator) for value in part.inputs}
        found = in_pieces(part, run, given, drawn.get("T", 1)) if part.states else run(part.file, given)
        return [(found[v.name], t.numpy()) for v, t in zip(part.outputs, own(given), strict=True)]

    return Plan([part], runs, compare, sizes)


def in_pieces(part: Part, run: Run, given: Tensors, steps: int) -> Arrays:
    """The outputs of a file that is called three times, a third of the steps each, with its states carried along.

    Outputs of steps are put together; of the others those of the last call count.
    """
    rows = next(t.shape[v.shape.index("B")] for v, t in zip(part.inputs, given.values()) if "B" in v.shape)
    state: dict[str, Any] = {s.name: np.broadcast_to(s.initial, (rows, s.width)) for s in part.states}
    state = {name: np.array(value, np.float32) for name, value in state.items()}
    bounds = sorted({0, steps // 3, 2 * steps // 3, steps})
    found: list[Arrays] = []
    for begin, end in zip(bounds, bounds[1:]):
        piece = {v.name: _piece(t, v.shape, begin, end) for v, t in zip(part.inputs, given.values(), strict=True)}
        if "lengths" in piece:
            piece["lengths"] = (given["lengths"] - begin).clamp(0, end - begin)
        found.append(run(part.file, {**piece, **state}))
        state = {s.name: found[-1][s.value(after=True).name] for s in part.states}
    joined = {v.name: np.concatenate([piece[v.name] for piece in found]) for v in part.outputs if v.shape[0] == "T"}
    return {**found[-1], **joined}


def _piece(t: Tensor, shape: Sequence[int | str], begin: int, end: int) -> Tensor:
    return t[begin:end] if shape[0] == "T" else t
