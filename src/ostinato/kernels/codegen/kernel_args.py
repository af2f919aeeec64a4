"""The argument block of a cell's kernels, forward and backward.

Letters: T steps, B rows of the packed batch, C input features, H units, P projected units, R packed rows (lines) of all
steps together, Q lines of one chunk or block of steps, N rows of the caller's batch.

Owners: *plan* means the `LaunchPlan` of the call's sizes, alive as long as any call may use it; *call* means that the
address is written at every launch and the tensor is alive until the launch returns. All workspace fields live in the
workspace of one launch and hold nothing before it or after it.
"""

from __future__ import annotations

from .arguments import Address, Addresses, BarrierArgs, Integer, Integers, Workspace, Workspaces
from .ir_builder import Code, Int, Ptr

CALLER_LAYOUT_TENSORS = ("x", "dx", "output", "d_output")
"""Row tensors that are laid out as x is, packed or as the caller has it; all other row tensors are packed."""


class KernelArgs(BarrierArgs):
    """Every field of the kernels of a cell; a kernel's `Layout` holds those that it reads."""

    # Sizes of the call, plan.
    T = Integer("Steps.")
    B = Integer("Rows of the first step.")
    C = Integer("Input features.")
    H = Integer("Units of a gate.")
    P = Integer("Units of a projection.")
    padded_C = Integer("C rounded up to whole pairs of vectors.")
    padded_H = Integer("H rounded up to whole pairs of vectors.")
    padded_P = Integer("P rounded up to whole pairs of vectors.")
    padded_units = Integer("The larger of padded_H and padded_P.")
    workspace = Integer("Address of the workspace; call.")

    # Division of the work.
    row_splits = Address("int64 [parts + 1]: the rows at which each part begins, and B; plan.")

    # Where rows lie.
    step_offsets = Address("int64 [T + 1]: the packed line at which each step begins, and R; plan.")
    row_base = Address("int64 [B]: the line of each row's first step in tensors laid out as x; plan or `RowLayout`.")
    identity = Address("int64 [B]: 0, 1, … B - 1, for tensors that are packed; plan.")
    state_row = Address("int64 [B]: which row of the initial and final states each packed row is; plan or `RowLayout`.")
    row_stride = Integer("Lines from one step of a row to its next where x is the caller's; 0 where x is packed.")
    gathered_x = Workspace("[Q, padded_C]: the chunk's rows of x side by side, where x is the caller's.")
    caller_steps = Integer("Steps of the caller's x, padding included; 0 where x is packed.")
    caller_rows = Integer("N, rows of the caller's x; 0 where x is packed.")
    caller_lengths = Address("int64 [N]: steps of each row of the caller's x; `RowLayout`.")

    # The range of steps of one launch, and how it is run.
    begin = Integer("First step, counted in the order of work; call.")
    end = Integer("The step after the last one, counted in the order of work; call.")
    first_step = Integer("The step of x that is first in the order of work: 0, or T - 1; plan.")
    step_sign = Integer("1 where the work runs from the first step to the last, -1 from the last to the first; plan.")
    chunk = Integer("Forward: steps whose products with x are made together, before their time loop; plan.")
    chunk_rows = Integer("Forward: lines that all parts' chunks have room for; plan.")
    spill = Workspace("[B, spilled values, padded_units]: values that a later stage of the step reads.")
    means = Workspace("[B, means]: the means over units of one step.")
    unpacked_weights = Integer("1 where weights are read as the caller has them, without panels; plan.")
    pack_per_use = Integer("1 where a panel is packed in each step that uses it; plan.")

    # Weights.
    panel = Workspaces("[blocks, K, columns]: the packed weights of product number k.")
    bias = Workspaces("[blocks, columns]: the start of each sum of product number k; zeros without a bias.")
    pregemm = Workspaces("[blocks, Q, columns]: W @ x of a chunk of steps, for the hoisted product number k.", "gates_")
    vector = Workspaces("[padded width]: a per-unit vector, by letter and name.")
    weight = Addresses("The parameter of a letter, [gates · rows, columns], or of a vector, p.NAME; call.")
    d_weight = Addresses("Backward: the gradient of that parameter; call, written.")

    # States.
    start_state = Addresses("[N or B, width]: initial state number k; in backward the final state's gradient; call.")
    final_state = Addresses("[N or B, width]: final state number k, written; in backward the initial state's gradient.")
    even = Workspaces("[B, padded width]: the carried state number k at even steps.")
    odd = Workspaces("[B, padded width]: the same at odd steps, for states that need a double buffer.")
    first_state = Addresses("Backward: [N or B, width], initial state number k of the forward pass; call.")

    # Row tensors: one line for each packed row, or laid out as the caller's x.
    row = Addresses(
        "A tensor of lines by its name: x [R, C], output, kept (what forward saves), history_k (state k after each "
        "step), dx, d_output, d_history_k, adjoint_k; call.",
        prefix="",
    )
    stride = Integers("Numbers from one line of that tensor to the next; plan, 0 for an absent upstream gradient.")

    # Random numbers.
    random_state = Address("int64 [3 + B]: seed, first step, stream, then the number of each row; call.")
    random_buffer = Workspace("[blocks, 4, B, padded_units]: numbers drawn for four steps, or once for a sequence.")

    # Backward alone.
    compute_dx = Integer("1 where the gradient of x is computed; call.")
    overwrite = Integer("1 where weight gradients are written, 0 where they are added to; call.")
    gate_gradients = Workspace("[Q, stride]: gradients of products and vectors of one block of steps, and operands.")
    operand_panel = Workspace("[threads, panel_size]: lines of an operand, packed for the weight gradients.")
    gradient_columns = Workspace("[width, Q]: gate_gradients turned, a tile's columns side by side.")
    panel_size = Integer("Numbers of one thread's operand_panel; plan.")
    panels = Integer("Column blocks that one operand_panel holds at a time; plan.")
    zeros = Workspace("[padded_units]: the line of an upstream gradient that is absent.")

    def size(self, width: str) -> Int:
        """How many numbers a value of this width has: C, H or P."""
        return self.integer(width)

    def padded(self, width: str) -> Int:
        """The same, rounded up to whole pairs of vectors."""
        return self.integer(f"padded_{width}")

    def column(self, offset: tuple[int, ...]) -> Int:
        """A column of a line, from its offset in units of (H, P, 1)."""
        h, p, *ones = offset
        total = self.code.int_const(sum(ones))
        if h:
            total = self.H * h + total
        return total + self.P * p if p else total

    def line(self, t: Int) -> Int:
        """The line from which `row_base` counts at step t, in tensors that are laid out as x."""
        strided, packed = self.row_stride * t, self.step_offsets.load_i64(t)
        return (self.row_stride > 0).select(strided, packed)


