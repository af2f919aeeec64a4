"""The thread policy: how many threads run a call and what they divide, and the measured constants behind it.

Constants that fix the order of a sum are no costs and are not here: see `row_partition.BLOCK_ROWS`.

Letters: T steps, B rows of the first step, R packed rows of all steps together, H units.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..system import openmp
from .barrier_cost import barrier_seconds


@dataclass(frozen=True, slots=True)
class CostModel:
    """What decides how a call runs; measured on x86-64 with AVX2 and AVX-512. None of it changes a bit of a result."""

    pregemm_rows: int = 96
    """Rows of x multiplied ahead of the time loop: enough for tall tiles, few enough to stay in the cache."""
    single_chunk_rows: int = 128
    """Rows of a call up to which they are multiplied in one chunk, with panels of W packed where they are used."""
    panel_at_once_rows: int = 64
    """Rows of a block of steps up to which all operand panels fit, and weight gradients are written row by row."""
    unpacked_rows: int = 4
    """Forward: R up to which weights are read unpacked; their blocks are transposed once for each tile of rows."""
    unpacked_rows_backward: int = 64
    """Backward: R up to which weights are read unpacked; their rows cost no more than packed ones."""
    pack_per_use_steps: int = 4
    """T up to which a panel of weights is packed where it is used, and not ahead for all steps."""
    min_rows_per_thread: int = 4
    """Mean rows of a step for each thread from which rows are divided, and no thread waits at a barrier."""
    min_rows_per_tile: int = 4
    """A step of fewer rows costs as much as one of so many: fewer do not keep the multipliers busy."""
    shared_weight_bytes: int = 2 << 20
    """Forward: bytes of all weights from which threads share the units of a step even where rows could be divided. Each
    thread then reads its part of the weights in every step, which its core's second-level cache may hold."""
    shared_weight_bytes_backward: int = 5 << 20
    """The same in backward, where threads that share a step wait for each other more often."""
    min_shared_macs: int = 4_000
    """Multiply-adds of a step for each thread below which sharing its units never pays."""
    barrier_macs_per_second: float = 60e9
    """Multiply-adds of a step for each thread that one second of a barrier must bring."""
    max_shared_macs: int = 60_000
    """Multiply-adds of a step for each thread from which sharing its units pays whatever a barrier costs."""
    min_macs_per_thread: int = 1_000_000
    """Multiply-adds of a call for each thread: waking a sleeping thread takes tens of microseconds."""
    weight_read_macs: int = 8
    """Multiply-adds that cost as much as reading one weight, or writing its gradient, once in a call."""


COSTS = CostModel()


@dataclass(frozen=True, slots=True)
class Load:
    """What a call computes, as far as the thread policy asks."""

    B: int
    lines: int
    """R."""
    rows_per_step: int
    """R / T, rounded down."""
    macs_per_row: int
    """Multiply-adds of one row of one step."""
    per_use_blocks: tuple[int, ...] = ()
    """Blocks of units of each product, where panels are packed per use."""
    large_weights: bool = False
    """Whether the weights have at least `shared_weight_bytes`, or in backward `shared_weight_bytes_backward`."""


@dataclass(frozen=True, slots=True)
class Division:
    """How threads divide a call."""

    threads: int
    shared: bool
    """True where all threads work on every step, each on some units; False where each has rows of its own."""


def divide(load: Load, workers: int) -> Division:
    """Rows where there are enough for `workers` threads and the weights are not large, else the units of large layers,
    else one thread.

    What counts of rows that end early is the mean number per step. Where panels are packed per use, each thread packs
    some of them, if their blocks divide evenly.
    """
    costs = COSTS
    if workers == 1 or (load.lines + costs.weight_read_macs) * load.macs_per_row <= costs.min_macs_per_thread * workers:
        return Division(1, False)
    can_share = openmp.num_threads_address() is not None
    if load.per_use_blocks and can_share and all(n % workers == 0 or n >= 4 * workers for n in load.per_use_blocks):
        return Division(workers, True)
    if load.rows_per_step >= costs.min_rows_per_thread * workers:
        return Division(workers, load.large_weights and can_share)
    macs = load.rows_per_step * load.macs_per_row
    if not can_share or macs < _shared_macs(load.rows_per_step, macs, workers) * workers:
        return Division(min(workers, load.B), False)
    return Division(workers, True)


def _shared_macs(rows: int, macs: int, workers: int) -> float:
    """Multiply-adds of a step for each thread from which sharing its units pays; macs: of one step.

    Where there are rows for all threads, dividing them is the alternative, and no thread waits. Otherwise threads would
    be idle, and the cost of a barrier decides, in which machines differ tens of times.
    """
    costs = COSTS
    if rows >= workers or not costs.min_shared_macs * workers <= macs < costs.max_shared_macs * workers:
        return costs.max_shared_macs
    return min(costs.max_shared_macs, costs.min_shared_macs + barrier_seconds(workers) * costs.barrier_macs_per_second)
