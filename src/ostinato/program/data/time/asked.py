"""Whether the options ask for a forecast, and the options that a task does not have."""

from __future__ import annotations

from collections.abc import Collection

from ...options import DataOptions
from ..refusals import listed, refused, those

OF_FORECASTS = ("horizon", "time", "id", "future", "origins")
OF_OTHERS = ("text", "audio", "features", "group", "label_separator", "given")
OWNERS = {"label_separator": "classify", "given": "generate"}
"""Options of one task that is no forecast."""
ALL = "all"
"""As --target: every column of numbers."""


def asked_by(options: DataOptions, columns: Collection[str]) -> str:
    """What asks for a forecast, as the end of a sentence; empty where nothing does but the data may."""
    if options.task is not None:
        return "--task forecast asks for it" if options.task == "forecast" else ""
    for name in OF_FORECASTS:
        if _given(options, name):
            return f"--{name} asks for it"
    if options.target is not None and options.target not in columns:
        if options.target == ALL or "," in options.target:
            return "--target names several columns"
    return ""


def refuse_other_options(options: DataOptions, task: str, file: str) -> None:
    """Raises InputError for options that only another task has: they would change nothing."""
    foreign = tuple(name for name, owner in OWNERS.items() if task != owner)
    names = [name for name in (OF_OTHERS if task == "forecast" else OF_FORECASTS + foreign) if _given(options, name)]
    if not names:
        return
    remedy = "Name covariates by --future where they are known ahead, else by --series."
    if task != "forecast":
        owners = dict.fromkeys(OWNERS.get(name, "forecast") for name in names)
        remedy = f"Leave out --task, or give --task {' or '.join(owners)}."
    flags = listed(f"--{name.replace('_', '-')}" for name in names)
    raise refused(file, flags, f"left out, as the task is {task}", those(names), remedy)


def _given(options: DataOptions, name: str) -> bool:
    value = getattr(options, name)
    return value is not None and value != ()
