"""Records of a fit: what it is given beside the task and the options, and what it results in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from ..data.examples import Examples
from ..tasks.task import Encoded
from .plan import Plan
from .world import Alone, World


@dataclass(frozen=True)
class Evaluation:
    """One line of the history."""

    update: int
    seconds: float
    train_loss: float
    """The mean over all units read since the evaluation before; NaN before the first update."""
    metric: float
    """The task's metric on validation rows."""
    best: bool
    learning_rate: float
    valid_loss: float = float("nan")
    """The mean over the units of the validation rows. Among evaluations with one metric a lower loss is better."""


@dataclass(frozen=True)
class Fitted:
    """The result of a fit."""

    weights: Mapping[str, Tensor]
    """The best weights by the task's metric on validation rows, as in the network's state_dict."""
    sha256: str
    """Of the best weights, name by name."""
    history: list[Evaluation]
    updates: int
    planned_updates: int
    """Which the learning rate falls over: of the whole schedule, ended early or not."""
    stopped: str
    """updates, patience, minutes or interrupted."""
    advice: str
    """One sentence: whether more time would have helped."""
    settings: Mapping[str, Any]
    """Everything a repetition needs that is not in the options: planned updates, evaluation interval, threads, and the
    number of processes where there were several."""
    notes: tuple[str, ...] = ()
    """What went wrong without ending the fit, a sentence each: a state that could not be written."""


@dataclass(frozen=True)
class Part:
    """The rows of one part of a split, as examples and as numbers."""

    examples: Examples
    encoded: Encoded


class Listener(Protocol):
    """Is called while a fit runs, to show its progress."""

    def planned(self, plan: Plan, done: int) -> None:
        """Once, before the first update; `done` updates were made in an earlier run that is now resumed."""

    def updated(self, update: int) -> None:
        """After every update; `update` of them have been made."""

    def evaluated(self, evaluation: Evaluation) -> None: ...
    def note(self, sentence: str) -> None:
        """What went wrong without ending the fit."""


class Silent:
    """A listener that shows nothing."""

    def planned(self, plan: Plan, done: int) -> None: ...
    def updated(self, update: int) -> None: ...
    def evaluated(self, evaluation: Evaluation) -> None: ...
    def note(self, sentence: str) -> None: ...


class Requested(Protocol):
    """Whether the user has asked for an end; `interruption.Interruption` is one."""

    requested: bool


class Never:
    """Nobody asks for an end."""

    requested = False


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Where a fit runs: clock, budget, progress, interruption, and the folder of its state."""

    clock: Callable[[], float] = time.perf_counter
    """Seconds since any fixed moment."""
    seconds_left: Callable[[], float] | None = None
    """Seconds until the whole command should end. None: `minutes` from the beginning of the fit."""
    reserve: Callable[[float], float] = lambda seconds: 0.0
    """Seconds that what follows the fit takes, given the seconds of one evaluation on the validation rows."""
    listener: Listener = Silent()
    interruption: Requested = Never()
    folder: Path | None = None
    """Where the state is written at every evaluation point, the folder `resume` of a model folder. None: nowhere."""
    resume: bool = False
    """Whether to go on from the state in `folder`."""
    settings: Mapping[str, Any] | None = None
    """`Fitted.settings` of an earlier run, to repeat it; None: a new plan."""
    world: World = Alone()
    """The processes that share the fit."""
    test_rows: str | None = None
    """SHA-256 of rows that the fit does not read, but that are judged after it; a state belongs to them, too."""

    def agreed(self) -> Surroundings:
        """The same with rank 0's clock on all ranks, each of which must then read it equally often."""
        world, left = self.world, self.seconds_left
        if world.size == 1:
            return self
        return replace(
            self,
            clock=lambda: world.agree(self.clock()),
            seconds_left=None if left is None else lambda: world.agree(left()),
            reserve=lambda seconds: world.agree(self.reserve(seconds)),
        )
