"""`detect_anomaly`: locates the first NaN or infinity, in one sentence.

Letters: T steps, B rows of the batch, R packed rows of a piece (one for each step of each row), H units.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..cells.cell import PARAMETER
from ..cells.text import expression, is_short
from ..cells.value import Value
from ..errors import AnomalyError, InputError, phrase
from ..execution.interception import observed
from ..execution.observer import SequenceObserver, SequenceRecord
from ..layers.base import Layer
from ..ragged.batch import Batch
from ..sequence import RecordedGradients, Upstream
from .capture.call_layout import CallLayout
from .capture.cell_recipe import cell_recipe
from .capture.evaluate import evaluate, needed
from .capture.module_names import modules_by_name
from .capture.piece_view import PieceView

_GROWS = (
    'Values grow from step to step: init="orthogonal", smaller weights, a bounded activation or a lower learning rate '
    "usually helps."
)
_REMEDIES = {
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


@dataclass(frozen=True, slots=True)
class _Where:
    """One layer and direction of a call, as a sentence names it."""

    layer: str
    """The layer's name and class."""
    depth: int
    """Which of its L layers."""
    reverse: bool
    """True for the second direction."""

    def __str__(self) -> str:
        direction = "second direction" if self.reverse else "first direction"
        return f"{self.layer}, layer {self.depth}, {direction}"


@contextmanager
def detect_anomaly(model: nn.Module | None = None) -> Iterator[None]:
    """Inside, the first NaN or infinity in a recurrent layer raises AnomalyError, whose message says where it began.

        with ostinato.detect_anomaly(model):
            loss = criterion(model(x), y)
            loss.backward()

    model  gives the layers their names in the message; without it they go by their class

    Forward: an output or a state that is not finite is traced back, within the first step at which one appears, to x
    [T, B, C], the weights, the state before the step, or the operation that computes it from finite numbers. Backward:
    the gradient of each state at each step, the last step first. The message names step and row (counted from 0, as in
    x), layer, direction and gate, and a remedy. Steps past a row's length are not checked.

    Cost while nothing is wrong: values and gradients of all steps are written out and added up once; results keep their
    bits. A call that is not executed by the kernels or the reference of this package (tracers, torch.func, other
    devices) cannot be checked, which a warning says. Raises InputError for a model that is no module.
    """
    given: object = model
    if given is not None and not isinstance(given, nn.Module):
        remedy = "Give the model, or nothing."
        raise InputError(phrase("detect_anomaly", "model", "a torch module", type(given).__name__, remedy))
    names = {} if model is None else {id(m): n for n, m in modules_by_name(model) if isinstance(m, Layer) and n}
    locators = _Locators(names)
    try:
        with observed(locators.observe):
            yield
    finally:
        for locator in locators.made:
            locator.active = False


class _Locators:
    """Observes every call of every layer."""

    def __init__(self, names: dict[int, str]) -> None:
        self.names = names
        self.made: list[AnomalyLocator] = []

    def observe(self, layer: Layer, batch: Batch) -> Callable[[int, int], SequenceObserver]:
        layout, kind = CallLayout(batch), type(layer).__name__
        name = f"{self.names[id(layer)]} ({kind})" if id(layer) in self.names else kind

        def observer(depth: int, direction: int) -> SequenceObserver:
            locator = AnomalyLocator(layer, layout, _Where(name, depth, direction == 1))
            self.made.append(locator)
            return locator

        return observer


