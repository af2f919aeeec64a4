"""Options of the network and the fit that only some tasks have: given to another, they would change nothing."""

from __future__ import annotations

from collections.abc import Collection

from ...errors import InputError, phrase
from ..data.refusals import listed, those
from ..options import TrainOptions

FORECASTS = ("forecast",)
MUSIC = ("music",)
STREAMS = ("language-model",)
TRANSLATIONS = ("translate",)
TEXTS = ("classify", "regress", "tag", "language-model", "generate", "fill", "translate", "transcribe")
TASKS = {
    "context": FORECASTS,
    "levels": FORECASTS,
    "scale": FORECASTS,
    "k1": STREAMS,
    "k2": STREAMS,
    "unit": TEXTS,
    "lowercase": TEXTS,
    "vocabulary": TEXTS,
    "attention": TRANSLATIONS,
    "beam": (*TRANSLATIONS, "transcribe"),
    "length_penalty": TRANSLATIONS,
    "chords": MUSIC,
    "vectors": ("classify", "regress", "tag"),
}
"""Option → the tasks that have it; options that are not here belong to all."""


def refuse_foreign_options(options: TrainOptions, task: str, where: str) -> None:
    """Raises InputError for options that the user chose and the task does not have."""
    usual = TrainOptions()
    given = []
    for name, tasks in TASKS.items():
        part = "network" if hasattr(usual.network, name) else "fit"
        chosen = getattr(getattr(options, part), name) != getattr(getattr(usual, part), name)
        if chosen and task not in tasks and task in _ALL:
            given.append(name)
    if given:
        flags = listed(f"--{name.replace('_', '-')}" for name in given)
        remedy = f"{'It belongs' if len(given) == 1 else 'They belong'} to {_of(given)}."
        raise InputError(phrase(where, flags, f"left out, as the task is {task}", those(given), remedy))


_ALL: Collection[str] = {*FORECASTS, *TEXTS, *MUSIC}
"""The tasks of the program; a task that is added elsewhere may have any option."""


def _of(names: Collection[str]) -> str:
    tasks = dict.fromkeys(task for name in names for task in TASKS[name])
    return "the task " + " or ".join(tasks)
