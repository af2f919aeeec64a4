"""`ostinato predict MODEL --fill`: the missing units of a text, or of every line that is read."""

from __future__ import annotations

import sys
from pathlib import Path

from ...errors import InputError, phrase
from ..running.fill import COUNT, Filled, filler_of, shown_unit
from ..running.model import open_model
from ..running.predict import WHERE, predict_lines
from ..tasks.texts.prompts import refuse_half_characters
from .check import Ended
from .launched import one_process
from .typed import typed_in


def fill_gaps(model: Path, text: str | None, beside: dict[str, object], count: int | None, json: bool) -> Ended:
    """What is printed for --fill TEXT; with - lines are answered while they are read.

    beside  values of DATA and --out, which --fill does not go with
    """
    one_process(WHERE)
    if text is None:
        given = " and ".join(["--count"] * (count is not None) + ["--json"] * json)
        raise InputError(phrase(WHERE, given, "beside --fill", "no --fill", 'Add --fill "the ___ was cold", say.'))
    others = ", ".join(name for name, value in beside.items() if value is not None)
    if others or (json and text == "-"):
        received = f"{others or '--json'} beside it"
        raise InputError(phrase(WHERE, f"--fill {'-' if text == '-' else 'TEXT'}", "alone", received))
    count = COUNT if count is None else count
    if count < 1:
        raise InputError(phrase(WHERE, "--count", "a whole number of 1 or more", count))
    if text == "-":
        return Ended("", {}, predict_lines(model, typed_in(), sys.stdout, count), printed=False)
    refuse_half_characters(text, "--fill", WHERE)
    opened = open_model(model)
    found = filler_of(opened.task, opened.network, WHERE).fill(text, count)
    if found.note and not json:
        print(found.note, file=sys.stderr)
    return Ended(_text(found), _content(found))


def _text(found: Filled) -> str:
    """A unit and its probability on each line, an empty line between two gaps."""
    return "\n\n".join("\n".join(f"{shown_unit(unit)}\t{share:.4f}" for unit, share in gap) for gap in found.gaps)


def _content(found: Filled) -> dict[str, object]:
    gaps = [[{"unit": unit, "probability": share} for unit, share in gap] for gap in found.gaps]
    return {"text": found.text, "gaps": gaps, "unknown_units": found.unknown}
