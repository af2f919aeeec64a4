"""The argument block of a cell's kernels, forward and backward.

Letters: T steps, B rows of the packed batch, C input features, H units, P projected units, R packed rows (lines) of all
steps together, Q lines of one chunk or block of steps, N rows of the caller's batch.

Owners: *plan* is the `LaunchPlan` of the call's sizes, alive as long as any call may use it; *call* means that the
address is written at every launch and the tensor is alive until the launch returns. Workspace fields belong to one
launch; their content is undefined before and after it.
"""

from __future__ import annotations

from .arguments import Address, Addresses, BarrierArgs, Counter, Integer, Integers, Workspace, Workspaces
from .ir_builder import Code, Int, Ptr

CALLER_LAYOUT_TENSORS = ("x", "dx", "output", "d_output")
"""Tensors of lines with the layout of x, packed or the caller's; all other tensors of lines are packed."""


class KernelArgs(BarrierArgs):
    """Every field of the kernels of a cell; the `Layout` of a kernel has those that it reads."""

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
    row_splits = Address("int64 [work_items + 1]: the first row of each work item, and B; plan.")
    packing_counter = Counter("Parts of the packing taken so far; set to 0 before each entry point.")
    packed_count = Counter("Parts of the packing that are complete; set to 0 before each entry point.")

    # Where rows lie.
    step_offsets = Address("int64 [T + 1]: the packed line at which each step begins, and R; plan.")
    row_base = Address("int64 [B]: each row's first line in tensors with the layout of x; plan or `RaggedLayout`.")
    identity = Address("int64 [B]: 0, 1, … B - 1, for tensors that are packed; plan.")
    state_row = Address("int64 [B]: each packed row's row in the initial and final states; plan or `RaggedLayout`.")
    row_stride = Integer("Lines from one step of a row to its next one in the caller's x; 0 if x is packed.")
    gathered_x = Workspace("[Q, padded_C]: the chunk's rows of x, gathered, if x is the caller's.")
    caller_steps = Integer("Steps of the caller's x, padding included; 0 if x is packed.")
    caller_rows = Integer("N, rows of the caller's x; 0 if x is packed.")
    caller_lengths = Address("int64 [N]: steps of each row of the caller's x; `RaggedLayout`.")

    # The range of steps of one launch, and how it is run.
    begin = Integer("First step, counted in the order of work; call.")
    end = Integer("The step after the last one, counted in the order of work; call.")
    first_step = Integer("The step of x that is first in the order of work: 0, or T - 1; plan.")
    step_sign = Integer("1 where the work runs from the first step to the last, -1 from the last to the first; plan.")
    chunk = Integer("Forward: steps whose products with x are computed together, ahead of the time loop; plan.")
    chunk_rows = Integer("Forward: capacity in lines of the chunks of all work items; plan.")
    spill = Workspace("[B, spilled values, padded_units]: values that a later stage of the step reads.")
    means = Workspace("[B, means]: the means over units of one step.")
    unpacked_weights = Integer("1 if weights are read unpacked, from the caller's memory; plan.")
    pack_per_use = Integer(
        "Which panels are packed where they are used: 0 none, 1 of hoisted products, 2 all; -1 where `panel` is packed "
        "already; plan, and call for prepacked weights."
    )

    # Weights.
    panel = Workspaces("[blocks, K, columns]: the packed weights of product number k.")
    bias = Workspaces("[blocks, columns]: the initial accumulators of product number k; zeros without a bias.")
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
        "A tensor of lines by its name: x [R, C], output, saved (values that backward reads), history_k (state k after "
        "each step), dx, d_output, d_history_k, adjoint_k; call.",
        prefix="",
    )
    stride = Integers("Numbers from one line of that tensor to the next; plan, 0 for an absent upstream gradient.")

    # Random numbers.
    random_state = Address("int64 [3 + B]: seed, first step, stream, then the number of each row; call.")
    random_buffer = Workspace("[blocks, 4, B, padded_units]: numbers drawn for four steps, or once for a sequence.")

    # Backward alone.
    compute_dx = Integer("1 if the gradient of x is computed; call.")
    overwrite = Integer("1 if weight gradients are written, 0 if they are added to; call.")
    gate_gradients = Workspace(
        "[Q, stride]: gradients of products and vectors of one block of steps, and operands. Where they are recorded, "
        "the memory of the record, as its distance from the workspace."
    )
    operand_panel = Workspace("[threads, panel_size]: lines of an operand, packed for the weight gradients.")
    gradient_columns = Workspace("[width, Q]: gate_gradients transposed tile by tile.")
    panel_size = Integer("Size of one thread's operand_panel in numbers; plan.")
    panels = Integer("Column blocks in one operand_panel; plan.")
    zeros = Workspace("[padded_units]: a line of zeros, read for an upstream gradient that is absent.")

    # Backward with a record alone.
    with_probe = Integer("1 if the gradients of a probe go through the same steps; call.")
    probe = Address(
        "The probe's argument block: a copy of this one, with upstream gradients, gradients of states, adjoints and "
        "workspaces of its own. Without a probe this block itself; call."
    )

    def size(self, width: str) -> Int:
        """The size of a value of this width: C, H or P."""
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
        """The line that `row_base` is relative to at step t, in tensors with the layout of x."""
        strided, packed = self.row_stride * t, self.step_offsets.load_i64(t)
        return (self.row_stride > 0).select(strided, packed)


class StateTable:
    """The addresses of the states of one step, which the time loop passes to the step function.

    The loop fills the table before each call, because double buffers swap at every step, and backward reads the states
    before a step from a history or from the initial states.
    """

    def __init__(self, code: Code, base: Ptr, states: int):
        """base: the table, int64 [3 · states + 2]."""
        self.code, self.base, self.states = code, base, states

    @classmethod
    def allocate(cls, code: Code, states: int, tables: int = 1) -> StateTable:
        """The first of adjacent tables on the stack of the function that `code` emits."""
        return cls(code, code.alloca_i64(tables * (3 * states + 2)), states)

    def following(self) -> StateTable:
        """The table after this one."""
        return StateTable(self.code, self.base.i64_ptr(3 * self.states + 2), self.states)

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
        """Backward: int64 [B], the line of `recorded` that belongs to each row, in tensors of either layout."""
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
