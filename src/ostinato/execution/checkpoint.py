"""Checkpointing through time: a segment of steps is recomputed, saving what backward reads, just before its backward.

Between forward and backward only the states at the boundaries of segments are kept. Sources: T. Chen, B. Xu, C. Zhang,
C. Guestrin, "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174v2, section 4 (√T segments); A. Gruslys,
R. Munos, I. Danihelka, M. Lanctot, A. Graves, "Memory-Efficient Backpropagation Through Time", arXiv 1606.03401v1,
section 3.1 (only states are kept, and a step's intermediate values are recomputed).

Letters: T steps, B rows of the batch, R packed rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import isqrt, prod
from typing import Any, NamedTuple

from torch import Tensor

from .. import _torch_private
from ..cells.noise import later
from ..errors import InputError, ShapeError, phrase
from ..sequence import ForwardResult, Gradients, Needs, SequenceCall, Upstream
from . import backends
from .observer import ObservedBackend
from .reference_backend import Tensors

Checkpointing = int | str | None
"""None, "sqrt", a number of segments, or a budget of kept bytes such as "2GB"."""

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_EXPECTED = 'None, "sqrt", a number of segments, or a budget such as "2GB" or "500MB"'


class Checkpoint(NamedTuple):
    """The option as it applies to each layer and direction: three integers, which a registered operator can take."""

    segments: int
    """How many; 0 for √T."""
    budget: int
    """Bytes that all layers and directions together may keep; 0 for no budget."""
    calls: int
    """Layers times directions, among which a budget is shared equally."""


@_torch_private.constant_result
def read_checkpoint(option: Checkpointing, where: str, calls: int = 1) -> Checkpoint | None:
    """The option as a layer was given it. Refuses what is neither a word, a number of segments, nor a budget."""
    if option is None:
        return None
    if option == "sqrt":
        return Checkpoint(0, 0, calls)
    if isinstance(option, int) and not isinstance(option, bool) and option > 0:
        return Checkpoint(option, 0, calls)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?B)\s*", option, re.IGNORECASE) if type(option) is str else None
    budget = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if budget:
        return Checkpoint(0, budget, calls)
    remedy = 'Segments are counted from 1, and 1GB is 10⁹ bytes; "sqrt" is a good choice where nothing else is known.'
    raise InputError(phrase(where, "checkpoint", _EXPECTED, repr(option), remedy))


def segment_steps(wanted: Checkpoint, call: SequenceCall) -> int:
    """Steps of a segment, except the first in processing order, which has the rest; 0 where all may be kept.

    Whole blocks of the weights' gradients, which are counted from the end: their sums are then those of one call.
    """
    cell, x, states, weights, sizes = call.cell, call.x, call.states, call.weights, call.batch_sizes
    T, B = x.shape[0] if sizes is None else len(sizes), states[0].shape[0]
    block = backends.block_steps(B)
    if not wanted.budget:
        each = -(-T // (wanted.segments or isqrt(max(T, 1) - 1) + 1))
        return max(1, -(-each // block)) * block
    rows = prod(x.shape[:-1])
    if not backends.compiled(x):
        remedy = 'Write "sqrt" or a number of segments, which are counted in steps.'
        expected = '"sqrt" or a number of segments where no kernels run, and what a step keeps is not known'
        raise InputError(phrase("checkpoint", "the option", expected, f"{wanted.budget} bytes", remedy))
    boundary = sum(s.numel() for s in states) * x.element_size()
    kept = sum(s[-1] for s in backends.saved_shapes(cell, x, states, weights)) * x.element_size()
    output = cell.output_size(weights, states) * x.element_size()
    share = wanted.budget // wanted.calls
    if rows * kept <= share:
        return 0

    def bytes_kept(blocks: int) -> int:
        return boundary * (-(-T // (blocks * block)) - 1) + min(blocks * block * B, rows) * (kept + output)

    # The longest segments that fit. Shorter segments have more boundaries, so each guess is below the one before.
    blocks = -(-T // block)
    while blocks and bytes_kept(blocks) > share:
        left = share - boundary * (-(-T // (blocks * block)) - 1)
        blocks = min(blocks - 1, max(0, left // (block * B * (kept + output))))
    if not blocks:
        best = max(1, isqrt(T * boundary // (block * block * B * (kept + output))))
        least = bytes_kept(min(best, -(-T // block))) * wanted.calls
        expected = f"a budget of at least {-(-least // 1000)}kB for T = {T} and B = {B}"
        remedy = f"One block of {min(block, T)} steps is the least that can be kept at a time."
        raise InputError(phrase("checkpoint", "the option", expected, f"{wanted.budget / 1000:g}kB", remedy))
    return blocks * block


class CheckpointedBackend:
    """A backend that runs `backends` in segments of `steps` steps, with the same bits.

    What is kept is one tensor [segments - 1, B, H] for each state: how each segment but the first one starts.
    """

    def __init__(self, steps: int, observed: ObservedBackend | None = None):
        self.steps, self.observed = steps, observed

    def _parts(self, x: Tensor, sizes: Tensor | None, reverse: bool) -> list[tuple[slice, Tensor | None, int]]:
        """(lines of x, sizes of their steps, the first of these) of each segment, in the order of work.

        Where rows end early, a segment has as many whole blocks as fit into the lines of `steps` full steps.
        """
        if sizes is None:
            T = x.shape[0]
            first = T - (T - 1) // self.steps * self.steps if T else 0
            spans = list(pairwise([0, *range(first, T + 1, self.steps)]))
            spans = [(T - b, T - a) if reverse else (a, b) for a, b in spans]
            return [(slice(a, b), None, a) for a, b in spans]
        line, blocks = [0, *accumulate(sizes.tolist())], backends.blocks(sizes, reverse)
        T = len(sizes)
        done = [line[s] if reverse else line[T] - line[T - s] for s in blocks]
        cuts = [0]  # which blocks begin a segment, from the end of the sequence on
        for k in range(1, len(done)):
            if done[k] - done[cuts[-1]] > self.steps * line[1] and k - 1 > cuts[-1]:
                cuts.append(k - 1)
        bounds = [blocks[k] for k in cuts] + [T] * (T > 0)
        spans = [(a, b) if reverse else (T - b, T - a) for a, b in pairwise(bounds)]
        return [(slice(line[a], line[b]), sizes[a:b], a) for a, b in reversed(spans)] or [(slice(0, 0), sizes, 0)]

    def forward(self, call: SequenceCall, save: bool, histories: bool) -> ForwardResult:
        parts, states = self._parts(call.x, call.batch_sizes, call.reverse), call.states
        boundaries = [s.new_empty(len(parts) - 1, *s.shape) for s in states] if save else []
        whole: list[Tensor] = []
        for k, (lines, sizes, step) in enumerate(parts):
            if k:
                for saved, s in zip(boundaries, states):
                    saved[k - 1] = s
            part = backends.forward(_segment(call, lines, sizes, step, states), False, histories)
            states = part.final_states
            _put(whole, [part.output, *part.histories], call.x, lines)
        return ForwardResult(whole[0], list(states), whole[1:], boundaries)

    def backward(
        self,
        call: SequenceCall,
        result: ForwardResult,
        upstream: Upstream,
        needs: Needs,
        accumulate_into: Tensors = (),
    ) -> Gradients:
        """The output is not read. Where `result.saved` is empty, the boundaries are recomputed first."""
        parts, saved = self._parts(call.x, call.batch_sizes, call.reverse), result.saved
        if not saved and len(parts) > 1:
            saved = self.forward(call, True, False).saved
        # Kernels see only slices of the boundaries, so the shape of the whole is checked here.
        for s, boundary in zip(call.states, saved):
            if boundary.shape != (len(parts) - 1, *s.shape):
                expected = f"of shape {[len(parts) - 1, *s.shape]}"
                remedy = "Saved-tensor hooks have to give back what they were given."
                raise ShapeError(phrase("checkpoint", "a saved state", expected, list(boundary.shape), remedy))
        dx: list[Tensor] = []
        carried: Sequence[Tensor | None] = upstream.final_states
        found = Gradients(None, [], [])
        for k, (lines, sizes, step) in reversed(list(enumerate(parts))):
            states = [boundary[k - 1] for boundary in saved] if k else call.states
            part_upstream = Upstream(
                None if upstream.output is None else upstream.output[lines],
                carried,
                [None if d is None else d[lines] for d in upstream.histories],
            )
            found = _recompute(
                backends if self.observed is None else self.observed.at(step),
                _segment(call, lines, sizes, step, states),
                part_upstream,
                Needs(needs.x, needs.states or k > 0, needs.weights),
                found.weights,
            )
            carried = found.states or carried
            if found.x is not None:
                _put(dx, [found.x], call.x, lines)
        return Gradients(dx[0] if dx else None, found.states, found.weights)


def _segment(
    call: SequenceCall, lines: slice, sizes: Tensor | None, step: int, states: Sequence[Tensor]
) -> SequenceCall:
    """The steps of `call` that begin at `step`, from other initial states."""
    return SequenceCall(
        call.cell, call.x[lines], states, call.weights, sizes, call.reverse, later(call.random_state, step)
    )


def _recompute(
    backend: Any, call: SequenceCall, upstream: Upstream, needs: Needs, accumulate_into: Tensors
) -> Gradients:
    """Forward and backward of one segment. The tensors that forward saves are freed when it returns."""
    return backend.backward(call, backend.forward(call, True, False), upstream, needs, accumulate_into)


def _put(whole: list[Tensor], parts: Sequence[Tensor], x: Tensor, lines: slice) -> None:
    """Copies rows of results into the whole, which the first part allocates; a part that is the whole is not copied."""
    if not whole:
        whole += [t if t.shape[0] == x.shape[0] else backends.empty((*x.shape[:-1], t.shape[-1]), t) for t in parts]
    for to, t in zip(whole, parts):
        if to is not t:
            to[lines] = t
