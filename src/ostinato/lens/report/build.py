"""Builds the report: from what observers sampled and the optimiser monitor measured to its records.

Letters: T steps and B rows of a call's x, N segments, R packed rows, K lags, M packed rows of a sample, n sampled
segments or rows, H units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...cells.cell import PARAMETER
from ...cells.operations import OPERATIONS
from ..capture.layer_observer import LayerObserver
from ..capture.named_values import carry
from ..capture.optimizer_monitor import OptimizerMonitor
from ..capture.samples import Samples
from .data import LayerReport
from .gradients import GradientCurve, Probe, WeightGradients
from .states import Carry, Gate, StateHealth
from .statistics import LEVELS, quantiles
from .training import Clipping, WeightReport

_BINS = 20
MOST_PER_STEP = 128
"""How many values of a step at about most its quantiles are taken from."""


@dataclass(frozen=True, slots=True)
class ObservedCall:
    """One layer and direction of a call, and its observer."""

    observer: LayerObserver
    module: str
    """The layer's name in the model."""
    kind: str
    """Its class."""
    depth: int
    """Which of its L layers."""
    call: int
    """Which call of the module within the watched step."""
    training: bool
    """Whether the module was in training mode."""
    parameters: tuple[str, ...]
    """The names of this layer's and direction's parameters."""
    is_recomputation: bool = False
    """True for a recomputation inside backward (activation checkpointing)."""


def layer_report(observed: ObservedCall) -> LayerReport:
    """The report of one layer and direction of one call."""
    observer, layout = observed.observer, observed.observer.layout
    pieces = [observer.pieces[k].complete() for k in sorted(observer.pieces)]
    measured = bool(observer.passes) and bool(pieces)
    steps, rows = layout.x_index.shape
    return LayerReport(
        module=observed.module,
        kind=observed.kind,
        cell=observer.recipe.cell.name,
        depth=observed.depth,
        reverse=observer.reverse,
        call=observed.call,
        training=observed.training,
        steps=steps,
        rows=rows,
        units=pieces[0].states[0][1].shape[-1] if pieces else 0,
        lengths_steps=layout.lengths,
        gradient=_gradient(observer, pieces) if measured else None,
        gradient_absent="" if measured else observer.absent,
        probe=_probe(observer, pieces) if measured else None,
        carries=_carries(observer, pieces),
        gates=_gates(observer, pieces),
        health=_health(observer, pieces),
        weight_gradients=_weight_gradients(observed, pieces) if measured else (),
    )


def weight_reports(monitor: OptimizerMonitor) -> tuple[WeightReport, ...]:
    """Every parameter of the recurrent layers, in their order, gate by gate."""
    reports = []
    for p in monitor.recurrent:
        norms = p.norms()
        for k, gate in enumerate(p.gates):
            gradient = None if p.gradient is None else p.gradient[k]
            update = None if p.update is None else p.update[k]
            reports.append(WeightReport(p.name, gate, norms[k], gradient, update))
    return tuple(reports)


def clipping_report(monitor: OptimizerMonitor) -> Clipping:
    """The norm of all gradients at each step of an optimiser."""
    return Clipping(tuple(monitor.norms_before), tuple(monitor.norms_after), monitor.largest_norm())


def _concatenated(parts: Sequence[Tensor]) -> Tensor:
    """The parts of all pieces, on the CPU in float64."""
    return torch.cat([p.to("cpu", torch.float64) for p in parts])


def _gradient(observer: LayerObserver, pieces: list[Samples]) -> GradientCurve:
    layout, states = observer.layout, observer.recipe.states
    norms, underflowed = [], []
    tiny = torch.finfo(pieces[0].gradients[0][1].dtype).tiny
    for k in range(len(states)):
        norms.append(layout.in_x(_concatenated([p.gradients[k][0] for p in pieces])))
        spread = _concatenated([p.gradients[k][1] for p in pieces])
        underflowed.append((spread.abs() < tiny).double().mean())
    curve = torch.stack(norms)
    bad = (~curve.isfinite() & (layout.x_index >= 0)).any(2).any(0)
    worst = int(torch.nonzero(bad)[0 if observer.reverse else -1]) if bad.any() else None
    return GradientCurve(states, curve, torch.stack(underflowed), observer.passes, worst)


def _probe(observer: LayerObserver, pieces: list[Samples]) -> Probe:
    def by_lag(parts: list[Tensor]) -> Tensor:
        return observer.layout.by_lag(_concatenated(parts), observer.reverse)

    states = observer.recipe.states
    norms = torch.stack([by_lag([p.probe[k] for p in pieces]) for k in range(len(states))])
    additive = torch.stack([by_lag([p.additive_norms(k) for p in pieces]) for k in range(len(states))])
    return Probe(states, norms, additive)


def _carries(observer: LayerObserver, pieces: list[Samples]) -> tuple[Carry, ...]:
    layout, formulas = observer.layout, carry(observer.recipe.cell)
    lengths = layout.lengths[observer.sampling.segments] if layout.lengths.numel() else layout.lengths
    carries = []
    for k, state in enumerate(observer.recipe.states):
        if not pieces or state not in pieces[0].carries:
            width = pieces[0].states[k][1].shape[-1] if pieces else 0
            lags = torch.arange(len(layout.segment_index), device="cpu")[:, None]
            forgotten = (lags == 0).double().expand(-1, width)
            carries.append(
                Carry(state, formulas[state], torch.zeros(width, dtype=torch.float64, device="cpu"), forgotten)
            )
            continue
        mean = _concatenated([p.carries[state][0] for p in pieces]).mean(0)
        values = _concatenated([p.carries[state][1] for p in pieces])
        carries.append(Carry(state, formulas[state], mean, _retention(values, lengths, observer.reverse)))
    return tuple(carries)


