"""A training from options to the model folder: data, baselines, fit, judgement, report, folder."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from ...cells import Cell
from ...errors import InputError, StorageError, phrase
from ...kernels.system.openmp import kernel_threads
from ...layers import Recurrent
from ...lens.render.html.page import MOST_DRAWN
from ..data.findings import many
from ..data.found import Data, changed_source, noun_of, read_data
from ..digest import examples_sha256
from ..folder.config import Config
from ..folder.load import load
from ..folder.save import RESUME, write
from ..options import DataOptions, TrainOptions
from ..tasks.cell_argument import resolve_cell
from ..tasks.own_options import refuse_foreign_options
from ..tasks.registry import task_named
from ..tasks.task import Metric, Predictions, Task
from ..tasks.translating.pair_units import SOURCE
from ..training.devices import check_device
from ..training.evaluate import predict_shared
from ..training.fit import Fitted, Surroundings, fit
from ..training.interruption import Interruption
from ..training.seeds import new_network
from ..training.world import Alone, World, check_size
from .clock import seconds_since_start, slowness
from .folder_lock import FolderLock
from .judge import Judged, ablations, fit_baselines, outcome_of
from .listening import Listening
from .outcome import interval_of, title_of
from .prepare import Prepared, prepare
from .progress import Progress, Silent
from .result import Run, contents, observed, reported
from .training_samples import samples_of
from .unfinished import STATE, WHERE, drop_state, drop_unbegun, started_folder

BASELINE_SHARE = 0.3
"""The share of the time after which no further baseline is begun."""
FILES_SECONDS, SAMPLES_SECONDS, LAYER_SECONDS = 1.5, 2.0, 3.0
"""Of the files and pictures that follow the fit, of the items that a network writes for the page, and of what the lens
draws of a layer and direction, on idle cores."""


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
    """The files of the run that is repeated or goes on, as config.json lists them."""
    folder: Path | None = None
    """An unfinished folder whose training goes on; None: a new folder."""
    lock: FolderLock | None = None
    """The lock on `folder`, where it was taken before; it is released at the end of the training."""
    world: World = Alone()
    """The processes that share the training."""


@dataclass(frozen=True)
class Readied:
    """What a training begins with once its files are read."""

    options: TrainOptions
    """With what was inferred of the data, the defaults of the task, and the cell as text."""
    given: DataOptions
    """Of the data, as the user gave them: a training that goes on infers the rest again, and says the same of it."""
    cell: Cell
    prepared: Prepared


@dataclass(frozen=True)
class Trained:
    """A network after its fit."""

    network: nn.Module
    fitted: Fitted
    predictions: Predictions | None
    """Of the test rows; None where there are none, and on other ranks than 0."""


def train(options: TrainOptions, beginning: Beginning | None = None) -> Run:
    """Trains a network on the files that the options name, beside its baselines, and writes the model folder.

    Raises InputError for data or options that cannot be used, StorageError where the folder cannot be written.
    """
    begin = beginning or Beginning()
    ready = readied(options, begin)
    with interruption(begin) as stop, training_folder(ready, begin) as folder:
        begin.world.name_folder(begin.world.agree(str(folder), patient=True))
        baselines = baselines_of(ready.prepared, ready.options, begin)
        trained = fitted_network(ready, begin, folder, stop)
        begin.progress.close()
        judging = "" if trained.predictions is None else "Evaluating the network on the test rows, and "
        begin.progress.say(f"{judging}writing the report.".capitalize())
        return finished(ready, trained, baselines, begin, folder)


@contextmanager
def training_folder(ready: Readied, begin: Beginning) -> Iterator[Path]:
    """The folder of a training, a new one or that of `--resume`, which this process alone trains into."""
    options, sources = ready.options, ready.prepared.data.dataset.sources
    folder = begin.folder or started_folder(options, ready.given, sources, begin.world.size)
    with begin.lock or FolderLock(folder, WHERE) as lock:
        try:
            yield folder
        except InputError:
            lock.release()
            drop_unbegun(folder)
            raise
        except StorageError as error:
            run = "" if begin.world.size == 1 else "the same torchrun and -m "
            raise StorageError(f"{error} Then go on with `{run}ostinato train --resume {folder}`.") from error
        if options.run.private:
            lock.release()
            drop_state(folder)


def join(options: TrainOptions, begin: Beginning) -> Fitted:
    """What a rank other than 0 does of a training: it reads, fits and predicts its share, and writes nothing."""
    ready = readied(options, begin)
    with interruption(begin) as stop:
        begin.world.name_folder(begin.world.agree(None, patient=True))
        return fitted_network(ready, begin, None, stop).fitted


def readied(options: TrainOptions, begin: Beginning) -> Readied:
    """Reads the files, and says what was inferred and found."""
    say, given = begin.progress.say, options.data
    if begin.settings is not None:
        check_size(WHERE, begin.settings, begin.world.size)
    data = read_data(options.data)
    options = replace(options, data=data.dataset.options).for_task(task_named(data.dataset.task).defaults)
    refuse_foreign_options(options, data.dataset.task, WHERE)
    check_device(options.fit.device, WHERE)
    options, cell = with_cell(options, typed=begin.folder is None and begin.settings is None)
    say(data.dataset.because)
    for note in data.notes:
        say(note)
    same_sources(data, begin.sources, "--config" if begin.folder is None else "--resume")
    prepared = prepare(data, options.network, WHERE)
    for note in (*prepared.task.notes, *prepared.notes):
        say(note)
    return Readied(options, given, cell, prepared)


def interruption(begin: Beginning) -> Interruption:
    """Receives Ctrl-C; of several processes also the signal that torchrun sends after the end of one of them."""

    def told() -> None:
        if begin.world.all_run():
            begin.progress.say("Finishing the step, then evaluating and saving. Ctrl-C again stops at once.")

    alone = begin.world.size == 1
    return Interruption(told, (signal.SIGINT,) if alone else (signal.SIGINT, signal.SIGTERM))


def fitted_network(ready: Readied, begin: Beginning, folder: Path | None, stop: Interruption) -> Trained:
    """Fits a new network and predicts the test rows, together with the other ranks."""
    options, prepared, world = ready.options, ready.prepared, begin.world
    task, test = prepared.task, prepared.test
    network = new_network(task, options.network, options.fit.seed)
    begin_from(options.run.from_model, network, prepared)
    where = around(ready, begin, folder, network, stop)
    fitted = fit(task, network, prepared.train, prepared.valid, options.fit, where)
    found = None
    if len(test):
        with kernel_threads(world.threads()):
            found = predict_shared(task, network, task.encode(test), options.fit.device, world, quick=False)
    world.close()
    return Trained(network, fitted, None if found is None else found[0])


def with_cell(options: TrainOptions, typed: bool) -> tuple[TrainOptions, Cell]:
    """The options with the cell's canonical text in place of its name. A file is run only where the user typed it."""
    cell = resolve_cell(options.network.cell, files=typed)
    return options.but(cell=cell.text), cell


