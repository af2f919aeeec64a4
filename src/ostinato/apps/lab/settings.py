"""What an experiment on lags consists of: its settings, and the plan of single cases that follows from them."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ostinato.apps.problems import TASKS, named
from ostinato.cells import catalogue
from ostinato.errors import InputError, OstinatoError, phrase
from ostinato.layers import Recurrent

WHERE = "ostinato lab lag"
ALIASES = {"rnn": "elman", "rnn_relu": "elman_relu"}
INITS = "torch, orthogonal, identity, chrono, forget-1"
_FORGET = re.compile(r"forget-(\d+(?:\.\d+)?)")
_INIT = re.compile(rf"torch|orthogonal|identity|chrono|{_FORGET.pattern}")


@dataclass(frozen=True)
class Variant:
    """A cell of the catalogue with the way its weights start.

    init is "torch", "orthogonal", "identity", "chrono", where T is the lag of the case, or "forget-1", a forget bias of
    1 (or another number) over torch's weights.
    """

    cell: str
    init: str = "torch"

    def __str__(self) -> str:
        return f"{self.cell} {self.init}"

    def options(self, lag: int) -> dict[str, Any]:
        """The options of the layer for this lag."""
        forget = _FORGET.fullmatch(self.init)
        if forget:
            return {"forget_bias": float(forget[1])}
        return {"init": f"chrono({max(2, lag)})" if self.init == "chrono" else self.init}

    def refusal(self) -> str:
        """The layer's own error for this pair, or None."""
        try:
            Recurrent(self.cell, 1, 2, device="meta", **self.options(2))
        except OstinatoError as error:
            return str(error)
        return ""


DEFAULT = tuple(
    Variant(cell, init)
    for cell, inits in {
        "elman": ("torch", "orthogonal"),
        "elman_relu": ("identity",),
        "lstm": ("torch", "forget-1", "chrono"),
        "gru": ("torch", "chrono"),
    }.items()
    for init in inits
)
"""The default comparison: cells, and their initial weights."""


@dataclass(frozen=True)
class Training:
    """How a network is trained: the same for every cell, and part of every claim.

    updates        steps of Adam at most, `batch` sequences each
    learning_rate  Adam's; constant, or with decay=True falling in a straight line to 0 at the last update
    clip           the norm that the gradient of all weights together is cut to
    hidden         units of an LSTM; every other cell gets as many units as bring it closest to that LSTM's weights
    sequences      how many different sequences there are to learn from; None: every batch is newly drawn
    to_the_end     False: training ends as soon as the lag is bridged; True: it goes on for all updates
    """

    updates: int = 2500
    batch: int = 32
    learning_rate: float = 5e-3
    clip: float = 1.0
    hidden: int = 32
    sequences: int | None = None
    decay: bool = False
    to_the_end: bool = False

    def __post_init__(self) -> None:
        for name in ("updates", "batch", "learning_rate", "clip", "hidden"):
            value = getattr(self, name)
            if not value > 0:
                raise InputError(phrase(WHERE, _flag(name), "above 0", value))
        if self.sequences is not None and self.sequences < self.batch:
            remedy = "Leave it out to draw new batches throughout."
            raise InputError(phrase(WHERE, "--sequences", f"at least --batch = {self.batch}", self.sequences, remedy))


@dataclass(frozen=True)
class Case:
    """One network to train: everything that its result depends on, besides the machine and the versions."""

    task: str
    lag: int
    cell: str
    init: str
    seed: int
    training: Training = field(default_factory=Training)

    @property
    def variant(self) -> Variant:
        return Variant(self.cell, self.init)

    def __str__(self) -> str:
        return f"{self.task} at lag {self.lag}, {self.variant}, seed {self.seed}"


