"""Answers of a forecast: a row of a series arrives, and the steps after it are forecast.

The network of a forecast reads windows, each scaled by its own last value, so that no state of it can be carried on.
What is carried are the last rows: every row makes a new window of them, which ends with that row. Where it has a value,
`ostinato predict` reads the same at the end of a file.

Letters: L steps of a window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence as Listed
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import InputError, phrase
from ...data.columns import Column, columns_of
from ...data.examples import Examples, Source
from ...data.findings import many
from ...data.libraries import polars as pl
from ...data.refusals import listed
from ...data.tables import table_of
from ...data.time.ahead import ahead_windows
from ...data.time.column import times_of
from ...data.time.frequency import Frequency, written
from ...data.time.from_times import row_names, timed_rows
from ...data.time.grid import grids_of
from ...data.time.roles import NONE, find_roles
from ...data.time.step import filled_note, grid_through, step_words
from ...data.time.windows import Window
from ...folder.forecasts import Columns, forecast_frame, forecasts_csv
from ...tasks.task import Predictions
from ...training.evaluate import predict
from ..forecasts import levels_of
from ..model import Model
from ..unlabelled import for_another_file
from .cells import CellLines, number_of
from .records import Answer, Line, Sequence, Way

LONE = "series"
"""What messages and tables call the series where the lines do not name it."""


class OfForecasts(Way):
    """The forecast after every row, but for the first of a sequence with times, which do not say yet what a step is,
    and for those before its first value.

    A row has the time, the id, the targets and the covariates of the past that the training had.
    """

    def __init__(self, opened: Model) -> None:
        self.opened, self.task = opened, opened.task
        data = opened.config.options.data
        self.options = for_another_file(data, Path(LONE))
        self.targets = [name.strip() for name in (data.target or "").split(",")]
        self.time = None if data.time == NONE else data.time
        first = [name for name in (self.time, data.id) if name]
        self.id, self.numbers = data.id, {*self.targets, *data.series}
        self.names = [*first, *self.targets, *data.series]
        self.lines = CellLines(self.names, len(self.names))
        task: Any = self.task
        self.length, self.horizon = task.scaling.shape.length, task.scaling.shape.horizon
        self.scales = task.scaling.scales
        self.step = task.scaling.frequency if self.time else Frequency("step")
        """Of the training; None where its folder does not say."""
        made = Columns(self.targets, levels_of(task), cutoff=True, several=self.id is not None)
        self.columns = made
        self.heading = ",".join(["unique_id", "ds", "cutoff", "median", *_bands(made.levels)])

    def is_heading(self, line: Line) -> bool:
        return self.lines.is_heading(line)

    def name_of(self, line: Line) -> str | None:
        """The series of a row. Raises InputError for one that the training lacks: its scale is not known."""
        name = LONE if self.id is None else self.lines.cells(line)[self.names.index(self.id)]
        if len(self.scales) != 1 and name not in self.scales:
            known = listed(self.scales, 5) or "none, as the folder is private"
            remedy = "`ostinato predict MODEL FILE` takes the scale of a new series from all of its values."
            raise InputError(phrase(line.where, "the series", f"one of the training: {known}", name, remedy))
        return None if self.id is None else name

    def begin(self) -> Sequence:
        return Sequence(None, {"rows": []})

    def answer(self, sequence: Sequence, line: Line) -> Answer:
        cells = self.lines.cells(line)
        for name, cell in zip(self.names, cells):
            if name in self.numbers:
                number_of(cell, line)
        kept = sequence.own["rows"]
        rows = kept
        if not kept or cells != kept[-1] or self.time is None:
            self._refuse_wrong_time(kept, cells, line)
            rows = self._needed([*kept, cells], line)
        if len(rows) < (1 if self.time is None else 2):  # one time alone does not say what a step is
            sequence.own["rows"] = rows
            return Answer(None, {"forecast": []})
        near = self._near(rows, line)
        windows = self._windows(near, line)
        self._refuse_empty(windows[0], line)
        encoded = self.task.encode(Examples("window", windows, "future", None, self.targets))
        found, _ = predict(self.task, self.opened.network, encoded)
        notes = filled_note(windows, self.length) if len(near) < len(rows) else []
        note = "".join(notes) if not sequence.own.get("filled") else ""  # once, until more rows have values again
        sequence.own = {"rows": rows, "filled": bool(notes)}
        text = forecasts_csv(windows, found, self.columns).partition("\n")[2].rstrip("\n")
        return Answer(text, {"forecast": self._content(windows, found)}, note)

    def _refuse_wrong_time(self, kept: list[list[str]], cells: list[str], line: Line) -> None:
        """Refuses a row whose time is none, is not after those of the kept rows, or is no whole step after them."""
        if self.time is None:
            return
        times, place = self._times([*kept, cells], line), self.names.index(self.time)
        if not kept:
            return
        last = kept[int(times[:-1].argmax())][place]
        if times[-1] <= times[:-1].max():
            expected, remedy = f"after {last}, the last one of its series", "Give the rows of a series in the order of"
            raise InputError(phrase(line.where, "the time", expected, cells[place], f"{remedy} time."))
        if self.step is not None and grid_through(self.step, times) is None:
            expected = f"whole steps after {last}, of which one is {step_words(self.step)}, as in the training"
            remedy = "Give rows with that step; after an empty line another sequence begins."
            raise InputError(phrase(line.where, "the time", expected, cells[place], remedy))

    def _times(self, rows: Listed[Listed[str]], line: Line) -> np.ndarray:
        """[N] the times of rows. Raises InputError where one is none."""
        name = str(self.time)
        cells = [row[self.names.index(name)] for row in rows]
        return times_of(Column(name, pl.Series(name, cells), False), LONE, lambda row: line.where).values

    def _refuse_empty(self, window: Window, line: Line) -> None:
        """Refuses a row before which the network has nothing to read."""
        if not np.isfinite(replace(window, length=self.length).values).any():
            remedy = "The row is left out, until one with a value comes."
            name = f"the last {many(self.length, 'step')}"
            raise InputError(phrase(line.where, name, "with at least one value", "none", remedy))

    def _frame(self, rows: Listed[Listed[str]], line: Line) -> pl.DataFrame:
        """The rows as a table: numbers as such, so that a column without a value is one of numbers, too."""
        cells = [[row[k] for row in rows] for k in range(len(self.names))]
        return pl.DataFrame(
            [
                pl.Series(name, [number_of(cell, line) for cell in own] if name in self.numbers else own)
                for name, own in zip(self.names, cells)
            ]
        )

    def _windows(self, rows: Listed[Listed[str]], line: Line) -> Listed[Window]:
        """The window after the last of some rows, whether it has a value or not."""
        frame = self._frame(rows, line)
        table = table_of(frame, np.zeros(len(rows), np.int64), Source(Path(LONE), "", len(rows), 0), False)
        columns = columns_of(frame, False)
        roles = find_roles(columns, self.options, LONE, row_names(table))
        timed = timed_rows(table, columns, roles, LONE)[0]
        grid = None if self.step is None else grid_through(self.step, timed.times)
        grids = grids_of(timed, whole=True, frequency=grid)
        return ahead_windows(grids.series, self.horizon, roles.known, LONE)

    def _near(self, rows: Listed[Listed[str]], line: Line) -> Listed[Listed[str]]:
        """The rows less than L steps before the last one, which may follow a long gap; all where no step is known."""
        if self.step is None or self.time is None:
            return rows
        times = self._times(rows, line)
        grid = grid_through(self.step, times)
        if grid is None:
            return rows
        places = grid.between(times[:1], times)
        return [row for row, place in zip(rows, places) if places[-1] - place < self.length]

    def _needed(self, rows: list[list[str]], line: Line) -> list[list[str]]:
        """The rows that later windows read: the last L, none before the first value."""
        places = [self.names.index(name) for name in self.targets]
        filled = any(not math.isnan(number_of(row[p], line)) for row in rows for p in places)
        return rows[-self.length :] if filled else []

    def _content(self, windows: Listed[Window], found: Predictions) -> list[dict[str, Any]]:
        """A record of each step for --json."""
        frame = forecast_frame(windows, found, self.columns).fill_nan(None)
        dated = [n for n in ("ds", "cutoff") if frame[n].dtype.is_temporal()]
        return frame.with_columns(pl.Series(n, written(frame[n].to_numpy())) for n in dated).to_dicts()


def _bands(levels: Listed[float]) -> list[str]:
    return [f"{end}-{level:g}" for level in sorted(levels) for end in ("lo", "hi")]
