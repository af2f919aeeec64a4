"""The nouns of a sequence: the call of one layer and direction, its result, the gradients that enter and leave.

Letters: T steps, B rows of the batch, C input features, H hidden units, P projected units, R packed rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from .cells import Cell
from .ragged_layout import RaggedLayout


@dataclass(slots=True)
class SequenceCall:
    """One layer, one direction, one sequence: everything that a backend reads. No autograd, one number type."""

    cell: Cell
    x: Tensor
    """[T, B, C]; packed rows [R, C] with `batch_sizes`; laid out as the caller has it with `rows`."""
    states: Sequence[Tensor]
    """The initial states, [B, H or P] each; a dimension of one entry in front is allowed on the kernels."""
    weights: Sequence[Tensor]
    """In the order of `cell.parameters`."""
    batch_sizes: Tensor | None = None
    """int64 [T] on the CPU, rows of each step, never growing, as a PackedSequence has them; None for a dense batch.
    Steps without rows may be at the end, x may have more lines than there are packed rows, states more rows."""
    reverse: bool = False
    """From the last step to the first; a packed row then starts at its own last step."""
    random_state: Tensor | None = None
    """int64 [3 + B], as `cells.noise` says, for a cell that draws random numbers."""
    rows: RaggedLayout | None = None
    """Where packed rows stay in the caller's x: the output is then laid out as x. Kernels only."""


@dataclass(slots=True)
class ForwardResult:
    """What a forward pass returns. No tensor shares memory with another one or with an argument."""

    output: Tensor
    """[T, B, ·] or [R, ·], or laid out as the caller's x."""
    final_states: list[Tensor]
    """[B, ·] each."""
    histories: list[Tensor] = field(default_factory=list)
    """The states after every step, like the output, of each state that is not the output; [] unless asked for."""
    saved: list[Tensor] = field(default_factory=list)
    """Tensors that backward reads beside the output; [] unless asked for."""


@dataclass(slots=True)
class Upstream:
    """The gradients that enter backward, of any strides; None stands for zero."""

    output: Tensor | None
    final_states: Sequence[Tensor | None]
    histories: Sequence[Tensor | None]
    """As `ForwardResult.histories`; empty where none was returned."""


@dataclass(slots=True)
class Needs:
    """Which gradients leave backward."""

    x: bool = True
    states: bool = True
    weights: bool = True


@dataclass(slots=True)
class Gradients:
    """The gradients that leave backward; None or [] where they are not needed."""

    x: Tensor | None
    states: list[Tensor]
    weights: list[Tensor]


@dataclass(slots=True)
class RecordedGradients:
    """Gradients, and what backward computes on the way. Costs the memory of it."""

    gradients: Gradients
    adjoints: list[Tensor]
    """The whole gradient of each state after every step, like the output; [] where a caller took them by block."""
    products: dict[tuple[str, str], Tensor]
    """(letter, name) → the gradient of that product of a weight at every step; {} where a caller took them by block."""
    probe: RecordedGradients | None = None
    """Those of a second set of upstream gradients, without gradients of x, weights and products."""


OnBlock = Callable[[int, int, int, Sequence[int]], None]
"""Called during a backward pass, after each block of steps: (the first of its steps of x, the step after the last one,
the address of the gradients of products at the first line of the block, the addresses of those of each state, and then
of each state of a probe). All blocks have the same memory, and pass the same list."""


class Backend(Protocol):
    """Runs a call: the kernels, the reference, and what wraps one of them (checkpointing, observation, dispatch)."""

    def forward(self, call: SequenceCall, save: bool, histories: bool) -> ForwardResult:
        """save: also return what `backward` reads. histories: also return the states after every step."""

    def backward(
        self,
        call: SequenceCall,
        result: ForwardResult,
        upstream: Upstream,
        needs: Needs,
        accumulate_into: Sequence[Tensor] = (),
    ) -> Gradients:
        """The gradients of what `call` holds. Reads `result.output` and `result.saved` and writes to none of it.

        accumulate_into  weight gradients of later steps, contiguous: those of these steps are added to them in place
        """
