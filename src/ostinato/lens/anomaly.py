"""`detect_anomaly`: where the first value that is no number came from, in one sentence.

Letters: T steps, B rows of the batch, R lines of a piece (one for each step of each row), H units.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..cells.cell import PARAMETER
from ..cells.text import expression
from ..cells.value import Value
from ..errors import AnomalyError
from ..layers.layer import Layer
from ..layers.plain import Gradients, Recorded
from ..layers.sequences import Batch
from ..layers.watching import WATCHER, Onlooker, Piece
from .capture.call_layout import CallLayout
from .capture.cell_recipe import cell_recipe
from .capture.evaluate import evaluate, needed
from .capture.module_names import modules_by_name
from .capture.named_values import named_values
from .capture.piece_view import PieceView

_GROWS = (
    'Values grow from step to step: init="orthogonal", smaller weights, a bounded activation or a lower learning rate '
    "usually helps."
)
_HELPS = {
    "x": "Look at the data and at what stands before the layer.",
    "weight": "An update broke it: clip gradients (torch.nn.utils.clip_grad_norm_) or lower the learning rate.",
    "state": "It came from an earlier call, or from the caller.",
    "exp": "The exponential of a large number is infinite; keep its argument small.",
    "log": "The logarithm needs a number above 0; add a small one.",
    "sqrt": "The root needs a number above 0; add a small one.",
    "div": "Keep what it divides by away from 0.",
    "flushed": "Kernels count numbers below 1.2e-38 in float32, or 2.2e-308 in float64, as 0 (subnormal numbers are "
    'flushed), and without that this is finite: docs/notation.md, "Numbers close to 0", says how to write it.',
    "arrives": "Look at the loss and at what stands behind the layer; log, sqrt and division by 0 are usual causes.",
    "gradient": "Gradients grow from step to step on the way back: clip them, shorten the way with "
    "ostinato.TruncatedBPTT, or lower the learning rate.",
}


@dataclass(frozen=True)
class _Where:
    """One layer and direction of a call, as a sentence names it."""

    layer: str
    depth: int
    reverse: bool

    def __str__(self) -> str:
        direction = "second direction" if self.reverse else "first direction"
        return f"{self.layer}, layer {self.depth}, {direction}"


@contextmanager
def detect_anomaly(model: nn.Module | None = None) -> Iterator[None]:
    """Inside, the first NaN or infinity in a recurrent layer raises AnomalyError, which says where it came from.

        with ostinato.detect_anomaly(model):
            loss = criterion(model(x), y)
            loss.backward()

    model  gives the layers their names in the message; without it they go by their class

    Forward: an output or a state that is not finite is traced back, within the first step at which one appears, to x
    [T, B, C], the weights, the state it starts from, or the operation that made it from finite numbers. Backward: the
    gradient of each state at each step, the last step first. The message names step and row (counted from 0, as x has
    them), layer, direction and gate, and what usually helps. OptimizerMonitor past a row's length are not looked at.

    Cost while nothing is wrong: values and gradients of all steps are written out and added up once; results keep their
    bits. A call that goes another way than the kernels or the reference of this package (tracers, torch.func, other
    devices) cannot be looked at, and says so in a warning.
    """
    names = {} if model is None else {id(m): n for n, m in modules_by_name(model) if isinstance(m, Layer) and n}
    watcher = _Watcher(names)
    token = WATCHER.set(watcher)
    try:
        yield
    finally:
        WATCHER.reset(token)
        for looking in watcher.all:
            looking.looking = False


class _Watcher:
    """Looks on at every call, whatever layer it is of."""

    def __init__(self, names: dict[int, str]) -> None:
        self.names = names
        self.all: list[AnomalyLocator] = []

    def call(self, layer: Layer, batch: Batch) -> Callable[[int, int], Onlooker]:
        layout, kind = CallLayout(batch), type(layer).__name__
        name = f"{self.names[id(layer)]} ({kind})" if id(layer) in self.names else kind

        def looking(depth: int, direction: int) -> Onlooker:
            found = AnomalyLocator(layer, layout, _Where(name, depth, direction == 1))
            self.all.append(found)
            return found

        return looking


class AnomalyLocator:
    """Looks for the first value that is not finite in one layer and direction of one call."""

    def __init__(self, layer: Layer, layout: CallLayout, where: _Where) -> None:
        self.recipe = cell_recipe(layer.cell)
        self.cell, self.layout, self.reverse, self.where = self.recipe.cell, layout, where.reverse, where
        self.looking = True

    def before(self, piece: Piece, k: int) -> Tensor:
        """State k before each step of a piece, [R, H]."""
        return PieceView(self.recipe, self.layout, piece).state_before(k)

    def unseen(self, why: str) -> None:
        warnings.warn(f"detect_anomaly: {self.where} was not looked at: {why}.", stacklevel=2)

    def forward(self, piece: Piece) -> None:
        # x too: gates that saturate make finite values of an infinite one, and NaN of their weights' gradients.
        every = [t.flatten(0, -2) for t in (piece.output, *piece.histories, piece.x)]
        if all(_finite(t) for t in every):
            return
        line = self._first(piece, every, last=self.reverse)
        at = self._place(piece, line)
        weight = self._weight(piece.weights)
        if weight:
            raise self._error("forward", f"{weight} is not finite", "weight")
        if not _finite(piece.x.flatten(0, -2)[line]):
            raise self._error("forward", f"x is {_kind(piece.x.flatten(0, -2)[line])} {at}", "x")
        before = [self.before(piece, k)[line : line + 1] for k in range(len(self.cell.states))]
        for state, value in zip(self.cell.states, before):
            if not _finite(value):
                raise self._error(
                    "forward", f"the state {state} is {_kind(value)} before its first step, {at}", "state"
                )
        what, helps = self._operation(piece, line, before)
        raise self._error("forward", f"{what} {at}, from finite values", helps)

    def _operation(self, piece: Piece, line: int, before: Sequence[Tensor]) -> tuple[str, str]:
        """The operation that made something infinite or NaN of finite values, and what helps."""
        n = named_values(self.cell)
        roots = [n.trace.output, *n.trace.new]
        nodes = needed(roots)
        values = evaluate(self.cell, piece.weights, piece.x.flatten(0, -2)[line : line + 1], before, nodes)
        bad = {v.id: value for v, value in zip(nodes, values) if not _finite(value)}
        node, flushed = next((v for v in roots if v.id in bad), None), False
        if node is None:
            bad, flushed = self._bad_when_flushed(piece, line, before, nodes), True
            node = next((v for v in roots if v.id in bad), None)
        if node is None:  # at the very edge: torch's own rounding stays finite
            return "the new state overflows", ""
        while inside := [a for a in node.args if a.id in bad]:
            node = inside[0]
        names = {i: text for i, text in n.names.items() if i != node.id}
        gate = next((g for g in self.cell.trace.order if self._belongs(node, g)), None)
        state = next((s for s, v in zip(self.cell.states, n.trace.new) if v.id == node.id), None)
        role = f"gate {gate}" if gate else f"the new state {state}" if state else "the step"
        return f"{role}, {expression(node, names)}, becomes {_kind(bad[node.id])}", self._help(piece, node, flushed)

    def _help(self, piece: Piece, node: Value, flushed: bool) -> str:
        """What helps where this operation fails, with subnormal numbers flushed in its step alone, or without."""
        if flushed or node.op not in ("div", "log"):
            return "flushed" if flushed else node.op
        # An operand of 0 may come from an earlier step, whose new state was flushed.
        before = [self.before(piece, k) for k in range(len(self.cell.states))]
        new = evaluate(self.cell, piece.weights, piece.x.flatten(0, -2), before, named_values(self.cell).trace.new)
        return "flushed" if any(_subnormal(v) for v in new) else node.op

    def _bad_when_flushed(
        self, piece: Piece, line: int, before: Sequence[Tensor], nodes: Sequence[Value]
    ) -> dict[int, Tensor]:
        """node.id → its value at a line, where it is not finite when every subnormal number counts as 0."""
        x, found = piece.x.flatten(0, -2)[line : line + 1], dict[int, Tensor]()
        for v in nodes:
            (value,) = evaluate(self.cell, piece.weights, x, before, [v], found)
            if value.dtype.is_floating_point:
                value = value.where(value.abs() >= torch.finfo(value.dtype).tiny, 0.0).where(~value.isnan(), value)
            found[v.id] = value
        return {i: value for i, value in found.items() if not _finite(value)}

    def _belongs(self, node: Value, gate: str) -> bool:
        n = named_values(self.cell)
        ends = [v[gate] for v in (n.pre_activations, n.gates) if gate in v]
        return any(node.id == v.id for e in ends for v in needed([e]) if v.op not in ("x", "state"))

    def backward(
        self, piece: Piece, d_output: Tensor | None, d_finals: Gradients, d_histories: Gradients, found: Recorded
    ) -> None:
        (dx, d_states, d_weights), adjoints, sent = found
        arriving = [t for t in (d_output, *d_histories) if t is not None]
        if all(_finite(t) for t in (*adjoints, *arriving, *d_states, *d_weights, *([] if dx is None else [dx]))):
            return
        for state, d in zip(self.cell.states, d_finals):
            if d is not None and not _finite(d) and all(_finite(t) for t in arriving):
                row = int(torch.nonzero(~d.isfinite().all(1))[0])
                what = f"the gradient that arrives at the final state {state} is {_kind(d)}, row {row}"
                raise self._error("backward", what, "arrives")
        flat = [t.flatten(0, -2) for t in (*adjoints, *arriving, *sent.values())]
        if all(_finite(t) for t in flat):
            raise self._error("backward", f"the gradient of {self._weight(d_weights)}, summed over steps", "gradient")
        line = self._first(piece, flat, last=not self.reverse)
        at = self._place(piece, line)
        for t in arriving:
            if not _finite(t.flatten(0, -2)[line]):
                what = f"the gradient that arrives at the output is {_kind(t.flatten(0, -2)[line])} {at}"
                raise self._error("backward", what, "arrives")
        for state, a in zip(self.cell.states, adjoints):
            if not _finite(a.flatten(0, -2)[line]):
                what = f"the gradient of the state {state} becomes {_kind(a.flatten(0, -2)[line])} {at}"
                raise self._error("backward", what, "gradient")
        (letter, gate), d = next((k, d) for k, d in sent.items() if not _finite(d.flatten(0, -2)[line]))
        what = f"the gradient of gate {gate} ({letter}.{gate}) becomes {_kind(d.flatten(0, -2)[line])} {at}"
        raise self._error("backward", what, "gradient")

    def _error(self, way: str, what: str, helps: str) -> AnomalyError:
        return AnomalyError(f"{way}, {self.where}: {what}. {_HELPS.get(helps, _GROWS)}")

    def _weight(self, weights: Sequence[Tensor]) -> str:
        """The first of some weights that is not finite, with its gate; "" if there is none."""
        rest = iter(weights)
        for letter in self.cell.letters:
            gates = self.cell.gates[letter]
            if letter == "p":
                parts = [(g, next(rest), f"p.{g}") for g in gates]
            else:
                parts = [(g, t, PARAMETER[letter]) for g, t in zip(gates, next(rest).chunk(len(gates)))]
            for gate, t, name in parts:
                if not _finite(t):
                    return f"{name} of gate {gate} ({_kind(t)})"
        return ""

    def _first(self, piece: Piece, every: Sequence[Tensor], last: bool) -> int:
        """The line of the first step in the order of work, or the last one, at which one of `every` is not finite."""
        bad = torch.stack([~t.isfinite().all(1) for t in every]).any(0).cpu()
        lines, base = torch.nonzero(bad)[:, 0], self.layout.step_offsets[piece.first]
        if not last:
            return int(lines[0])
        ends = torch.tensor(self.layout.step_offsets, device="cpu") - base
        begin = int(ends[torch.searchsorted(ends, lines[-1], right=True) - 1])
        return int(lines[lines >= begin][0])

    def _place(self, piece: Piece, line: int) -> str:
        step, row = torch.nonzero(self.layout.x_index == line + self.layout.step_offsets[piece.first])[0].tolist()
        return f"at step {step}, row {row}"


def _finite(t: Tensor) -> bool:
    """Whether all is finite: a sum is NaN or infinite if a term is, and is looked into only then."""
    return bool(t.sum().isfinite()) or bool(t.isfinite().all())


def _subnormal(t: Tensor) -> bool:
    return bool(((t != 0) & (t.abs() < torch.finfo(t.dtype).tiny)).any())


def _kind(t: Tensor) -> str:
    return "NaN" if bool(t.isnan().any()) else "infinite"
