"""How the models of each task are written."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import InputError, phrase
from ..running.model import Model
from .check import WHERE
from .plan import Plan
from .sequences import forecasts, gaps, rows, tags, transcripts
from .translations import translations
from .writing import items, music, texts

PLANS: dict[str, Callable[[Model], Plan]] = {
    "classify": rows,
    "regress": rows,
    "tag": tags,
    "forecast": forecasts,
    "generate": items,
    "language-model": texts,
    "fill": gaps,
    "transcribe": transcripts,
    "translate": translations,
    "music": music,
}


def plan_of(model: Model) -> Plan:
    """The plan of a model. Raises InputError for a task that is not written."""
    if model.task.name not in PLANS:
        expected = f"of a task that is exported, {', '.join(PLANS)}"
        raise InputError(phrase(WHERE, "MODEL", expected, model.task.name, "The weights are in model.safetensors."))
    return PLANS[model.task.name](model)
