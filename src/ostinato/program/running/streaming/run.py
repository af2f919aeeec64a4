"""The loop of `ostinato stream`: line after line to the sequence that it belongs to, and its answer out at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ....errors import InputError, OstinatoError, phrase
from ...one_thread import one_thread
from ...standard_output import let_go, unwritable
from ...tasks.texts.prompts import refuse_half_characters
from ...terminal import without_controls
from ..model import Model
from .ending import CLOSED, Signals
from .records import WHERE, Answer, Line, Sequence
from .saved import StateFile
from .ways import way_of

REFUSED = 2
"""The status where some line was refused."""
LONE = ""
"""The name of the one sequence of lines that name none."""


@dataclass(frozen=True)
class Asked:
    """The options of the command."""

    state: Path | None = None
    ids: bool = False
    reset_on: str | None = None
    next: int | None = None
    strict: bool = False
    json: bool = False


@dataclass(frozen=True)
class Pipes:
    """Where lines come from, and where answers and refusals go."""

    lines: TextIO
    answers: TextIO
    errors: TextIO


class LineStream:
    """The sequences of a model's stream of lines.

    Raises InputError for a model that cannot be streamed, and for a file of --state that is not its own.
    """

    def __init__(self, opened: Model, asked: Asked) -> None:
        self.asked, self.way = asked, way_of(opened, asked.next)
        if asked.ids and opened.task.name == "forecast" and opened.config.options.data.id is not None:
            received = f"a value, as the column {opened.config.options.data.id} names the series"
            raise InputError(phrase(WHERE, "--ids", "left out", received, "Leave --ids out."))
        if asked.state is not None and opened.task.name == "generate":
            received = "a value for a model of the task generate, which carries nothing from line to line"
            raise InputError(phrase(WHERE, "--state", "left out", received, "Leave --state out."))
        self.file = None if asked.state is None else StateFile(asked.state, opened)
        self.sequences: dict[str, Sequence] = {} if self.file is None else self.file.load(self.way)

    def run(self, pipes: Pipes) -> int:
        """Answers every line; returns the exit status. The states are saved at the end, whatever ends the lines."""
        # A line is too little work for several threads, which would wait for each other between lines.
        failed: OSError | None = None
        with one_thread(), Signals() as signals:
            try:
                status = self._answer_all(signals.lines(iter(pipes.lines)), pipes)
            except BrokenPipeError:
                let_go(pipes.answers)
                status = CLOSED
            except OSError as error:  # a full disk under the answers
                let_go(pipes.answers)
                status, failed = REFUSED, error
            if self.file is not None:
                self.file.save(self.sequences)
        if failed is not None:
            remedy = "Make room; states that were asked for are saved, also those after the line without an answer."
            raise unwritable(WHERE, failed, remedy) from failed
        return signals.status or status

    def _answer_all(self, lines: Iterator[str], pipes: Pipes) -> int:
        """Answers lines; returns 2 where one was refused, else 0."""
        status = 0
        if self.way.heading and not self.asked.json:
            self._out(pipes, "id\t" * self.asked.ids + self.way.heading)
        for line in _numbered(lines):
            try:
                text, note = self.answered(line)
            except OstinatoError as error:
                message = str(error) if str(error).startswith(line.where) else f"{line.where}: {error}"
                print(without_controls(message), file=pipes.errors, flush=True)
                status = REFUSED
                if self.asked.strict:
                    break
            else:
                if note:
                    print(without_controls(f"{line.where}: {note}"), file=pipes.errors, flush=True)
                if text is not None:
                    self._out(pipes, text)
        return status

    def answered(self, line: Line) -> tuple[str | None, str]:
        """(what is printed for a line, None for one that begins a sequence or names columns; a note or nothing)

        Raises OstinatoError for a line that cannot be read; every sequence is then as it was before.
        """
        refuse_half_characters(line.text, "a line", line.where)
        named, rest = self._divided(line)
        if self._begins(rest):
            if named is None:
                self.sequences.clear()
            else:
                self.sequences.pop(named, None)
            return None, ""
        if self.way.is_heading(rest):
            return None, ""
        own = self.way.name_of(rest)
        named = own if named is None else named
        name = LONE if named is None else named
        sequence = self.sequences.get(name) or self.way.begin()
        answer = self.way.answer(sequence, rest)
        self.sequences[name] = sequence
        return self._printed(line, named, answer), answer.note

    def _divided(self, line: Line) -> tuple[str | None, Line]:
        """(the id of a line, None where lines have none; the line without it)"""
        if not self.asked.ids:
            return None, line
        found = re.match(r"([^\t]+)\t(.*)" if "\t" in line.text else r"([^,;]+)[,;](.*)", line.text, re.DOTALL)
        if found is None:
            remedy = "Write the id, a tab and the rest, or leave --ids out."
            raise InputError(phrase(line.where, "a line", "an id and the rest", repr(line.text[:60]), remedy))
        return found[1].strip(), Line(line.number, found[2], line.ended)

    def _begins(self, line: Line) -> bool:
        """Whether a line is none of a sequence, but says that a new one begins."""
        return line.text == self.asked.reset_on or self.way.is_break(line)

    def _printed(self, line: Line, name: str | None, answer: Answer) -> str | None:
        if self.asked.json:
            named: Mapping[str, Any] = {} if name is None else {"id": name}
            found = {"line": line.number, **named, **answer.content}
            return json.dumps(found, ensure_ascii=False, allow_nan=False)
        if answer.text is None or name is None or not self.asked.ids:
            return answer.text
        return "\n".join(f"{without_controls(name)}\t{text}" for text in answer.text.split("\n"))

    def _out(self, pipes: Pipes, text: str) -> None:
        pipes.answers.write(text + "\n")
        pipes.answers.flush()


def _numbered(lines: Iterator[str]) -> Iterator[Line]:
    for number, line in enumerate(lines, 1):
        yield Line(number, line.rstrip("\r\n"), line.endswith("\n"))
