"""A model with another beam than in its training: how many hypotheses the search for a text follows."""

from __future__ import annotations

from ...errors import InputError, phrase
from ..options import BEAMS, ONE_HYPOTHESIS, is_beam
from .model import Model


def with_beam(opened: Model, beam: int | None, where: str) -> Model:
    """The same model, whose search follows `beam` hypotheses; None: as many as in its training.

    Raises InputError for a model without a search, and for a number below 1 or above 1,000.
    """
    if beam is None:
        return opened
    if not is_beam(beam):
        raise InputError(phrase(where, "--beam", BEAMS, beam, ONE_HYPOTHESIS))
    opened.task.search_with(opened.network, beam, where)
    return opened