def _retention(values: Tensor, lengths: Tensor, reverse: bool) -> Tensor:
    """Carry [S, n, H] of some segments → R(k) [K, H], the share of the state k steps before the last that is left."""
    steps = len(values)
    k = torch.arange(steps, device="cpu")[:, None]
    at = k.expand(-1, len(lengths)) if reverse else lengths - 1 - k
    inside = (at >= 0) & (at < lengths)
    logs = values.abs().log().gather(0, at.clamp(0, max(0, steps - 1))[..., None].expand_as(values))
    count = inside.sum(1)[:, None]
    mean = torch.where(inside[..., None], logs, 0.0).sum(1) / count.clamp(min=1)
    total = torch.where(count > 0, mean, math.nan).cumsum(0)
    return torch.cat([torch.ones_like(total[:1]), total[:-1].exp()])


def _gates(observer: LayerObserver, pieces: list[Samples]) -> tuple[Gate, ...]:
    if not pieces:
        return ()
    return tuple(_gate(name, node.op, pieces) for name, node in observer.recipe.named.gates.items())


def _gate(name: str, activation: str, pieces: list[Samples]) -> Gate:
    row = OPERATIONS[activation]
    sample = _concatenated([p.gates[name][0] for p in pieces])
    low_share = high_share = torch.full_like(sample[0], math.nan)
    if row.saturated is not None:
        low_share, high_share = (end.double().mean(0) for end in row.saturated(sample))
    over_time = _over_time(pieces, name)
    units = over_time.shape[2]
    few = over_time[..., :: max(1, units * over_time.shape[1] // MOST_PER_STEP)].flatten(1)
    edges, shares = _histogram(sample, *(row.range or (None, None)))
    return Gate(
        name=name,
        activation=activation,
        mean_per_unit=sample.mean(0),
        low_share_per_unit=low_share,
        high_share_per_unit=high_share,
        mean_square_slope=math.nan if row.slope is None else float(row.slope(sample).square().mean()),
        mean_per_step=over_time.flatten(1).nanmean(1),
        quantiles_per_step=quantiles(few, LEVELS),
        histogram_edges=edges,
        histogram_shares=shares,
    )


def _over_time(pieces: list[Samples], gate: str) -> Tensor:
    """[T, n, H], a gate's values in the sampled rows; NaN past a row's end."""
    inside = pieces[0].inside
    whole = torch.full((*inside.shape, pieces[0].gates[gate][1].shape[-1]), math.nan, dtype=torch.float64, device="cpu")
    for p in pieces:
        whole[p.inside] = p.gates[gate][1].to("cpu", torch.float64)
    return whole


def _histogram(sample: Tensor, low: float | None, high: float | None) -> tuple[Tensor, Tensor]:
    """(edges, shares) of the finite values, from `low` to `high`, or over their own range."""
    known = sample[sample.isfinite()]
    low = (float(known.min()) if len(known) else 0.0) if low is None else low
    high = (float(known.max()) if len(known) else 1.0) if high is None else high
    high = high if high > low else low + 1.0
    counts = torch.histc(known, _BINS, low, high)
    return torch.linspace(low, high, _BINS + 1, dtype=torch.float64, device="cpu"), counts / max(1, len(known))


def _health(observer: LayerObserver, pieces: list[Samples]) -> tuple[StateHealth, ...]:
    health = []
    for k, state in enumerate(observer.recipe.states if pieces else ()):
        tiny = torch.finfo(pieces[0].states[k][1].dtype).tiny
        squares, bad = _mean_squares(observer, k, pieces)
        sample = _concatenated([p.states[k][1] for p in pieces])
        first = int(torch.nonzero(bad)[-1 if observer.reverse else 0]) if bad.any() else None
        denormal = ((sample != 0) & (sample.abs() < tiny)).double().mean()
        health.append(StateHealth(state, squares.sqrt(), sample.std(0, correction=0), float(denormal), first))
    return tuple(health)


def _mean_squares(observer: LayerObserver, k: int, pieces: list[Samples]) -> tuple[Tensor, Tensor]:
    """(mean square of state k over batch and units [T], bool [T]: where it is not finite); NaN where no row has it."""
    layout, units = observer.layout, pieces[0].states[k][1].shape[-1]
    squares = _concatenated([p.states[k][0] for p in pieces]).square()
    if layout.dense:
        return squares / (units * layout.x_index.shape[1]), ~squares.isfinite()
    inside = layout.x_index >= 0
    whole = layout.in_x(squares, 0.0).sum(1)
    return whole / (units * inside.sum(1)), ~whole.isfinite()


def _weight_gradients(observed: ObservedCall, pieces: list[Samples]) -> tuple[WeightGradients, ...]:
    steps, gradients = observed.observer.layout.x_index.shape[0], []
    for letter in pieces[0].weights:
        start = PARAMETER[letter]
        name = next(p for p in observed.parameters if p.startswith(start))
        norms = _concatenated([p.weights[letter] for p in pieces])
        norms = torch.cat([norms, norms.new_zeros(steps - len(norms))])
        gradients.append(WeightGradients(f"{observed.module}.{name}".removeprefix("."), norms))
    return tuple(gradients)
