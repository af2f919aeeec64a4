"""Several cells, several seeds, the same rows: one table, baselines first, and paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from ...errors import InputError, phrase
from ..commands.closing import text_table
from ..data.findings import many
from ..data.found import read_data
from ..options import TrainOptions
from ..tasks.metric_names import title_of
from ..tasks.own_options import refuse_foreign_options
from ..tasks.registry import task_named
from ..tasks.task import Metric, Predictions
from ..training.devices import check_device
from ..training.evaluate import predict
from ..training.fit import Surroundings, fit
from ..training.seeds import new_network
from .clock import seconds_since_start
from .judge import Judged, fit_baselines
from .outcome import Scored, interval_of, shown, signed
from .prepare import Prepared, prepare
from .progress import Progress
from .train import begin_from, with_cell

WHERE = "ostinato compare"


@dataclass(frozen=True)
class CellRuns:
    """The runs of one cell."""

    cell: str
    scored: Sequence[Scored]
    """One for each seed."""
    predictions: Sequence[Predictions]
    parameters: int


@dataclass(frozen=True)
class Compared:
    """The table of a comparison."""

    because: str
    baselines: Sequence[Scored]
    cells: Sequence[CellRuns]
    differences: Sequence[str]
    """The best cell against the best baseline, neighbouring cells in the order of their metrics, and what counts."""
    n: int

    def text(self) -> str:
        """The table, baselines first, and the differences."""
        name = self.cells[0].scored[0].metric.name
        rows = [[b.name, interval_of(b.metric), "", ""] for b in self.baselines]
        for runs in self.cells:
            values = [s.metric.value for s in runs.scored]
            if len(values) == 1:
                said = interval_of(runs.scored[0].metric)
            else:
                spread = stdev(values)
                said = f"{shown(name, mean(values))} ± {signed(name, spread).lstrip('+')}"
            seconds = mean(s.seconds for s in runs.scored)
            rows.append([runs.cell, said, f"{runs.parameters:,}", f"{seconds:.0f}"])
        table = text_table(["model", f"{title_of(name)} on {many(self.n, 'test row')}", "weights", "seconds"], rows)
        return "\n\n".join([self.because, table, *self.differences])

    def content(self) -> dict[str, Any]:
        """The same for --json."""
        name = self.cells[0].scored[0].metric.name
        return {
            "because": self.because,
            "metric": name,
            "n": self.n,
            "baselines": {b.name: _interval(b) for b in self.baselines},
            "cells": {r.cell: {"runs": [_interval(s) for s in r.scored], "weights": r.parameters} for r in self.cells},
            "differences": list(self.differences),
        }


def compare(options: TrainOptions, cells: Sequence[str], seeds: int, progress: Progress) -> Compared:
    """Trains every cell with every seed; the time is divided evenly among the runs."""
    if not cells or seeds < 1:
        received = f"{len(cells)} cells and {seeds} seeds"
        raise InputError(phrase(WHERE, "--cells and --seeds", "at least one of each", received))
    data = read_data(options.data)
    options = options.for_task(task_named(data.dataset.task).defaults)
    refuse_foreign_options(options, data.dataset.task, WHERE)
    check_device(options.fit.device, WHERE)
    named = [with_cell(options.but(cell=cell), typed=True) for cell in cells]
    texts = [cell.text for _, cell in named]
    twice = [cell for place, cell in enumerate(cells) if texts[place] in texts[:place]]
    if twice:
        received = f"{twice[0]}, which has the equations of one before it"
        raise InputError(phrase(WHERE, "--cells", "different cells", received, "Leave it out; --seeds 3 repeats runs."))
    progress.say(data.dataset.because)
    prepared = prepare(data, options.network, WHERE)
    if not len(prepared.test):
        raise InputError(phrase(WHERE, "the test part", "at least one row", "none", "Raise --test-share."))
    bounded = options.fit.updates is None
    limit = 60 * options.fit.minutes

    def enough() -> bool:
        return bounded and seconds_since_start() > 0.3 * limit

    rows = prepared.train.examples, prepared.test
    baselines = fit_baselines(prepared.task, *rows, seconds_since_start, enough) if options.run.baselines else []
    found, left = [], len(named) * seeds
    for own, cell in named:
        runs: list[tuple[Scored, Predictions]] = []
        for seed in range(seeds):
            end = seconds_since_start() + max(1.0, (limit - seconds_since_start()) / left)
            runs.append(_one(own.but(seed=options.fit.seed + seed), prepared, end, cell.name))
            left -= 1
            progress.say(f"{cell.name}, seed {options.fit.seed + seed}: {interval_of(runs[-1][0].metric)}")
        parameters = sum(p.numel() for p in prepared.task.network(own.network).parameters())
        found.append(CellRuns(cell.name, [s for s, _ in runs], [p for _, p in runs], parameters))
    differences = _differences(prepared, found, baselines)
    return Compared(data.dataset.because, [b.scored for b in baselines], found, differences, len(prepared.test))


def _one(options: TrainOptions, prepared: Prepared, end: float, name: str) -> tuple[Scored, Predictions]:
    """One run until the moment `end` of the command."""
    began = seconds_since_start()
    task = prepared.task
    network = new_network(task, options.network, options.fit.seed)
    begin_from(options.run.from_model, network, prepared)
    left = Surroundings(clock=seconds_since_start, seconds_left=lambda: end - seconds_since_start())
    fit(task, network, prepared.train, prepared.valid, options.fit, left)
    predictions, _ = predict(task, network, task.encode(prepared.test), options.fit.device)
    return Scored(name, task.metrics(prepared.test, predictions), seconds=seconds_since_start() - began), predictions


def _differences(prepared: Prepared, cells: Sequence[CellRuns], baselines: Sequence[Judged]) -> list[str]:
    """The best cell against the best baseline, then each cell against the next worse one, and what is counted."""
    sign = 1 if cells[0].scored[0].metric.higher_is_better else -1
    order = sorted(cells, key=lambda r: -sign * mean(s.metric.value for s in r.scored))
    said, known = [], False
    if baselines:
        best = max(baselines, key=lambda b: sign * b.scored.metric.value)
        gain = prepared.task.gain_of_runs(prepared.test, order[0].predictions, [best.predictions])
        known = not math.isnan(gain.low)
        said.append(_sentence(prepared, order[0].cell, f"the best baseline, {best.scored.name}", gain))
    for better, worse in zip(order, order[1:]):
        gain = prepared.task.gain_of_runs(prepared.test, better.predictions, worse.predictions)
        known = known or not math.isnan(gain.low)
        said.append(_sentence(prepared, better.cell, worse.cell, gain))
    return [*said, _counted(len(order[0].scored))] if known else said


def _sentence(prepared: Prepared, ours: str, theirs: str, gain: Metric) -> str:
    """How much better one model is than another, and whether that is certain."""
    name = prepared.task.metric
    if math.isnan(gain.low):
        return f"{ours} minus {theirs}: {signed(name, gain.value)}; the test rows are too few for an interval."
    certain = "is better than" if gain.low > 0 else "is worse than" if gain.high < 0 else "is not certainly better than"
    interval = f"95 % interval {signed(name, gain.low)} to {signed(name, gain.high)}"
    return f"{ours} {certain} {theirs}: {signed(name, gain.value)} ({interval}, paired by row)."


def _counted(seeds: int) -> str:
    """What the intervals of the differences are for."""
    if seeds == 1:
        return (
            "The intervals count how much the differences vary over test rows. --seeds 3 also counts how much they "
            "vary over runs of one cell."
        )
    return (
        f"The intervals count how much the differences vary over test rows and over {seeds} runs of each cell; they do "
        "not count how much they vary over training rows."
    )


def _interval(scored: Scored) -> dict[str, float]:
    metric = scored.metric
    return {"value": metric.value, "low": metric.low, "high": metric.high}
