"""What a training says while it runs, on stderr: sentences, and one line an evaluation; a live table on a terminal."""

from __future__ import annotations

import math
import sys
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from ..tasks.metric_names import title_of
from ..terminal import without_controls
from ..training.fit import Evaluation
from .outcome import shown


class Progress(Protocol):
    """Receives what a training says."""

    metric: str
    """The name of the metric of the evaluations."""

    def say(self, sentence: str) -> None:
        """One sentence, such as what was inferred."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """One line of the history."""

    def close(self) -> None:
        """After the last evaluation."""


class Silent:
    """Says nothing."""

    metric = "metric"

    def say(self, sentence: str) -> None:
        pass

    def evaluated(self, evaluation: Evaluation) -> None:
        pass

    def close(self) -> None:
        pass


class Plain:
    """A line each, for a stream that is no terminal."""

    def __init__(self, metric: str = "metric", stream: TextIO | None = None) -> None:
        self.metric, self.stream = metric, stream or sys.stderr

    def say(self, sentence: str) -> None:
        print(without_controls(sentence), file=self.stream, flush=True)

    def evaluated(self, evaluation: Evaluation) -> None:
        values = (f"{name} {value}" for name, value in zip(_headings(self.metric), _cells(evaluation, self.metric)))
        print("  ".join(values), file=self.stream, flush=True)

    def close(self) -> None:
        pass


class OnTerminal:
    """One table that grows in place."""

    def __init__(self, metric: str = "metric", stream: TextIO | None = None) -> None:
        self.metric, self.console = metric, Console(file=stream or sys.stderr)
        self.live: Live | None = None
        self.rows: list[list[str]] = []

    def say(self, sentence: str) -> None:
        self.console.print(without_controls(sentence), markup=False, highlight=False)

    def evaluated(self, evaluation: Evaluation) -> None:
        self.rows.append(_cells(evaluation, self.metric))
        if self.live is None:
            self.live = Live(console=self.console, auto_refresh=False)
            self.live.start()
        self.live.update(self._table(), refresh=True)

    def close(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for heading in _headings(self.metric):
            table.add_column(heading, justify="right")
        most = max(3, self.console.height - 4)
        for row in self.rows[-most:]:
            table.add_row(*row)
        return table


def on(stream: TextIO, quiet: bool = False) -> Progress:
    """What suits a stream: nothing where the user asked for quiet, a live table on a terminal, else plain lines."""
    if quiet:
        return Silent()
    return OnTerminal(stream=stream) if stream.isatty() else Plain(stream=stream)


def _headings(metric: str) -> list[str]:
    return ["update", "seconds", "training loss", f"validation {title_of(metric)}", "learning rate", ""]


def _cells(e: Evaluation, metric: str) -> list[str]:
    value = shown(metric, e.metric)
    loss = "-" if math.isnan(e.train_loss) else f"{e.train_loss:.4f}"  # before the first update there is none
    return [f"{e.update}", f"{e.seconds:.0f}", loss, value, f"{e.learning_rate:.2g}", "best" * e.best]
