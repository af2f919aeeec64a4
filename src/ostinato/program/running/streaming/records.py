"""What a stream of lines is made of: lines, the sequences that they belong to, answers, and how a task gives them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ....streaming import Stream

WHERE = "ostinato stream"


@dataclass(frozen=True)
class Line:
    """One line that was read."""

    number: int
    """From 1."""
    text: str
    """Without the line break, and without the id where lines have one."""
    ended: bool = True
    """Whether a line break follows; the last line of a file may have none."""

    @property
    def where(self) -> str:
        """The place for messages."""
        return f"{WHERE}, line {self.number}"


@dataclass
class Sequence:
    """One sequence of lines, and what is carried from one to the next."""

    stream: Stream | None = None
    """The states of the network, one row; None of a task that keeps the last rows instead."""
    own: dict[str, Any] = field(default_factory=dict)
    """What the task keeps beside the states, as JSON holds it."""


@dataclass(frozen=True)
class Answer:
    """The answer to one line."""

    text: str | None
    """One line or several, without the last line break; None where there is nothing to say yet."""
    content: Mapping[str, Any]
    """The same for --json."""
    note: str = ""
    """A sentence for standard error; empty: none."""


class Way(ABC):
    """How the models of a task answer lines."""

    heading = ""
    """A line that comes before the answers as text; empty: none."""

    def is_break(self, line: Line) -> bool:
        """Whether a line is empty, and so begins a new sequence; False where such a line is one like any other."""
        return not line.text.strip()

    def is_heading(self, line: Line) -> bool:
        """Whether a line has the names of the columns, in whose order the numbers of later lines are then read."""
        return False

    def name_of(self, line: Line) -> str | None:
        """The sequence that a line names by itself; None where lines of the task name none."""
        return None

    @abstractmethod
    def begin(self) -> Sequence:
        """A sequence before its first line."""

    @abstractmethod
    def answer(self, sequence: Sequence, line: Line) -> Answer:
        """The answer to one more line. Raises OstinatoError for a line that cannot be read; the sequence is then as it
        was before."""
