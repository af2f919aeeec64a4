"""How the models of each task answer lines, and why those of some tasks, or with some options, cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ....errors import InputError, phrase
from ...tasks.music.heads import ApartHead
from ..model import Model
from .of_forecasts import OfForecasts
from .of_items import OfItems
from .of_music import OfMusic
from .of_networks import OfRows, OfTags
from .of_texts import OfTexts
from .of_transcripts import OfTranscripts
from .records import WHERE, Way

HAVE_NEXT = ("language-model", "generate", "music")
"""The tasks whose models have units, or keys, after a line, which --next lists."""
FORWARDS = "one that reads forwards, step by step"


def way_of(opened: Model, count: int | None) -> Way:
    """How a model answers lines.

    count  most probable next units, or keys, that are listed, of the tasks of HAVE_NEXT alone; None: not asked for

    Raises InputError for a model that cannot go on line by line, and what to use or train instead.
    """
    name = opened.task.name
    if count is not None and name not in HAVE_NEXT:
        remedy = "Other models have no next unit; leave it out."
        expected = f"given for one of the tasks {', '.join(HAVE_NEXT)}"
        raise InputError(phrase(WHERE, "--next", expected, f"one of the task {name}", remedy))
    make = WAYS[name]
    if isinstance(make, tuple):
        raise InputError(phrase(WHERE, "MODEL", FORWARDS, *make))
    return make(opened, count)


def _forwards(opened: Model) -> None:
    """Refuses layers in both directions."""
    if opened.config.options.network.both_directions:
        received = f"one of the task {opened.task.name} that reads both directions"
        remedy = "The second direction begins at the end, which a stream does not have yet. Train with --one-direction."
        raise InputError(phrase(WHERE, "MODEL", FORWARDS, received, remedy))


def _sequences(opened: Model) -> None:
    """Refuses rows of one step."""
    task: Any = opened.task
    if task.inputs.kind == "features":
        remedy = "Each row is answered by itself: ostinato predict MODEL - reads lines."
        received = f"one of the task {task.name} whose rows have one step"
        raise InputError(phrase(WHERE, "MODEL", "one of sequences", received, remedy))


def _rows(opened: Model, count: int | None) -> Way:
    _sequences(opened)
    _forwards(opened)
    return OfRows(opened)


def _transcripts(opened: Model, count: int | None) -> Way:
    _sequences(opened)
    _forwards(opened)
    return OfTranscripts(opened)


def _items(opened: Model, count: int | None) -> Way:
    network: Any = opened.network
    if network.language.given:
        received = "one of the task generate, whose items have a condition, which a line of text lacks"
        remedy = "Use ostinato predict MODEL FILE, or train without --given and --features."
        raise InputError(phrase(WHERE, "MODEL", "one of texts alone", received, remedy))
    return OfItems(opened, count)


def _music(opened: Model, count: int | None) -> Way:
    network: Any = opened.network
    if not isinstance(network.head, ApartHead):
        received = "one of the task music that decides the keys of a frame one after another"
        remedy = "Train with --chords apart, or use ostinato predict MODEL FILE."
        raise InputError(phrase(WHERE, "MODEL", "one that decides each key apart", received, remedy))
    return OfMusic(opened, count)


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
    "transcribe": _transcripts,
    "generate": _items,
    "music": _music,
    "fill": (
        "one of the task fill, whose units depend on those after them",
        "Train a language model, ostinato train TEXT.txt, or use ostinato predict MODEL --fill -.",
    ),
    "translate": (
        "one of the task translate, which reads a whole text before it writes",
        "Use ostinato predict MODEL -, which translates each line.",
    ),
}
"""Task → how its models answer; or what they are instead, and what to do."""
