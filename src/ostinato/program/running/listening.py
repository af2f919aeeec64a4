"""The progress of a fit, as the program's progress shows it."""

from __future__ import annotations

from ..training.plan import Plan
from ..training.records import Evaluation
from .progress import Progress
from .training_samples import TrainingSamples


class Listening:
    """A listener of the fit that passes on to a `Progress`."""

    def __init__(self, progress: Progress, metric: str, samples: TrainingSamples | None = None) -> None:
        self.progress, self.samples = progress, samples
        progress.metric = metric

    def planned(self, plan: Plan, done: int) -> None:
        """Says how many updates are planned."""
        if self.samples is not None and done:
            self.samples.resumed(done)
        before = f", {done} of them made before" if done else ""
        self.progress.say(f"Planned: {plan.total} updates{before}, an evaluation every {plan.interval}.")

    def updated(self, update: int) -> None:
        """Nothing is shown of single updates."""

    def evaluated(self, evaluation: Evaluation) -> None:
        """Shows the evaluation and, of a network that writes texts, a text."""
        self.progress.evaluated(evaluation)
        if self.samples is not None and evaluation.update:
            for sentence in filter(None, self.samples.write(evaluation.update)):
                self.progress.say(sentence)

    def note(self, sentence: str) -> None:
        """Says what went wrong without ending the fit."""
        self.progress.say(sentence)
