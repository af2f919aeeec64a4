"""What a lag task is: sequences with a cue at one end and a question about it at the other.

Letters: T steps, B sequences, C input features, K outputs of the network.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy, mse_loss

from ostinato._renamed import RenamedAttribute
from ostinato.errors import InputError, phrase

Loss = Literal["squared error", "cross entropy"]


@dataclass(frozen=True)
class Examples:
    """B sequences and their targets.

    inputs     [T, B, C] float32; 0 past a row's end
    targets    [T, B] int64, the class of each step, or [T, B, K] float32, the values
    loss_mask  [T, B] bool, the steps whose loss is trained
    eval_mask  [T, B] bool, the steps that decide success: those whose answer needs the cue; as many in every row
    group      [B] int64 or None, a property of each row by which results are grouped (`Task.grouped_by`)
    """

    inputs: Tensor
    targets: Tensor
    loss_mask: Tensor
    eval_mask: Tensor
    group: Tensor | None = None

    counted = RenamedAttribute("loss_mask")
    judged = RenamedAttribute("eval_mask")

    def rows(self, index: Tensor) -> "Examples":
        """The sequences `index` [B'], without the steps after the last trained one."""
        loss_mask = self.loss_mask[:, index]
        steps = int(loss_mask.any(1).nonzero().max()) + 1
        parts = (self.inputs, self.targets, self.eval_mask)
        inputs, targets, eval_mask = (part[:steps, index] for part in parts)
        group = None if self.group is None else self.group[index]
        return Examples(inputs, targets, loss_mask[:steps], eval_mask, group)


Draw = Callable[[int, int, Generator], Examples]
Sizes = Callable[[int], tuple[int, int]]


@dataclass(frozen=True)
class Task:
    """One task: how sequences of a given lag are drawn, what the loss is, and when the lag counts as bridged.

    The lag is the number of steps from the cue to the answer, where an answer given at step t is dated t + 1: a
    network that reads the cue at step t and answers at step t + lag - 1 carries it through lag - 1 transitions.
    Where cues stand at several steps, the lag is that of the earliest place a cue can have.

    loss        "squared error" of K values, or "cross entropy" of K classes; its mean over the counted steps is trained
    bound       bridged: the error on unseen sequences is at most this. The error is the mean squared error of the
                judged steps, or the fraction of them whose class is not the likeliest one
    chance      the error of the best guess that has not seen the cue
    shortest    the smallest lag that can be drawn
    sizes       lag -> (C, K)
    """

    name: str
    text: str
    source: str
    criterion: str
    loss: Loss
    bound: float
    chance: float
    shortest: int
    sizes: Sizes
    draws: Draw
    grouped_by: str = ""

    def draw(self, lag: int, batch: int, generator: Generator) -> Examples:
        """`batch` sequences of this lag, from `generator` alone: the same generator state, the same sequences."""
        where = f"the task {self.name}"
        if lag < self.shortest:
            remedy = "Leave this lag out for this task."
            raise InputError(phrase(where, "the lag", f"at least {self.shortest} steps", lag, remedy))
        if batch < 1:
            raise InputError(phrase(where, "batch", "at least 1 sequence", batch))
        return self.draws(lag, batch, generator)

    def loss_of(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each of N steps: outputs [N, K], targets [N] or [N, K] → [N]."""
        if self.loss == "squared error":
            return mse_loss(outputs, targets, reduction="none").mean(1)
        return cross_entropy(outputs, targets, reduction="none")

    def errors_of(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The error of each of N judged steps: its squared error, or 1 where the likeliest class is wrong → [N]."""
        if self.loss == "squared error":
            return self.loss_of(outputs, targets)
        return (outputs.argmax(1) != targets).to(outputs.dtype)


def task(
    *,
    source: str,
    criterion: str,
    loss: Loss,
    bound: float,
    chance: float,
    shortest: int,
    sizes: Sizes,
    grouped_by: str = "",
) -> Callable[[Draw], Task]:
    """Make a `Task` of a drawing function; its name is the function's, its text the docstring."""

    def made(draws: Draw) -> Task:
        name = draws.__name__.replace("_", "-")
        text = inspect.getdoc(draws) or ""
        return Task(name, text, source, criterion, loss, bound, chance, shortest, sizes, draws, grouped_by)

    return made


def symbols(ids: Tensor, alphabet: int) -> Tensor:
    """Each symbol as a vector with a single 1: ids [T, B] → [T, B, alphabet] float32; -1 becomes zeros."""
    marked = (ids >= 0).float()[..., None]
    return torch.zeros(*ids.shape, alphabet, dtype=torch.float32, device="cpu").scatter_(
        2, ids.clamp(min=0)[..., None], marked
    )


def only_last(steps: int, batch: int) -> Tensor:
    """True at the last of T steps in every row: [T, B]."""
    marked = torch.zeros(steps, batch, dtype=torch.bool, device="cpu")
    marked[-1] = True
    return marked
