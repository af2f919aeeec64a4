"""A training from options to the model folder: data, baselines, fit, judgement, report, folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from ...cells import Cell
from ...errors import InputError, phrase
from ...layers import Recurrent
from ...lens.render.html.page import MOST_DRAWN
from ..data.found import Data, changed_source, read_data
from ..folder.config import Config
from ..folder.load import load
from ..folder.names import new_folder
from ..folder.save import write
from ..options import TrainOptions
from ..storage import write_bytes
from ..tasks.cell_argument import resolve_cell
from ..tasks.registry import task_named
from ..tasks.task import Metric, Predictions
from ..training.evaluate import predict
from ..training.fit import Fitted, Surroundings, fit
from ..training.interruption import Interruption
from ..training.seeds import new_network
from .clock import seconds_since_start, slowness
from .judge import Judged, ablations, fit_baselines, outcome_of
from .listening import Listening
from .outcome import interval_of, title_of
from .prepare import Prepared, prepare
from .progress import Progress, Silent
from .result import Run, contents, page_of
from .training_samples import samples_of

WHERE = "ostinato train"
RESUME, OPTIONS, PAGE = "resume", "options.json", "report.html"
BASELINE_SHARE = 0.3
"""The share of the time after which no further baseline is begun."""
FILES_SECONDS, LAYER_SECONDS = 1.5, 3.0
"""Of the files and pictures that follow the fit, and of what the lens draws of a layer and direction, on idle cores."""


@dataclass(frozen=True)
class Beginning:
    """How a training begins and what it reports to."""

    progress: Progress = field(default_factory=Silent)
    clock: Callable[[], float] = seconds_since_start
    """Seconds since the command began."""
    processor_clock: Callable[[], float] = time.process_time
    """Seconds of the processor that the command has used."""
    settings: Mapping[str, Any] | None = None
    """`Fitted.settings` of the run that is repeated; None: a new plan."""
    weights_sha256: str | None = None
    """Of the run that is repeated, to compare with."""
    sources: Sequence[Mapping[str, Any]] = ()
    """The files of the run that is repeated, as config.json lists them."""
    folder: Path | None = None
    """An unfinished folder whose training goes on; None: a new folder."""


def train(options: TrainOptions, beginning: Beginning | None = None) -> Run:
    """Trains a network on the files that the options name, beside its baselines, and writes the model folder.

    Raises InputError for data or options that cannot be used, StorageError where the folder cannot be written.
    """
    begin = beginning or Beginning()
    say = begin.progress.say
    data = read_data(options.data)
    options = replace(options, data=data.dataset.options).for_task(task_named(data.dataset.task).defaults)
    options, cell = with_cell(options, typed=begin.folder is None and begin.settings is None)
    say(data.dataset.because)
    for note in data.notes:
        say(note)
    same_sources(data, begin.sources)
    prepared = prepare(data, options.network, WHERE)
    for note in prepared.notes:
        say(note)
    with Interruption(
        lambda: say("Finishing the step, then evaluating and saving. Ctrl-C again stops at once.")
    ) as stop:
        folder = begin.folder or started_folder(options)
        baselines = baselines_of(prepared, options, begin)
        network = new_network(prepared.task, options.network, options.fit.seed)
        begin_from(options.run.from_model, network, prepared)
        fitted = fit(
            prepared.task,
            network,
            prepared.train,
            prepared.valid,
            options.fit,
            around(options, begin, folder, prepared, network, stop),
        )
        begin.progress.close()
        return finished(options, cell, prepared, network, fitted, baselines, begin, folder)


def with_cell(options: TrainOptions, typed: bool) -> tuple[TrainOptions, Cell]:
    """The options with the cell's canonical text in place of its name. A file is run only where the user typed it."""
    cell = resolve_cell(options.network.cell, files=typed)
    return options.but(cell=cell.text), cell


def same_sources(data: Data, recorded: Sequence[Mapping[str, Any]]) -> None:
    """Refuses to repeat a run on other data."""
    changed = changed_source(data.dataset.sources, recorded)
    if changed is not None:
        remedy = "The file has changed since: train anew, without --config."
        raise InputError(phrase(WHERE, str(changed.path), "the file of the run", "another content", remedy))


