"""What `ostinato stream` does with what was typed."""

from __future__ import annotations

import sys
from pathlib import Path

from ...errors import InputError, phrase
from ..running.model import open_model
from ..running.streaming.records import WHERE
from ..running.streaming.run import Asked, LineStream, Pipes
from .launched import one_process
from .typed import typed_in


def stream_lines(model: Path, asked: Asked) -> int:
    """Answers the lines of standard input; returns the exit status."""
    one_process(WHERE)
    if asked.next is not None and asked.next < 1:
        raise InputError(phrase(WHERE, "--next", "a whole number of 1 or more", asked.next))
    return LineStream(open_model(model), asked).run(Pipes(typed_in(), sys.stdout, sys.stderr))
