"""From files to encoded rows of each part: what every command that trains begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...errors import InputError, phrase
from ..data.examples import Examples
from ..data.found import Data
from ..options import NetworkOptions
from ..tasks.registry import task_named
from ..tasks.task import Task
from ..training.records import Part


@dataclass(frozen=True)
class Prepared:
    """A task that knows its vocabularies, and the rows of each part."""

    data: Data
    task: Task
    train: Part
    valid: Part
    test: Examples
    notes: Sequence[str] = ()
    """What the task has cut or does not know in the rows, a sentence each."""


def with_context(examples: Examples, context: int | None) -> Examples:
    """Windows of so many steps before the origin, for the network and its baselines alike; other rows as they are."""
    if context is None or examples.kind != "window":
        return examples
    return replace(examples, inputs=[replace(window, length=context) for window in examples.inputs])


def prepare(data: Data, network: NetworkOptions, where: str) -> Prepared:
    """The task, fitted on training rows alone. Refuses data on which no network can be trained or judged."""
    errors = [f.sentence for f in data.findings if f.severity == "error"]
    if errors:
        remedy = "`ostinato check` lists all of them."
        raise InputError(phrase(where, "the data", "free of errors", f"this one: {errors[0].rstrip('.')}", remedy))
    examples, parts = with_context(data.dataset.examples, network.context), data.split
    train, valid = examples.take(parts.train), examples.take(parts.valid)
    task = task_named(data.dataset.task).encode_from(train, network)
    test = examples.take(parts.test)
    named = (("train", train), ("valid", valid), ("test", test))
    notes = [note for name, part in named for note in task.part_notes(part, name)]
    return Prepared(data, task, Part(train, task.encode(train)), Part(valid, task.encode(valid)), test, notes)
