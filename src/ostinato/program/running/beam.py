"""A model with another beam than its training's: hypotheses that the search of a text follows."""

from __future__ import annotations

from typing import Any

from ...errors import InputError, phrase
from ..options import BEAMS, ONE_HYPOTHESIS, is_beam
from ..tasks.own_options import TASKS
from .model import Model


def with_beam(opened: Model, beam: int | None, where: str) -> Model:
    """The model, which searches with `beam` hypotheses; None: as many as in its training.

    Raises InputError for a model without a search, and for a number below 1 or above 1,000.
    """
    if beam is None:
        return opened
    if opened.task.name not in TASKS["beam"]:
        remedy = f"It belongs to the task {' or '.join(TASKS['beam'])}."
        raise InputError(phrase(where, "--beam", f"left out, as the task is {opened.task.name}", "given", remedy))
    if not is_beam(beam):
        raise InputError(phrase(where, "--beam", BEAMS, beam, ONE_HYPOTHESIS))
    parts: list[Any] = [opened.network, opened.task]
    next(part for part in parts if hasattr(part, "beam")).beam = beam
    return opened
