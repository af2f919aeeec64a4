"""Tasks whose answer lies a chosen number of steps back, each with its formula, source and criterion of success."""

from ostinato.errors import InputError, phrase

from .adding import adding
from .agreement import agreement
from .minimal_lag import distractors, minimal_lag
from .reber import reber
from .symbolic import copy, temporal_order
from .task import Examples, Task

TASKS: dict[str, Task] = {
    each.name: each for each in (adding, minimal_lag, distractors, temporal_order, copy, reber, agreement)
}
"""name -> task."""


def named(name: str, where: str = "tasks.named") -> Task:
    """The task of this name; any other name is refused."""
    if name not in TASKS:
        remedy = f"There are {', '.join(TASKS)}."
        raise InputError(phrase(where, "a task", "one of the list", repr(name), remedy))
    return TASKS[name]


__all__ = ["TASKS", "Examples", "Task", "named"]