class StateTable:
    """Addresses that the time loop hands to the step function: where the states of this step lie.

    The loop fills the table before each call of the step function, because the buffers of a state may swap at every
    step, and backward reads the states before a step from a history or from the initial states.
    """

    def __init__(self, code: Code, base: Ptr, states: int):
        """base: the table, int64 [3 · states + 2]."""
        self.code, self.base, self.states = code, base, states

    @classmethod
    def allocate(cls, code: Code, states: int) -> StateTable:
        """A table on the stack of the function that `code` emits."""
        return cls(code, code.alloca_i64(3 * states + 2), states)

    def previous(self, k: int) -> Ptr:
        """[B, padded width]: the carried state number k before the step; in backward the gradient that is carried."""
        return self.base.load_pointer(k)

    def next(self, k: int) -> Ptr:
        """[B, padded width]: the same after the step; the same memory where no double buffer is needed."""
        return self.base.load_pointer(self.states + k)

    def recorded(self, k: int) -> Ptr:
        """Backward: lines that hold state number k before the step, of its history or the initial states."""
        return self.base.load_pointer(2 * self.states + k)

    def recorded_rows(self, caller_layout: bool) -> Ptr:
        """Backward: int64 [B], which line of `recorded` each row has, in tensors of either layout."""
        return self.base.load_pointer(3 * self.states + (not caller_layout))

    def set_carried(self, k: int, previous: Ptr, following: Ptr) -> None:
        """Sets `previous` and `next` of state number k."""
        self.code.store_pointer(self.base, k, previous)
        self.code.store_pointer(self.base, self.states + k, following)

    def set_recorded(self, k: int, lines: Ptr) -> None:
        """Sets `recorded` of state number k."""
        self.code.store_pointer(self.base, 2 * self.states + k, lines)

    def set_recorded_rows(self, caller_layout: Ptr, packed: Ptr) -> None:
        """Sets `recorded_rows` for either layout."""
        self.code.store_pointer(self.base, 3 * self.states, caller_layout)
        self.code.store_pointer(self.base, 3 * self.states + 1, packed)
