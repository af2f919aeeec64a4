"""What `ostinato generate` does with what was typed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError, phrase
from ..options import WritingOptions
from ..running.generate import WHERE, generate
from ..running.writing import Request
from ..tasks.texts.sampling import Sampling
from .check import Ended
from .launched import one_process
from .typed import typed_in


def write_texts(model: Path, given: Sequence[str], options: Mapping[str, Any], json: bool) -> Ended:
    """`ostinato generate`: texts on stdout while they are written, or one document; what is memorised on stderr."""
    one_process(WHERE)
    made = WritingOptions(**options)
    how = Sampling(made.temperature, made.top_k, made.top_p)
    request = Request(prompt_of(made.prompt), given_of(given), made.length, made.stop, how, made.seed).checked(WHERE)
    found = generate(model, request, made.count, None if json else sys.stdout, None if json else sys.stderr)
    return Ended("", found.content(), printed=json)


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
