"""The commands `evaluate` and `predict`, as functions that give back what is printed."""

from __future__ import annotations

import sys
from pathlib import Path

from ..running.evaluate import evaluate
from ..running.predict import predict_lines, predict_table, write_new
from .check import Ended
from .launched import one_process
from .typed import typed_in


def evaluate_model(model: Path, data: Path | None) -> Ended:
    """`ostinato evaluate`: metrics with intervals, by class and by length."""
    one_process("ostinato evaluate")
    found = evaluate(model, data)
    return Ended(found.text(), found.content())


def predict_rows(model: Path, data: str | None, out: Path | None, beam: int | None = None) -> int:
    """`ostinato predict`: a table, or with - an answer to every line."""
    one_process("ostinato predict")
    if data == "-":
        return predict_lines(model, typed_in(), sys.stdout, beam=beam)
    text = predict_table(model, None if data is None else Path(data), beam)
    if out is None:
        sys.stdout.write(text)
    else:
        write_new(out, text)
        print(f"Written: {out}", file=sys.stderr)
    return 0