class AnomalyLocator:
    """Locates the first value that is not finite in one layer and direction of one call; a `SequenceObserver`."""

    def __init__(self, layer: Layer, layout: CallLayout, where: _Where) -> None:
        self.recipe = cell_recipe(layer.cell)
        self.cell, self.named = self.recipe.cell, self.recipe.named
        self.layout, self.reverse, self.where = layout, where.reverse, where
        self.active = True
        """Whether it still observes; part of the protocol."""

    def not_observed(self, why: str) -> None:
        """The call is executed in a way that cannot be observed."""
        warnings.warn(f"detect_anomaly: {self.where} was not looked at: {why}.", stacklevel=2)

    def forward(self, piece: SequenceRecord) -> None:
        """Raises AnomalyError where a value of the piece is not finite."""
        # x too: saturated gates turn an infinite x into finite values, and their weights' gradients into NaN.
        tensors = [t.flatten(0, -2) for t in (piece.output, *piece.histories, piece.x)]
        if all(_finite(t) for t in tensors):
            return
        row = self._first_row(piece, tensors, last=self.reverse)
        at, x = self._position(piece, row), tensors[-1][row : row + 1]
        weight = self._weight(piece.weights)
        if weight:
            raise self._error("forward", f"{weight} is not finite", "weight")
        if not _finite(x):
            raise self._error("forward", f"x is {_kind(x)} {at}", "x")
        view = PieceView(self.recipe, self.layout, piece)
        before = [view.state_before(k)[row : row + 1] for k in range(len(self.cell.states))]
        for state, value in zip(self.cell.states, before):
            if not _finite(value):
                raise self._error(
                    "forward", f"the state {state} is {_kind(value)} before its first step, {at}", "state"
                )
        what, remedy = self._operation(view, x, before)
        raise self._error("forward", f"{what} {at}, from finite values", remedy)

    def _operation(self, view: PieceView, x: Tensor, before: Sequence[Tensor]) -> tuple[str, str]:
        """(the operation whose result is infinite or NaN for finite operands, the key of the remedy).

        x, before  the input [1, C] and the states [1, H] of one packed row
        """
        n, weights = self.named, view.piece.weights
        roots = [n.trace.output, *n.trace.next_states]
        nodes = needed(roots)
        values = evaluate(self.cell, weights, x, before, nodes)
        bad = {v.id: value for v, value in zip(nodes, values) if not _finite(value)}
        node, flushed = next((v for v in roots if v.id in bad), None), False
        if node is None:
            bad, flushed = self._bad_when_flushed(weights, x, before, nodes), True
            node = next((v for v in roots if v.id in bad), None)
        if node is None:  # at the limit of the number type: torch's rounding stays finite
            return "the new state overflows", ""
        while inside := [a for a in node.args if a.id in bad]:
            node = inside[0]
        names = {i: text for i, text in n.names.items() if i != node.id}
        if not is_short(node, names):
            names = {**{a.id: "…" for a in node.args if a.args}, **names}
        gate = self._gate(node)
        state = next((s for s, v in zip(self.cell.states, n.trace.next_states) if v.id == node.id), None)
        role = f"gate {gate}" if gate else f"the new state {state}" if state else "the step"
        return f"{role}, {expression(node, names)}, becomes {_kind(bad[node.id])}", self._remedy(view, node, flushed)

    def _remedy(self, view: PieceView, node: Value, flushed: bool) -> str:
        """The key of the remedy for an operation, with subnormal numbers flushed in its step alone, or without."""
        if flushed or node.op not in ("div", "log"):
            return "flushed" if flushed else node.op
        # An operand of 0 may come from an earlier step, whose new state was flushed.
        piece, before = view.piece, [view.state_before(k) for k in range(len(self.cell.states))]
        new = evaluate(self.cell, piece.weights, piece.x.flatten(0, -2), before, self.named.trace.next_states)
        return "flushed" if any(_subnormal(v) for v in new) else node.op

    def _bad_when_flushed(
        self, weights: Sequence[Tensor], x: Tensor, before: Sequence[Tensor], nodes: Sequence[Value]
    ) -> dict[int, Tensor]:
        """node.id → its value in one packed row, where it is not finite when every subnormal number counts as 0."""
        values: dict[int, Tensor] = {}
        for v in nodes:
            (value,) = evaluate(self.cell, weights, x, before, [v], values)
            if value.dtype.is_floating_point:
                value = value.where(value.abs() >= torch.finfo(value.dtype).tiny, 0.0).where(~value.isnan(), value)
            values[v.id] = value
        return {i: value for i, value in values.items() if not _finite(value)}

    def _gate(self, node: Value) -> str | None:
        """The first gate whose pre-activation or activation depends on the node."""
        n = self.named
        dependent = {node.id} if node.op not in ("x", "state") else set()
        for v in n.trace.graph.nodes:
            if any(a.id in dependent for a in v.args):
                dependent.add(v.id)
        ends = [n.pre_activations, n.gates]
        return next((g for g in self.cell.trace.order if any(g in v and v[g].id in dependent for v in ends)), None)

    def probe(self, piece: SequenceRecord, upstream: Upstream) -> None:
        """Sends no other gradients through a piece."""

    def on_block(self, piece: SequenceRecord) -> None:
        """Has the gradients of products recorded."""

    def backward(self, piece: SequenceRecord, upstream: Upstream, recorded: RecordedGradients) -> None:
        """Raises AnomalyError where a gradient of the piece is not finite."""
        gradients, adjoints, gate_gradients = recorded.gradients, recorded.adjoints, recorded.products
        entering = [t for t in (upstream.output, *upstream.histories) if t is not None]
        leaving = [*gradients.states, *gradients.weights, *([] if gradients.x is None else [gradients.x])]
        if all(_finite(t) for t in (*adjoints, *entering, *leaving)):
            return
        for state, d in zip(self.cell.states, upstream.final_states):
            if d is not None and not _finite(d) and all(_finite(t) for t in entering):
                row = int(torch.nonzero(~d.isfinite().all(1))[0])
                what = f"the gradient that arrives at the final state {state} is {_kind(d)}, row {row}"
                raise self._error("backward", what, "arrives")
        tensors = [t.flatten(0, -2) for t in (*adjoints, *entering, *gate_gradients.values())]
        if all(_finite(t) for t in tensors):
            raise self._error(
                "backward", f"the gradient of {self._weight(gradients.weights)}, summed over steps", "gradient"
            )
        row = self._first_row(piece, tensors, last=not self.reverse)
        at, of_states, of_output = self._position(piece, row), len(adjoints), len(adjoints) + len(entering)
        values = [t[row] for t in tensors]
        for value in values[of_states:of_output]:
            if not _finite(value):
                raise self._error(
                    "backward", f"the gradient that arrives at the output is {_kind(value)} {at}", "arrives"
                )
        for state, value in zip(self.cell.states, values):
            if not _finite(value):
                raise self._error(
                    "backward", f"the gradient of the state {state} becomes {_kind(value)} {at}", "gradient"
                )
        of_gates = zip(gate_gradients, values[of_output:])
        (letter, gate), value = next((key, value) for key, value in of_gates if not _finite(value))
        what = f"the gradient of gate {gate} ({letter}.{gate}) becomes {_kind(value)} {at}"
        raise self._error("backward", what, "gradient")

    def _error(self, direction: str, what: str, remedy: str) -> AnomalyError:
        return AnomalyError(f"{direction}, {self.where}: {what}. {_REMEDIES.get(remedy, _GROWS)}")

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

    def _first_row(self, piece: SequenceRecord, tensors: Sequence[Tensor], last: bool) -> int:
        """The first packed row of the first step, or with `last` of the last one, at which a tensor is not finite."""
        bad = torch.stack([~t.isfinite().all(1) for t in tensors]).any(0).cpu()
        rows, base = torch.nonzero(bad)[:, 0], self.layout.step_offsets[piece.first]
        if not last:
            return int(rows[0])
        offsets = torch.tensor([*self.layout.step_offsets], device="cpu") - base
        begin = int(offsets[torch.searchsorted(offsets, rows[-1], right=True) - 1])
        return int(rows[rows >= begin][0])

    def _position(self, piece: SequenceRecord, row: int) -> str:
        at = row + self.layout.step_offsets[piece.first]
        step, row_of_x = torch.nonzero(self.layout.x_index == at)[0].tolist()
        return f"at step {step}, row {row_of_x}"


def _finite(t: Tensor) -> bool:
    """Whether all numbers are finite. A sum is NaN or infinite if a term is: only then every number is checked."""
    return bool(t.sum().isfinite()) or bool(t.isfinite().all())


def _subnormal(t: Tensor) -> bool:
    return bool(((t != 0) & (t.abs() < torch.finfo(t.dtype).tiny)).any())


def _kind(t: Tensor) -> str:
    return "NaN" if bool(t.isnan().any()) else "infinite"
