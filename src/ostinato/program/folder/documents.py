"""What a model folder holds beside its weights and config.json, as JSON and CSV: metrics, history, split, predictions.

Letters: N rows, T steps, K classes.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data.examples import Examples, Split
from ..tasks.task import Metric, Predictions
from ..training.records import Evaluation
from ..training.state import line
from .escape import table_cell
from .forecasts import held_out_csv
from .nats_table import nats_csv
from .pair_table import pairs_csv
from .passage_table import passages_csv
from .roll_table import rolls_csv

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Results:
    """Metrics on the test rows: of the network and of every baseline, on the same rows."""

    model: Sequence[Metric]
    """The metric that chose the weights first."""
    baselines: Mapping[str, Sequence[Metric]] = field(default_factory=dict)
    definitions: Mapping[str, str] = field(default_factory=dict)
    """Name of a metric → how it is computed, in a sentence."""
    sentence: str = ""
    """What recurrence gains over the best baseline, with its interval."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else the task counts, such as the confusion matrix."""


def metrics_json(task: str, results: Results, advice: str) -> dict[str, Any]:
    """metrics.json: the first metric of the network and of the baselines under `test`, all metrics under `all`."""
    first = results.model[0]
    return {
        **results.extra,
        "format": FORMAT,
        "task": task,
        "metric": first.name,
        "higher_is_better": first.higher_is_better,
        "n": first.n,
        "test": {
            "model": _interval(first),
            "baselines": {name: _interval(found[0]) for name, found in results.baselines.items()},
        },
        "all": {
            "model": _all(results.model),
            "baselines": {name: _all(found) for name, found in results.baselines.items()},
        },
        "definitions": dict(results.definitions),
        "interval": "95 %, by resampling independent units",
        "sentence": results.sentence,
        "advice": advice,
    }


def history_lines(history: Sequence[Evaluation]) -> str:
    """history.jsonl: an evaluation on each line."""
    return "".join(json.dumps(line(e)) + "\n" for e in history)


def split_json(split: Split, hashes: Sequence[str] | None, private: bool) -> dict[str, Any]:
    """split.json: how many rows each part has and, unless private, the hash of each of them."""
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    found: dict[str, Any] = {
        "format": FORMAT,
        "given": split.given,
        "rows": {name: len(rows) for name, rows in parts.items()},
        "leaked": len(split.leaked),
        "notes": list(split.notes),
    }
    if hashes is not None and not private:
        found["sha256"] = {name: [hashes[int(r)] for r in rows] for name, rows in parts.items()}
    return found


def predictions_csv(truth: Examples, predictions: Predictions, levels: Sequence[float] = ()) -> str:
    """predictions.csv: id, truth, prediction and the probability that the network gives to its prediction, N rows.

    Labels of one row are divided by `;`, tags by a space; their probability is the mean. A cell that a spreadsheet
    would run as a formula has an apostrophe in front. Passages of a text have the columns of `passages_csv`, other
    texts that were scored unit by unit those of `nats_csv`, translations those of `pairs_csv`. Of windows: the table
    of forecasts, with bands of `levels` percent. Of pieces of music: that of `rolls_csv`.
    """
    if truth.kind == "passage":
        return passages_csv(truth, predictions)
    if truth.kind == "window":
        return held_out_csv(truth, predictions, levels)
    if truth.target_kind == "translation":
        return pairs_csv(truth, predictions, lambda row: row_name(truth, row))
    if truth.kind == "roll":
        return rolls_csv(truth, predictions, lambda row: row_name(truth, row))
    if any(isinstance(value, np.ndarray) for value in predictions.values) and truth.target_kind == "text":
        return nats_csv(truth, predictions, lambda row: row_name(truth, row))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["id", "truth", "prediction", "probability"])
    for row, value in enumerate(predictions.values):
        known = "" if truth.targets is None else _written(truth.targets[row])
        found = None if predictions.probabilities is None else predictions.probabilities[row]
        cells = [row_name(truth, row), known, _written(value), _probability(found)]
        writer.writerow([table_cell(cell) for cell in cells])
    return file.getvalue()


def row_name(truth: Examples, row: int) -> str:
    """Where a row came from; of rows that a program gave, its number."""
    origin = truth.origins[row] if len(truth.origins) else None
    return f"{origin.file}:{origin.line or origin.row}" if origin is not None else str(row)


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return ";".join(map(str, value))
    if isinstance(value, Sequence):
        return " ".join(map(str, value))
    return repr(float(value))


def _probability(found: Any) -> str:
    """Of a class [K]: the largest. Of tags [T, K]: the mean of the largest at each step. Empty where there is none."""
    if found is None:
        return ""
    array = np.asarray(found, dtype=np.float64)
    return f"{array.max(-1).mean():.6f}" if array.size else ""


def _all(found: Sequence[Metric]) -> dict[str, Any]:
    return {m.name: {**_interval(m), "n": m.n, "higher_is_better": m.higher_is_better} for m in found}


def _interval(metric: Metric) -> dict[str, float | None]:
    """JSON has no NaN: a metric that is not defined on these rows is null."""
    values = {"value": metric.value, "low": metric.low, "high": metric.high}
    return {name: float(v) if math.isfinite(v) else None for name, v in values.items()}
