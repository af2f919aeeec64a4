"""A model with another beam than in its training: how many hypotheses the search for a text follows."""

from __future__ import annotations

from ...errors import InputError, phrase
from .model import Model


def with_beam(opened: Model, beam: int | None, where: str) -> Model:
    """The same model, whose search follows `beam` hypotheses; None: as many as in its training.

    Raises InputError for a model without a search, and for a number below 1.
    """
    if beam is None:
        return opened
    if beam < 1:
        remedy = "1 follows the most probable unit each time."
        raise InputError(phrase(where, "--beam", "a whole number of 1 or more", beam, remedy))
    opened.task.search_with(opened.network, beam, where)
    return opened
