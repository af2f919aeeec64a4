"""The observer of one layer and direction of one call: it keeps norms and samples until the report.

Letters: T steps and B rows of x, S packed steps of a piece, N segments, R packed rows of a piece (one for each step of
each segment), M sampled ones, n sampled segments or rows, k steps of the sampled rows, H units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...cells import Cell
from ...execution.observer import SequenceRecord
from ...sequence import OnBlock, RecordedGradients, Upstream
from .call_layout import CallLayout
from .cell_recipe import cell_recipe
from .gradient_norms import AdditivePaths, GradientNorms, Spread
from .piece_view import PieceView
from .row_norms import Lines, row_norms
from .samples import Samples
from .sampling import Sampling, dense_sample


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
        self._probe_carried: Sequence[Tensor | None] = ()
        self._paths = AdditivePaths()
        self._only_last = True
        self._ending = Ending(slice(0, 0), slice(0, 0), 0)
        self._norms: GradientNorms | None = None

    def not_observed(self, why: str) -> None:
        """The call is executed in a way that cannot be observed."""
        self.absent = why

    def forward(self, piece: SequenceRecord) -> None:
        """Samples the gates, carries and states of a piece after it ran."""
        recipe, view = self.recipe, PieceView(self.recipe, self.layout, piece)
        sampling, dense = self.sampling, self.layout.dense
        shape = (view.steps, sampling.segments.shape[0])
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
        samples, m, k = Samples(inside, spread), spread.shape[0], math.prod(shape)

        def divide(into: Samples, values: list[Tensor]) -> None:
            for name, v in zip(recipe.named.gates, values):
                into.gates[name] = v[:m], v[m:] if dense else v[m + k :]
            for state, v in zip(recipe.carries, values[len(into.gates) :]):
                along = v[m : m + k].unflatten(0, shape)
                known = along if dense else along.where((segments >= 0)[..., None].to(v.device), 1.0)
                into.carries[state] = v[:m], known

        histories, saved = piece.histories, view.sampled_lines(at)
        lines = [Lines(s, spread, 0, s.shape[-1]) for s in histories]
        if saved is None:
            divide(samples, view.values(recipe.sampled, at))
        else:
            lines.append(saved[0])
        counts = [view.steps if dense else s.shape[0] for s in histories]
        norms, copies = row_norms(histories, counts, lines)
        if saved is not None:
            values_in, copied = saved[1], copies.pop()
            samples.waiting.append(lambda into: divide(into, values_in(copied)))
        samples.states = list(zip(norms, copies))
        self.pieces[piece.first] = samples

    def probe(self, piece: SequenceRecord, upstream: Upstream) -> Upstream | None:
        """The gradient at each segment's last step alone, without the others.

        None where the loss reads last steps alone, so that its own gradient is the probe.
        """
        view = PieceView(self.recipe, self.layout, piece)
        if self._begins(view):
            self._probe_carried = upstream.final_states
            self._paths = AdditivePaths()
            self._only_last = True
        self._ending = ending = self._ending_of(view)
        if self._only_last:
            for d in (upstream.output, *upstream.histories):
                if d is not None and _reaches_others(d.flatten(0, -2), ending.rows):
                    self._only_last = False
                    break
        stride = self.sampling.stride
        spread = Spread(self.pieces[piece.first].spread, -view.base % stride, stride)
        self._norms = GradientNorms(view, self._paths, spread, not self._only_last)
        return None if self._only_last else self._probe(piece, upstream, ending)

    def on_block(self, piece: SequenceRecord) -> OnBlock | None:
        """Measures the gradients block by block where kernels do."""
        return None if self._norms is None else self._norms.on_block

    def backward(self, piece: SequenceRecord, upstream: Upstream, recorded: RecordedGradients) -> None:
        """Takes what was measured of a piece's gradients, and of the probe's."""
        samples, found = self.pieces[piece.first], self._norms
        assert found is not None  # `probe` came before
        self._norms = None
        found.take(recorded, samples)
        self.passes += self._begins(found.view)
        self._probe_carried = (recorded.probe or recorded).gradients.states
        samples.ending = self._ending.rows

    def _begins(self, view: PieceView) -> bool:
        """Whether a backward pass begins with this piece: it has the last steps in the order of computation."""
        first, steps = view.piece.first, self.layout.segment_index.shape[0]
        return first == 0 if self.reverse else first + view.steps == steps

    def _probe(self, piece: SequenceRecord, upstream: Upstream, ending: Ending) -> Upstream:
        segments, at, own, seed = ending.segments, ending.rows, self.recipe.output_state, None
        carried = [torch.zeros_like(s) if c is None else c.clone() for s, c in zip(piece.states, self._probe_carried)]
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
        layout, count = self.layout, self.layout.lengths.shape[0]
        if layout.dense:
            at_end = view.base == 0 if self.reverse else view.end == layout.count
            count = count if at_end else 0
            first = 0 if self.reverse else view.end - view.base - count
            return Ending(slice(0, count), slice(first, first + count), count)
        last = layout.last_rows(self.reverse)
        segments = torch.nonzero((last >= view.base) & (last < view.end))[:, 0]
        return Ending(segments, (last[segments] - view.base).to(view.piece.x.device), len(segments))


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
