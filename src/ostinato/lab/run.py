"""The order of the experiment: what is not done yet is done, case after case, and written down at once."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ostinato.tasks import named

from . import report
from .experiment import Result, Run
from .record import Record
from .settings import Case, Settings

SAVED_EVERY = 20.0
"""Seconds of a case after which a crash loses no more than these."""


class Experiment:
    """One call of the command."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self.settings, self.console = settings, console
        self.end = time.monotonic() + 60 * settings.minutes
        self.cases = settings.cases
        self.record = Record(settings.out)
        self.running: tuple[Case, Mapping[str, Any]] | None = None

    @property
    def results(self) -> dict[Case, Result]:
        """The finished ones of the cases asked for, in the order of the plan."""
        return {case: self.record.finished[case] for case in self.cases if case in self.record.finished}

    def all(self) -> None:
        """Run what is not in the record until the time is up."""
        bar = Progress(
            TextColumn("{task.description:<52}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[error]}"),
            TimeElapsedColumn(),
            console=self.console,
        )
        whole = bar.add_task("cases", total=len(self.cases), completed=len(self.results), error="")
        part = bar.add_task("", total=self.settings.training.updates, error="")
        with bar:
            for case in self.cases:
                if case in self.record.finished:
                    continue
                if time.monotonic() > self.end:
                    break
                result = self._one(case, bar, part)
                if result is None:
                    break
                self.record.add(case, result)
                bar.advance(whole)
            bar.update(part, visible=False)

    def _one(self, case: Case, bar: Progress, part: Any) -> Result | None:
        """Train one case; None where the time was up before its end, and the case is put down."""
        task = named(case.task)
        bar.update(part, description=str(case), completed=0, error="")
        run = Run(case)
        kept = self.record.put_down_of(case)
        if kept is not None:
            run.take_up(kept)
        self.running, saved = (case, run.put_down()), time.monotonic()
        while True:
            run.advance()
            bar.update(part, completed=run.updates, error=f"error {run.error:.3g} (chance {task.chance:.3g})")
            if run.result is not None:
                self.running = None
                return run.result
            self.running = case, run.put_down()
            over = time.monotonic() > self.end
            if over or time.monotonic() - saved > SAVED_EVERY:
                self.record.put_down(*self.running)
                saved = time.monotonic()
            if over:
                return None

    def interrupted(self) -> None:
        """Keep the case that was running as it was at its last look at the error."""
        if self.running is not None and self.running[0] not in self.record.finished:
            self.record.put_down(*self.running)


def run(settings: Settings, console: Console | None = None) -> int:
    """The experiment from its settings to the folder of results; returns the exit status, 130 after Ctrl-C.

    Raises InputError before anything is computed where a setting, or a line in the folder, cannot serve.
    """
    console = console or Console()
    experiment = Experiment(settings, console)
    for sentence in settings.left_out:
        console.print(sentence, highlight=False, soft_wrap=True)
    try:
        experiment.all()
        stopped = ""
    except KeyboardInterrupt:
        experiment.interrupted()
        stopped = "Interrupted: "
    results = experiment.results
    if results:
        report.write(settings, results, experiment.record.machines)
        report.show(console, settings, results)
    done, planned = len(results), len(experiment.cases)
    if done < planned:
        more = f"{stopped}{done} of {planned} cases are finished; the same command goes on with the others."
        console.print(more, highlight=False, soft_wrap=True)
    console.print(f"All of it is in [bold]{settings.out}[/bold].", highlight=False, soft_wrap=True)
    return 130 if stopped else 0
