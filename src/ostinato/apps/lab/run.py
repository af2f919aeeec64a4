"""Runs the experiment: trains every case that is not in the record, and records each result at once."""

import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import current_thread, main_thread
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ostinato.apps.problems import named

from . import report
from .experiment import Result
from .record import Record
from .settings import Case, Settings
from .workers import CaseProgress, in_parallel, in_sequence

FOR_THE_REPORT = 0.03
"""The share of the time reserved for writing tables and pictures."""


class Experiment:
    """One call of the command."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self.settings, self.console = settings, console
        # Tables and pictures are part of the time.
        self.end = time.monotonic() + (1 - FOR_THE_REPORT) * 60 * settings.minutes
        self.cases = settings.cases
        self.record = Record(settings.out)
        self.interrupted = False

    @property
    def results(self) -> dict[Case, Result]:
        """The results of the experiment's finished cases, in the order of the plan."""
        return {case: self.record.finished[case] for case in self.cases if case in self.record.finished}

    def should_stop(self) -> bool:
        """Whether every running case must be saved and stopped now."""
        return self.interrupted or time.monotonic() > self.end

    def progress(self) -> Iterator[CaseProgress]:
        """Trains the cases that are not in the record."""
        waiting = [case for case in self.cases if case not in self.record.finished]
        count = min(self.settings.workers, len(waiting))
        if count > 1:
            return in_parallel(waiting, self.settings.out, self.should_stop, count)
        return in_sequence(waiting, self.settings.out, self.should_stop)

    def all(self) -> None:
        """Trains and records until every case is finished or the time is up."""
        bar = Progress(
            TextColumn("{task.description:<52}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[error]}"),
            TimeElapsedColumn(),
            console=self.console,
        )
        whole = bar.add_task("cases", total=len(self.cases), completed=len(self.results), error="")
        running: dict[Case, TaskID] = {}
        with bar, self._stopping_on_interrupt(), closing(self.progress()) as updates:  # type: ignore[type-var]
            for update in updates:
                case = update.case
                if case not in running:
                    running[case] = bar.add_task(str(case), total=case.training.updates, error="")
                error = f"error {update.error:.3g} (chance {named(case.task).chance:.3g})"
                bar.update(running[case], completed=update.updates, error=error)
                if update.result is not None:
                    self.record.add(case, update.result)
                    bar.advance(whole)
                    bar.remove_task(running.pop(case))
            for left in running.values():
                bar.remove_task(left)

    @contextmanager
    def _stopping_on_interrupt(self) -> Iterator[None]:
        """The first Ctrl-C stops the experiment at the next update, with nothing lost; a second one interrupts it."""
        if current_thread() is not main_thread():
            yield
            return
        before = signal.getsignal(signal.SIGINT)

        def stop(number: int, frame: FrameType | None) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, before)

        signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def run(settings: Settings, console: Console | None = None) -> int:
    """The experiment from its settings to the folder of results; returns the exit status, 130 after Ctrl-C.

    Raises InputError before anything is computed where a setting, or a line of the record, is invalid.
    """
    console = console or Console()
    experiment = Experiment(settings, console)
    for sentence in settings.left_out:
        console.print(sentence, highlight=False, soft_wrap=True)
    experiment.all()
    results = experiment.results
    if results:
        report.write(settings, results, experiment.record.machines)
        report.show(console, settings, results)
    if len(results) < len(experiment.cases):
        stopped = "Interrupted" if experiment.interrupted else "The time is up"
        more = f"{stopped}: {len(results)} of {len(experiment.cases)} cases are finished."
        console.print(f"{more} The same command goes on with the others.", highlight=False, soft_wrap=True)
    console.print(f"All of it is in [bold]{settings.out}[/bold].", highlight=False, soft_wrap=True)
    return 130 if experiment.interrupted else 0
