"""The commands `train` and `compare`, as functions that give back what is printed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..folder.load import read_json
from ..options import TrainOptions
from ..running.progress import Progress, on
from ..running.train import Beginning, Run, repeated, resumed, train
from .check import Ended
from .closing import outcome_text


def train_on(given: Mapping[str, Any], quiet: bool = False) -> Ended:
    """`ostinato train DATA`."""
    return _trained(TrainOptions.of("ostinato train", given), Beginning(progress=_progress(quiet)))


def repeat_training(config: Path, out: Path | None, quiet: bool = False) -> Ended:
    """`ostinato train --config config.json`: the same run, to the same hash."""
    from ..folder.config import from_json

    options, more = repeated(from_json(read_json(config)), out)
    return _trained(options, Beginning(progress=_progress(quiet), **more))


def resume_training(folder: Path, quiet: bool = False) -> Ended:
    """`ostinato train --resume FOLDER`: the training that was ended before its time goes on."""
    return _trained(resumed(folder), Beginning(progress=_progress(quiet), folder=folder))


def _progress(quiet: bool) -> Progress:
    return on(sys.stderr, quiet)


def _trained(options: TrainOptions, beginning: Beginning) -> Ended:
    run = train(options, beginning)
    text = _advice_text(run)
    return Ended(f"{text}\n\nWritten: {run.folder}", _content(run), run.status)


def _advice_text(run: Run) -> str:
    if run.outcome is None:
        return f"There are no test rows, so nothing is judged.\n\n{run.fitted.advice}"
    return outcome_text(run.outcome, run.fitted.advice)


def _content(run: Run) -> dict[str, Any]:
    metrics = run.folder / "metrics.json"
    return {
        "folder": str(run.folder),
        "task": run.prepared.task.name,
        "because": run.prepared.data.dataset.because,
        "updates": run.fitted.updates,
        "stopped": run.fitted.stopped,
        "weights_sha256": run.fitted.sha256,
        "notes": list(run.notes),
        "metrics": read_json(metrics) if metrics.exists() else None,
        "status": run.status,
    }


def compare_cells(given: Mapping[str, Any], cells: Sequence[str], seeds: int, quiet: bool = False) -> Ended:
    """`ostinato compare`: every cell with every seed on the same rows, the time divided among them."""
    from ..running.compare import compare

    options = TrainOptions.of("ostinato compare", given)
    compared = compare(options, cells, seeds, _progress(quiet))
    return Ended(compared.text(), compared.content())
