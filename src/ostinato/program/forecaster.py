"""`Forecaster`: forecasts of series in the columns that Nixtla's users know, unique_id, ds and y.

Letters: N steps, H steps of the future, K series that are forecast together.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from ..cells import Cell
from ..errors import InputError, phrase
from .data.check import check
from .data.columns import columns_of
from .data.examples import Examples
from .data.found import Data
from .data.libraries import polars as pl
from .data.read import data_set, read
from .data.split import split
from .data.tables import Table
from .data.time.asked import ALL
from .data.time.from_frame import like, table_from
from .data.time.from_times import windows_from_table
from .data.time.history import rolled
from .data.time.step import in_step
from .estimators import NetworkEstimator
from .folder.forecasts import Columns, forecast_frame
from .options import TrainOptions, several
from .running.forecasts import levels_of, recall_names
from .running.prepare import prepare
from .tasks.cell_argument import resolve_cell
from .tasks.registry import task_named
from .tasks.task import Predictions
from .tasks.texts.sampling import is_count
from .training.fit import fit
from .training.records import Surroundings
from .training.seeds import new_network

MODEL = "ostinato"
"""The column of the median."""


class Forecaster(NetworkEstimator):
    """The H next values of series, with bands.

    horizon          steps H to forecast; None: one season, or a tenth of the series
    levels           percent that the bands cover
    target, time, id names of the columns; None: y, ds, unique_id and other usual names; several targets with commas
    future, series   names of columns of covariates: known ahead; known up to the origin
    context, scale   steps that a forecast reads; none, log or auto
    cell, hidden, layers, dropout   of the network; None: the task's default
    minutes, updates time for `fit`, or exactly so many updates
    batch, learning_rate, clip, weight_decay, patience   of the fit, as the flags of `ostinato train`
    seed             of the first weights, the order of windows and dropout
    valid_share      share of the steps, the last ones, that choose the weights and the width of the bands
    options          options of the layers by name: {"zoneout": 0.1}

    After `fit`: task_, network_, history_, fitted_, notes_ (what was found in the data, a sentence each), horizon_.
    """

    task_name = "forecast"
    target_kind = "future"

    def __init__(
        self,
        horizon: int | None = None,
        levels: Sequence[float] = (80, 95),
        target: str | None = None,
        time: str | None = None,
        id: str | None = None,
        future: Sequence[str] = (),
        series: Sequence[str] = (),
        context: int | None = None,
        scale: str = "auto",
        cell: str | Cell = "gru",
        hidden: int | None = None,
        layers: int | None = None,
        dropout: float | None = None,
        minutes: float = 5.0,
        updates: int | None = None,
        batch: int | None = None,
        learning_rate: float | None = None,
        clip: float | None = None,
        weight_decay: float | None = None,
        patience: int | None = None,
        seed: int = 0,
        valid_share: float = 0.1,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.horizon = horizon
        self.levels = levels
        self.target = target
        self.time = time
        self.id = id
        self.future = future
        self.series = series
        self.context = context
        self.scale = scale
        self.cell = cell
        self.hidden = hidden
        self.layers = layers
        self.dropout = dropout
        self.minutes = minutes
        self.updates = updates
        self.batch = batch
        self.learning_rate = learning_rate
        self.clip = clip
        self.weight_decay = weight_decay
        self.patience = patience
        self.seed = seed
        self.valid_share = valid_share
        self.options = options

    def fit(self, X: Any, y: Any = None) -> Self:
        """Trains on a DataFrame of pandas or polars, or on an array [N] or [N, K] of which each row is a step.

        y is not used. Raises InputError for data or options that cannot be used.
        """
        began = time.perf_counter()
        table = table_from(X, "fit")
        options = self._options_for(X)
        found = windows_from_table(table, columns_of(table.frame, True), options.data, "fit asks for it")
        dataset = data_set(found, True)
        parts = split(dataset, found.options)
        data = Data(dataset, parts, check(dataset, parts))
        options = options.but(**{n: getattr(found.options, n) for n in ("task", "time", "id", "target", "horizon")})
        prepared = prepare(data, options.network, "fit")
        network = new_network(prepared.task, options.network, self.seed)
        left = Surroundings(seconds_left=lambda: 60 * self.minutes - (time.perf_counter() - began))
        self.fitted_ = fit(prepared.task, network, prepared.train, prepared.valid, options.fit, left)
        self.keep(prepared.task, network, options)
        self.notes_ = [*dataset.notes, *(finding.sentence for finding in dataset.findings)]
        self.data_, self.table_ = X, table
        return self

    def keep(self, task: Any, network: Any, options: TrainOptions) -> None:
        super().keep(task, network, options)
        self.horizon_ = int(options.data.horizon or 1)

    def predict(
        self, X: Any = None, h: int | None = None, level: Sequence[float] | None = None, future: Any = None
    ) -> Any:
        """The steps after the end of every series, as a DataFrame of the kind that was given.

        X       other data to continue; None: those of `fit`, or the files of the training
        h       at most H steps; None: H
        level   some of `levels`; None: all
        future  a DataFrame of rows after the end, with the covariates that are known ahead

        Columns: unique_id, ds, ostinato (the median), ostinato-lo-80, ostinato-hi-80, …
        Raises InputError for data, steps or levels that this model has not been trained for.
        """
        check_is_fitted(self, "network_")
        steps, levels = self._steps(h), self._levels(level)
        given = X if X is not None else getattr(self, "data_", None)
        windows, channels = self._last_windows(X, future)
        predicted = self._predictions(Examples("window", windows, "future", None, channels))
        short = Predictions([v[:steps] for v in predicted.values], None, _first(predicted.quantiles, steps))
        return like(self._frame(windows, short, channels, levels), given)

    def cross_validation(
        self, X: Any = None, windows: int = 3, step: int = 1, level: Sequence[float] | None = None
    ) -> Any:
        """Forecasts from the last `windows` origins of each series, `step` steps apart, beside the truth.

        A clone is fitted on the rows before the first of them; X: None for the data of `fit`.
        Columns: those of `predict` with cutoff, the last time before each origin, and y.
        """
        given = X if X is not None else getattr(self, "data_", None)
        if given is None:
            remedy = "Give a DataFrame."
            raise InputError(phrase("cross_validation", "X", "given before `fit`", "none", remedy))
        for name, value in (("windows", windows), ("step", step)):
            if not is_count(value):
                raise InputError(phrase("cross_validation", name, "a whole number of 1 or more", repr(value)))
        table = table_from(given, "cross_validation")
        options = self._options_for(given)
        columns = columns_of(table.frame, True)
        horizon = self.horizon or windows_from_table(table, columns, options.data, "").options.horizon
        data = rolled(table, columns, options.but(horizon=horizon).data, windows, step)
        model = clone(self).set_params(horizon=horizon, target=options.data.target).fit(data.before.frame)
        channels = model.train_options_.data.target.split(",")
        predicted = model._predictions(Examples("window", data.windows, "future", None, channels))
        return like(model._frame(data.windows, predicted, channels, model._levels(level), held_out=True), given)

    def _options(self) -> TrainOptions:
        given = {name: value for name, value in self.get_params(deep=False).items() if value is not None}
        given["cell"] = (self.cell if isinstance(self.cell, Cell) else resolve_cell(self.cell)).text
        given["options"] = dict(self.options or {})
        for name in ("levels", "future", "series"):
            given[name] = several(given.get(name, ()))
        made = TrainOptions.of(type(self).__name__, {**given, "task": self.task_name, "test_share": 0.0})
        return made.for_task(task_named(self.task_name).defaults)

    def _options_for(self, X: Any) -> TrainOptions:
        """The options for some data: of an array [N, K], every column is a target."""
        options = self._options()
        return options.but(target=ALL) if self.target is None and not hasattr(X, "columns") else options

    def _last_windows(self, X: Any, future: Any) -> tuple[list[Any], Sequence[str]]:
        """(the last window of each series, the names of the targets) of X, of the data of `fit` or of the files."""
        options = self.train_options_.data
        table = self._table(X)
        if table is None:
            if not options.paths or future is not None:
                remedy = "Give the series as X: a model folder does not hold them."
                raise InputError(phrase("predict", "X", "given for a model that was loaded", "none", remedy))
            found = read(options, with_target=False).examples
            recall_names(self.task_, options)
            return list(found.inputs), found.channels
        if future is not None:
            extra = table_from(future, "predict").frame
            try:
                frame = pl.concat([table.frame, extra], how="diagonal_relaxed")
            except pl.exceptions.PolarsError as error:
                remedy = "Give the columns of `fit` without the target."
                raise InputError(phrase("predict", "future", "of the types of `fit`", error, remedy)) from error
            table = table_from(frame, "predict")
        made = windows_from_table(table, columns_of(table.frame, True), options, "", with_target=False)
        return in_step(made.rows.inputs, self.task_.scaling.frequency, "predict"), made.rows.channels

    def _table(self, X: Any) -> Table | None:
        return table_from(X, "predict") if X is not None else getattr(self, "table_", None)

    def _frame(
        self,
        windows: list[Any],
        predicted: Predictions,
        channels: Sequence[str],
        levels: list[float],
        held_out: bool = False,
    ) -> Any:
        columns = Columns(channels, levels_of(self.task_), MODEL, f"{MODEL}-", held_out, held_out)
        frame = forecast_frame(windows, predicted, columns)
        others = {f"{MODEL}-{end}-{v:g}" for v in levels_of(self.task_) if v not in levels for end in ("lo", "hi")}
        return frame.drop(others)

    def _steps(self, h: int | None) -> int:
        """The steps to forecast, at most H."""
        if h is None:
            return self.horizon_
        if isinstance(h, bool) or not isinstance(h, int | np.integer) or not 1 <= h <= self.horizon_:
            remedy = "Fit with a longer horizon."
            raise InputError(phrase("predict", "h", f"a whole number from 1 to {self.horizon_}", repr(h), remedy))
        return int(h)

    def _levels(self, level: Sequence[float] | None) -> list[float]:
        """The bands to give."""
        known = levels_of(self.task_)
        asked = known if level is None else several(level)
        other = [v for v in asked if v not in known]
        if other:
            expected = f"among {', '.join(f'{v:g}' for v in known)}"
            received = f"{other[0]:g}" if isinstance(other[0], int | float) else repr(other[0])
            raise InputError(phrase("predict", "level", expected, received, "Fit with it among levels."))
        return [float(v) for v in asked]


def _first(quantiles: Any, steps: int) -> Any:
    """[N, steps, K, Q] of [N, H, K, Q]."""
    return None if quantiles is None else quantiles[:, :steps]
