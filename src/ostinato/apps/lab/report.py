"""The writing half of the experiment: tables for the terminal and for documents, all numbers as JSON, the pictures."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from ostinato.apps.problems import TASKS

from .experiment import EPSILON, JUDGED, Result
from .predictive_value import PredictiveValue, misleading, predictive_value
from .selection import Results, finished_tasks, runs_of
from .settings import Settings


def outcome(runs: Sequence[Result]) -> str:
    """`bridged 600`, the median updates; `2/3 bridged 600` where some seeds did; or the median error; – if not run."""
    if not runs:
        return "–"
    after = [run.updates for run in runs if run.bridged]
    if after:
        share = "" if len(after) == len(runs) else f"{len(after)}/{len(runs)} "
        return f"{share}bridged {median(after):,.0f}"
    errors = [run.error for run in runs if run.error is not None]
    return f"{median(errors):.3g}" if errors else "diverged"


def before(runs: Sequence[Result]) -> str:
    """`7 · 2e-18`: the reach in steps, ≥ where the sequences end there, and the gradient ratio at the lag; medians."""
    if not runs:
        return "–"
    steps = median(run.reach.steps for run in runs)
    whole = "≥ " if all(run.reach.steps == run.reach.measured for run in runs) else ""
    return f"{whole}{steps:.0f} · {median(run.reach.ratio for run in runs):.1g}"


def rows(settings: Settings, results: Results, task: str) -> tuple[list[str], list[list[str]]]:
    """A task's table: headings, and a row for each variant."""
    lags = [lag for lag in settings.lags if any((c.task, c.lag) == (task, lag) for c in results)]
    headings = ["cell", "first values"]
    for lag in lags:
        headings += [f"lag {lag}", "reach · ratio"]
    body = []
    for variant in settings.variants:
        row = [variant.cell, variant.init]
        for lag in lags:
            runs = runs_of(results, task, lag, variant)
            row += [outcome(runs), before(runs)]
        body.append(row)
    return headings, body


def overview(settings: Settings, results: Results) -> tuple[list[str], list[list[str]]]:
    """Headings, and a row for each variant: the lags that it bridged in each task, in every seed; – for none."""
    tasks = finished_tasks(settings, results)
    body = []
    for variant in settings.variants:
        row = [variant.cell, variant.init]
        for task in tasks:
            runs = {lag: runs_of(results, task, lag, variant) for lag in settings.lags}
            row.append(", ".join(str(lag) for lag, of in runs.items() if of and all(r.bridged for r in of)) or "–")
        body.append(row)
    return ["cell", "first values", *tasks], body


def bound(task: str) -> str:
    """`chance 0.167, bridged at 0.01 or less`"""
    return f"chance {TASKS[task].chance:.3g}, bridged at {TASKS[task].bound:.3g} or less"


def budget(settings: Settings) -> str:
    """What every number in a table was made with, in a sentence."""
    t = settings.training
    rate = f"{t.learning_rate:g}" + (" falling to 0" if t.decay else "")
    data = "every batch drawn anew" if t.sequences is None else f"{t.sequences:,} sequences read again and again"
    end = "" if t.to_the_end else ", fewer where the lag is bridged earlier"
    return (
        f"Adam, learning rate {rate}, gradient norm clipped at {t.clip:g}, {t.updates:,} updates{end}, "
        f"batch {t.batch}, {data}; as many weights as an LSTM of {t.hidden} units; {settings.seeds} "
        f"seed{'s' if settings.seeds > 1 else ''}; errors on {JUDGED:,} unseen sequences."
    )


def legend() -> str:
    """How to read an entry."""
    return (
        "`bridged 600`: after 600 updates; else the error at the end. `reach · ratio`: before training, the steps that "
        f"{EPSILON:.0%} of the gradient at lag 0 reaches, and the share of it that reaches the cue."
    )


def said(value: PredictiveValue) -> str:
    """The rank correlations in a sentence; those that are undefined are named behind the others."""
    right = f"reach says the outcome right in {value.right} of {value.runs}."
    if value.runs < 2:
        return f"{value.runs} run{'s' if not value.runs else ''}: a rank correlation takes two or more; {right}"
    found = {
        "the gradient ratio at the lag": value.ratio,
        "reach / lag": value.reach,
        "the cue's share of the gradient": value.share,
        "the lag alone": value.lag,
    }
    known = [f"{number:.2f} for {name}" for name, number in found.items() if not math.isnan(number)]
    unknown = [name for name, number in found.items() if math.isnan(number)]
    parts = [f"rank correlation with how well they learn {', '.join(known)}"] if known else []
    if math.isnan(value.ratio_yes):
        unknown.append("bridged or not")
    else:
        parts.append(f"with bridged or not {value.ratio_yes:.2f} (at most {value.best_yes:.2f})")
    if unknown:
        parts.append(f"no rank correlation for {', '.join(unknown)}: equal in all runs, or not measured in all")
    return f"{value.runs} runs: {'; '.join(parts)}; {right}"


