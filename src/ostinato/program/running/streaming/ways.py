"""How the models of each task answer lines, and why those of some tasks, or with some options, cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ....errors import InputError, phrase
from ..model import Model
from .of_forecasts import OfForecasts
from .of_networks import OfRows, OfTags
from .of_texts import OfTexts
from .records import WHERE, Way


def way_of(opened: Model, count: int | None) -> Way:
    """How a model answers lines.

    count  most probable next units that are listed, of a language model alone; None: none

    Raises InputError for a model that cannot go on line by line, and what to use or train instead.
    """
    name = opened.task.name
    if count is not None and name != "language-model":
        remedy = "Other models have no next unit; leave it out."
        raise InputError(phrase(WHERE, "--next", "given for a language model", f"one of the task {name}", remedy))
    make = WAYS[name]
    if isinstance(make, tuple):
        raise InputError(phrase(WHERE, "MODEL", "one that reads forwards, step by step", *make))
    return make(opened, count)


def _forwards(opened: Model) -> None:
    """Refuses layers in both directions."""
    if opened.config.options.network.both_directions:
        received = f"one of the task {opened.task.name} that reads both directions"
        remedy = "The second direction begins at the end, which a stream does not have yet. Train with --one-direction."
        raise InputError(phrase(WHERE, "MODEL", "one that reads forwards, step by step", received, remedy))


def _rows(opened: Model, count: int | None) -> Way:
    task: Any = opened.task
    if task.inputs.kind == "features":
        remedy = "Each row is answered by itself: ostinato predict MODEL - reads lines."
        received = f"one of the task {task.name} whose rows have one step"
        raise InputError(phrase(WHERE, "MODEL", "one of sequences", received, remedy))
    _forwards(opened)
    return OfRows(opened)


def _tags(opened: Model, count: int | None) -> Way:
    _forwards(opened)
    return OfTags(opened)


def _forecasts(opened: Model, count: int | None) -> Way:
    ahead = opened.config.options.data.future
    if ahead:
        remedy = "Train without --future, or use ostinato predict MODEL FILE with the values ahead in the file."
        received = f"one of the task forecast that reads {', '.join(ahead)} of the steps to forecast"
        raise InputError(phrase(WHERE, "MODEL", "one that reads what has happened", received, remedy))
    return OfForecasts(opened)


WAYS: Mapping[str, Callable[[Model, int | None], Way] | tuple[str, str]] = {
    "classify": _rows,
    "regress": _rows,
    "tag": _tags,
    "language-model": OfTexts,
    "forecast": _forecasts,
    "fill": (
        "one of the task fill, whose units depend on those after them",
        "Train a language model, ostinato train TEXT.txt, or use ostinato predict MODEL --fill -.",
    ),
    "generate": (
        "one of the task generate, whose items have a beginning and an end of their own",
        "Use ostinato predict MODEL - for the nats of whole items, or train a language model on the text.",
    ),
    "transcribe": (
        "one of the task transcribe, whose frames are put together from the steps of a whole recording",
        "Use ostinato predict MODEL -, which reads the path of a recording in each line.",
    ),
    "translate": (
        "one of the task translate, which reads a whole text before it writes",
        "Use ostinato predict MODEL -, which translates each line.",
    ),
    "music": (
        "one of the task music, whose frames are those of whole pieces",
        "Use ostinato predict MODEL FILE, or ostinato generate MODEL --prompt FILE to go on from a piece.",
    ),
}
"""Task → how its models answer; or what they are instead, and what to do."""
