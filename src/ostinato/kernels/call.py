"""What a call of the kernels needs that follows from its sizes: the frame but for addresses, and the workspace."""

from __future__ import annotations

import operator
from array import array
from bisect import bisect_right
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..caching import graph_bytes
from ..cells import Cell
from ..cells.noise import ROWS, WORDS
from ..errors import ShapeError, phrase
from . import machine, team, threads
from .forward import Forward
from .meetings import price
from .plan import Product
from .program import Program
from .random import NAME, ROOM
from .tensor_checks import Handover, in_memory
from .timeloop import Kernel
from .vector import in_workspace

# Rows of x that are multiplied ahead of the loop: enough for tall tiles, little enough to stay in cache.
CHUNK_ROWS = 96
# Rows of one block of backpropagation: the length of one chain of additions in a weight's gradient.
BLOCK_ROWS = 512
# Rows of a block up to which the gradients of weights are written line by line.
SHORT_ROWS = 64
# Rows of a call up to which weights are read as they are. Backward reads their rows, which costs nothing more than
# reading packed ones; forward needs their columns, which are turned anew for every two rows.
DIRECT_ROWS = 4
DIRECT_ROWS_BACKWARD = 64
# Steps of a call up to which a block of weights is packed where it is used, and not ahead for all steps.
ONCE_STEPS = 4
# Rows of a step, on average, for each thread from which on each works by itself.
ROWS_APART = 4
# Rows of a step that cost no less than so many: fewer do not keep the multipliers busy.
ROWS_AT_ONCE = 4
# Multiply-adds of a step for each thread below which sharing its units costs more than it brings: some in any case,
# and so many for each second of a meeting; at most the last, which holds where rows could be divided instead.
WORTH_SHARING = 4_000
MEETING_RATE = 60e9
WORTH_MEETING = 60_000
# Multiply-adds of a call for any thread: waking one that went to sleep takes tens of microseconds.
WORTH_A_THREAD = 1_000_000
# Multiply-adds that cost as much as reading one weight, or writing its gradient, once a call.
ONCE_A_CALL = 8

# Bytes of a kernel's names and places, and of a call beside its tables, at most.
_NAMES, _FRAME = 32 << 10, 4 << 10

Integers = NDArray[np.int64]


class Compiled:
    """A kernel and the addresses of its jobs. `nbytes`: what it keeps alive at most, code, plan and cell."""

    def __init__(self, kernel: Kernel, kind: str):
        self.kernel: Kernel = kernel
        self.program: Program = kernel.program
        self.places = {n: k for k, n in enumerate(kernel.names)}
        cell = self.program.cell
        key = f"{cell.equations}\n{cell.states} {cell.gates}\n{kind} {kernel.scalar}"
        self.library = machine.compile(kernel.module, name=f"{cell.name} {kind}", key=key, target=kernel.target)
        self.nbytes = self.library.nbytes + graph_bytes(cell) + _NAMES
        self.address = {job: self.library.address(job) for job in (*kernel.jobs(), "alone")}
        states, at = range(len(cell.states)), self.places
        self.workspace, self.counter, self.meeting = at["workspace"], at["counter"], at["meeting"]
        self.begin, self.end, self.cuts = at["begin"], at["end"], at["cuts"]
        given = ["x", *(f"start_state_{k}" for k in states), *(f"final_state_{k}" for k in states)]
        given += [*weight_names(cell), *(f"first_state_{k}" for k in states if f"first_state_{k}" in at)]
        self.given = [at[n] for n in given]
        """Where x, the states a row starts from and ends in, the weights and, in backward, the states lie."""
        self.draws = NAME in at
        nowhere = len(at)  # an entry that no kernel reads, for what it has no use for
        self.output, self.kept, self.dx, self.noise = (at.get(n, nowhere) for n in ("output", "kept", "dx", NAME))
        self.histories = [at.get(f"history_{k}", nowhere) for k in states]
        kept = [self.kept] * bool(self.program.kept)
        self.read = [self.output, *kept, *(self.histories[k] for k in self.program.histories)]
        """Where the output and what forward kept lie, in backward."""
        self.d_weights = [at[n] for n in (f"d_{name}" for name in weight_names(cell)) if n in at]
        names = ["d_output", *(f"d_history_{k}" for k in states if k != cell.output_state)]
        self.from_above = [(at.get(n, nowhere), at.get("stride_" + n, nowhere)) for n in names]
        backward = ("wants_x", "fresh", "slots", "slots_zeros")
        self.wants_x, self.fresh, self.slots, self.zeros = (at.get(n, nowhere) for n in backward)


