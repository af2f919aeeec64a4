"""Norms and samples of the gradients that go through one piece: block by block in the cache, or of recorded tensors.

Letters: S steps and R packed rows of a piece, M sampled ones, N segments, H units.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ...execution import backends
from ...sequence import OnBlock, RecordedGradients
from .piece_view import PieceView
from .row_norms import Lines, row_norms
from .samples import Samples
from .weight_gradient_norms import WeightGradientNorms


class Spread(NamedTuple):
    """Packed rows of a piece at equal distances."""

    numbers: Tensor
    """int64 [M]."""
    first: int
    """The number of the first one."""
    stride: int
    """From one to the next."""


class AdditivePaths:
    """The gradient of a probe along the additive path of each state, carried from piece to piece of one pass."""

    def __init__(self) -> None:
        self._carried: dict[int, tuple[Tensor, int]] = {}

    def arriving(self, view: PieceView, k: int) -> tuple[Tensor, int]:
        """([N, H] the gradient of state k from later steps, of how many rows)."""
        state = view.piece.states[k]
        return self._carried.get(k) or (backends.empty(state.shape, state), 0)

    def leave(self, k: int, now: Tensor, known: int) -> None:
        """What `arriving` returns for the next piece."""
        self._carried[k] = now, known

    def norms(self, view: PieceView, k: int, probe: Tensor, carry: Tensor) -> Tensor:
        """The norms [R] along the path through a piece.

        probe  the gradient of state k, [R, H], which is read at the last step of each segment
        carry  what the state carries over at each step, [R, H]
        """
        offsets, reverse = view.step_offsets(), view.piece.reverse
        now, known = self.arriving(view, k)
        path = backends.path(probe, carry, offsets, reverse, now, known)
        if path is not None:
            self.leave(k, now, path[1])
            return path[0]
        along = torch.empty_like(probe)
        steps = list(pairwise(offsets))
        for a, b in steps if reverse else reversed(steps):
            count = min(known, b - a)
            along[a : a + count], along[a + count : b] = now[:count], probe[a + count : b]
            now, known = torch.cat([along[a:b] * carry[a:b], now[b - a :]]), b - a
        self.leave(k, now, known)
        return row_norms([along], [along.shape[0]])[0][0]


class GradientNorms:
    """What is measured of the gradients of one piece in one backward pass."""

    def __init__(self, view: PieceView, paths: AdditivePaths, spread: Spread, has_probe: bool) -> None:
        """Before the pass.

        spread     the packed rows of the piece that are sampled
        has_probe  whether a probe is propagated beside the gradients of the loss
        """
        self.view, self._paths, self._spread = view, paths, spread
        self._of_weights = WeightGradientNorms(view)
        self._blocks = self._by_block(has_probe)

    @property
    def on_block(self) -> OnBlock | None:
        """What takes the gradients block by block; None where they are to be recorded."""
        return None if self._blocks is None else self._blocks.run

    def take(self, recorded: RecordedGradients, samples: Samples) -> None:
        """After the pass: what was measured goes to the samples of the piece."""
        if self._blocks is not None:
            blocks = self._blocks
            for path in blocks.paths:
                self._paths.leave(path.state, path.now, path.known)
            states, along = [path.state for path in blocks.paths], blocks.path_norms
            norms, lines, weights = blocks.norms, blocks.samples, self._of_weights.measured(blocks.outer_norms)

            def divide(into: Samples) -> None:
                into.weights = weights()
                into.additive = [None] * len(lines)
                for k, path_norms in zip(states, along):
                    into.additive[k] = path_norms
                into.gradients = list(zip(norms, lines))
                into.probe = list(norms[-len(lines) :])

            samples.waiting.append(divide)
            return
        samples.weights = self._of_weights.recorded(recorded.products)
        own, probe = recorded.adjoints, [] if recorded.probe is None else recorded.probe.adjoints
        sampled = [Lines(a, self._spread.numbers, 0, a.shape[-1]) for a in own]
        tensors = [*own, *probe]
        found, copies = row_norms(tensors, [a.numel() // a.shape[-1] for a in tensors], sampled)
        samples.gradients, samples.probe = list(zip(found, copies)), found[-len(own) :]
        samples.additive = [
            None if carry is None else self._paths.norms(self.view, k, adjoint.flatten(0, -2), carry)
            for k, (adjoint, carry) in enumerate(zip(probe or own, self._carries()))
        ]

    def _carries(self) -> list[Tensor | None]:
        """What each state carries over at each step, [R, H]; None for one that carries nothing over by itself."""
        recipe = self.view.recipe
        nodes = [recipe.carries.get(state) for state in recipe.states]
        return [None if node is None else self.view.values([node])[0] for node in nodes]

    def _by_block(self, has_probe: bool) -> backends.BlockNorms | None:
        task, view = self._of_weights.by_block, self.view
        if task is None or view.piece.x.dtype != torch.float32:  # squares of float64 may be out of range
            return None
        paths = []
        for k, state in enumerate(view.recipe.states):
            node = view.recipe.carries.get(state)
            if node is not None:
                paths.append((k, *view.lines_with(node), *self._paths.arriving(view, k)))
        widths, (numbers, first, stride) = [s.shape[-1] for s in view.piece.states], self._spread
        return backends.block_norms(widths, 1 + has_probe, (numbers.shape[0], first, stride), paths, task)
