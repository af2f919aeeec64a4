"""What `ostinato generate` does with what was typed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError, phrase
from ..options import WritingOptions
from ..running.compose import compose
from ..running.generate import WHERE, generate
from ..running.model import Model, open_model
from ..running.music_request import MusicRequest
from ..running.writing import Request
from ..tasks.texts.sampling import Sampling
from ..terminal import without_controls
from .check import Ended
from .launched import one_process
from .typed import typed_in


def write_with(model: Path, given: Sequence[str], options: Mapping[str, Any], json: bool) -> Ended:
    """`ostinato generate`: texts or MIDI files, as the model's task is; what is memorised on stderr."""
    one_process(WHERE)
    made = WritingOptions(**options)
    pairs = given_of(given)
    how = Sampling(made.temperature, made.top_k, made.top_p)
    Request("", pairs, made.length, made.stop, how, made.seed).checked(WHERE)
    opened = open_model(model)
    return WAYS.get(opened.task.name, write_texts)(opened, model, pairs, made, json)


def write_texts(opened: Model, model: Path, given: Mapping[str, str], made: WritingOptions, json: bool) -> Ended:
    """Texts, which are printed. Raises InputError for an option that only files have, and a task that writes none."""
    if made.out is not None:
        remedy = "Redirect the output: > FILE."
        raise InputError(phrase(WHERE, "--out", "left out for texts, which are printed", made.out, remedy))
    how = Sampling(made.temperature, made.top_k, made.top_p)
    request = Request(prompt_of(made.prompt), given, made.length, made.stop, how, made.seed).checked(WHERE)
    found = generate(opened, request, made.count, None if json else sys.stdout, None if json else sys.stderr)
    return Ended("", found.content(), printed=json)


def write_music(opened: Model, model: Path, given: Mapping[str, str], made: WritingOptions, json: bool) -> Ended:
    """MIDI files, whose names are printed. Raises InputError for options that only texts have."""
    foreign = {"--given": given, "--stop": made.stop, "--top-k": made.top_k, "--top-p": made.top_p}
    for flag, value in foreign.items():
        if value:
            raise InputError(phrase(WHERE, flag, "left out for a model of music", "it", f"Leave {flag} out."))
    if made.prompt == "":
        raise InputError(phrase(WHERE, "--prompt", "a MIDI file, for music", "''", "Write --prompt start.mid, say."))
    prompt = None if made.prompt is None else Path(made.prompt)
    request = MusicRequest(prompt, made.out, made.length, made.count, made.temperature, made.seed)
    found = compose(opened, request, model)
    if not json:
        frames = len(found.prompt.roll)
        said = [f"{frames:,} frames of the prompt, then {made.length:,} new ones."] if frames else []
        for sentence in (*said, *found.said):
            print(without_controls(sentence), file=sys.stderr)
    return Ended("\n".join(map(str, found.files)), found.content())


WAYS = {"music": write_music}
"""Task → how its models write; those of all others write texts."""


def prompt_of(typed: str | None) -> str:
    """The prompt; - stands for all of stdin, without its last line break."""
    if typed != "-":
        return typed or ""
    text = typed_in().read()
    return text.removesuffix("\n").removesuffix("\r")


def given_of(pairs: Sequence[str]) -> dict[str, str]:
    """{column: value} of COLUMN=VALUE. Raises InputError for what has no = and for a column that is named twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name or name in found:
            received = f"{name} twice" if name in found else repr(pair)
            remedy = "Write --given language=Russian, say, once for each column."
            raise InputError(phrase(WHERE, "--given", "COLUMN=VALUE", received, remedy))
        found[name] = value
    return found
