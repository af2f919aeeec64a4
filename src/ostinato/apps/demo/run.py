"""Runs the main job: read the text, measure speeds, train, inspect the best cell, train on a file, write it all."""

import math
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ostinato.apps.inspection import save_model, text_page
from ostinato.apps.models import CharModel
from ostinato.apps.reading import read_text
from ostinato.apps.training import Text, weight_count

from . import digits, experiment, report
from .experiment import OURS, TORCH, TRAINING, Clock, Outcome, Settings
from .folder import new_folder
from .live import live_page
from .page import index_page


class Run:
    """One run of the main job; `finished` holds what is complete at any moment, so that an interrupt loses no more."""

    def __init__(self, settings: Settings, console: Console, clock: Clock = time.monotonic) -> None:
        self.settings, self.console, self.clock = settings, console, clock
        self.seconds_for_digits = digits.seconds_for(settings.seconds)
        self.planned_end = clock() + settings.seconds - self.seconds_for_digits
        self.source, content = read_text(settings.text)
        self.text = Text.of(content)
        self.folder: Path = new_folder(settings.out)
        self.finished: list[Outcome] = []
        self.models: dict[str, CharModel] = {}
        self.doing = "starting"
        self.live: Path | None = None

    def all(self) -> None:
        """Measure the speeds of all cells, then train one after the other."""
        text, settings, threads = self.text, self.settings, torch.get_num_threads()
        self.console.print(
            f"{self.source}: {len(text.train):,} characters to learn from, {len(text.valid):,} held out, "
            f"{len(text.alphabet)} different ones.\n"
            f"Three cells of {settings.hidden} units, {settings.batch} streams, {settings.chunk} steps at a time, "
            f"{threads} thread{'s' if threads > 1 else ''}.",
            highlight=False,
        )
        bar = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[bits]}"),
            TimeRemainingColumn(),
            console=self.console,
        )
        with bar:
            models = self._measure(bar)
            seconds = {name: settings.batch * settings.chunk / outcome.speed for name, (_, outcome) in models.items()}
            planned = self._time_to_train()
            total = max(1, min(settings.steps, math.ceil(planned / sum(seconds.values()))))
            # A machine that slows down now that the steps are counted out gets a fifth more before training is cut.
            last_end = self.clock() + planned + 0.2 * settings.seconds
            for index, (name, (model, outcome)) in enumerate(models.items()):
                now = self.clock()
                share = seconds[name] / sum(list(seconds.values())[index:])
                self._train(bar, model, outcome, total, now + share * (last_end - now))

    def _measure(self, bar: Progress) -> dict[str, tuple[CharModel, Outcome]]:
        """Each cell's initial model, its speed and that of the same model on torch.nn, and its gradients."""
        task = bar.add_task("speeds, in turns", total=len(OURS), bits="")
        models = {}
        for name in OURS:
            self.doing = f"{name}'s speed was being measured"
            model = experiment.build(OURS[name], self.settings, len(self.text.alphabet))
            twin = experiment.build(TORCH[name], self.settings, len(self.text.alphabet))
            twin.load_state_dict(model.state_dict())
            speed, torch_speed = experiment.measure_speeds((model, twin), self.text, self.settings, self.clock)
            before = experiment.gradients(model, self.text, self.settings)
            models[name] = model, Outcome(name, weight_count(model), speed, torch_speed, gradient_before=before)
            bar.advance(task)
        return models

    def _time_to_train(self) -> float:
        """Seconds for the training of all cells together: what is left, but for a fifth for what comes after it.

        On a slow machine the first steps alone take long; training has its share all the same, and the whole ends
        later.
        """
        seconds = self.settings.seconds - self.seconds_for_digits
        return max(TRAINING * seconds, 0.8 * (self.planned_end - self.clock()))

    def _train(self, bar: Progress, model: CharModel, outcome: Outcome, total: int, deadline: float) -> None:
        text, settings = self.text, self.settings
        task = bar.add_task(f"{outcome.cell} learns", total=total, bits="")
        self.doing = f"{outcome.cell} began to learn"
        steps = experiment.train(model, text, settings, outcome, total=total, deadline=deadline, clock=self.clock)
        for bits in steps:
            self.doing = f"{outcome.cell} was at step {outcome.steps} of {total}"
            bar.update(task, advance=1, bits=f"{bits:.2f} bits/char")
        bar.update(task, total=outcome.steps, bits=f"{outcome.bits:.2f} bits/char held out")
        outcome.gradient_after = experiment.gradients(model, text, settings)
        outcome.sample = experiment.sample(model, text, settings)
        save_model(self.folder / f"{outcome.cell.lower()}.safetensors", outcome.cell, model, text.alphabet)
        self.models[outcome.cell] = model
        self.finished.append(outcome)

    def write(self) -> None:
        """Everything but the weights, which are written as soon as a model is trained."""
        report.save_results(self.folder, self.finished, self.source, self.text, self.settings)
        report.save_pictures(self.folder, self.finished)
        report.print_results(self.console, self.finished)

    def inspect(self) -> Path:
        """Pages of the cell with the fewest bits per character: `inspect.html`, on held-out text, and `live.html`."""
        best = min(self.finished, key=lambda outcome: outcome.bits)
        self.doing = f"the page of {best.cell} was being written"
        about: dict[str, object] = {
            "held-out bits per character": best.bits,
            "steps of training": best.steps,
            "text": f"the end of {self.source}, held out",
        }
        few = report.few_updates(self.finished)
        if few:
            about["training"] = few
        inspected, options = text_page(
            self.models[best.cell],
            self.text.alphabet,
            self.text.valid,
            title=f"{best.cell}, after training",
            about=about,
        )
        title = f"{best.cell}, live"
        self.live = live_page(self.folder, title, self.models[best.cell], self.text.alphabet)
        return inspected.save(self.folder / "inspect.html", **options)

    def train_on_a_file(self) -> Path:
        """A training of the program on a file that scikit-learn ships, and the page of everything: `index.html`."""
        self.doing = "a network was learning digits"
        trained = digits.train_digits(self.folder, self.seconds_for_digits, self.clock)
        for sentence in trained.sentences:
            self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)
        page = self.folder / "index.html"
        live = "" if self.live is None else self.live.name
        page.write_text(index_page(self.finished, self.source, trained, live), encoding="utf-8")
        return page


