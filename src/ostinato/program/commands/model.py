"""The commands `evaluate` and `predict`, as functions that give back what is printed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from ..page.agreement import refuse_picture, save_picture
from ..running.agreement.judge import evaluate_agreement
from ..running.agreement.pairs import Pairs
from ..running.agreement.treebank import pairs_of_treebank
from ..running.evaluate import WHERE, evaluate
from ..running.predict import WHERE as PREDICT
from ..running.predict import predict_lines, predict_table, write_new
from ..standard_output import written_out
from ..terminal import without_controls
from .check import Ended
from .launched import one_process
from .typed import typed_in

LAB = "lab"
"""The source of sentences that are made, instead of a file."""


def evaluate_model(model: Path, data: Path | None) -> Ended:
    """`ostinato evaluate`: metrics with intervals, by class and by length."""
    one_process(WHERE)
    found = evaluate(model, data)
    return Ended(found.text(), found.content())


def evaluate_agreement_of(model: Path, source: str, made: Callable[[], Pairs], picture: Path | None) -> Ended:
    """`ostinato evaluate --agreement`: right verb forms by distance and by misleading nouns.

    source  a treebank, or `lab`, for sentences that `made` gives
    """
    one_process(WHERE)
    refuse_picture(picture)
    found = evaluate_agreement(model, made() if source == LAB else pairs_of_treebank(Path(source)))
    if picture is not None:
        save_picture(found, picture)
    return Ended(found.text(), found.content())


def predict_rows(model: Path, data: str | None, out: Path | None, beam: int | None = None) -> int:
    """`ostinato predict`: a table, or with - an answer to every line."""
    one_process(PREDICT)
    if data == "-":
        return predict_lines(model, typed_in(), sys.stdout, beam=beam)
    text = predict_table(model, None if data is None else Path(data), beam, _note)
    if out is None:
        with written_out(PREDICT, sys.stdout):
            sys.stdout.write(text)
    else:
        write_new(out, text)
        print(f"Written: {out}", file=sys.stderr)
    return 0


def _note(sentence: str) -> None:
    print(without_controls(sentence), file=sys.stderr)