def same_sources(data: Data, recorded: Sequence[Mapping[str, Any]], flag: str = "--config") -> None:
    """Refuses to repeat a run, or to go on with it, on other data; `flag` asked for it."""
    changed = changed_source(data.dataset.sources, recorded)
    if changed is not None:
        noun = noun_of(changed)
        remedy = f"The {noun} has changed since: train anew, without {flag}."
        raise InputError(phrase(WHERE, str(changed.path), f"the {noun} of the run", "another content", remedy))


def baselines_of(prepared: Prepared, options: TrainOptions, begin: Beginning) -> list[Judged]:
    """The baselines on the test rows, within their share of the time."""
    if not options.run.baselines or not len(prepared.test):
        return []
    bounded = options.fit.updates is None and begin.settings is None
    limit = 60 * options.fit.minutes * BASELINE_SHARE

    def enough() -> bool:
        return bounded and begin.clock() > limit

    begin.progress.say(f"Fitting {many(len(prepared.task.baselines()), 'baseline')}.")
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
    others = missing[:3] or other_entries(loaded.files, prepared.task.to_json())
    if others:
        remedy = "Train on data with the same vocabulary and classes, with the same options of the network."
        received = f"others for {', '.join(others)}"
        raise InputError(phrase(WHERE, "--from-model", "a model with the weights of this network", received, remedy))
    network.load_state_dict(fitting)


