"""The program from Python: `ostinato.train` and `ostinato.load`, with the words of the commands."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import InputError, phrase
from .estimator_table import ESTIMATORS
from .estimators import NetworkEstimator
from .options import DataOptions, FitOptions, NetworkOptions, TrainOptions, several
from .running.clock import clock_from_now
from .running.model import open_model
from .running.progress import Silent
from .running.train import Beginning
from .running.train import train as train_run
from .spelling import keyword_errors


@keyword_errors
def train(*paths: str | Path, **options: Any) -> NetworkEstimator:
    """Trains a network on files, beside its baselines, and writes a model folder; returns the estimator.

        model = ostinato.train("reviews.csv", text="review", target="label", minutes=5)

    paths    files of rows, or a folder of texts or recordings
    options  the flags of `ostinato train` with _ for -, and every option of the layers by name
    Besides what an estimator has after `fit`: folder_ (a Path), outcome_ (the table of baselines and network; None
    without test rows). Raises InputError for data or options that cannot be used.
    """
    given = {name: _path(name, v) if name in _PATHS and v is not None else v for name, v in options.items()}
    for name in ("series", "features", "columns", "future", "given", "levels"):
        if name in given:
            given[name] = several(given[name])
    made = TrainOptions.of("ostinato.train", {"paths": tuple(_path("paths", p) for p in paths), **given})
    used = clock_from_now(time.process_time)
    run = train_run(made, Beginning(progress=Silent(), clock=clock_from_now(), processor_clock=used))
    estimator = estimator_of(run.prepared.task, run.network, run.options)
    estimator.fitted_, estimator.folder_, estimator.outcome_ = run.fitted, run.folder, run.outcome
    estimator.history_ = list(run.fitted.history)
    return estimator


@keyword_errors
def load(folder: str | Path) -> NetworkEstimator:
    """The estimator of a model folder. Nothing that the folder says is executed.

    Raises InputError for a folder that `ostinato train` or `save` did not write, or that was changed since.
    """
    found = open_model(Path(folder))
    estimator = estimator_of(found.task, found.network, found.config.options, found.config.class_type)
    estimator.folder_ = Path(folder)
    return estimator


def _path(name: str, value: Any) -> Path:
    if not isinstance(value, str | Path):
        raise InputError(phrase("ostinato.train", name, "a path", repr(value), 'Such as "reviews.csv".'))
    return Path(value)


_PATHS = ("valid", "test", "vectors", "out", "from_model")


def estimator_of(task: Any, network: nn.Module, options: TrainOptions, class_type: str = "str") -> NetworkEstimator:
    """The estimator of a trained network, with the options that it was trained with.

    Raises InputError where the classes are not of the type that the folder names.
    """
    kind = ESTIMATORS[task.name]
    names = set(kind().get_params())
    given: dict[str, Any] = {}
    records = ((DataOptions, options.data), (NetworkOptions, options.network), (FitOptions, options.fit))
    for record, part in records:
        given |= {n: getattr(part, n) for n in record.__dataclass_fields__ if n in names}
    estimator = kind(**given)
    estimator.class_type_ = class_type
    try:
        estimator.keep(task, network, options)
    except (KeyError, ValueError):
        received = f"{class_type} for {', '.join(map(repr, task.classes[:3]))}"
        remedy = "Copy the folder again from where it was made."
        raise InputError(
            phrase("ostinato.load", "config.json's class_type", "that of the classes", received, remedy)
        ) from None
    return estimator
