"""Texts of a model folder: printed while they are written, or as one document, and compared with the training text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from ...errors import InputError, phrase
from ..standard_output import written_out
from ..tasks.registry import TASKS
from ..terminal import without_controls
from .memorised import Memorised, memorised, training_rows
from .model import Model
from .writing import Request, Sample, Writer

WHERE = "ostinato generate"


@dataclass(frozen=True)
class Generated:
    """Samples, and what of them is in the training text."""

    request: Request
    samples: Sequence[Sample]
    found: Memorised | None
    said: str
    """What there is to say of the comparison."""

    def content(self) -> dict[str, Any]:
        """For --json."""
        return {
            "prompt": self.request.prompt,
            "seed": self.request.seed,
            "samples": [
                {"text": self.request.prompt + s.text, "written": s.text, "given": dict(s.given), "ended": s.ended}
                for s in self.samples
            ],
            "memorised": None if self.found is None else self.found.content(),
            "said": self.said,
        }


def generate(opened: Model, request: Request, count: int, out: TextIO | None, notes: TextIO | None = None) -> Generated:
    """Writes `count` texts to `out` as they come, the prompt first, and says on `notes` what of them is memorised.

    Without `out` they are only given back. Raises InputError for a model of another task, and for a request that it
    cannot fulfil.
    """
    if count < 1:
        raise InputError(phrase(WHERE, "--count", "a whole number of 1 or more", count))
    writer = writer_of(opened)
    samples = []
    for number in range(count):
        sample, pieces = writer.begin(request, number)
        before = "\n" if number and not writer.items else ""
        if notes is not None and sample.given and len(request.given) < len(sample.given):
            drawn = ", ".join(f"{name}: {value}" for name, value in sample.given.items())
            print(without_controls(drawn), file=notes, flush=True)
        printed(before + request.prompt, pieces, out)
        samples.append(sample)
    found, said = compared(opened, [request.prompt + sample.text for sample in samples])
    if notes is not None:
        cut = sum(not sample.ended for sample in samples) if writer.items else 0
        sentences = [f"{cut} of {count} samples were cut at --length {request.length}."] if cut else []
        for sentence in (*sentences, said):
            print(sentence, file=notes)
    return Generated(request, samples, found, said)


def printed(prompt: str, pieces: Any, out: TextIO | None) -> None:
    """Writes a text piece by piece, so that it is seen while it comes; in a file or pipe line by line.

    Raises StorageError where it cannot be written.
    """
    if out is None:
        for _ in pieces:
            pass
        return
    flushes = out.isatty()
    with written_out(WHERE, out):
        out.write(prompt)
        for piece in pieces:
            out.write(piece)
            if flushes or "\n" in piece:
                out.flush()
        out.write("\n")


def writer_of(opened: Model) -> Writer:
    """The writer of a model. Raises InputError for a model of a task without texts to write."""
    if not opened.task.writes:
        remedy = "Give a folder that was trained on a text, or with --given; `ostinato predict` is for the others."
        writing = sorted((name for name, task in TASKS.items() if task.writes), reverse=True)
        expected = f"of the task {' or '.join(writing)}"
        raise InputError(phrase(WHERE, "MODEL", expected, f"one of {opened.config.task}", remedy))
    return Writer(opened.task, opened.network, WHERE)


def compared(opened: Model, texts: Sequence[str]) -> tuple[Memorised | None, str]:
    """What of the texts is in the training text, and the sentences that say it."""
    task: Any = opened.task
    train, said = training_rows(opened.config.options.data, opened.config.sources)
    if train is None:
        return None, said
    found = memorised(texts, train, task.units.unit)
    return found, " ".join(filter(None, [found.sentence(), said]))