def started_folder(options: TrainOptions) -> Path:
    """A new folder with what `--resume` needs to begin again."""
    first = Path(options.data.paths[0]).name.partition(".")[0] or "ostinato"
    folder = new_folder(options.run.out or Path(f"{first}-model"))
    (folder / RESUME).mkdir()
    content = json.dumps(options.to_json(), indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace")
    write_bytes(folder / RESUME / OPTIONS, content, WHERE)
    return folder


def baselines_of(prepared: Prepared, options: TrainOptions, begin: Beginning) -> list[Judged]:
    """The baselines on the test rows, within their share of the time."""
    if not options.run.baselines or not len(prepared.test):
        return []
    bounded = options.fit.updates is None and begin.settings is None
    limit = 60 * options.fit.minutes * BASELINE_SHARE

    def enough() -> bool:
        return bounded and begin.clock() > limit

    found = fit_baselines(prepared.task, prepared.train.examples, prepared.test, begin.clock, enough)
    left_out = len(prepared.task.baselines()) - len(found)
    if left_out:
        begin.progress.say(f"{left_out} baselines were left out, because the time is short; give more --minutes.")
    return found


def begin_from(model: Path | None, network: nn.Module, prepared: Prepared) -> None:
    """Copies the weights of a model folder into the network, where both have a tensor of the same name and shape."""
    if model is None:
        return
    loaded = load(model)
    own = network.state_dict()
    fitting = {name: t for name, t in loaded.weights.items() if name in own and own[name].shape == t.shape}
    missing = sorted(own.keys() - fitting.keys())
    if missing:
        remedy = "Train on data with the same vocabulary and classes, with the same options of the network."
        received = f"others for {', '.join(missing[:3])}"
        raise InputError(phrase(WHERE, "--from-model", "a model with the weights of this network", received, remedy))
    network.load_state_dict(fitting)


def around(
    options: TrainOptions,
    begin: Beginning,
    folder: Path,
    prepared: Prepared,
    network: nn.Module,
    stop: Interruption,
) -> Surroundings:
    """What the fit runs in: the time that is left of the command, and what follows the fit."""
    per_row = len(prepared.test) / max(1, len(prepared.valid.examples))
    metric = prepared.task.metric
    kept = None if options.run.private else folder
    seconds = report_seconds(network, options.run.lens) * slowness(begin.clock(), begin.processor_clock())
    return Surroundings(
        clock=begin.clock,
        seconds_left=lambda: 60 * options.fit.minutes - begin.clock(),
        reserve=lambda evaluation: seconds + evaluation * (per_row + 1),
        listener=Listening(begin.progress, metric, samples_of(prepared.task, network, kept)),
        interruption=stop,
        folder=folder / RESUME,
        resume=begin.folder is not None and (folder / RESUME / "state.safetensors").exists(),
        settings=begin.settings,
    )


def report_seconds(network: nn.Module, lens: bool) -> float:
    """Seconds of what follows the fit on idle cores; where other processes use them, `slowness` multiplies it."""
    layers = [m for m in network.modules() if isinstance(m, Recurrent)] if lens else []
    drawn = sum(layer.num_layers * (2 if layer.bidirectional else 1) for layer in layers)
    return FILES_SECONDS + LAYER_SECONDS * min(drawn, MOST_DRAWN)


def finished(
    options: TrainOptions,
    cell: Cell,
    prepared: Prepared,
    network: nn.Module,
    fitted: Fitted,
    baselines: list[Judged],
    begin: Beginning,
    folder: Path,
) -> Run:
    """Judges the network on the test rows and writes the folder, the page last."""
    task, test = prepared.task, prepared.test
    notes = [*prepared.data.notes, *prepared.notes, *fitted.notes]
    if begin.weights_sha256 is not None:
        same = fitted.sha256 == begin.weights_sha256
        known = "The weights have the hash of the run that was repeated."
        other = "The weights have another hash than those of the run that was repeated: another machine or version."
        notes.append(known if same else other)
        begin.progress.say(notes[-1])
    outcome = predictions = None
    if len(test):
        predictions, _ = predict(task, network, task.encode(test), options.fit.device)
        judged = [*baselines, *ablations(task, network, test, options.fit.device)]
        outcome = outcome_of(task, cell.name, test, predictions, judged, fitted.history[-1].seconds)
    clean = None if predictions is None else without_leaked(prepared, predictions)
    if clean:
        name = clean[0].name
        notes.append(f"Without the test rows that train has, too, the {title_of(name)} is {interval_of(clean[0])}.")
        begin.progress.say(notes[-1])
    run = Run(folder, prepared, network, fitted, outcome, predictions, options, tuple(notes), clean)
    write(folder, contents(run, cell))
    write_bytes(folder / PAGE, page_of(run, cell).encode("utf-8", "xmlcharrefreplace"), WHERE)
    return run


def without_leaked(prepared: Prepared, predictions: Predictions) -> Sequence[Metric] | None:
    """The metrics without the rows of a given test part that the training rows have, too; None where there are none."""
    parts = prepared.data.split
    leaked = {int(r) for r in parts.leaked}
    clean = [k for k, row in enumerate(parts.test) if int(row) not in leaked]
    if not clean or len(clean) == len(parts.test):
        return None
    return prepared.task.metrics(prepared.test.take(clean), predictions.take(clean))


def repeated(config: Config, out: Path | None) -> tuple[TrainOptions, dict[str, Any]]:
    """The options and settings that repeat the run of a config.json, with the vectors and weights that it began with.

    These are read as the data are: the hash of the weights says at the end whether they are the same.
    """
    begun = {name: Path(str(path)) for name, path in config.begun_with.items()}
    options = config.options.but(out=out, vectors=begun.get("vectors"), from_model=begun.get("weights"))
    known = {"settings": config.settings, "weights_sha256": config.weights_sha256, "sources": config.sources}
    return options, known


def resumed(folder: Path) -> TrainOptions:
    """The options of an unfinished training. Raises InputError for any other folder."""
    path = folder / RESUME / OPTIONS
    if not path.is_file() or (folder / "config.json").exists():
        received = f"{folder}, whose training has ended" if path.is_file() else f"{folder}, which holds none"
        remedy = "Give the folder that `ostinato train` began."
        raise InputError(phrase(WHERE, "--resume", "a folder with an unfinished training", received, remedy))
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(phrase(WHERE, str(path), "JSON", str(error), "Train again.")) from None
    return TrainOptions.from_json(content if isinstance(content, dict) else {}, str(path))