@dataclass(frozen=True)
class Settings:
    """An experiment: tasks x lags x variants x seeds, the time for it, and the folder where it is kept.

    cells, inits  names; both None: the variants of DEFAULT; one of them None: with the cells, or the inits, that
                  DEFAULT has; both given: all pairs
    lags          in steps, rising
    minutes       what is not finished by then is left for the next call with the same folder
    workers       cases that are trained at a time, one thread each, because networks this small gain nothing from a
                  second; with more than one worker, in processes of their own. No result depends on it
    """

    tasks: tuple[str, ...] = ("adding", "minimal-lag", "temporal-order", "reber", "agreement", "copy")
    cells: tuple[str, ...] | None = None
    inits: tuple[str, ...] | None = None
    lags: tuple[int, ...] = (10, 30, 100)
    seeds: int = 1
    minutes: float = 10.0
    workers: int = 1
    training: Training = field(default_factory=Training)
    out: Path = Path("ostinato-lab-lag")

    def __post_init__(self) -> None:
        for name in ("tasks", "cells", "inits", "lags"):
            values = getattr(self, name)
            if values is not None and (not values or len(set(values)) < len(values)):
                received = ", ".join(map(str, values)) or "none"
                raise InputError(phrase(WHERE, _flag(name), "one or more, each once", received))
        for task in self.tasks:
            named(task, WHERE)
        for cell in self.cells or ():
            if cell not in catalogue():
                remedy = f"The catalogue holds {', '.join(catalogue())}."
                raise InputError(phrase(WHERE, "--cells", "cells of the catalogue", repr(cell), remedy))
        for init in self.inits or ():
            if not _INIT.fullmatch(init):
                remedy = "The number behind forget- is the bias; chrono takes the lag as its T."
                raise InputError(phrase(WHERE, "--init", f"some of {INITS}", repr(init), remedy))
        if min(self.lags) < 1 or list(self.lags) != sorted(self.lags):
            raise InputError(
                phrase(WHERE, "--lags", "rising numbers of steps from 1 on", ", ".join(map(str, self.lags)))
            )
        for name in ("seeds", "minutes", "workers"):
            if not getattr(self, name) > 0:
                raise InputError(phrase(WHERE, _flag(name), "above 0", getattr(self, name)))
        if not self.cases:
            remedy = " ".join(self.left_out)
            raise InputError(phrase(WHERE, "the experiment", "one case or more", "none that can be run", remedy))

    @property
    def wanted(self) -> tuple[Variant, ...]:
        """The pairs of cell and initialiser that were asked for, in the order in which they are shown."""
        if self.inits is not None:
            cells = self.cells or tuple(dict.fromkeys(variant.cell for variant in DEFAULT))
            return tuple(Variant(cell, init) for cell in cells for init in self.inits)
        if self.cells is None:
            return DEFAULT
        known = {cell: [each for each in DEFAULT if each.cell == cell] for cell in self.cells}
        return tuple(each for cell, variants in known.items() for each in variants or [Variant(cell)])

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Those of `wanted` that the layers accept."""
        return tuple(variant for variant in self.wanted if not variant.refusal())

    @property
    def left_out(self) -> tuple[str, ...]:
        """One sentence for each pair and each lag that cannot be run."""
        pairs = [f"{each} is left out: {each.refusal()}" for each in self.wanted if each.refusal()]
        lags = [
            f"{task} is left out at lag {lag}: its shortest is {TASKS[task].shortest}."
            for task in self.tasks
            for lag in self.lags
            if lag < TASKS[task].shortest
        ]
        return tuple(pairs + lags)

    @property
    def cases(self) -> tuple[Case, ...]:
        """All cases, the most telling first: an experiment that is cut short has compared all variants where it got.

        One seed after the other. Within a seed the tasks take turns, each from its shortest lag to its longest and
        then to those between; a task and a lag are done with all variants before the next.
        """
        lags = [self.lags[0], *self.lags[:0:-1]]
        places = [(i + j, i, task, lag) for i, task in enumerate(self.tasks) for j, lag in enumerate(lags)]
        return tuple(
            Case(task, lag, variant.cell, variant.init, seed, self.training)
            for seed in range(self.seeds)
            for _, _, task, lag in sorted(places, key=lambda place: place[:2])
            if lag >= TASKS[task].shortest
            for variant in self.variants
        )


def _flag(name: str) -> str:
    return {"tasks": "--task", "inits": "--init"}.get(name, "--" + name.replace("_", "-"))


def names(given: str | None) -> tuple[str, ...] | None:
    """The comma-separated names of an option, with short names replaced; None for None."""
    return None if given is None else tuple(ALIASES.get(each.strip(), each.strip()) for each in given.split(","))


def numbers(given: str) -> tuple[int, ...]:
    """The comma-separated steps of --lags."""
    try:
        return tuple(int(each) for each in given.split(","))
    except ValueError:
        remedy = "Write --lags 10,30,100."
        raise InputError(phrase(WHERE, "--lags", "whole numbers with commas between", repr(given), remedy)) from None