def run(settings: Settings, console: Console | None = None, clock: Clock = time.monotonic) -> int:
    """The main job from the text to the folder of results; returns the exit status, 130 after Ctrl-C.

    Raises InputError before anything is computed or written where a setting cannot serve.
    """
    console = console or Console()
    job = Run(settings, console, clock)
    try:
        job.all()
    except KeyboardInterrupt:
        return _interrupted(job)
    job.write()
    console.print(f"Curves, pictures, weights and every number are in [bold]{job.folder}[/bold].", highlight=False)
    job.inspect()
    console.print("Now a network on a file: the images of digits that scikit-learn ships.", highlight=False)
    page = job.train_on_a_file()
    if job.live is not None:
        console.print(
            f"The best network runs in this page while you type: [bold]{job.live}[/bold].",
            highlight=False,
            soft_wrap=True,
        )
    console.print(
        f"Everything, and what the best cell does inside: [bold]{page}[/bold], a page for a browser.",
        highlight=False,
        soft_wrap=True,
    )
    return 0


def _interrupted(job: Run) -> int:
    """Writes the finished results, and prints one line about them."""
    if job.finished:
        job.write()
        kept = f"{' and '.join(each.cell for each in job.finished)} finished, saved in {job.folder}"
    else:
        job.folder.rmdir()
        kept = "nothing was finished, nothing is left behind"
    job.console.print(f"Interrupted while {job.doing}: {kept}.", highlight=False, soft_wrap=True)
    return 130
