"""The tasks by name. CONTRIBUTING.md says what a new task needs beside its line here."""

from __future__ import annotations

from ...errors import InputError, did_you_mean, phrase
from .classify import Classify
from .forecasting.forecast import Forecast
from .music.music import Music
from .regress import Regress
from .tag import Tag
from .task import Task
from .texts.fill import Fill
from .texts.generate import Generate
from .texts.language_model import LanguageModel
from .transcribing.transcribe import Transcribe
from .translating.translate import Translate

TASKS: dict[str, type[Task]] = {
    "classify": Classify,
    "regress": Regress,
    "tag": Tag,
    "forecast": Forecast,
    "generate": Generate,
    "language-model": LanguageModel,
    "fill": Fill,
    "transcribe": Transcribe,
    "translate": Translate,
    "music": Music,
}


def task_named(name: str) -> type[Task]:
    """The class of a task; refuses a name that is none."""
    if name not in TASKS:
        remedy = did_you_mean(name, TASKS).strip()
        raise InputError(phrase("--task", "the task", f"one of {', '.join(TASKS)}", repr(name), remedy))
    return TASKS[name]
