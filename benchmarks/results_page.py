"""docs/results.md from what has been run."""

from collections.abc import Mapping
from statistics import mean, stdev
from typing import Any

from real_data import TASKS
from real_task import Aim, RealTask
from report import markdown_table

HEAD = """# Results on real data

`make results DATA=FOLDER` runs the program on the files of a folder and writes this page; no row of the data is in the
project. Each seed is one call of `ostinato train`; a task's section names its options. *ours* is the mean over seeds on
the test rows, with the standard deviation over seeds. *minutes* are of the whole command, with data, baselines and
report. *torch.nn* is the same network with `torch.nn`'s layers in place of ours, over packed sequences: {updates}
updates of both on the same batches in turns give the ratio of their times, and the minutes are what the command would
take with as many updates. *load* is the highest load average of the machine beside the runs: above its number of
cores, other processes took a share of the time. The last two tasks are on made data.
"""


def page(records: Mapping[str, Any]) -> str:
    """The whole page."""
    done = [task for task in TASKS if records.get(task.name, {}).get("runs")]
    updates = max((records[task.name].get("torch", {}).get("updates", 0) for task in done), default=0)
    lines = [HEAD.format(updates=updates or "some")]
    headings = ["task", "aim", "best baseline", "ours", "seeds", "updates", "minutes", "torch.nn", "ratio", "load"]
    lines += markdown_table(headings, [row for task in done for row in rows(task, records[task.name])])
    ahead = [f"{task.name} ({name})" for task in done if (name := ahead_of_ours(task, records[task.name]))]
    if ahead:
        lines += ["", f"By the first metric a baseline is ahead of the network in {', '.join(ahead)}."]
    missing = [task.title for task in TASKS if task not in done]
    if missing:
        lines += ["", f"Not run: {'; '.join(missing)}."]
    for task in done:
        lines += ["", *section(task, records[task.name])]
    return "\n".join(lines) + "\n"


def rows(task: RealTask, record: Mapping[str, Any]) -> list[list[str]]:
    """A row of the first table for each aim."""
    runs, found = record["runs"], []
    for number, aim in enumerate(task.aims):
        ours = [run["metrics"][aim.metric] for run in runs]
        name, best = best_baseline(record, aim)
        met = "" if aim.reached(mean(ours)) else ", not reached"
        shared = ["", "", "", "", "", ""] if number else counts(record)
        title = f"{task.name}, {aim.metric.replace('_', ' ')}"
        bound = f"{'≤ ' if aim.lower_is_better else ''}{aim.value:.3f}"
        found.append([title, f"{bound}{met}", f"{best} {name}".strip(), spread(ours), *shared])
    return found


def counts(record: Mapping[str, Any]) -> list[str]:
    """Seeds, updates, minutes, minutes of torch.nn, ratio, load."""
    runs, torch = record["runs"], record.get("torch")
    updates, seconds = mean(run["updates"] for run in runs), mean(run["seconds"] for run in runs)
    load = max(max(run["load"]) for run in runs)
    theirs = "" if torch is None else f"{(seconds + updates * torch['ours'] * (torch['ratio'] - 1)) / 60:.1f}"
    ratio = "" if torch is None else f"{torch['ratio']:.1f}"
    return [str(len(runs)), f"{updates:,.0f}", f"{seconds / 60:.1f}", theirs, ratio, f"{load:.1f}"]


def best_baseline(record: Mapping[str, Any], aim: Aim) -> tuple[str, str]:
    """(name, value) of the best baseline; empty where none was fitted."""
    baselines = record["runs"][0]["baselines"]
    known = {name: found[aim.metric] for name, found in baselines.items() if aim.metric in found}
    if not known:
        return "", ""
    name = (min if aim.lower_is_better else max)(known, key=lambda key: known[key])
    return name, f"{known[name]:.3f}"


def ahead_of_ours(task: RealTask, record: Mapping[str, Any]) -> str:
    """The best baseline where it is better than the mean of our runs by the task's first metric; else empty."""
    aim = task.aims[0]
    name, value = best_baseline(record, aim)
    ours = mean(run["metrics"][aim.metric] for run in record["runs"])
    return name if value and Aim(aim.metric, ours, aim.lower_is_better).reached(float(value)) else ""


def spread(found: list[float]) -> str:
    """Mean ± deviation."""
    return f"{mean(found):.3f}" + (f" ± {stdev(found):.3f}" if len(found) > 1 else "")


def section(task: RealTask, record: Mapping[str, Any]) -> list[str]:
    """Published figures, baselines and ours, then the machine."""
    runs = record["runs"]
    metrics = [name for name in runs[0]["metrics"] if name not in ("log_loss", "quantile_loss")]
    asked = f" Then `{runs[0]['asked']}`." if runs[0].get("asked") else ""
    lines = [f"## {task.title}", "", f"`{runs[0]['command']}`, and `--seed`.{asked}", ""]
    if task.note:
        lines += [task.note, ""]
    if task.published:
        published = [[p.what, p.figure, p.source] for p in task.published]
        lines += [*markdown_table(["published", "figure", "source"], published), ""]
    table = [[name, *(number(found.get(m)) for m in metrics)] for name, found in runs[0]["baselines"].items()]
    table.append(["**ours**", *(spread([run["metrics"][m] for run in runs]) for m in metrics)])
    lines += [*markdown_table(["in the program's own table", *(m.replace("_", " ") for m in metrics)], table)]
    machine = record["environment"]
    ended = " or ".join(sorted({run["stopped"] for run in runs}))
    planned = ", ".join(map(str, sorted({run["planned_updates"] for run in runs})))
    loads = ", ".join("{} to {}".format(*run["load"]) for run in runs)
    lines += [
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['vector unit']}, torch {machine['torch']}, ostinato "
        f"{machine['ostinato']}; threads of the kernels: {runs[0]['threads']}. Planned updates: {planned}; ended by "
        f"{ended}. Load averages of the machine before and after each run: {loads}.",
    ]
    return lines


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