def block_steps(B: int) -> int:
    """Steps of one block of backpropagation of a batch of B rows, counted from the end of the sequence."""
    return max(1, BLOCK_ROWS // max(1, B))


def weight_names(cell: Cell) -> list[str]:
    """The frame's names of a cell's weights, in the order in which a layer gives them."""
    names = ["weight_" + k for k in cell.letters if k != "p"]
    return names + [f"weight_p.{n}" for n in cell.gates.get("p", ())]


def _worth_meeting(rows: int, each: int, workers: int) -> float:
    """Multiply-adds of a step for each thread from which on sharing its units pays; each: of one row.

    Where there are rows enough for all, dividing them is the other way, and no thread waits then. Where there are not,
    threads would stand idle, and it is a matter of what a meeting costs, in which machines differ tens of times.
    """
    if rows >= workers or not WORTH_SHARING * workers <= rows * each < WORTH_MEETING * workers:
        return WORTH_MEETING
    return min(WORTH_MEETING, WORTH_SHARING + price(workers) * MEETING_RATE)


class Lines:
    """How rows are packed: the line at which each step begins, and the lengths of rows where they differ."""

    def __init__(self, T: int, B: int, sizes: Integers | None):
        self.T, self.B = T, B
        if sizes is None:
            self.lengths = None
            self.first = array("q", (np.arange(T + 1, dtype=np.int64) * B).tobytes())
            return
        if (np.diff(sizes, prepend=B) > 0).any() or (sizes < 0).any():
            expected = f"rows for each step, never more than in the step before and at most {B}"
            raise ShapeError(phrase("kernels", "sizes", expected, sizes.tolist(), "Sort rows by length."))
        self.B = B = int(sizes[0]) if T else B
        self.first = array("q", [0])
        self.first.frombytes(np.cumsum(sizes).tobytes())
        self.lengths = T - np.cumsum(np.bincount(sizes, minlength=B + 1))[:B]

    def cuts(self, parts: int, begin: int = 0, end: int | None = None) -> array:
        """Ranges of rows of nearly equal work in steps begin … end: lines where all rows are equally long.

        Where they are not, the few longest rows fill whole steps by themselves, and a step of a few rows costs as much
        as one of ROWS_AT_ONCE. So rows low … high cost as many lines as their lengths add up to, with the first
        ROWS_AT_ONCE of them all as long as the longest. Rows are halved between halves of the parts, and so on.
        """
        if self.lengths is None or parts == 1:
            return array("q", [i * self.B // parts for i in range(parts + 1)])
        inside = self.lengths if end is None else np.clip(self.lengths - begin, 0, end - begin)
        length, before = [*inside.tolist(), 0], [0, *np.cumsum(inside).tolist()]

        def cost(low: int, high: int) -> int:
            together = min(low + ROWS_AT_ONCE, high)
            return ROWS_AT_ONCE * length[low] + before[high] - before[together] if low < high else 0

        def halve(low: int, high: int, parts: int) -> list[int]:
            if parts == 1:
                return [low]
            left = parts // 2

            def uneven(middle: int) -> int:
                """What a part on the right has more than one on the left, times what makes it whole."""
                return left * cost(middle, high) - (parts - left) * cost(low, middle)

            middle = bisect_right(range(low, high), 0, key=lambda m: -uneven(m)) + low
            if middle > low and uneven(middle - 1) < -uneven(middle):
                middle -= 1
            return [*halve(low, middle, left), *halve(middle, high, parts - left)]

        return array("q", [*halve(0, self.B, parts), self.B])

    def blocks(self, reverse: bool) -> list[int]:
        """The steps at which a block of backpropagation begins, and their number at the end, in its order of work.

        A block has at most BLOCK_ROWS lines, or one step. They are counted from the end of the sequence: the end of
        a sequence has the blocks of the whole, as far as it goes.
        """
        if self.lengths is None:
            return [*range(0, self.T, min(self.T, block_steps(self.B)) or 1), self.T]
        first = self.first.tolist()
        ends = first if reverse else [first[-1] - n for n in reversed(first)]
        found = [0]
        while found[-1] < self.T:
            found.append(max(found[-1] + 1, bisect_right(ends, ends[found[-1]] + BLOCK_ROWS) - 1))
        return found


class Call:
    """The frame of all calls of one size, but for the addresses of tensors, and how much workspace they need."""

    def __init__(
        self,
        compiled: Compiled,
        lines: Lines,
        C: int,
        H: int,
        P: int,
        workers: int,
        reverse: bool,
        apart: bool = False,
    ):
        """apart: whether the lines of x lie where the caller has them, as `Places` say."""
        self.compiled, self.lines = compiled, lines
        self.hand = Handover(f"cell {compiled.program.cell.name}", getattr(torch, compiled.kernel.scalar))
        kernel, cell = compiled.kernel, compiled.program.cell
        self.kernel, self.lanes = kernel, kernel.target.lanes(kernel.scalar)
        self.width = {"C": C, "H": H, "P": P}
        self.itemsize = 4 if kernel.scalar == "float32" else 8
        T, B = lines.T, lines.B
        forwards = isinstance(kernel, Forward)
        once = forwards and T <= ONCE_STEPS and lines.first[-1] > DIRECT_ROWS * T
        self.threads, shared = self._threads(workers, once)
        once = once and (shared or self.threads == 1)
        self.parts = parts = 1 if shared else self.threads
        self.cuts = lines.cuts(parts)
        self.space = 0  # numbers of workspace
        self.own = array("q", np.arange(B, dtype=np.int64).tobytes())
        self.template = array("q", bytes(8 * (len(compiled.places) + 1)))
        ahead = forwards != reverse  # whether the work runs from the first step to the last
        self._set(
            T=T,
            B=B,
            C=C,
            H=H,
            P=P,
            padC=self.pad("C"),
            padH=self.pad("H"),
            padP=self.pad("P"),
            pad=max(self.pad("H"), self.pad("P")),
            end=T,
            parts=parts,
            cuts=self.cuts.buffer_info()[0],
            first=lines.first.buffer_info()[0],
            starts=self.own.buffer_info()[0],
            own=self.own.buffer_info()[0],
            whose=self.own.buffer_info()[0],
            t0=0 if ahead else T - 1,
            dt=1 if ahead else -1,
            direct=int(lines.first[-1] <= (DIRECT_ROWS if forwards else DIRECT_ROWS_BACKWARD)),
            once=int(once),
            shared=int(shared),
            **team.addresses(),
        )
        for number, p in kernel.products:
            blocks = self._blocks(p)
            k = sum(self.width[q.depth] * (1 if p.transposed else len(q.weights)) for q in p.parts)
            panels = self.threads if once and p.transposed else blocks
            self._room(f"panel_{number}", panels * k * p.columns * self.lanes)
            self._room(f"bias_{number}", blocks * p.columns * self.lanes)
        for name in kernel.vectors:
            self._room("vector_" + name, max(self.pad("H"), self.pad("P")))
        self._room("cross", B * kernel.step.crossing * max(self.pad("H"), self.pad("P")))
        self._room("means", B * kernel.step.mean_count)
        if kernel.drawn:
            self._room(ROOM, B * len(kernel.drawn) * WORDS * max(self.pad("H"), self.pad("P")))
        for k, w in enumerate(cell.state_widths):
            self._room(f"even_{k}", B * self.pad(w))
            if kernel.step.pingpong[k]:
                self._room(f"odd_{k}", B * self.pad(w))
        if forwards:
            chunk = max(1, min(T, CHUNK_ROWS // B))
            self._set(chunk=chunk, chunk_rows=chunk * B * parts)
            if apart:
                self._room("x_lines", chunk * B * parts * self.pad("C"))
            for q in kernel.step.ahead:
                blocks = -(-H // (q.span * self.lanes))
                self._room(f"gates_{kernel.numbers[id(q)]}", blocks * chunk * B * parts * q.columns * self.lanes)
        else:
            self.blocks = lines.blocks(reverse)
            # Threads meet after every block, so that each block is divided by itself.
            spans = [(a, b) if reverse else (T - b, T - a) for a, b in pairwise(self.blocks)]
            self.block_cuts = [self.cuts if lines.lengths is None else lines.cuts(parts, *span) for span in spans]
            most = self._most_lines(reverse)
            panels = max(self.pad(w) for w in self.width) // (2 * self.lanes) if most <= SHORT_ROWS else 1
            line, room = self.count(compiled.program.slot_width), panels * most * 2 * self.lanes
            self._set(stride_slots=line, room_w=room, panels=panels)
            self._room("slots", most * line)
            self._room("slots_side", most * line)
            self._room("slots_panel", self.threads * room)
            self._room("slots_zeros", max(self.pad("H"), self.pad("P")))
        self._strides()
        self.scratch = self.space * self.itemsize
        self.output_width = self.width[cell.output_width]
        self.output_shape = (T, B, self.output_width) if lines.lengths is None else None
        self.kept_width = self.count(compiled.program.kept_width)

    @property
    def nbytes(self) -> int:
        """What it takes in memory, at most."""
        cuts = 0 if isinstance(self.kernel, Forward) else len(self.blocks) * (160 + 8 * self.parts)
        return 8 * len(self.template) + 40 * (self.lines.T + self.lines.B) + cuts + _FRAME

    def _strides(self) -> None:
        """How long the line of a packed row is in each tensor that has such lines."""
        program = self.compiled.program
        output = self.width[program.cell.output_width]
        states = {f"history_{k}": self.width[w] for k, w in enumerate(program.cell.state_widths)}
        lines = {"x": self.width["C"], "output": output, "kept": self.count(program.kept_width), **states}
        lines |= {f"adjoint_{k}": self.width[w] for k, w in enumerate(program.cell.state_widths)}
        self._set(**{f"stride_{name}": n for name, n in lines.items()})
        self._set(**{f"stride_d_{name}": n for name, n in lines.items()}, stride_dx=self.width["C"])

    def _most_lines(self, reverse: bool) -> int:
        """Lines of the largest block."""
        first, T = self.lines.first, self.lines.T
        bounds = [first[s if reverse else T - s] for s in self.blocks]
        return max((abs(b - a) for a, b in pairwise(bounds)), default=0)

    def _threads(self, workers: int, once: bool) -> tuple[int, bool]:
        """(threads, whether they share each step): rows apart where there are enough, else units of large layers.

        Of rows that end early, what counts is how many a step has on average. Where a step packs its own weights, each
        packs some of them, if their blocks go round.
        """
        gates, lines = self.compiled.program.cell.gates, self.lines
        B, rows = lines.B, lines.first[-1] // max(1, lines.T)
        states = sum(len(v) for k, v in gates.items() if k in "UV") * self.width["H"]
        each = (states + len(gates.get("W", ())) * self.width["C"] + 16) * self.width["H"]
        if workers == 1 or (lines.first[-1] + ONCE_A_CALL) * each <= WORTH_A_THREAD * workers:
            return 1, False
        if once and threads.num_threads_address() is not None:
            blocks = [self._blocks(p) for _, p in self.kernel.products]
            if all(n % workers == 0 or n >= 4 * workers for n in blocks):
                return workers, True
        if rows >= ROWS_APART * workers:
            return workers, False
        if threads.num_threads_address() is None or rows * each < _worth_meeting(rows, each, workers) * workers:
            return min(workers, B), False
        return workers, True

    def _blocks(self, p: Product) -> int:
        """Blocks of units of a product, the last one maybe less than full."""
        return -(-self.width[p.width] // (p.span * self.lanes))

    def first_line(self, begin: int, end: int) -> int:
        """The first packed line of the steps begin … end of the order of work."""
        t0, dt = (self.template[self.compiled.places[name]] for name in ("t0", "dt"))
        return self.lines.first[min(t0 + dt * begin, t0 + dt * (end - 1))]

    def pad(self, width: str) -> int:
        """A width rounded up to whole pairs of vectors."""
        n = 2 * self.lanes
        return -(-self.width[width] // n) * n

    def count(self, place: tuple[int, ...]) -> int:
        return place[0] * self.width["H"] + place[1] * self.width["P"] + sum(place[2:])

    def _set(self, **values: int) -> None:
        for name, v in values.items():
            if name in self.compiled.places:
                self.template[self.compiled.places[name]] = v

    def _room(self, name: str, count: int) -> None:
        """Room for `count` numbers in the workspace, on a cache line of its own."""
        assert in_workspace(name), name
        self._set(**{name: self.space * self.itemsize})
        self.space += -(-count // 16) * 16

    def drawn_from(self, noise: Tensor | None) -> int:
        """The address of what random numbers are drawn from; refuses what kernels cannot trust."""
        wrong = operator.ne if self.lines.lengths is None else operator.lt
        fits = noise is not None and in_memory(noise, torch.int64) and noise.is_contiguous()
        if noise is None or not fits or wrong(noise.numel(), ROWS + self.lines.B):
            name = self.compiled.program.cell.name
            expected = f"an int64 tensor of 3 + B = {ROWS + self.lines.B} numbers for the cell {name}"
            received = "None" if noise is None else f"{noise.dtype} {list(noise.shape)}"
            remedy = "Layers make it; ostinato.cells.noise says what it holds."
            raise ShapeError(phrase("kernels", "noise", expected, received, remedy))
        return noise.data_ptr()

    def start(self, frame: array, job: str) -> None:
        c = self.compiled
        frame[c.counter] = frame[c.meeting] = 0
        threads.parallel(c.address[job], frame.buffer_info()[0], self.threads)
