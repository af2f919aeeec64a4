"""The commands `train` and `compare`, as functions that give back what is printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ..folder.load import read_json
from ..options import TrainOptions
from ..running.folder_lock import FolderLock
from ..running.progress import Progress, on
from ..running.recorded_files import beside, check_there
from ..running.result import PAGE, Run
from ..running.train import Beginning, join, repeated, train
from ..running.unfinished import WHERE, resumed
from ..training.world import World
from .check import Ended
from .closing import outcome_text
from .launched import one_process
from .ranks import ranks


def train_on(given: Mapping[str, Any], quiet: bool = False) -> Ended:
    """`ostinato train DATA`."""
    with ranks() as world:
        options = TrainOptions.of("ostinato train", given)
        return _trained(options, Beginning(progress=_progress(quiet, world), world=world))


def repeat_training(config: Path, out: Path | None, quiet: bool = False) -> Ended:
    """`ostinato train --config config.json`: the same run, to the same hash."""
    from ..folder.config import from_json

    def read() -> tuple[TrainOptions, dict[str, Any]]:
        options, more = repeated(from_json(read_json(config)), out)
        return _there(beside(config.parent, options)), more

    with ranks() as world:
        options, more = _of_first(world, read)
        return _trained(options, Beginning(progress=_progress(quiet, world), world=world, **more))


def resume_training(folder: Path, quiet: bool = False) -> Ended:
    """`ostinato train --resume FOLDER`: the training that was ended before its time goes on."""

    def read() -> tuple[TrainOptions, dict[str, Any]]:
        options, sources = resumed(folder, world.size)
        return _there(beside(folder, options)), {"sources": sources}

    with ranks() as world, FolderLock(folder, WHERE) if world.rank == 0 else nullcontext() as lock:
        options, more = _of_first(world, read)
        progress = _progress(quiet, world)
        return _trained(options, Beginning(progress=progress, world=world, folder=folder, lock=lock, **more))


def _there(options: TrainOptions) -> TrainOptions:
    """The same. Raises InputError where a file of the training is gone."""
    check_there(WHERE, options.data, "Put it back, or run the command where it is.")
    return options


def _of_first(
    world: World, read: Callable[[], tuple[TrainOptions, dict[str, Any]]]
) -> tuple[TrainOptions, dict[str, Any]]:
    """What rank 0 reads from a folder, on all ranks: the folder may be on its machine alone."""
    own = read() if world.rank == 0 else None
    if own is not None and world.size == 1:
        return own
    options, more = world.agree(None if own is None else (own[0].to_json(), own[1]))
    return TrainOptions.from_json(options, "ostinato train"), more


def _progress(quiet: bool, world: World) -> Progress:
    return on(sys.stderr, quiet or world.rank > 0)


def _trained(options: TrainOptions, beginning: Beginning) -> Ended:
    if beginning.world.rank:
        join(options, beginning)
        # Status 0 whatever came of it: torchrun ends rank 0, which still writes, where another rank has another status.
        return Ended("", {}, printed=False)
    run = train(options, beginning)
    text = "\n\n".join(filter(None, [_advice_text(run), _lens_text(run), f"Written: {run.folder}"]))
    kept = f"The model folder {run.folder} is written: `ostinato evaluate {run.folder}` prints its metrics."
    return Ended(text, _content(run), run.status, kept=kept)


def _lens_text(run: Run) -> str:
    """What is the matter inside the network, by the rules of the lens; empty where the lens was turned off."""
    if run.lens is None:
        return run.lens_absent if run.options.run.lens else ""
    findings = [f"- {finding}" for finding in run.lens.verdict]
    if not findings:
        return f"Inside the network: no rule of the lens applies. Its measures are in {run.folder / PAGE}."
    return "\n".join([f"Inside the network, more in {run.folder / PAGE}:", *findings])


def _advice_text(run: Run) -> str:
    if run.outcome is None:
        return f"There are no test rows, so no metrics were computed.\n\n{run.fitted.advice}"
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
        "lens": None if run.lens is None else [str(finding) for finding in run.lens.verdict],
        "metrics": read_json(metrics) if metrics.exists() else None,
        "status": run.status,
    }


def compare_cells(given: Mapping[str, Any], cells: Sequence[str], seeds: int, quiet: bool = False) -> Ended:
    """`ostinato compare`: every cell with every seed on the same rows, the time divided among them."""
    from ..running.compare import compare

    one_process("ostinato compare")
    options = TrainOptions.of("ostinato compare", given)
    compared = compare(options, cells, seeds, on(sys.stderr, quiet))
    return Ended(compared.text(), compared.content())
