"""What is taken from a call while it runs: norms, means and samples, small enough to keep until the report.

Letters: S packed steps of a piece, N runs, B rows, R lines of a piece (one for each step of each run), H units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ..cells import Cell
from ..cells.derivative import Derivative, differentiate
from ..cells.reference import drawn
from ..cells.value import Value
from ..layers import engine
from ..layers.plain import Gradients, Recorded
from ..layers.watching import Piece
from .evaluate import evaluate, needed
from .layout import Layout, placed
from .nodes import Nodes, named
from .outer import norms_by_step

SAMPLE_LINES = 1024
"""How many lines at most shares, deviations and histograms are taken from: evenly spread over steps and rows."""
SAMPLE_RUNS = 8
"""How many runs at most retention by lag is taken from."""
SAMPLE_PER_STEP = 64
"""How many values of a step at most its quantiles are taken from."""


class Taken:
    """What was taken of one piece. Lines are in the order of memory."""

    def __init__(self) -> None:
        self.gates: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        """Gate → mean over units [R], a few units [R, u], sample of lines [M, H]."""
        self.carries: dict[str, tuple[Tensor, Tensor]] = {}
        """State → sample of lines [M, H], sample of runs [S, n, H]; absent where the carry is 0 by its formula."""
        self.states: list[tuple[Tensor, Tensor]] = []
        """Mean square over units [R], sample of lines [M, H]."""
        self.gradients: list[tuple[Tensor, Tensor]] = []
        """‖δ‖ [R], sample of lines [M, H]."""
        self.probe: list[Tensor] = []
        """‖δ‖ of the probe [R]."""
        self.additive: list[Tensor] = []
        """‖δ‖ of the additive path of the probe [R]."""
        self.weights: dict[str, Tensor] = {}
        """Letter → ‖G‖ of each step."""


class Looking:
    """Looks on at one layer and direction of one call, and takes what `report` wants to know."""

    def __init__(self, cell: Cell, layout: Layout, reverse: bool):
        # Values are known by the numbers of their nodes in the canonical text, from which kernels are made.
        self.cell = Cell.from_text(cell.text)
        self.layout, self.reverse = layout, reverse
        self.looking = True
        self.pieces: dict[int, Taken] = {}
        self.passes = 0
        self.absent = "no backward pass went through this call while it was watched"
        count = layout.count
        self.stride = max(1, -(-count // SAMPLE_LINES))
        rows = max(1, layout.lines.shape[1]) if layout.lines.dim() else 1
        while math.gcd(self.stride, rows) > 1:
            self.stride += 1
        self.runs = torch.arange(0, rows, -(-rows // SAMPLE_RUNS))
        self._carried: list[Tensor] = []
        self._additive: list[Tensor | None] = []

    def unseen(self, why: str) -> None:
        self.absent = why

    # forward

    def forward(self, piece: Piece) -> None:
        n, taken = _nodes(self.cell), Taken()
        carries = {s: v for s, v in n.carries.items() if not (v.op == "const" and v.attr == 0)}
        wanted = [*n.gates.values(), *carries.values()]
        values = self._values(piece, n, wanted)
        few = max(1, SAMPLE_PER_STEP // max(1, len(self.runs)))
        for name, v in zip(n.gates, values):
            units = v[:, :: -(-v.shape[1] // few)]
            taken.gates[name] = (v.mean(1), units.clone(), self._sample(piece, v))
        for state, v in zip(carries, values[len(n.gates) :]):
            taken.carries[state] = self._sample(piece, v), self._sample_runs(piece, v)
        for s in piece.histories:
            v = _lines(s)
            taken.states.append((v.square().mean(1), self._sample(piece, v)))
        self.pieces[piece.first] = taken

    def _values(self, piece: Piece, n: Nodes, nodes: Sequence[Value]) -> list[Tensor]:
        """[R, H] of each node, out of what forward kept as far as it goes."""
        known = {i: _lines(v) for i, v in piece.values.items()}
        known |= {
            v.id: _lines(s) for v, s in zip(n.trace.new, piece.histories) if v.op not in ("state", "const", "x", "vec")
        }
        known |= self._drawn(piece, n)
        asked = needed(nodes, known)
        reads = {v.attr for v in asked if v.op == "state" and v.id not in known}
        before = [self.before(piece, k) if s in reads else piece.x for k, s in enumerate(self.cell.states)]
        found = evaluate(self.cell, piece.weights, _lines(piece.x), before, nodes, known)
        width = piece.histories[0].shape[-1]
        return [v if v.shape[-1] > 1 else v.expand(len(v), width) for v in found]

    def _drawn(self, piece: Piece, n: Nodes) -> dict[int, Tensor]:
        """The random numbers of the piece, [R, H or P] of each node that is one."""
        rows = [piece.x.shape[1]] * len(piece.x) if piece.sizes is None else piece.sizes.tolist()
        steps = [drawn(piece.cell, piece.weights, piece.states, piece.noise, t, r) for t, r in enumerate(rows)]
        numbers = dict(zip(piece.cell.random, (torch.cat(parts) for parts in zip(*steps, strict=True))))
        return {v.id: numbers[v.attr] for v in n.trace.graph.nodes if v.op == "random"}

    def before(self, piece: Piece, k: int) -> Tensor:
        """State k before each step of the piece, [R, H]."""
        after, start = piece.histories[k], piece.states[k]
        if self.layout.dense:
            parts = [after[1:], start[None]] if self.reverse else [start[None], after[:-1]]
            return _lines(torch.cat(parts))
        steps = slice(piece.first, piece.first + self._steps(piece))
        lines, base = self.layout.lines[steps], self.layout.first[piece.first]
        runs = torch.arange(lines.shape[1]).expand_as(lines)
        earlier = torch.full_like(lines, -1)
        if self.reverse:
            earlier[:-1] = lines[1:]
        else:
            earlier[1:] = lines[:-1]
        # A line of the table: the start of run n is line n, the line l of this piece is line N + l.
        at = torch.where(earlier >= 0, earlier - base + len(start), runs)[lines >= 0]
        return torch.cat([start, after])[at.to(after.device)]

    def _steps(self, piece: Piece) -> int:
        return len(piece.x) if piece.sizes is None else len(piece.sizes)

    def _sample(self, piece: Piece, v: Tensor) -> Tensor:
        return v[-self.layout.first[piece.first] % self.stride :: self.stride].clone()

    def _sample_runs(self, piece: Piece, v: Tensor) -> Tensor:
        """[R, H] → [S, n, H], 1 past a run's end."""
        lines = self.layout.lines[piece.first : piece.first + self._steps(piece), self.runs]
        local = (lines - self.layout.first[piece.first]).clamp(min=0).to(v.device)
        found = v[local]
        return found if self.layout.dense else found.where((lines >= 0)[..., None].to(v.device), 1.0)

    # backward

    def backward(
        self, piece: Piece, d_output: Tensor | None, d_finals: Gradients, d_histories: Gradients, found: Recorded
    ) -> None:
        _, adjoints, sent = found
        taken, steps = self.pieces[piece.first], self._steps(piece)
        first = piece.first == 0 if self.reverse else piece.first + steps == len(self.layout.lines)
        if first:
            self.passes += 1
            self._carried = [torch.zeros_like(s) if d is None else d.clone() for s, d in zip(piece.states, d_finals)]
            self._additive = [None] * len(piece.states)
        taken.gradients = [(_lines(a).norm(dim=1), self._sample(piece, _lines(a))) for a in adjoints]
        taken.weights = norms_by_step(self, piece, _derivative(self.cell), sent)
        self._probe(piece, d_output, d_histories, taken)

    def _probe(self, piece: Piece, d_output: Tensor | None, d_histories: Gradients, taken: Taken) -> None:
        """What arrives at the last step of each run goes back alone."""
        ending, lines = self._endings(piece)
        cell, at = self.cell, lines.to(piece.x.device)
        own = cell.output_state
        seed = None
        if d_output is not None and len(ending):
            arriving = _lines(d_output)[at]
            if own is not None:
                self._carried[own][ending] += arriving
            else:
                seed = torch.zeros_like(d_output)
                _lines(seed)[at] = arriving
        others = iter(d_histories)
        for k, d in ((k, next(others, None)) for k in range(len(cell.states)) if k != own):
            if d is not None and len(ending):
                self._carried[k][ending] += _lines(d)[at]
        (_, d_states, _), adjoints, _ = engine.backward_recorded(
            piece.cell, piece.x, piece.states, piece.weights, piece.sizes, piece.reverse, piece.output, piece.kept,
            seed, self._carried, [None] * len(d_histories), (False, True, False), noise=piece.noise,
        )  # fmt: skip
        self._carried = d_states
        taken.probe = [_lines(a).norm(dim=1) for a in adjoints]
        taken.additive = [self._additive_path(piece, k, a, at) for k, a in enumerate(adjoints)]

    def _endings(self, piece: Piece) -> tuple[Tensor, Tensor]:
        """(the runs that end in this piece, the lines within it at which they do)."""
        last, base = self.layout.last_lines(self.reverse), self.layout.first[piece.first]
        end = self.layout.first[piece.first + self._steps(piece)]
        runs = torch.nonzero((last >= base) & (last < end))[:, 0]
        return runs, last[runs] - base

    def _additive_path(self, piece: Piece, k: int, adjoint: Tensor, at: Tensor) -> Tensor:
        """δ at the last step of each run times what the state carries over by itself, step by step: norms [R]."""
        n = _nodes(self.cell)
        node = n.carries[self.cell.states[k]]
        if node.op == "const" and node.attr == 0:
            norms = torch.zeros_like(_lines(adjoint)[:, 0])
            norms[at] = _lines(adjoint)[at].norm(dim=1)
            return norms
        carry = self._values(piece, n, [node])[0]
        now = self._additive[k]
        if now is None:
            now = torch.zeros_like(piece.states[k])
        lines, first = _lines(adjoint), [*self.layout.first, self.layout.count]
        path, base = torch.empty_like(lines), first[piece.first]
        order = range(piece.first, piece.first + self._steps(piece))
        for t in order if self.reverse else reversed(order):
            a, b = first[t] - base, first[t + 1] - base
            # Runs that have taken a step after this one; the others end here.
            old = 0 if t == 0 and self.reverse else b - a if self.reverse else first[t + 2] - first[t + 1]
            path[a : a + old] = now[:old]
            path[a + old : b] = lines[a + old : b]
            torch.mul(path[a:b], carry[a:b], out=now[: b - a])
        self._additive[k] = now
        return path.norm(dim=1)

    # products

    def operand(self, piece: Piece, node: Value) -> Tensor:
        """What a product reads, [R, C]."""
        if node.op == "x":
            return _lines(piece.x)
        return self._values(piece, _nodes(self.cell), [node])[0]

    def rows_of_steps(self, piece: Piece) -> Tensor | None:
        """int64 [S, B], the lines of the piece that belong to one step of x, -1 for none; None where they lie apart."""
        layout, base = self.layout, self.layout.first[piece.first]
        steps = slice(piece.first, piece.first + self._steps(piece))
        if layout.dense or layout.by_rows:
            lines = layout.lines[steps]
            return (lines - base).where(lines >= 0, -1)
        return layout.grid if self._steps(piece) == len(layout.lines) else None

    def stacked(self, rows: Tensor, lines: Tensor) -> Tensor:
        """[R, C] or [S, B, C] → [S, B, C] by `rows`, 0 where there is none."""
        if self.layout.dense:
            return lines if lines.dim() == 3 else lines.unflatten(0, rows.shape)
        return placed(lines, rows, 0.0)


def _lines(t: Tensor) -> Tensor:
    """[T, B, H] → [T·B, H]; packed rows stay as they are."""
    return t.flatten(0, 1) if t.dim() == 3 else t


@lru_cache(maxsize=256)
def _nodes(cell: Cell) -> Nodes:
    return named(cell)


@lru_cache(maxsize=256)
def _derivative(cell: Cell) -> Derivative:
    return differentiate(cell.retrace())
