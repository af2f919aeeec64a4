"""What the exports as C, WebAssembly and pages know of a model, and which models each of them takes.

Letters: T steps, C numbers of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from ...errors import InputError, phrase
from ...export import Meaning
from ..tasks.scaling import Scaling
from .check import WHERE

EXPECTED = "one whose network runs step by step"


@dataclass(frozen=True)
class Steps:
    """A model as a network of one input and one output, which runs step by step, or on whole sequences."""

    network: nn.Module
    samples: Tensor
    """Made inputs of the self-test, [T, C], or entries int64 [T], scaled and encoded as the program does it."""
    x: str
    """What an input is."""
    y: str
    """What an output is."""
    reset: str
    """When the state is reset; empty where none is carried from call to call."""
    page: Meaning
    texts: Sequence[str] | None = None
    """Of entries: the text of each; None where x has numbers, or the entries are those of tokenizer.json."""
    scaling: Scaling | None = None
    """Of numbers."""
    classes: Sequence[str] = ()
    """Of the outputs."""
    target: tuple[float, float] | None = None
    """Mean and deviation of the output, where it is a scaled number."""
    no_page: str = ""
    """Why there is no page, and what to train for one; empty where there is one."""
    whole: str = ""
    """What one call reads from both ends, "row" or "sentence"; empty where the network runs step by step."""
    each: bool = True
    """Whether there is an output for each step of a whole sequence, not one for all of them."""
    max_steps: int | None = None
    """The longest sequence of a call in C."""

    @property
    def reads(self) -> str:
        """What one call reads, where the network runs on whole sequences."""
        most = "" if self.max_steps is None else f", of 1 to {self.max_steps:,} steps"
        return f"A call reads a whole {self.whole}{most}, from the initial states every time."

    def when(self, reset: str, run: str) -> str:
        """A line: when the function `reset` is called, or what one call of `run` reads."""
        return f"{run}: {self.reads}" if self.whole else f"{reset}: {self.reset}."


def taken(steps: Steps, task: str, kind: str, max_steps: int | None) -> Steps:
    """Those of the format `kind`, c, wasm or page, with the longest sequence that was typed.

    Raises InputError for a model of both directions as a page, or in C without the length of its longest sequence, and
    for such a length where there is no limit.
    """
    if max_steps is not None and not steps.whole:
        remedy = "Leave it out: this network runs step by step, any number of them."
        received = f"{max_steps} for a model that reads in one direction"
        raise InputError(phrase(WHERE, "--max-steps", "given for a model of both directions", received, remedy))
    if max_steps is not None and max_steps < 1:
        remedy = "Write --max-steps 100, say: the workspace has room for so many steps."
        raise InputError(phrase(WHERE, "--max-steps", "at least 1", max_steps, remedy))
    if not steps.whole or kind == "wasm":
        return steps
    received = f"one of the task {task} that reads both directions"
    if kind == "page":
        remedy = "Train with --one-direction, or use ostinato export MODEL --wasm, which runs on whole sequences."
        raise InputError(phrase(WHERE, "MODEL", EXPECTED, received, remedy))
    if max_steps is None:
        remedy = "Write --max-steps 100, say, the steps of the longest sequence, or train with --one-direction."
        raise InputError(phrase(WHERE, "MODEL", EXPECTED, received, remedy))
    return replace(steps, samples=steps.samples[:max_steps], max_steps=max_steps)
