"""The places that name a task agree: what is inferred, trained and predicted, what is an estimator."""

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest

from ostinato.errors import InputError
from ostinato.program.data.examples import Examples, TargetKind
from ostinato.program.data.infer import TRAINED
from ostinato.program.estimator_table import ESTIMATORS
from ostinato.program.exporting.chips_core import MADE
from ostinato.program.exporting.readme import PROGRAMS
from ostinato.program.exporting.table import PLANS
from ostinato.program.page.page import SECTIONS
from ostinato.program.running.predict import WAYS
from ostinato.program.running.streaming import ways
from ostinato.program.tasks.base import OptionalParts
from ostinato.program.tasks.registry import TASKS
from ostinato.program.tasks.task import Task


def test_every_task_is_inferred_trained_predicted_streamed_exported_and_an_estimator():
    assert set(TASKS) == set(TRAINED) == set(ESTIMATORS) == set(WAYS)
    assert set(TASKS) == set(PLANS) == set(PROGRAMS) == set(MADE) == set(ways.WAYS)
    assert all(task.name == name for name, task in TASKS.items())
    assert all(name in estimator.names() for name, estimator in ESTIMATORS.items())


def test_every_kind_of_target_has_its_part_of_the_report_page():
    assert set(SECTIONS) == set(get_args(TargetKind))


def test_the_optional_parts_are_those_that_the_protocol_marks_as_optional():
    parts = {name for name in vars(OptionalParts) if not name.startswith("_")}
    text = Path(inspect.getfile(Task)).read_text(encoding="utf-8")
    body = text[text.index("class Task(Protocol)") :]
    marked = re.findall(r"(?:def |    )(\w+)(?:\(.*|: .*)\n +\"\"\".*Optional", body)
    assert parts and set(marked) == parts


def test_optional_parts_say_nothing_and_change_nothing():
    class Bare(OptionalParts):
        name = "bare"

    task, rows = Bare(), Examples("text", ["ab"], "class", ["c"])
    assert (task.rows_at_once, task.writes, list(task.notes), list(task.classes)) == (None, False, [], [])
    assert task.part_notes(rows, "train") == [] and task.without_condition(rows, None) is None
    assert task.calibrate(rows, None) is None and task.pieces("ab") == ["a", "b"]
    with pytest.raises(InputError) as error:
        task.balance(rows)
    assert str(error.value) == (
        "fit: class_weights must be none for the task bare, got balanced. Leave --class-weights out."
    )
