"""From what was taken while looking on to the record of a layer.

Letters: T steps and B rows of a call's x, N runs, R lines, K lags, M lines of a sample, H units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cells.cell import PARAMETER
from ..cells.operations import OPERATIONS
from .nodes import carry, named
from .onlooker import Looking, Taken
from .record import (
    LEVELS,
    Carry,
    Gate,
    GradientCurve,
    LayerReport,
    Probe,
    StateHealth,
    WeightGradients,
    quantiles,
)

_BINS = 20
SAMPLE_PER_STEP = 128
"""How many values of a step at about most its quantiles are taken from."""


@dataclass(frozen=True)
class Seen:
    """An onlooker, and what it looks on at."""

    looking: Looking
    module: str
    kind: str
    depth: int
    call: int
    training: bool
    parameters: tuple[str, ...]
    again: bool = False
    """Whether a backward pass made the call, as a checkpoint does that runs what it did not keep once more."""


def summary(seen: Seen) -> LayerReport:
    """The record of one layer and direction of one call."""
    looking, layout = seen.looking, seen.looking.layout
    pieces = [looking.pieces[k] for k in sorted(looking.pieces)]
    measured = bool(looking.passes) and bool(pieces)
    steps, rows = layout.grid.shape
    width = pieces[0].states[0][1].shape[-1] if pieces else 0
    return LayerReport(
        seen.module,
        seen.kind,
        looking.cell.name,
        seen.depth,
        looking.reverse,
        seen.call,
        seen.training,
        steps,
        rows,
        width,
        layout.lengths,
        _gradient(looking, pieces) if measured else None,
        "" if measured else looking.absent,
        _probe(looking, pieces) if measured else None,
        _carries(looking, pieces),
        _gates(looking, pieces),
        _health(looking, pieces),
        _weights(seen, pieces) if measured else (),
    )


def _joined(parts: list[Tensor]) -> Tensor:
    return torch.cat([p.to("cpu", torch.float64) for p in parts])


def _gradient(looking: Looking, pieces: list[Taken]) -> GradientCurve:
    norms, low = [], []
    tiny = torch.finfo(pieces[0].gradients[0][1].dtype).tiny
    for k in range(len(looking.cell.states)):
        norms.append(looking.layout.in_x(_joined([p.gradients[k][0] for p in pieces])))
        low.append((_joined([p.gradients[k][1] for p in pieces]).abs() < tiny).double().mean())
    curve = torch.stack(norms)
    bad = (~curve.isfinite() & (looking.layout.grid >= 0)).any(2).any(0)
    worst = int(torch.nonzero(bad)[0 if looking.reverse else -1]) if bad.any() else None
    return GradientCurve(looking.cell.states, curve, torch.stack(low), looking.passes, worst)


def _probe(looking: Looking, pieces: list[Taken]) -> Probe:
    def by_lag(parts: list[Tensor]) -> Tensor:
        return looking.layout.by_lag(_joined(parts), looking.reverse)

    states = range(len(looking.cell.states))
    whole = torch.stack([by_lag([p.probe[k] for p in pieces]) for k in states])
    additive = torch.stack([by_lag([p.additive[k] for p in pieces]) for k in states])
    return Probe(looking.cell.states, whole, additive)


def _carries(looking: Looking, pieces: list[Taken]) -> tuple[Carry, ...]:
    found = []
    texts = carry(looking.cell)
    lengths = looking.layout.lengths[looking.runs] if looking.layout.lengths.numel() else looking.layout.lengths
    for k, state in enumerate(looking.cell.states):
        if not pieces or state not in pieces[0].carries:
            width = pieces[0].states[k][1].shape[-1] if pieces else 0
            lags = torch.arange(len(looking.layout.lines), device="cpu")[:, None]
            forgotten = (lags == 0).double().expand(-1, width)
            found.append(Carry(state, texts[state], torch.zeros(width, dtype=torch.float64, device="cpu"), forgotten))
            continue
        mean = _joined([p.carries[state][0] for p in pieces]).mean(0)
        values = _joined([p.carries[state][1] for p in pieces])
        found.append(Carry(state, texts[state], mean, _retention(values, lengths, looking.reverse)))
    return tuple(found)


def _retention(values: Tensor, lengths: Tensor, reverse: bool) -> Tensor:
    """carry [S, n, H] of some runs → R(k) [K, H]: the state k steps before the last one, in what is left of it."""
    steps = len(values)
    k = torch.arange(steps, device="cpu")[:, None]
    at = k.expand(-1, len(lengths)) if reverse else lengths - 1 - k
    there = (at >= 0) & (at < lengths)
    logs = values.abs().log().gather(0, at.clamp(0, max(0, steps - 1))[..., None].expand_as(values))
    count = there.sum(1)[:, None]
    mean = torch.where(there[..., None], logs, 0.0).sum(1) / count.clamp(min=1)
    total = torch.where(count > 0, mean, math.nan).cumsum(0)
    return torch.cat([torch.ones_like(total[:1]), total[:-1].exp()])


def _gates(looking: Looking, pieces: list[Taken]) -> tuple[Gate, ...]:
    found = []
    for name, node in named(looking.cell).gates.items():
        if not pieces:
            break
        sample = _joined([p.gates[name][0] for p in pieces])
        row = OPERATIONS[node.op]
        low_share = high_share = torch.full_like(sample[0], math.nan)
        if row.saturated is not None:
            low_share, high_share = (end.double().mean(0) for end in row.saturated(sample))
        slope = math.nan if row.slope is None else float(row.slope(sample).square().mean())
        over_time = _over_time(pieces, name)
        units = over_time.shape[2]
        few = over_time[..., :: max(1, units * over_time.shape[1] // SAMPLE_PER_STEP)].flatten(1)
        edges, shares = _histogram(sample, *row.range or (None, None))
        found.append(
            Gate(
                name,
                node.op,
                sample.mean(0),
                low_share,
                high_share,
                slope,
                over_time.flatten(1).nanmean(1),
                quantiles(few, LEVELS),
                edges,
                shares,
            )
        )
    return tuple(found)


def _over_time(pieces: list[Taken], gate: str) -> Tensor:
    """[T, n, H], a gate's values in the sampled rows; NaN past a row's end."""
    inside = pieces[0].inside
    whole = torch.full((*inside.shape, pieces[0].gates[gate][1].shape[-1]), math.nan, dtype=torch.float64, device="cpu")
    for p in pieces:
        whole[p.inside] = p.gates[gate][1].to("cpu", torch.float64)
    return whole


def _histogram(sample: Tensor, low: float | None = None, high: float | None = None) -> tuple[Tensor, Tensor]:
    known = sample[sample.isfinite()]
    low = (float(known.min()) if len(known) else 0.0) if low is None else low
    high = (float(known.max()) if len(known) else 1.0) if high is None else high
    high = high if high > low else low + 1.0
    counts = torch.histc(known, _BINS, low, high)
    return torch.linspace(low, high, _BINS + 1, dtype=torch.float64, device="cpu"), counts / max(1, len(known))


def _health(looking: Looking, pieces: list[Taken]) -> tuple[StateHealth, ...]:
    found = []
    for k, state in enumerate(looking.cell.states):
        if not pieces:
            break
        tiny = torch.finfo(pieces[0].states[k][1].dtype).tiny
        squares, bad = _squares(looking, k, pieces)
        sample = _joined([p.states[k][1] for p in pieces])
        first = int(torch.nonzero(bad)[-1 if looking.reverse else 0]) if bad.any() else None
        small = ((sample != 0) & (sample.abs() < tiny)).double().mean()
        found.append(StateHealth(state, squares.sqrt(), sample.std(0, correction=0), float(small), first))
    return tuple(found)


def _squares(looking: Looking, k: int, pieces: list[Taken]) -> tuple[Tensor, Tensor]:
    """(mean square of a state over batch and units [T], bool [T]: where it is not finite); NaN where no row has it."""
    layout, units = looking.layout, pieces[0].states[k][1].shape[-1]
    found = _joined([p.states[k][0] for p in pieces]).square()
    if layout.dense:
        return found / (units * layout.grid.shape[1]), ~found.isfinite()
    there = layout.grid >= 0
    whole = layout.in_x(found, 0.0).sum(1)
    return whole / (units * there.sum(1)), ~whole.isfinite()


def _weights(seen: Seen, pieces: list[Taken]) -> tuple[WeightGradients, ...]:
    steps, found = seen.looking.layout.grid.shape[0], []
    for letter in pieces[0].weights:
        start = PARAMETER[letter]
        name = next(p for p in seen.parameters if p.startswith(start))
        norms = _joined([p.weights[letter] for p in pieces])
        norms = torch.cat([norms, norms.new_zeros(steps - len(norms))])
        found.append(WeightGradients(f"{seen.module}.{name}".removeprefix("."), norms))
    return tuple(found)
