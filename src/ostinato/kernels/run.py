"""A call of the kernels. What depends on sizes alone is worked out once; a call fills in addresses and starts the threads."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ..cells import Cell
from ..errors import NoKernels
from . import buffers, machine, threads
from .program import program
from .sequence import Backward, Forward, Kernel
from .vector import in_workspace

SCALARS = {torch.float32: "float32", torch.float64: "float64"}
CHUNK_ROWS = 96  # rows of x that are multiplied ahead of the loop: enough for tall tiles, little enough to stay in cache
BLOCK_ROWS = 512  # rows of one block of backpropagation: the length of one chain of additions in a weight's gradient
DIRECT_ROWS = 4  # rows of a call up to which weights are read as they are
ROWS_APART = 4  # rows for each thread from which on each works by itself
WORTH_MEETING = 16_000  # multiply-adds of a step for each thread below which meeting costs more than it brings
WORTH_A_THREAD = 200_000  # multiply-adds below which a second thread costs more than it brings


def supported(x: Tensor) -> bool:
    """Whether kernels exist for this tensor: float32 or float64 on a CPU with fused multiply-add."""
    return x.dtype in SCALARS and x.device.type == "cpu" and _has_kernels()


@lru_cache(maxsize=1)
def _has_kernels() -> bool:
    try:
        machine.host()
    except NoKernels:
        return False
    return True


class Compiled:
    """A kernel and the addresses of its jobs."""

    def __init__(self, kernel: Kernel, kind: str):
        self.kernel, self.program = kernel, kernel.program
        self.places = {n: k for k, n in enumerate(kernel.names)}
        cell = self.program.cell
        key = f"{cell.equations}\n{cell.states} {cell.gates}\n{kind} {kernel.scalar}"
        self.library = machine.compile(kernel.module, name=f"{cell.name} {kind}", key=key, target=kernel.target)
        self.address = {job: self.library.address(job) for job in (*kernel.jobs(), "alone")}
        self.weights = [self.places[n] for n in weight_names(cell)]


@lru_cache(maxsize=512)
def compiled_forward(cell: Cell, scalar: str, keep: bool, histories: bool) -> Compiled:
    return Compiled(Forward(program(cell), machine.host(), scalar, keep, histories), f"forward keep={keep} histories={histories}")


@lru_cache(maxsize=512)
def compiled_backward(cell: Cell, scalar: str, d_histories: bool) -> Compiled:
    return Compiled(Backward(program(cell), machine.host(), scalar, d_histories), f"backward d_histories={d_histories}")


def weight_names(cell: Cell) -> list[str]:
    """The frame's names of a cell's weights, in the order in which a layer gives them."""
    names = ["weight_" + k for k in cell.letters if k != "p"]
    return names + [f"weight_p.{n}" for n in cell.gates.get("p", ())]


class Lines:
    """How rows are packed: the line at which each step begins, and the lengths of rows where they differ."""

    def __init__(self, T: int, B: int, sizes: Sequence[int] | None):
        self.T, self.B = T, B
        self.lengths: list[int] | None = None
        if sizes is None:
            self.first = array("q", [t * B for t in range(T + 1)])
        else:
            self.first = array("q", [0])
            self.lengths = [0] * B
            for t, n in enumerate(sizes):
                self.first.append(self.first[-1] + n)
                following = sizes[t + 1] if t + 1 < T else 0
                self.lengths[following:n] = [t + 1] * (n - following)

    def cuts(self, parts: int) -> array:
        """Ranges of rows of nearly equal work."""
        if self.lengths is None:
            return array("q", [i * self.B // parts for i in range(parts + 1)])
        cuts, done, total = [0], 0, self.first[-1]
        for b, n in enumerate(self.lengths):
            if len(cuts) < parts and done * parts >= total * len(cuts) and b > cuts[-1]:
                cuts.append(b)
            done += n
        return array("q", [*cuts, *[self.B] * (parts + 1 - len(cuts))])


class Call:
    """All of a call that follows from its sizes: the frame but for the addresses of tensors, and how much workspace it needs."""

    def __init__(self, compiled: Compiled, lines: Lines, C: int, H: int, P: int, workers: int, reverse: bool):
        self.compiled, self.lines = compiled, lines
        kernel, cell = compiled.kernel, compiled.program.cell
        self.kernel, self.lanes = kernel, kernel.target.lanes(kernel.scalar)
        self.width = {"C": C, "H": H, "P": P}
        self.itemsize = 4 if kernel.scalar == "float32" else 8
        T, B = lines.T, lines.B
        self.threads, shared = self._threads(workers)
        self.parts = parts = 1 if shared else self.threads
        self.cuts = lines.cuts(parts)
        self.space = 0
        self.template = array("q", bytes(8 * len(compiled.places)))
        forwards = isinstance(kernel, Forward)
        ahead = forwards != reverse  # whether the work runs from the first step to the last
        self._set(T=T, B=B, C=C, H=H, P=P, padH=self.pad("H"), padP=self.pad("P"), pad=max(self.pad("H"), self.pad("P")), end=T,
                  parts=parts, cuts=self.cuts.buffer_info()[0], first=lines.first.buffer_info()[0],
                  t0=0 if ahead else T - 1, dt=1 if ahead else -1, direct=int(forwards and lines.first[-1] <= DIRECT_ROWS),
                  shared=int(shared), team_size=threads.num_threads_address() or 0, **{"yield": threads.yield_address() or 0})
        for number, p in kernel.products:
            blocks = -(-self.width[p.width] // (p.span * self.lanes))
            k = sum(self.width[q.depth] * (1 if p.transposed else len(q.weights)) for q in p.parts)
            self._room(f"panel_{number}", blocks * k * p.columns * self.lanes)
            self._room(f"bias_{number}", blocks * p.columns * self.lanes)
        for name in kernel.vectors:
            self._room("vector_" + name, max(self.pad("H"), self.pad("P")))
        self._room("cross", B * kernel.step.crossing * max(self.pad("H"), self.pad("P")))
        self._room("means", B * kernel.step.mean_count)
        for k, w in enumerate(cell.state_widths):
            self._room(f"even_{k}", B * self.pad(w))
            if kernel.step.pingpong[k]:
                self._room(f"odd_{k}", B * self.pad(w))
        if forwards:
            chunk = max(1, min(T, CHUNK_ROWS // B))
            self._set(chunk=chunk, chunk_rows=chunk * B * parts)
            for q in kernel.step.ahead:
                blocks = -(-H // (q.span * self.lanes))
                self._room(f"gates_{kernel.numbers[id(q)]}", blocks * chunk * B * parts * q.columns * self.lanes)
        else:
            self.block = max(1, min(T, BLOCK_ROWS // B))
            line, room = self.count(compiled.program.slot_width), self.block * B * 2 * self.lanes
            self._set(stride_slots=line, room_w=room)
            self._room("slots", self.block * B * line)
            self._room("slots_side", self.block * B * line)
            self._room("slots_panel", self.threads * room)
            self._room("slots_zeros", max(4 * self.lanes, self.pad("H"), self.pad("P")))

    def _threads(self, workers: int) -> tuple[int, bool]:
        """(threads, whether they share each step): rows apart where there are enough of them, else units of large layers."""
        gates, B = self.compiled.program.cell.gates, self.lines.B
        states = sum(len(v) for k, v in gates.items() if k in "UV") * self.width["H"]
        each = (states + len(gates.get("W", ())) * self.width["C"] + 16) * self.width["H"]
        if workers == 1 or self.lines.first[-1] * each <= WORTH_A_THREAD * workers:
            return 1, False
        if B >= ROWS_APART * workers:
            return workers, False
        if threads.num_threads_address() is None or B * each < WORTH_MEETING * workers:
            return min(workers, B), False
        return workers, True

    def pad(self, width: str) -> int:
        """A width rounded up to whole pairs of vectors."""
        n = 2 * self.lanes
        return -(-self.width[width] // n) * n

    def count(self, place: tuple[int, int]) -> int:
        return place[0] * self.width["H"] + place[1] * self.width["P"]

    def _set(self, **values: int) -> None:
        for name, v in values.items():
            if name in self.compiled.places:
                self.template[self.compiled.places[name]] = v

    def _room(self, name: str, count: int) -> None:
        """Room for `count` numbers in the workspace, on a cache line of its own."""
        assert in_workspace(name), name
        self._set(**{name: self.space * self.itemsize})
        self.space += -(-count // 16) * 16

    def frame(self, dtype: torch.dtype) -> tuple[array, Tensor]:
        """A frame to fill in, and the workspace that it points into."""
        frame = self.template[:]
        space = buffers.empty((self.space,), dtype)
        frame[self.compiled.places["workspace"]] = space.data_ptr()
        return frame, space

    def start(self, frame: array, job: str) -> None:
        frame[self.compiled.places["counter"]] = frame[self.compiled.places["meeting"]] = 0
        threads.parallel(self.compiled.address[job], frame.buffer_info()[0], self.threads)

    def rows(self, frame: array, name: str, t: Tensor) -> None:
        """A tensor with one line for each packed row."""
        place = self.compiled.places.get(name)
        if place is not None:
            frame[place] = t.data_ptr()
            frame[self.compiled.places["stride_" + name]] = t.shape[-1]


@lru_cache(maxsize=256)
def _dense(compiled: Compiled, T: int, B: int, C: int, H: int, P: int, workers: int, reverse: bool) -> Call:
    return Call(compiled, Lines(T, B, None), C, H, P, workers, reverse)


def _call(compiled: Compiled, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], sizes: Tensor | None, reverse: bool) -> Call:
    H, P = hidden_sizes(compiled.program.cell, states, weights)
    B, C, workers = states[0].shape[0], x.shape[-1], threads.thread_count()
    if sizes is None:
        return _dense(compiled, x.shape[0], B, C, H, P, workers, reverse)
    return Call(compiled, Lines(len(sizes), B, sizes.tolist()), C, H, P, workers, reverse)


def hidden_sizes(cell: Cell, states: Sequence[Tensor], weights: Sequence[Tensor]) -> tuple[int, int]:
    """(H, P) as the tensors have them."""
    widths = cell.state_widths
    if not cell.projected:
        return states[0].shape[-1], states[0].shape[-1]
    known = {w: s.shape[-1] for w, s in zip(widths, states)}
    if "H" not in known:
        known["H"] = next(weights[k].shape[0] // len(cell.gates[letter]) for k, letter in enumerate(cell.letters) if letter in "WUbd")
    return known["H"], known.get("P", known["H"])


def forward(cell: Cell, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], sizes: Tensor | None, reverse: bool,
            keep: bool, histories: bool) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
    """One layer, one direction, forward; all tensors contiguous and of one dtype.

    x [T, B, C] or packed [R, C] with sizes; states [B, H or P]; weights in the order of `cell.parameters`.
    Returns output, final states, histories (the states that are not the output, after every step; [] unless asked for) and
    what backward needs (empty unless keep).
    """
    c = compiled_forward(cell, SCALARS[x.dtype], keep, histories)
    p, dtype = c.program, x.dtype
    output_width = cell.output_width
    if x.numel() == 0 and (x.shape[0] == 0 or states[0].shape[0] == 0):
        return _nothing(c, x, states, weights, keep, histories)
    call = _call(c, x, states, weights, sizes, reverse)
    lead = x.shape[:-1]
    output = buffers.empty((*lead, call.width[output_width]), dtype)
    stored = [k for k in range(len(states)) if k != cell.output_state] if histories else p.histories if keep else []
    lines = {k: buffers.empty((*lead, states[k].shape[-1]), dtype) for k in stored}
    finals = [torch.empty_like(v) for v in states]
    frame, space = call.frame(dtype)
    places = c.places
    call.rows(frame, "x", x)
    call.rows(frame, "output", output)
    for k, t in lines.items():
        call.rows(frame, f"history_{k}", t)
    kept: list[Tensor] = []
    if keep:
        if p.kept:
            kept.append(buffers.empty((*lead, call.count(p.kept_width)), dtype))
            call.rows(frame, "kept", kept[0])
        kept += [lines[k] for k in p.histories]
    for k, a in enumerate(states):
        frame[places[f"start_state_{k}"]] = a.data_ptr()
        frame[places[f"final_state_{k}"]] = finals[k].data_ptr()
    for place, w in zip(c.weights, weights):
        frame[place] = w.data_ptr()
    if call.lines.lengths is not None:
        _idle_rows(states, finals, call.lines)
    if call.threads == 1:
        call.start(frame, "alone")
    else:
        call.start(frame, "pack")
        call.start(frame, "forward")
    del space
    return output, finals, [lines[k] for k in stored] if histories else [], kept


def _nothing(c: Compiled, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], keep: bool, histories: bool
             ) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
    """No steps or no rows: the states stay as they are."""
    cell, p = c.program.cell, c.program
    H, P = hidden_sizes(cell, states, weights)
    widths = {"H": H, "P": P}
    others = [x.new_empty(*x.shape[:-1], s.shape[-1]) for k, s in enumerate(states) if k != cell.output_state]
    kept = [x.new_empty(*x.shape[:-1], p.kept_width[0] * H + p.kept_width[1] * P)] if p.kept else []
    kept += [x.new_empty(*x.shape[:-1], states[k].shape[-1]) for k in p.histories]
    output = x.new_empty(*x.shape[:-1], widths[cell.output_width])
    return output, [s.clone() for s in states], others if histories else [], kept if keep else []


def _idle_rows(states: Sequence[Tensor], finals: Sequence[Tensor], lines: Lines) -> None:
    """Rows of length 0 end where they began."""
    n = lines.first[1]
    if n < lines.B:
        for a, b in zip(states, finals):
            b[n:] = a[n:]


def backward(cell: Cell, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], sizes: Tensor | None, reverse: bool,
             output: Tensor, kept: Sequence[Tensor], d_output: Tensor | None, d_finals: Sequence[Tensor | None],
             d_histories: Sequence[Tensor | None], needs: tuple[bool, bool, bool]
             ) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
    """Gradients of one layer and direction from those of its results; None stands for zero.

    needs: which gradients are wanted, of (x, states, weights). Reads what forward kept and writes to none of it.
    """
    c = compiled_backward(cell, SCALARS[x.dtype], any(d is not None for d in d_histories))
    p, dtype, places = c.program, x.dtype, c.places
    wants_x, _, wants_weights = needs
    arriving = [torch.zeros_like(a) if d is None else d.contiguous() for a, d in zip(states, d_finals)]
    d_weights = [torch.zeros_like(w) for w in weights] if wants_weights else []
    if x.numel() == 0 and (x.shape[0] == 0 or states[0].shape[0] == 0):
        return torch.zeros_like(x) if wants_x else None, [d.clone() for d in arriving], d_weights
    call = _call(c, x, states, weights, sizes, reverse)
    dx = None
    if wants_x:
        dx = torch.zeros_like(x) if p.input_gradient is None else buffers.empty(tuple(x.shape), dtype)
    d_states = [torch.empty_like(a) for a in states]
    frame, space = call.frame(dtype)
    zeros = places["slots_zeros"]
    start = call.template[zeros] // call.itemsize
    space[start : start + max(4 * call.lanes, call.pad("H"), call.pad("P"))] = 0
    call.rows(frame, "x", x)
    call.rows(frame, "output", output)
    rest = list(kept)
    if p.kept:
        call.rows(frame, "kept", rest.pop(0))
    for k, t in zip(p.histories, rest):
        call.rows(frame, f"history_{k}", t)
    if dx is not None:
        call.rows(frame, "dx", dx)
    others = [k for k in range(len(states)) if k != cell.output_state]
    alive = []
    for name, d in (("d_output", d_output), *((f"d_history_{k}", d) for k, d in zip(others, d_histories))):
        if d is not None:
            alive.append(d.contiguous())
            call.rows(frame, name, alive[-1])
        elif name in places:
            frame[places[name]] = space.data_ptr() + call.template[zeros]
    for k, (first, a, b) in enumerate(zip(states, arriving, d_states)):
        frame[places[f"first_state_{k}"]] = first.data_ptr()
        frame[places[f"start_state_{k}"]] = a.data_ptr()
        frame[places[f"final_state_{k}"]] = b.data_ptr()
    for place, w in zip(c.weights, weights):
        frame[place] = w.data_ptr()
    for name, d in zip(weight_names(cell), d_weights):
        frame[places["d_" + name]] = d.data_ptr()
    if call.lines.lengths is not None:
        _idle_rows(arriving, d_states, call.lines)
    frame[places["wants_x"]] = int(wants_x)
    call.start(frame, "pack")
    for begin in range(0, call.lines.T, call.block):
        frame[places["begin"]], frame[places["end"]] = begin, min(begin + call.block, call.lines.T)
        call.start(frame, "bptt")
        if wants_weights:
            call.start(frame, "weights")
    return dx, d_states, d_weights