def show(console: Console, settings: Settings, results: Results) -> None:
    """A table for each task, then what the reach foretold."""
    for task in finished_tasks(settings, results):
        headings, body = rows(settings, results, task)
        made = Table(title=f"{task}: {bound(task)}", title_justify="left")
        for place, heading in enumerate(headings):
            made.add_column(heading, justify="left" if place < 2 else "right", no_wrap=place < 2)
        for row in body:
            made.add_row(*row)
        console.print(made)
    for sentence in (budget(settings), legend().replace("`", ""), said(predictive_value(results))):
        console.print(sentence, highlight=False)


def markdown(settings: Settings, results: Results, machines: Sequence[Mapping[str, str | int]]) -> str:
    """Everything that `show` prints, the rows by group, the runs that mislead by name, and the machines."""
    parts = ["Lags that were bridged, in steps:\n\n" + _table(*overview(settings, results)), budget(settings), legend()]
    for task in finished_tasks(settings, results):
        headings, body = rows(settings, results, task)
        parts.append(f"**{task}** ({bound(task)})\n\n" + _table(headings, body))
        if TASKS[task].grouped_by:
            parts.append(_groups(settings, results, task))
    parts.append(said(predictive_value(results)))
    each = []
    for task in finished_tasks(settings, results):
        value = predictive_value({c: r for c, r in results.items() if c.task == task})
        each.append(
            [
                task,
                value.runs,
                *(f"{v:.2f}" for v in (value.ratio, value.reach, value.share, value.lag)),
                f"{value.right}/{value.runs}",
            ]
        )
    headings = ["task", "runs", "gradient ratio", "reach / lag", "cue's share", "lag alone", "right"]
    parts.append(_table(headings, each))
    for heading, cases in zip(("Bridged, though out of reach", "Within reach, yet not bridged"), misleading(results)):
        parts.append(f"{heading}: " + ("; ".join(map(str, cases)) or "none") + ".")
    parts += ["Measured on " + ", ".join(f"{k} {v}" for k, v in machine.items()) + "." for machine in machines]
    return "\n\n".join(parts) + "\n"


def _groups(settings: Settings, results: Results, task: str) -> str:
    """The error by the property of a row that the task tells apart, at each lag."""
    told = TASKS[task].grouped_by
    body = []
    for lag in settings.lags:
        for variant in settings.variants:
            runs = runs_of(results, task, lag, variant)
            names = sorted({group for run in runs for group, _, _ in run.groups})
            entries = []
            for name in names:
                pairs = [(rows, error) for run in runs for group, rows, error in run.groups if group == name]
                total = sum(rows for rows, _ in pairs)
                entries.append(f"{name}: {sum(rows * error for rows, error in pairs) / total:.3f} ({total})")
            if entries:
                body.append([str(lag), variant.cell, variant.init, ", ".join(entries)])
    return f"Error by {told} (rows):\n\n" + _table(["lag", "cell", "first values", f"{told}: error (rows)"], body)


def _table(headings: Sequence[str], body: Sequence[Sequence[object]]) -> str:
    lines = [headings, ["---"] * len(headings), *body]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def write(settings: Settings, results: Results, machines: Sequence[Mapping[str, str | int]]) -> None:
    """`table.md`, `results.json`, `bridged.png` and `foresight.png` in the folder of the experiment."""
    # matplotlib takes half a second to import, which a call that is refused at once should not wait for
    from .pictures import bridged_picture, foresight_picture

    folder = settings.out
    (folder / "table.md").write_text(markdown(settings, results, machines), encoding="utf-8")
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(settings).items()}
    values = asdict(predictive_value(results))
    predictive = {name: None if math.isnan(value) else value for name, value in values.items()}
    runs = [{"case": asdict(case), "result": asdict(result)} for case, result in results.items()]
    content = {"settings": plain, "machines": list(machines), "foresight": predictive, "runs": runs}
    (folder / "results.json").write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    bridged_picture(settings, results).savefig(folder / "bridged.png")
    foresight_picture(results).savefig(folder / "foresight.png")
