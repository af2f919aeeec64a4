"""A model folder on rows with targets: metrics with intervals, by class, by length, with and without leaked rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, phrase
from ..commands.closing import text_table
from ..data.examples import Examples, Split
from ..data.findings import many
from ..data.found import changed_source, noun_of
from ..data.read import read
from ..data.split import split
from ..options import DataOptions
from ..tasks.metric_names import title_of
from ..tasks.task import Metric, Predictions, Task
from ..training.evaluate import predict
from .forecasts import like_training
from .model import open_model
from .outcome import interval_of, shown
from .recorded_files import check_there
from .unlabelled import for_another_file

WHERE = "ostinato evaluate"
TABLES = {
    "by_class": "class",
    "by_step": "step ahead",
    "by_series": "series",
    "by_channel": "column",
    "by_octave": "octave",
    "by_position": "units of a passage",
    "by_edit": "edits of",
}
"""What a task counts apart, by its name among the details → the heading of its rows."""
MOST_STEPS = 24
"""Steps ahead, evenly spaced of more, that the text shows; JSON has all."""
LENGTH_PARTS = 4
"""Parts of about equal size into which rows are divided by their length."""


@dataclass(frozen=True)
class Evaluated:
    """What the metrics of some rows are."""

    rows: str
    """Which rows, in words."""
    metrics: Sequence[Metric]
    by_length: Sequence[tuple[str, int, float]]
    """(lengths in steps, rows, the task's metric) of each part; none of forecasts, whose windows have one length."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """By class, by step ahead or by series, as the task gives them."""
    without_leaked: Sequence[Metric] = ()
    """The same metrics without the rows that the training rows hold, too, where there are some."""
    leaked: int = 0
    notes: Sequence[str] = ()
    """What of the rows the task has cut or does not know, a sentence each."""

    def text(self) -> str:
        """The metrics as a table, then by length, by class and as the task counts apart."""
        lines = [
            self.rows,
            "",
            text_table(["metric", "value"], [[title_of(m.name), interval_of(m)] for m in self.metrics]),
        ]
        if self.leaked:
            lines += ["", f"Without the {self.leaked} rows that the training rows hold, too:"]
            lines += [
                text_table(["metric", "value"], [[title_of(m.name), interval_of(m)] for m in self.without_leaked])
            ]
        lines += ["", *self.notes] if self.notes else []
        name = self.metrics[0].name
        table = [[steps, str(n), shown(name, value)] for steps, n, value in self.by_length]
        lines += ["", text_table(["steps", "rows", title_of(name)], table)] if table else []
        for key, heading in TABLES.items():
            lines += _table(heading, self.details.get(key))
        said = self.details.get("definitions", {})
        lines += ["", *(f"{title_of(name)}: {words}." for name, words in said.items())] if said else []
        lines += ["", str(self.details["remark"])] if self.details.get("remark") else []
        return "\n".join(lines)

    def content(self) -> dict[str, Any]:
        """The same for --json."""
        return {
            "rows": self.rows,
            "metrics": _metrics(self.metrics),
            "without_leaked": _metrics(self.without_leaked),
            "leaked": self.leaked,
            "by_length": [{"steps": s, "rows": n, self.metrics[0].name: v} for s, n, v in self.by_length],
            "details": dict(self.details),
            "notes": list(self.notes),
        }


def evaluate(model: Path, data: Path | None = None) -> Evaluated:
    """The metrics of a model folder on the rows of `data`, or on the test rows of its training.

    Raises InputError for rows without targets, and where the training's files are no longer there or have changed.
    """
    opened = open_model(model)
    task, network = opened.task, opened.network
    if data is not None:
        examples, words = read(for_another_file(opened.config.options.data, data)).examples, f"All rows of {data.name}."
        if task.name == "forecast":
            examples = like_training(opened, examples, data)
        leaked: set[int] = set()
    else:
        examples, leaked = test_rows(opened.config.options.data, opened.config.sources, task)
        words = f"The {many(len(examples), 'test row')} of the training."
    if examples.targets is None or not len(examples):
        remedy = "Give a file with the target column."
        raise InputError(phrase(WHERE, "the rows", "rows with targets", "none", remedy))
    predictions, _ = predict(task, network, task.encode(examples))
    clean = [row for row in range(len(examples)) if row not in leaked]
    without = task.metrics(examples.take(clean), predictions.take(clean)) if leaked and clean else []
    details = task.details(examples, predictions)
    exact = task.metric_of_writing(network, examples)
    return Evaluated(
        words,
        [*task.metrics(examples, predictions), *([] if exact is None else [exact])],
        [] if "by_step" in details else by_length(task, examples, predictions),
        details,
        without,
        len(leaked),
        unknown_in(task, examples, details),
    )


def unknown_in(task: Task, examples: Examples, details: Mapping[str, Any]) -> list[str]:
    """What of the rows of a model of texts is cut, or not in its vocabulary, a sentence each."""
    said = task.part_notes(examples, "these rows")
    if said:
        return said
    count = details.get("unknown_units", 0)
    verb = "is" if count == 1 else "are"
    return [f"{many(count, 'unit')} of {details['units']:,} {verb} not in the vocabulary."] if count else []


def rows_again(options: DataOptions, sources: Sequence[Mapping[str, Any]]) -> tuple[Examples, Split]:
    """All rows of a training and their split, read again. Refuses files that have changed since."""
    check_there(WHERE, options, "Give a file with rows to evaluate as DATA.")
    dataset = read(options)
    changed = changed_source(dataset.sources, sources)
    if changed is not None:
        remedy = "Give the file with the rows to evaluate as DATA."
        expected = f"the {noun_of(changed)} of the training"
        raise InputError(phrase(WHERE, str(changed.path), expected, "one that has changed", remedy))
    return dataset.examples, split(dataset, options)


def test_rows(options: DataOptions, sources: Sequence[Mapping[str, Any]], task: Task) -> tuple[Examples, set[int]]:
    """The test rows of a training, read again, and the numbers of those whose input is also a training row's."""
    examples, parts = rows_again(options, sources)
    task.recall(examples.take(parts.train))
    inside = {int(r) for r in parts.leaked}
    return examples.take(parts.test), {k for k, r in enumerate(parts.test) if int(r) in inside}


def by_length(task: Task, examples: Examples, predictions: Predictions) -> list[tuple[str, int, float]]:
    """(lengths, rows, metric) of parts of about equal size, from short to long; one where all lengths are equal."""
    if examples.kind == "passage":
        return []  # the lengths are the program's choice
    lengths = task.encode(examples).lengths
    bounds = np.unique(np.quantile(lengths, np.linspace(0, 1, LENGTH_PARTS + 1), method="inverted_cdf"))
    found = []
    low = int(bounds[0])
    for high in bounds[1:] if len(bounds) > 1 else bounds:
        rows = [int(r) for r in np.flatnonzero((lengths >= low) & (lengths <= high))]
        if rows:
            value = task.score(examples.take(rows), predictions.take(rows))
            found.append((f"{low} to {int(high)}" if low != high else f"{low}", len(rows), value))
        low = int(high) + 1
    return found


def _metrics(metrics: Sequence[Metric]) -> dict[str, Any]:
    return {m.name: {"value": m.value, "low": m.low, "high": m.high, "n": m.n} for m in metrics}


def _table(heading: str, found: Any) -> list[str]:
    """A blank line and the table of {name: record}, or of records of a step each; intervals are left out."""
    if not found:
        return []
    records: Mapping[str, Any] = found if isinstance(found, Mapping) else {str(r["step"]): r for r in found}
    names = list(records)
    shown_names = names
    if not isinstance(found, Mapping) and len(names) > MOST_STEPS:
        shown_names = [names[k] for k in np.unique(np.linspace(0, len(names) - 1, MOST_STEPS).astype(int))]
    keys = [k for k in records[names[0]] if k != "step" and not k.endswith(("_low", "_high"))]
    body = [[name, *(_cell(key, records[name].get(key)) for key in keys)] for name in shown_names]
    return ["", text_table([heading, *map(title_of, keys)], body)]


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "rows" or not isinstance(value, float):
        return f"{value:.0f}" if name == "rows" else str(value)
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.4g}"
