"""One layer and direction of one call, and how its values are read: any node of the cell's graph, at any of its lines.

Letters: S packed steps of a piece, N runs, R lines of a piece (one for each step of each run), M chosen ones, H units.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..cells import Cell
from ..cells.reference import drawn
from ..cells.value import Value
from ..layers import engine
from ..layers.watching import Piece
from .evaluate import evaluate, needed
from .layout import Layout
from .nodes import named


class Sight:
    """What an onlooker sees of a piece."""

    def __init__(self, cell: Cell, layout: Layout, reverse: bool):
        # Values are known by the numbers of their nodes in the canonical text, from which kernels are made.
        self.cell = Cell.from_text(cell.text)
        self.layout, self.reverse = layout, reverse
        self.looking = True

    def steps(self, piece: Piece) -> int:
        """S."""
        return len(piece.x) if piece.sizes is None else len(piece.sizes)

    def span(self, piece: Piece) -> tuple[int, int]:
        """The first line of the piece among those of the call, and the first after it."""
        return self.layout.first[piece.first], self.layout.first[piece.first + self.steps(piece)]

    def values(self, piece: Piece, nodes: Sequence[Value], at: Tensor | None = None) -> list[Tensor]:
        """[R, H] of each node, or [M, H] at the lines `at` of the piece, out of what forward kept as far as it goes."""
        there = _views(self.cell, piece) | self._drawn(piece)
        asked = needed(nodes, there)
        known = {v.id: picked(there[v.id], at) for v in asked if v.id in there}
        rest = [v for v in asked if v.id not in there]
        read = {v.attr for v in rest if v.op == "state"}
        # Of what is not read only the size counts.
        count = piece.histories[0].shape[:-1].numel() if at is None else len(at)
        nothing = piece.x.new_empty(count, 0)
        x = picked(lines(piece.x), at) if any(v.op == "x" for v in rest) else nothing
        before = [self.before(piece, k, at) if s in read else nothing for k, s in enumerate(self.cell.states)]
        found = evaluate(self.cell, piece.weights, x, before, nodes, known)
        width = piece.histories[0].shape[-1]
        return [v if v.shape[-1] > 1 else v.expand(len(v), width) for v in found]

    def before(self, piece: Piece, k: int, at: Tensor | None = None) -> Tensor:
        """State k before each step of the piece, [R, H], or before the lines `at`, [M, H]."""
        after, start = piece.histories[k], piece.states[k]
        if self.layout.dense and at is None:
            return lines(torch.cat([after[1:], start[None]] if self.reverse else [start[None], after[:-1]]))
        steps = slice(piece.first, piece.first + self.steps(piece))
        table, (base, _) = self.layout.lines[steps], self.span(piece)
        runs = torch.arange(table.shape[1], device="cpu").expand_as(table)
        earlier = torch.full_like(table, -1)
        if self.reverse:
            earlier[:-1] = table[1:]
        else:
            earlier[1:] = table[:-1]
        # The start of run n is line n, the line l of this piece is line N + l.
        known = torch.where(earlier >= 0, earlier - base + len(start), runs)[table >= 0]
        return torch.cat([start, lines(after)])[picked(known, at).to(after.device)]

    def _drawn(self, piece: Piece) -> dict[int, Tensor]:
        """The random numbers of the piece, [R, H or P] of each node that is one."""
        nodes = [v for v in named(self.cell).trace.graph.nodes if v.op == "random"]
        if not nodes:
            return {}
        rows = [piece.x.shape[1]] * len(piece.x) if piece.sizes is None else piece.sizes.tolist()
        steps = [drawn(piece.cell, piece.weights, piece.states, piece.noise, t, r) for t, r in enumerate(rows)]
        numbers = dict(zip(piece.cell.random, (torch.cat(parts) for parts in zip(*steps, strict=True))))
        return {v.id: numbers[v.attr] for v in nodes}


def _views(cell: Cell, piece: Piece) -> dict[int, Tensor]:
    """node.id → [R, H or P], what forward left in memory: views."""
    found = engine.kept_values(piece.cell, piece.x, piece.states, piece.weights, piece.kept)
    new = zip(named(cell).trace.new, piece.histories)
    found |= {v.id: s for v, s in new if v.op not in ("state", "const", "x", "vec")}
    return {i: lines(v) for i, v in found.items()}


def lines(t: Tensor) -> Tensor:
    """[T, B, H] → [T·B, H]; packed rows stay as they are."""
    return t.flatten(0, 1) if t.dim() == 3 else t


def picked(t: Tensor, at: Tensor | None) -> Tensor:
    """The lines `at` of t, or all of them."""
    return t if at is None else t.index_select(0, at.to(t.device))
