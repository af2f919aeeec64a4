"""What is taken from a call while it runs: norms and samples, small enough to keep until the report.

Letters: S packed steps of a piece, N runs, B rows, R lines of a piece (one for each step of each run), H units.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from ..caching import bounded_cache, graph_bytes, tensor_bytes
from ..cells import Cell
from ..cells.derivative import Derivative, differentiate
from ..cells.value import Value
from ..layers import engine
from ..layers.plain import Gradients, Recorded
from ..layers.watching import Piece
from .layout import Layout, placed
from .nodes import named
from .norms import norms, norms_of
from .outer import norms_by_step
from .sight import Sight, lines

SAMPLE_LINES = 256
"""How many lines at most shares, deviations and histograms are taken from: evenly spread over steps and rows."""
SAMPLE_RUNS = 4
"""How many runs at most retention by lag is taken from, and how many rows at most gates over time."""
_KEPT_STEPS = 1 << 14
"""Of calls of how many steps at most the places of a sample are kept: 1 MiB."""


class Taken:
    """What was taken of one piece. Lines are in the order of memory; a spread is a sample of them, [M, H]."""

    def __init__(self, inside: Tensor) -> None:
        self.inside = inside
        """bool [T, n]: which steps of the sampled rows lie in the piece, k in all."""
        self.gates: dict[str, tuple[Tensor, Tensor]] = {}
        """Gate → spread, sampled rows [k, H]."""
        self.carries: dict[str, tuple[Tensor, Tensor]] = {}
        """State → spread, sampled runs [S, n, H]; absent where the carry is 0 by its formula."""
        self.states: list[tuple[Tensor, Tensor]] = []
        """‖s‖ of each step [S] of a dense batch, else of each line [R]; spread."""
        self.gradients: list[tuple[Tensor, Tensor]] = []
        """‖δ‖ [R], spread."""
        self.probe: list[Tensor] = []
        """‖δ‖ of the probe [R]."""
        self.additive: list[Tensor] = []
        """‖δ‖ of the additive path of the probe [R]."""
        self.weights: dict[str, Tensor] = {}
        """Letter → ‖G‖ of each step."""


class Looking(Sight):
    """Looks on at one layer and direction of one call, and takes what `report` wants to know."""

    def __init__(self, cell: Cell, layout: Layout, reverse: bool):
        super().__init__(cell, layout, reverse)
        self.pieces: dict[int, Taken] = {}
        self.passes = 0
        self.absent = "no backward pass went through this call while it was watched"
        if not layout.count:
            self.looking, self.absent = False, "the call has no steps"
        runs = layout.lines.shape[1]
        self.stride = _stride(layout.count, runs)
        self.runs = _evenly(torch.arange(runs, device="cpu"))
        # Of rows that end early the longest is one, so that every step has some.
        self.rows = self.runs if layout.dense else _evenly((layout.grid < 0).sum(0).argsort(stable=True))
        self._carried: list[Tensor] = []
        self._additive: list[tuple[Tensor, int]] = []
        self._only_last = True

    def unseen(self, why: str) -> None:
        self.absent = why

    # forward

    def forward(self, piece: Piece) -> None:
        n, (base, end) = named(self.cell), self.span(piece)
        carries = {s: v for s, v in n.carries.items() if not (v.op == "const" and v.attr == 0)}
        runs = self.layout.lines[piece.first : piece.first + self.steps(piece), self.runs]
        if self.layout.dense:  # the sampled runs are the sampled rows, step by step
            steps, rows = self.layout.grid.shape
            sample = _dense_sample if steps <= _KEPT_STEPS else _dense_sample.__wrapped__
            inside, spread, at = sample(steps, rows, piece.first, len(runs), self.stride)
        else:
            in_rows = self.layout.grid[:, self.rows]
            inside = (in_rows >= base) & (in_rows < end)
            spread = torch.arange(-base % self.stride, end - base, self.stride, device="cpu")
            at = torch.cat([spread, (runs - base).clamp(min=0).flatten(), in_rows[inside] - base])
        taken, m, k = Taken(inside), len(spread), runs.numel()
        values = self.values(piece, [*n.gates.values(), *carries.values()], at)
        for name, v in zip(n.gates, values):
            taken.gates[name] = v[:m], v[m:] if self.layout.dense else v[m + k :]
        for state, v in zip(carries, values[len(n.gates) :]):
            along = v[m : m + k].unflatten(0, runs.shape)
            known = along if self.layout.dense else along.where((runs >= 0)[..., None].to(v.device), 1.0)
            taken.carries[state] = v[:m], known
        sizes = norms_of([s.flatten(1) if self.layout.dense else s for s in piece.histories])
        for s, size in zip(piece.histories, sizes):
            taken.states.append((size, lines(s)[spread[0] :: self.stride].clone() if m else lines(s)[:0]))
        self.pieces[piece.first] = taken

    # backward

    def backward(
        self, piece: Piece, d_output: Tensor | None, d_finals: Gradients, d_histories: Gradients, found: Recorded
    ) -> None:
        (_, d_states, _), adjoints, sent = found
        taken, steps = self.pieces[piece.first], self.steps(piece)
        first = piece.first == 0 if self.reverse else piece.first + steps == len(self.layout.lines)
        if first:
            self.passes += 1
            self._carried = [torch.zeros_like(s) if d is None else d for s, d in zip(piece.states, d_finals)]
            self._additive = [(torch.empty_like(s), 0) for s in piece.states]
            self._only_last = True
        offset = -self.span(piece)[0] % self.stride
        taken.weights = norms_by_step(self, piece, _derivative(self.cell), sent)
        ending, at = self._endings(piece)
        self._only_last = self._only_last and not any(_reaches_others(d, at) for d in (d_output, *d_histories))
        if self._only_last:  # what the loss sends is the probe
            self._carried, probe = d_states, adjoints
            taken.probe = sizes = norms_of([lines(a) for a in adjoints])
        else:
            probe = self._probe(piece, d_output, d_histories, ending, at)
            sizes = norms_of([lines(a) for a in (*adjoints, *probe)])
            taken.probe = sizes[len(adjoints) :]
        taken.gradients = [(n, lines(a)[offset :: self.stride].clone()) for n, a in zip(sizes, adjoints)]
        taken.additive = [self._additive_path(piece, k, a, at) for k, a in enumerate(probe)]

    def _probe(
        self, piece: Piece, d_output: Tensor | None, d_histories: Gradients, ending: Tensor, at: Tensor
    ) -> list[Tensor]:
        """What arrives at the last step of each run goes back alone: the gradient of each state at every step."""
        at, own, seed = at.to(piece.x.device), self.cell.output_state, None
        carried = [c.clone() for c in self._carried]
        if d_output is not None and len(ending):
            arriving = lines(d_output)[at]
            if own is not None:
                carried[own][ending] += arriving
            else:
                seed = torch.zeros_like(d_output)
                lines(seed)[at] = arriving
        others = iter(d_histories)
        for k, d in ((k, next(others, None)) for k in range(len(self.cell.states)) if k != own):
            if d is not None and len(ending):
                carried[k][ending] += lines(d)[at]
        self._carried, adjoints = engine.adjoints(
            piece.cell, piece.x, piece.states, piece.weights, piece.sizes, piece.reverse, piece.output, piece.kept,
            seed, carried, piece.noise,
        )  # fmt: skip
        return adjoints

    def _endings(self, piece: Piece) -> tuple[Tensor, Tensor]:
        """(the runs that end in this piece, the lines within it at which they do)."""
        (base, end), count = self.span(piece), len(self.layout.lengths)
        if self.layout.dense:
            at_end = base == 0 if self.reverse else end == self.layout.count
            runs = torch.arange(count if at_end else 0, device="cpu")
            return runs, runs if self.reverse else runs + (end - base - count)
        last = self.layout.last_lines(self.reverse)
        runs = torch.nonzero((last >= base) & (last < end))[:, 0]
        return runs, last[runs] - base

    def _additive_path(self, piece: Piece, k: int, adjoint: Tensor, at: Tensor) -> Tensor:
        """δ at the last step of each run times what the state carries over by itself, step by step: norms [R]."""
        node, arriving = named(self.cell).carries[self.cell.states[k]], lines(adjoint)
        at = at.to(arriving.device)
        if node.op == "const" and node.attr == 0:
            found = torch.zeros(len(arriving), dtype=torch.float64, device=arriving.device)
            found[at] = self.pieces[piece.first].probe[k][at]
            return found
        first = self._first(piece)
        carry, (now, known) = self.values(piece, [node])[0], self._additive[k]
        quick = engine.path(arriving, carry, first, self.reverse, now, known)
        if quick is None:
            sizes, self._additive[k] = self._along(arriving, carry, first, k)
            return sizes
        self._additive[k] = now, quick[1]
        return quick[0]

    def _along(self, arriving: Tensor, carry: Tensor, first: list[int], k: int) -> tuple[Tensor, tuple[Tensor, int]]:
        """`engine.path` in plain torch, a step at a time."""
        now, known = self._additive[k]
        every = torch.empty_like(arriving)
        order = list(pairwise(first))
        for a, b in order if self.reverse else reversed(order):
            count = min(known, b - a)
            every[a : a + count], every[a + count : b] = now[:count], arriving[a + count : b]
            now, known = torch.cat([every[a:b] * carry[a:b], now[b - a :]]), b - a
        return norms(every), (now, known)

    # products

    def operand(self, piece: Piece, node: Value) -> Tensor:
        """What a product reads, [R, C]."""
        return lines(piece.x) if node.op == "x" else self.values(piece, [node])[0]

    def rows_before(self, piece: Piece, node: Value) -> tuple[Tensor, Tensor | None]:
        """`operand`; a state as it is after each step, with what it was before the first one."""
        if node.op == "state":
            k = self.cell.states.index(node.attr)
            return lines(piece.histories[k]), piece.states[k]
        return self.operand(piece, node), None

    def first_lines(self, piece: Piece) -> list[int] | None:
        """The first line of each step, and R; None where the lines of a step of x do not lie together."""
        if not (self.layout.dense or self.layout.by_rows):
            return None
        return self._first(piece)

    def _first(self, piece: Piece) -> list[int]:
        base, end = piece.first, piece.first + self.steps(piece)
        whole, line = end - base == len(self.layout.first) - 1, self.layout.first[base]
        return self.layout.first if whole else [at - line for at in self.layout.first[base : end + 1]]

    def rows_of_steps(self, piece: Piece) -> Tensor | None:
        """int64 [S, B], the lines of the piece that belong to one step of x, -1 for none; None where they lie apart."""
        layout, (base, _) = self.layout, self.span(piece)
        steps = slice(piece.first, piece.first + self.steps(piece))
        if layout.dense or layout.by_rows:
            table = layout.lines[steps]
            return (table - base).where(table >= 0, -1)
        return layout.grid if self.steps(piece) == len(layout.lines) else None

    def stacked(self, rows: Tensor, per_line: Tensor) -> Tensor:
        """[R, C] or [S, B, C] → [S, B, C] by `rows`, 0 where there is none."""
        if self.layout.dense:
            return per_line if per_line.dim() == 3 else per_line.unflatten(0, rows.shape)
        return placed(per_line, rows, 0.0)


@lru_cache(maxsize=256)
def _stride(lines: int, runs: int) -> int:
    """The distance of sampled lines; it shares no factor with the runs, or only some of them would be met."""
    found = max(1, -(-lines // SAMPLE_LINES))
    while math.gcd(found, max(1, runs)) > 1:
        found += 1
    return found


@bounded_cache(4 << 20, size_of=lambda found, *_: tensor_bytes(found))
def _dense_sample(steps: int, rows: int, first: int, count: int, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of `count` steps of a dense batch from the step `first` on: (Taken.inside, the spread lines, these and those of
    the sampled rows, step by step). Only ever read."""
    with torch.inference_mode(False):
        kept = _evenly(torch.arange(rows, device="cpu"))
        inside = torch.zeros(steps, len(kept), dtype=torch.bool, device="cpu")
        inside[first : first + count] = True
        spread = torch.arange(-first * rows % stride, count * rows, stride, device="cpu")
        by_row = (torch.arange(count, device="cpu")[:, None] * rows + kept).flatten()
        return inside, spread, torch.cat([spread, by_row])


def _evenly(numbers: Tensor) -> Tensor:
    """At most SAMPLE_RUNS of them, the first one among them."""
    return numbers[:: max(1, -(-len(numbers) // SAMPLE_RUNS))]


def _reaches_others(d: Tensor | None, at: Tensor) -> bool:
    """Whether a gradient arrives at other lines than `at`."""
    if d is None:
        return False
    flat, count = lines(d), lines(d).shape[0] - len(at)
    if not count:
        return False
    first, last = (int(at[0]), int(at[-1]) + 1) if len(at) else (0, 0)
    if last - first == len(at) and (first == 0 or last == len(flat)):  # the end of a dense batch
        others = flat[last:] if first == 0 else flat[:first]
    else:
        apart = torch.ones(len(flat), dtype=torch.bool, device=flat.device)
        apart[at.to(flat.device)] = False
        others = flat[apart]
    if bool(others[0].any()):  # mostly, this settles it
        return True
    low, high = others.aminmax()
    return bool(low != 0) or bool(high != 0)


@bounded_cache(16 << 20, size_of=lambda found, cell: graph_bytes(found.seed_output.graph, cell))
def _derivative(cell: Cell) -> Derivative:
    return differentiate(cell.retrace())
