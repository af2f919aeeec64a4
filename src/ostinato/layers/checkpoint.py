"""Checkpointing through time: a segment of steps runs again, keeping what backward reads, just before its own backward.

Between forward and backward only the states at the boundaries of segments are kept. Sources: T. Chen, B. Xu, C. Zhang,
C. Guestrin, "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174v2, section 4 (√T segments); A. Gruslys,
R. Munos, I. Danihelka, M. Lanctot, A. Graves, "Memory-Efficient Backpropagation Through Time", arXiv 1606.03401v1,
section 3.1 (states alone are kept, and what a step computes inside is computed again).

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
from ..cells import Cell
from ..cells.noise import later
from ..errors import InputError, ShapeError, phrase
from . import engine
from .plain import Found, Gradients, Kept, Needs, Tensors
from .watching import Watched

Checkpointing = int | str | None
"""None, "sqrt", a number of segments, or a budget of kept bytes such as "2GB"."""

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_EXPECTED = 'None, "sqrt", a number of segments, or a budget such as "2GB" or "500MB"'


class Checkpoint(NamedTuple):
    """What the option asks of each layer and direction. Three integers, which a registered operator can take."""

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


def segment_steps(
    wanted: Checkpoint, cell: Cell, x: Tensor, states: Tensors, weights: Tensors, sizes: Tensor | None
) -> int:
    """Steps of a segment, the first one in the order of work apart, which has what is left; 0 where all may be kept.

    Whole blocks of the weights' gradients, which are counted from the end: their sums are then those of one call.
    """
    T, B = x.shape[0] if sizes is None else len(sizes), states[0].shape[0]
    block = engine.block_steps(B)
    if not wanted.budget:
        each = -(-T // (wanted.segments or isqrt(max(T, 1) - 1) + 1))
        return max(1, -(-each // block)) * block
    rows = prod(x.shape[:-1])
    if not engine.compiled(x):
        remedy = 'Write "sqrt" or a number of segments, which are counted in steps.'
        expected = '"sqrt" or a number of segments where no kernels run, and what a step keeps is not known'
        raise InputError(phrase("checkpoint", "the option", expected, f"{wanted.budget} bytes", remedy))
    boundary = sum(s.numel() for s in states) * x.element_size()
    kept = sum(s[-1] for s in engine.kept_shapes(cell, x, states, weights)) * x.element_size()
    output = cell.output_size(weights, states) * x.element_size()
    share = wanted.budget // wanted.calls
    if rows * kept <= share:
        return 0

    def bytes_kept(blocks: int) -> int:
        return boundary * (-(-T // (blocks * block)) - 1) + min(blocks * block * B, rows) * (kept + output)

    # The longest segments that fit: fewer steps have more boundaries, so the step from one guess to the next is down.
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


class Segments:
    """`engine.forward` and `engine.backward` in segments of `steps` steps, with the same arguments and the same bits.

    What is kept is one tensor [segments - 1, B, H] for each state: how each segment but the first one starts.
    """

    def __init__(self, steps: int, watched: Watched | None = None):
        self.steps, self.watched = steps, watched

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
        line, blocks = [0, *accumulate(sizes.tolist())], engine.blocks(sizes, reverse)
        T = len(sizes)
        done = [line[s] if reverse else line[T] - line[T - s] for s in blocks]
        cuts = [0]  # which blocks begin a segment, from the end of the sequence on
        for k in range(1, len(done)):
            if done[k] - done[cuts[-1]] > self.steps * line[1] and k - 1 > cuts[-1]:
                cuts.append(k - 1)
        bounds = [blocks[k] for k in cuts] + [T] * (T > 0)
        spans = [(a, b) if reverse else (T - b, T - a) for a, b in pairwise(bounds)]
        return [(slice(line[a], line[b]), sizes[a:b], a) for a, b in reversed(spans)] or [(slice(0, 0), sizes, 0)]

    def forward(
        self,
        cell: Cell,
        x: Tensor,
        states: Tensors,
        weights: Tensors,
        sizes: Tensor | None,
        reverse: bool,
        keep: bool,
        histories: bool,
        noise: Tensor | None = None,
    ) -> Kept:
        parts = self._parts(x, sizes, reverse)
        boundaries = [s.new_empty(len(parts) - 1, *s.shape) for s in states] if keep else []
        whole: list[Tensor] = []
        for k, (lines, part_sizes, step) in enumerate(parts):
            if k:
                for kept, s in zip(boundaries, states):
                    kept[k - 1] = s
            output, states, every, _ = engine.forward(
                cell, x[lines], states, weights, part_sizes, reverse, False, histories, later(noise, step)
            )
            _put(whole, [output, *every], x, lines)
        return whole[0], list(states), whole[1:], boundaries

    def backward(
        self,
        cell: Cell,
        x: Tensor,
        states: Tensors,
        weights: Tensors,
        sizes: Tensor | None,
        reverse: bool,
        output: Tensor | None,
        kept: Tensors,
        d_output: Tensor | None,
        d_finals: Gradients,
        d_histories: Gradients,
        needs: Needs,
        noise: Tensor | None = None,
    ) -> Found:
        """`output` is not read. Where `kept` is empty, the boundaries are made again first."""
        parts = self._parts(x, sizes, reverse)
        if not kept and len(parts) > 1:
            kept = self.forward(cell, x, states, weights, sizes, reverse, True, False, noise)[3]
        for s, boundary in zip(states, kept):  # slices of them go on, of which no kernel can tell what they are of
            if boundary.shape != (len(parts) - 1, *s.shape):
                expected = f"of shape {[len(parts) - 1, *s.shape]}"
                remedy = "Saved-tensor hooks have to give back what they were given."
                raise ShapeError(phrase("checkpoint", "a saved state", expected, list(boundary.shape), remedy))
        dx: list[Tensor] = []
        d_states: list[Tensor] = []
        d_weights: list[Tensor] = []
        for k, (lines, part_sizes, step) in reversed(list(enumerate(parts))):
            starts = [boundary[k - 1] for boundary in kept] if k else states
            d_part, d_states, d_weights = _again(
                engine if self.watched is None else self.watched.at(step),
                cell,
                x[lines],
                starts,
                weights,
                part_sizes,
                reverse,
                None if d_output is None else d_output[lines],
                d_states or d_finals,
                [None if d is None else d[lines] for d in d_histories],
                (needs[0], needs[1] or k > 0, needs[2]),
                d_weights,
                later(noise, step),
            )
            if d_part is not None:
                _put(dx, [d_part], x, lines)
        return (dx[0] if dx else None), d_states, d_weights


def _again(
    engine: Any,
    cell: Cell,
    x: Tensor,
    states: Tensors,
    weights: Tensors,
    sizes: Tensor | None,
    reverse: bool,
    d_output: Tensor | None,
    d_finals: Gradients,
    d_histories: Gradients,
    needs: Needs,
    onto: Tensors,
    noise: Tensor | None,
) -> Found:
    """Forward and backward of one segment by `engine`. What forward keeps dies with this call."""
    output, _, _, kept = engine.forward(cell, x, states, weights, sizes, reverse, True, False, noise)
    return engine.backward(
        cell, x, states, weights, sizes, reverse, output, kept, d_output, d_finals, d_histories, needs, onto, noise
    )


def _put(whole: list[Tensor], parts: Sequence[Tensor], x: Tensor, lines: slice) -> None:
    """Lines of results into the whole, which is made by the first of them; a part that is the whole stays itself."""
    if not whole:
        whole += [t if t.shape[0] == x.shape[0] else engine.empty((*x.shape[:-1], t.shape[-1]), t) for t in parts]
    for to, t in zip(whole, parts):
        if to is not t:
            to[lines] = t
