"""The measuring half of the main job: models, speeds, training, samples, gradients. It prints nothing.

Letters: T steps, B sequences, H hidden units, K characters.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ostinato.apps.models import CharModel
from ostinato.apps.training import Text, Trainer, bits_per_character, windows
from ostinato.errors import InputError, phrase
from ostinato.layers import GRU, LSTM, RNN
from ostinato.lens import gradient_by_lag

Kind = Callable[[int, int], nn.Module]
"""A layer's class: called with input_size and hidden_size."""

TORCH: dict[str, Kind] = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
OURS: dict[str, Kind] = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}
STATES = ("h", "c")
Clock = Callable[[], float]
"""Seconds since some moment."""
MEASURING = 0.2
"""The largest share of the whole time that the speeds of all cells may take."""
TRAINING = 2 / 3
"""The smallest share of the whole time that training gets."""
VALIDATING = 0.1
"""The largest share of training that goes into reading held-out text on the way."""


@dataclass(frozen=True)
class Settings:
    """What the main job does: every choice that changes a number. Sizes in H units, B streams, T steps."""

    text: Path | None = None
    out: Path = Path("ostinato-demo")
    seed: int = 0
    steps: int = 2000
    seconds: float = 230.0
    hidden: int = 256
    embedding: int = 64
    batch: int = 32
    chunk: int = 64
    blocks: int = 8
    learning_rate: float = 3e-3
    clip: float = 1.0
    lags: int = 100
    sample: int = 300
    temperature: float = 0.7

    def __post_init__(self) -> None:
        for name in ("steps", "seconds", "hidden"):
            value = getattr(self, name)
            if not value > 0:
                raise InputError(phrase("ostinato demo", f"--{name}", "above 0", value))


@dataclass
class Outcome:
    """What one cell came to. Speeds in characters per second, bits per character of the held-out text.

    torch_speed   None where the time was up before torch.nn took a step
    """

    cell: str
    weights: int
    speed: float
    torch_speed: float | None
    bits: float = float("nan")
    steps: int = 0
    seconds: float = 0.0
    train_curve: list[tuple[int, float]] = field(default_factory=list)
    valid_curve: list[tuple[int, float]] = field(default_factory=list)
    gradient_before: dict[str, list[float]] = field(default_factory=dict)
    gradient_after: dict[str, list[float]] = field(default_factory=dict)
    sample: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times torch.nn's speed; None where there was no time to measure that."""
        return None if self.torch_speed is None else self.speed / self.torch_speed


def build(kind: Kind, settings: Settings, characters: int) -> CharModel:
    """A model of K = `characters` with a layer of class `kind`; the same seed gives the same weights in any class."""
    torch.manual_seed(settings.seed)
    return CharModel(kind(settings.embedding, settings.hidden), characters)


def trainer(model: CharModel, text: Text, settings: Settings, total: int) -> Trainer:
    """The trainer that both the measurement and the training use."""
    return Trainer(
        model,
        text,
        batch=settings.batch,
        steps=settings.chunk,
        total=total,
        learning_rate=settings.learning_rate,
        clip=settings.clip,
    )


def measure_speeds(
    models: tuple[CharModel, CharModel], text: Text, settings: Settings, clock: Clock = time.monotonic, block: int = 5
) -> tuple[float, float | None]:
    """Characters per second in training of two models: medians over `settings.blocks` blocks of steps, in turns.

    The models are copied, so the measurement trains nothing that is used afterwards. The first steps of each, which
    compile and allocate, are not counted. It ends with its share of `MEASURING` of the whole time; the first model
    takes a counted step in any case, and the second one's speed is None where none was left for it.
    """
    pair = [trainer(copy.deepcopy(model), text, settings, settings.blocks * block) for model in models]
    begin, time_for_it = clock(), MEASURING * settings.seconds / len(OURS)
    spent: tuple[list[float], list[float]] = ([], [])
    for first in range(3):
        for each in pair:
            if clock() < begin + time_for_it / 3 or (first == 0 and each is pair[0]):
                each.step()
    # One step of each, before the blocks: a slow machine is to have both.
    for count in (1, *[block] * settings.blocks):
        for each, times in zip(pair, spent, strict=True):
            for _ in range(count):
                if clock() >= begin + time_for_it and spent[0]:
                    break
                read, start = each.characters, clock()
                each.step()
                times.append((clock() - start) / (each.characters - read))
    return 1 / median(spent[0]), 1 / median(spent[1]) if spent[1] else None


def train(
    model: CharModel,
    text: Text,
    settings: Settings,
    outcome: Outcome,
    *,
    total: int,
    deadline: float,
    clock: Clock = time.monotonic,
) -> Iterator[float]:
    """Train for `total` steps or until `clock` passes `deadline`; yields each step's bits per character.

    The outcome's bits, curves, steps and seconds are filled in on the way: the training curve as the mean of each
    hundredth of the steps, the validation curve at each sixteenth that leaves training `1 - VALIDATING` of the time,
    both at the end.
    """
    running = trainer(model, text, settings, total)
    mean_of, validate_every = max(1, total // 100), max(1, total // 16)
    recent: list[float] = []
    start, validating = clock(), 0.0
    # Before held-out text was read once, from the cost of a step: a third of it is the way forward.
    steps_of_a_pass = len(text.valid) / (3 * settings.batch * settings.chunk)
    for step in range(1, total + 1):
        bits = running.step() / math.log(2)
        outcome.steps, outcome.seconds = step, clock() - start
        recent.append(bits)
        last = step == total or clock() > deadline
        if step % mean_of == 0 or last:
            outcome.train_curve.append((step, sum(recent) / len(recent)))
            recent.clear()
        before, count = clock(), len(outcome.valid_curve)
        cost = validating / count if count else steps_of_a_pass * (before - start) / step
        if last or (step % validate_every == 0 and validating + cost <= VALIDATING * (before - start)):
            outcome.bits = bits_per_character(model, text.valid)
            outcome.valid_curve.append((step, outcome.bits))
            validating += clock() - before
        yield bits
        if last:
            return


def gradients(model: CharModel, text: Text, settings: Settings) -> dict[str, list[float]]:
    """State name -> median over 32 places of the held-out text of ‖∂L_T/∂s_{T-k}‖, k = 0 … lags.

    L_T is the cross entropy in nats of the one character after the last step. Measured in float64: in float32 a
    vanishing gradient would end at 1e-45 instead of showing its rate.
    """
    double = copy.deepcopy(model).double().eval()
    places, lags = 32, min(settings.lags, len(text.valid) - 34)
    read = windows(text.valid, places, lags + 2)

    def loss(output: Tensor) -> Tensor:
        return cross_entropy(double.head(output), read[-1], reduction="none")

    with torch.no_grad():
        x = double.embedding(read[:-1])
    measured = gradient_by_lag(double.layer, x, loss, lags=lags)
    return {STATES[s]: measured.median(s).tolist() for s in range(len(measured.norms))}


def sample(model: CharModel, text: Text, settings: Settings) -> str:
    """What the model writes after the first 100 characters of the held-out text."""
    ids = model.generate(text.valid[:100], settings.sample, settings.temperature, settings.seed)
    return text.decode(ids)
