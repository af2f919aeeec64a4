"""The tables and the picture of docs/long-lags.md, from the runs that are finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from long_lags_runs import PLAN, Row, Run
from matplotlib.figure import Figure
from report import markdown_table

from ostinato.apps.lab.settings import Variant
from ostinato.apps.problems import TASKS
from ostinato.lens.pictures import draw_lines, figure, label_level, label_lines, styled

LAG = 1_000
"""The lag of the picture, and the shortest of the first table; shorter ones are in the second one alone."""
GATED = ("lstm", "gru")
NAMES = {
    Variant("elman", "torch"): "RNN",
    Variant("elman", "orthogonal"): "RNN, orthogonal U",
    Variant("lstm", "chrono"): "LSTM, chrono",
    Variant("gru", "chrono"): "GRU, chrono",
}
"""The lines of the picture, in the order in which they are drawn."""
CELLS = {"elman": "RNN, tanh", "lstm": "LSTM", "gru": "GRU"}
HEADINGS = ("task, lag", "cell", "first values", "Adam's rate", "budget", "bridged", "after updates", "sequences")


@dataclass(frozen=True)
class Published:
    """A row of the tables of Hochreiter and Schmidhuber 1997.

    sequences  that training took, a mean over the successful trials
    here       the task of the lab, and its lag; None where the lab has no run beside it
    """

    table: str
    task: str
    lag: int
    network: str
    sequences: str
    here: tuple[str, int] | None = None


PUBLISHED = (
    Published("2", "2a", 4, "RTRL", "1,043,000, in 78 % of 18 trials"),
    Published("2", "2a", 10, "RTRL", "none within 5,000,000"),
    Published("2", "2a", 100, "RTRL, BPTT", "none within 5,000,000"),
    Published("2", "2a", 100, "LSTM", "5,040"),
    Published("3", "2c, 50 distractors", 50, "LSTM", "30,000", ("distractors", 52)),
    Published("3", "2c, 1,000 distractors", 1_000, "LSTM", "49,000"),
    Published("3", "2c, 50 distractors", 1_000, "LSTM", "203,000", ("distractors", 1_000)),
    Published("7", "adding", 100, "LSTM", "74,000", ("adding", 100)),
    Published("7", "adding", 1_000, "LSTM", "853,000", ("adding", 1_000)),
    Published("9", "temporal order", 100, "LSTM", "31,390", ("temporal-order", 100)),
)
"""Tables 2, 3, 7 and 9 of the paper; lag is its p, q, T and length."""


def of(runs: Sequence[Run], row: Row) -> list[Run]:
    """The finished runs of a row of the plan, by seed."""
    return sorted((run for run in runs if run.case in row.cases), key=lambda run: run.case.seed)


def outcomes(runs: Sequence[Run], row: Row) -> list[str]:
    """A row of the first table."""
    there = of(runs, row)
    bridged = [run for run in there if run.result.bridged]
    after = ", ".join(f"{run.result.updates:,}" for run in bridged)
    errors = [run.result.error for run in there if not run.result.bridged]
    failed = ", ".join("diverged" if error is None else f"{error:.3g}" for error in errors)
    sequences = f"{median(run.sequences for run in bridged):,.0f}" if bridged else "–"
    return [
        f"{row.task}, {row.lag:,}",
        CELLS[row.cell],
        row.init,
        f"{row.learning_rate:g}",
        f"{row.updates:,} × {row.batch}",
        f"{len(bridged)} of {len(there)}",
        "; error ".join(part for part in (after, failed) if part) if bridged else f"error {failed}",
        sequences,
    ]


def compared(runs: Sequence[Run], published: Published) -> list[str]:
    """A row of the second table: the published figure beside the median of our seeds, for each gated cell."""
    ours = []
    for row in PLAN:
        if (row.task, row.lag) == published.here and row.cell in GATED:
            bridged = [run for run in of(runs, row) if run.result.bridged]
            if bridged:
                ours.append(f"{row.cell.upper()} {median(run.sequences for run in bridged):,.0f}")
    there = [published.network, published.sequences, f"table {published.table}"]
    return [published.task, f"{published.lag:,}", *there, ", ".join(ours) or "–"]


def tables(runs: Sequence[Run], minutes: float) -> dict[str, str]:
    """The tables by the names of their markers; `minutes` of one core is what all runs took together."""
    machines = {", ".join(f"{name} {value}" for name, value in run.machine.items()): None for run in runs}
    first = markdown_table(HEADINGS, [outcomes(runs, row) for row in PLAN if row.lag >= LAG])
    all_of_it = f"All {len(runs)} networks took {minutes:.0f} minutes of one core."
    measured_on = " ".join(f"Measured on {machine}." for machine in machines)
    headings = ("task of 1997", "lag", "network", "sequences", "source", "sequences here, chrono")
    second = markdown_table(headings, [compared(runs, row) for row in PUBLISHED])
    return {
        "long-lags": "\n".join([*first, "", f"{all_of_it} {measured_on}"]),
        "long-lags-1997": "\n".join(second),
    }


def error_at(run: Run, updates: int) -> float:
    """The last error measured until then; before the first measurement, that one."""
    earlier = [error for mark, error in run.curve if mark <= updates]
    return earlier[-1] if earlier else run.curve[0][1]


def curve(runs: Sequence[Run]) -> tuple[list[float], list[float]]:
    """(updates, the median error of the seeds as a share of chance); a run that has ended keeps its last error."""
    marks = sorted({updates for run in runs for updates, _ in run.curve})
    chance = TASKS[runs[0].case.task].chance
    return [float(mark) for mark in marks], [median(error_at(run, mark) for run in runs) / chance for mark in marks]


def lines(runs: Sequence[Run]) -> Mapping[str, Mapping[str, tuple[list[float], list[float]]]]:
    """Task → name of a network → its curve at LAG, of the first row in the plan for each."""
    fields: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for variant, name in NAMES.items():
        for row in PLAN:
            there = of(runs, row)
            if row.lag == LAG and Variant(row.cell, row.init) == variant and there:
                fields.setdefault(row.task, {}).setdefault(name, curve(there))
    return fields


@styled
def picture(runs: Sequence[Run]) -> Figure:
    """The error against updates at LAG, a field for each task, a line for each network, medians over seeds."""
    fields = lines(runs)
    made, every = figure(len(fields), size=(4.4, 3.4))
    for axes, (task, drawn) in zip(every, fields.items(), strict=True):
        draw_lines(axes, drawn)
        axes.axhline(1.0, color="0.45", linewidth=0.8, linestyle=(0, (4, 4)), label="_chance")
        axes.set_xlim(left=0)
        axes.set_ylim(-0.05, 1.25)
        axes.set_title(f"{task}, lag {LAG:,}")
        axes.set_xlabel("updates")
        label_level(axes, 1.0, "chance")
        label_lines(axes)
    every[0].set_ylabel("error / chance")
    return made
