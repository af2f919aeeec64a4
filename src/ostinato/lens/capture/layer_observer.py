"""The observer of one layer and direction of one call: it keeps norms and samples until the report.

Letters: T steps and B rows of x, S packed steps of a piece, N segments, R packed rows of a piece (one for each step of
each segment), M sampled ones, n sampled segments or rows, k steps of the sampled rows, H units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ...cells import Cell
from ...execution import backends
from ...execution.observer import SequenceRecord
from ...sequence import RecordedGradients, Upstream
from .call_layout import CallLayout
from .cell_recipe import cell_recipe
from .piece_view import PieceView
from .row_norms import row_norms
from .sampling import Sampling, dense_sample
from .weight_gradient_norms import weight_gradient_norms


class Samples:
    """Norms and samples of one piece. Packed rows are in memory order; `spread` means evenly sampled rows, [M, H]."""

    __slots__ = ("additive", "carries", "gates", "gradients", "inside", "probe", "states", "weights")

    def __init__(self, inside: Tensor) -> None:
        self.inside = inside
        """bool [T, n]: which steps of the sampled rows lie in the piece, k in all."""
        self.gates: dict[str, tuple[Tensor, Tensor]] = {}
        """Gate → (spread [M, H], in the sampled rows [k, H])."""
        self.carries: dict[str, tuple[Tensor, Tensor]] = {}
        """State → (spread [M, H], in the sampled segments [S, n, H]); absent where the carry is 0 by its formula."""
        self.states: list[tuple[Tensor, Tensor]] = []
        """(‖s‖ of each step [S] of a dense batch, else of each packed row [R]; spread [M, H]) of each state."""
        self.gradients: list[tuple[Tensor, Tensor]] = []
        """(‖δ‖ [R], spread [M, H]) of each state."""
        self.probe: list[Tensor] = []
        """‖δ‖ of the probe [R], of each state."""
        self.additive: list[Tensor] = []
        """‖δ‖ along the additive path of the probe [R], of each state."""
        self.weights: dict[str, Tensor] = {}
        """Letter → ‖G‖ of each step [S]."""


class Ending(NamedTuple):
    """Where segments end inside of a piece, in the order of computation."""

    segments: slice | Tensor
    """The segments that do."""
    rows: slice | Tensor
    """The packed rows of the piece at which they do, on its device."""
    number: int
    """How many there are."""


class LayerObserver:
    """Observes one layer and direction of one call, and samples the values of a report."""

    def __init__(self, cell: Cell, layout: CallLayout, reverse: bool) -> None:
        self.recipe, self.layout, self.reverse = cell_recipe(cell), layout, reverse
        self.active = bool(layout.count)
        """Whether it still observes; part of the observer protocol."""
        self.absent = (
            "no backward pass went through this call while it was watched" if self.active else "the call has no steps"
        )
        """Why there are no gradients, until a backward pass is observed."""
        self.passes = 0
        """How many backward passes began."""
        self.pieces: dict[int, Samples] = {}
        """The first step of a piece → its samples."""
        self.sampling = Sampling(layout)
        self._probe_carried: list[Tensor] = []
        self._additive_carried: list[tuple[Tensor, int]] = []
        self._only_last = True
        self._ending = Ending(slice(0, 0), slice(0, 0), 0)

    def not_observed(self, why: str) -> None:
        """The call is executed in a way that cannot be observed."""
        self.absent = why

    def forward(self, piece: SequenceRecord) -> None:
        """Samples the gates, carries and states of a piece after it ran."""
        recipe, view = self.recipe, PieceView(self.recipe, self.layout, piece)
        sampling, dense = self.sampling, self.layout.dense
        shape = (view.steps, len(sampling.segments))
        if dense:  # the sampled segments are the sampled rows, step by step
            steps, rows = self.layout.x_index.shape
            sample = dense_sample(steps, rows, piece.first, view.steps, sampling.stride)
            inside, spread, at = sample.inside, sample.spread, sample.rows
        else:
            segments = self.layout.segment_index[piece.first : piece.first + view.steps, sampling.segments]
            in_rows = self.layout.x_index[:, sampling.rows]
            inside = (in_rows >= view.base) & (in_rows < view.end)
            spread = torch.arange(-view.base % sampling.stride, view.end - view.base, sampling.stride, device="cpu")
            in_segments = (segments - view.base).clamp(min=0).flatten()
            at = torch.cat([spread, in_segments, in_rows[inside] - view.base])
        samples, m, k = Samples(inside), len(spread), math.prod(shape)
        values = view.values(recipe.sampled, at)
        for name, v in zip(recipe.named.gates, values):
            samples.gates[name] = v[:m], v[m:] if dense else v[m + k :]
        for state, v in zip(recipe.carries, values[len(samples.gates) :]):
            along = v[m : m + k].unflatten(0, shape)
            known = along if dense else along.where((segments >= 0)[..., None].to(v.device), 1.0)
            samples.carries[state] = v[:m], known
        histories = piece.histories
        flat = [s.flatten(0, -2) for s in histories]
        norms = row_norms([s.flatten(1) for s in histories] if dense else flat)
        for s, norm in zip(flat, norms):
            samples.states.append((norm, s[spread[0] :: sampling.stride].clone() if m else s[:0]))
        self.pieces[piece.first] = samples

    def probe(self, piece: SequenceRecord, upstream: Upstream) -> Upstream | None:
        """The gradient at each segment's last step alone, without the others.

        None where the loss reads last steps alone, so that its own gradient is the probe.
        """
        view = PieceView(self.recipe, self.layout, piece)
        if self._begins(view):
            d_finals = upstream.final_states
            self._probe_carried = [torch.zeros_like(s) if d is None else d for s, d in zip(piece.states, d_finals)]
            self._additive_carried = [(torch.empty_like(s), 0) for s in piece.states]
            self._only_last = True
        self._ending = ending = self._ending_of(view)
        if self._only_last:
            for d in (upstream.output, *upstream.histories):
                if d is not None and _reaches_others(d.flatten(0, -2), ending.rows):
                    self._only_last = False
                    break
        return None if self._only_last else self._probe(upstream, ending)

    def backward(self, piece: SequenceRecord, upstream: Upstream, recorded: RecordedGradients) -> None:
        """Takes the norms of a piece's gradients, and of the probe's."""
        samples, view = self.pieces[piece.first], PieceView(self.recipe, self.layout, piece)
        self.passes += self._begins(view)
        samples.weights = weight_gradient_norms(view, recorded.products)
        flat, of_probe = [a.flatten(0, -2) for a in recorded.adjoints], recorded.probe
        if of_probe is None:
            self._probe_carried, probe = recorded.gradients.states, flat
            samples.probe = norms = row_norms(flat)
        else:
            self._probe_carried, probe = of_probe.gradients.states, [a.flatten(0, -2) for a in of_probe.adjoints]
            norms = row_norms([*flat, *probe])
            samples.probe = norms[len(flat) :]
        offset, stride = -view.base % self.sampling.stride, self.sampling.stride
        samples.gradients = [(norm, a[offset::stride].clone()) for norm, a in zip(norms, flat)]
        samples.additive = [self._additive_path(view, samples, k, a) for k, a in enumerate(probe)]

    def _begins(self, view: PieceView) -> bool:
        """Whether a backward pass begins with this piece: it has the last steps in the order of computation."""
        first, steps = view.piece.first, len(self.layout.segment_index)
        return first == 0 if self.reverse else first + view.steps == steps

    def _probe(self, upstream: Upstream, ending: Ending) -> Upstream:
        segments, at, own, seed = ending.segments, ending.rows, self.recipe.output_state, None
        carried = [c.clone() for c in self._probe_carried]
        d_output = upstream.output
        if d_output is not None and ending.number:
            arriving = d_output.flatten(0, -2)[at]
            if own is not None:
                carried[own][segments] += arriving
            else:
                seed = torch.zeros_like(d_output)
                seed.flatten(0, -2)[at] = arriving
        others = iter(upstream.histories)
        for k in range(len(carried)):
            d = None if k == own else next(others, None)
            if d is not None and ending.number:
                carried[k][segments] += d.flatten(0, -2)[at]
        return Upstream(seed, carried, [None] * (len(carried) - (own is not None)))

    def _ending_of(self, view: PieceView) -> Ending:
        layout, count = self.layout, len(self.layout.lengths)
        if layout.dense:
            at_end = view.base == 0 if self.reverse else view.end == layout.count
            count = count if at_end else 0
            first = 0 if self.reverse else view.end - view.base - count
            return Ending(slice(0, count), slice(first, first + count), count)
        last = layout.last_rows(self.reverse)
        segments = torch.nonzero((last >= view.base) & (last < view.end))[:, 0]
        return Ending(segments, (last[segments] - view.base).to(view.piece.x.device), len(segments))

    def _additive_path(self, view: PieceView, samples: Samples, k: int, probe: Tensor) -> Tensor:
        """δ at the last step of each segment times the carry of state k, step by step: norms [R].

        probe  the gradient of state k, [R, H]
        """
        carry = self.recipe.carries.get(self.recipe.states[k])
        if carry is None:
            norms = torch.zeros(len(probe), dtype=torch.float64, device=probe.device)
            at = self._ending.rows
            norms[at] = samples.probe[k][at]
            return norms
        values, offsets = view.values([carry])[0], view.step_offsets()
        now, known = self._additive_carried[k]
        path = backends.path(probe, values, offsets, self.reverse, now, known)
        if path is None:
            return self._additive_path_by_step(k, probe, values, offsets)
        norms, known = path
        self._additive_carried[k] = now, known
        return norms

    def _additive_path_by_step(self, k: int, probe: Tensor, carry: Tensor, offsets: Sequence[int]) -> Tensor:
        """`_additive_path` in plain torch, one step at a time."""
        now, known = self._additive_carried[k]
        along = torch.empty_like(probe)
        steps = list(pairwise(offsets))
        for a, b in steps if self.reverse else reversed(steps):
            count = min(known, b - a)
            along[a : a + count], along[a + count : b] = now[:count], probe[a + count : b]
            now, known = torch.cat([along[a:b] * carry[a:b], now[b - a :]]), b - a
        self._additive_carried[k] = now, known
        return row_norms([along])[0]


def _reaches_others(d: Tensor, at: slice | Tensor) -> bool:
    """Whether a gradient [R, H] is other than 0 at other packed rows than `at`."""
    if isinstance(at, slice):  # the rows of a dense batch, at one of its ends
        others = d[at.stop :] if at.start == 0 else d[: at.start]
    else:
        elsewhere = torch.ones(len(d), dtype=torch.bool, device=d.device)
        elsewhere[at] = False
        others = d[elsewhere]
    if not others.shape[0]:
        return False
    if bool(others[0].any()):  # usually decides it
        return True
    low, high = others.aminmax()
    return bool(low != 0) or bool(high != 0)
