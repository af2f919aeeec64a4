"""The program on real data, `python benchmarks/results.py --data FOLDER`: docs/results.md, and a JSON file a task.

Each seed is one call of `ostinato train` in its own process. What has been run is kept in benchmarks/results/tasks, so
a run that was cut goes on where it stopped; `--fresh` runs again. No row of the data is written there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from real_data import TASKS
from real_task import Asked, RealTask
from results_page import page
from torch_twin import compare, options_given

from ostinato.apps.environment import environment

RECORDS = Path(__file__).parent / "results" / "tasks"
PAGE = Path(__file__).parent.parent / "docs" / "results.md"
TWIN_UPDATES = 50


def flags(given: Mapping[str, Any]) -> list[str]:
    """The options as words of the command line."""
    words = [str(path) for path in given["paths"]]
    for name, value in given.items():
        if name != "paths" and value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def trained(task: RealTask, seed: int, folder: Path, data: Path, limits: Mapping[str, Any]) -> dict[str, Any]:
    """One call of `ostinato train`: its metrics, counts and time. Its lens is left out after the first seed."""
    given = {**task.given(data, folder), **limits, "seed": seed, "out": folder / f"{task.name}-{seed}"}
    command = [sys.executable, "-m", "ostinato", "train", *flags(given), "--json", "--quiet"]
    if seed:
        command += ["--no-baselines", "--no-lens"]
    load_before, begun = os.getloadavg()[0], time.monotonic()
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begun
    if ended.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}\n{ended.stderr}")
    document = json.loads(ended.stdout)
    tests = document["metrics"]["all"]
    config = json.loads((Path(document["folder"]) / "config.json").read_text(encoding="utf-8"))
    history = (Path(document["folder"]) / "history.jsonl").read_text(encoding="utf-8").splitlines()
    ours = values(task, tests["model"])
    baselines = {name: values(task, found) for name, found in tests["baselines"].items()}
    answered = {} if task.asked is None else answers(task.asked, Path(document["folder"]), folder, data)
    ours |= answered.pop("network", {})
    for name, found in answered.items():
        baselines.setdefault(name, {}).update(found)
    return {
        "seed": seed,
        "command": shown(task, data, folder, limits),
        "asked": "" if task.asked is None else named("evaluate MODEL", task.asked.given(data, folder)),
        "metrics": ours,
        "baselines": baselines,
        "updates": document["updates"],
        "planned_updates": config["settings"]["planned_updates"],
        "threads": config["settings"]["threads"],
        "stopped": document["stopped"],
        "seconds": round(seconds, 1),
        "fit_seconds": round(json.loads(history[-1])["seconds"], 1),
        "minutes": limits.get("minutes"),
        "load": [round(load_before, 1), round(os.getloadavg()[0], 1)],
        "date": date.today().isoformat(),
    }


def answers(asked: Asked, model: Path, made: Path, data: Path) -> dict[str, dict[str, float]]:
    """What `ostinato evaluate` says of the model, by model and metric."""
    words = flags({"paths": [], **asked.given(data, made)})
    command = [sys.executable, "-m", "ostinato", "evaluate", str(model), *words, "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}\n{ended.stderr}")
    found = asked.read(json.loads(ended.stdout))
    return {model: {name: round(value, 4) for name, value in metrics.items()} for model, metrics in found.items()}


def shown(task: RealTask, data: Path, folder: Path, limits: Mapping[str, Any]) -> str:
    """The command as a person would type it: files by their names."""
    return named("train", {**task.given(data, folder), **limits})


def named(verb: str, given: Mapping[str, Any]) -> str:
    words = ["ostinato", verb, *flags({"paths": [], **given})]
    return " ".join(Path(word).name if "/" in word else word for word in words)


def values(task: RealTask, found: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The metrics of the page."""
    return {name: round(found[name]["value"], 4) for name in task.metrics if name in found}


def run(task: RealTask, options: argparse.Namespace) -> None:
    """The seeds of a task that have not been run, and the comparison with torch.nn; written after each."""
    path = RECORDS / f"{task.name}.json"
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if options.fresh or not record:
        record = {"task": task.name, "environment": environment(), "runs": []}
    limits = {"minutes": options.minutes or task.minutes, "threads": options.threads}
    if options.updates is not None:
        limits = {"updates": options.updates, "threads": options.threads}
    done = {found["seed"] for found in record["runs"]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(options.seeds or task.seeds):
            if seed not in done:
                record["runs"].append(trained(task, seed, folder, options.data, limits))
                save(path, record)
                print(task.name, record["runs"][-1], flush=True)
        if "torch" not in record:
            record["torch"] = beside_torch(task, folder, options, record["runs"][-1]["threads"])
            save(path, record)
            print(task.name, record["torch"], flush=True)


def beside_torch(task: RealTask, folder: Path, options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """The times of some updates of the task's network and of the same on torch.nn."""
    made = options_given({**task.given(options.data, folder), "threads": options.threads or threads})
    found = compare(made, options.twin_updates, options.threads or threads)
    return {**asdict(found), "load": round(os.getloadavg()[0], 1)}


def save(path: Path, record: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def records() -> dict[str, Any]:
    """Task → what has been run of it."""
    found = {task.name: RECORDS / f"{task.name}.json" for task in TASKS}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in found.items() if path.exists()}


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = os.environ.get("OSTINATO_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(folder), help="folder of the data [default: %(default)s]")
    parser.add_argument("--only", action="append", choices=[task.name for task in TASKS], help="a task; may repeat")
    parser.add_argument("--minutes", type=float, help="of each run, in place of the task's own")
    parser.add_argument("--updates", type=int, help="of each run, in place of minutes: independent of other load")
    parser.add_argument("--seeds", type=int, help="in place of the task's own number")
    parser.add_argument("--threads", type=int, help="of each run and of the comparison with torch.nn")
    parser.add_argument("--twin-updates", type=int, default=TWIN_UPDATES, help="updates timed beside torch.nn")
    parser.add_argument("--fresh", action="store_true", help="run again what has been run")
    parser.add_argument("--page-only", action="store_true", help="write the page from what has been run")
    return parser.parse_args(words)


def main() -> None:
    options = arguments()
    if not options.page_only and not options.data.is_dir():
        raise SystemExit(f"{options.data} is no folder. Give the folder of the data: make results DATA=FOLDER")
    for task in TASKS:
        if not options.page_only and (options.only is None or task.name in options.only):
            run(task, options)
            PAGE.write_text(page(records()), encoding="utf-8")
    PAGE.write_text(page(records()), encoding="utf-8")


if __name__ == "__main__":
    main()