def other_entries(theirs: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """The files of a task whose entries or classes are others than those of another model of the same shapes."""

    def entries(files: Mapping[str, Any], name: str) -> Any:
        content = files.get(name, {})
        return [content.get(key) for key in ("unit", "entries", "classes", "model", "values", "keys")]

    own_sides = ("vocabulary.json", "tokenizer.json")
    names = (
        *own_sides,
        *(SOURCE + name for name in own_sides),
        "labels.json",
        "conditions.json",
        "transcripts.json",
        "keys.json",
    )
    return [name for name in names if entries(theirs, name) != entries(own, name)]


def around(
    ready: Readied, begin: Beginning, folder: Path | None, network: nn.Module, stop: Interruption
) -> Surroundings:
    """What the fit runs in: the time that is left of the command, and what follows the fit.

    folder  None on other ranks than 0, which write and show nothing
    """
    options, prepared = ready.options, ready.prepared
    after = evaluations_after(prepared.task, len(prepared.valid.examples), len(prepared.test))
    metric = prepared.task.metric
    kept = None if options.run.private else folder
    samples = None if folder is None else samples_of(prepared.task, network, kept, prepared.valid.examples)
    seconds = report_seconds(network, options.run.lens) * slowness(begin.clock(), begin.processor_clock())
    return Surroundings(
        clock=begin.clock,
        seconds_left=lambda: 60 * options.fit.minutes - begin.clock(),
        reserve=lambda evaluation: seconds + evaluation * (after + 1),
        listener=Listening(begin.progress, metric, samples),
        interruption=stop,
        folder=None if folder is None else folder / RESUME,
        resume=begin.folder is not None and folder is not None and (folder / RESUME / STATE).exists(),
        settings=begin.settings,
        world=begin.world,
        test_rows=examples_sha256(prepared.test),
    )


def evaluations_after(task: Task, valid: int, test: int) -> float:
    """What judging a network on the test rows takes, in evaluations of the fit.

    An evaluation reads at most `most_judged` of the validation rows; some tasks judge test rows in several passes.
    """
    judged = valid if task.most_judged is None else min(valid, task.most_judged)
    return task.passes * test / max(1, judged)


def report_seconds(network: nn.Module, lens: bool) -> float:
    """Seconds of what follows the fit on idle cores; where other processes use them, `slowness` multiplies it."""
    layers = [m for m in network.modules() if isinstance(m, Recurrent)] if lens else []
    drawn = sum(layer.num_layers * (2 if layer.bidirectional else 1) for layer in layers)
    samples = SAMPLES_SECONDS if hasattr(network, "condition") else 0.0
    return FILES_SECONDS + samples + LAYER_SECONDS * min(drawn, MOST_DRAWN)


def finished(ready: Readied, trained: Trained, baselines: list[Judged], begin: Beginning, folder: Path) -> Run:
    """Judges the network on the test rows, draws the page, and writes the folder, config.json last."""
    options, cell, prepared = ready.options, ready.cell, ready.prepared
    network, fitted, predictions = trained.network, trained.fitted, trained.predictions
    task, test = prepared.task, prepared.test
    notes = [*prepared.data.notes_for(options.run.private), *task.notes, *prepared.notes, *fitted.notes]
    if begin.weights_sha256 is not None:
        same = fitted.sha256 == begin.weights_sha256
        known = "The weights have the hash of the run that was repeated."
        other = "The weights have another hash than those of the run that was repeated: another machine or version."
        notes.append(known if same else other)
        begin.progress.say(notes[-1])
    outcome = None
    if predictions is not None:
        judged = [*baselines, *ablations(task, network, test, options.fit.device)]
        outcome = outcome_of(task, cell.name, test, predictions, judged, fitted.history[-1].seconds)
    clean = None if predictions is None else without_leaked(prepared, predictions)
    if clean:
        name = clean[0].name
        notes.append(f"Without the test rows that train has, too, the {title_of(name)} is {interval_of(clean[0])}.")
        begin.progress.say(notes[-1])
    run = Run(folder, prepared, network, fitted, outcome, predictions, options, tuple(notes), clean)
    run, page = reported(observed(run), cell)
    for note in run.notes[len(notes) :]:
        begin.progress.say(note)
    write(folder, contents(run, cell), page)
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
