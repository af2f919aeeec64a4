"""A call of the kernels: sizes, buffers and the frame are put together here, the work is done in compiled code."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ..cells import Cell
from ..errors import NoKernels
from . import buffers, machine, threads
from .plan import Product
from .program import Program, program
from .sequence import Backward, Forward, Kernel

SCALARS = {torch.float32: "float32", torch.float64: "float64"}
CHUNK_ROWS = 96  # rows of x that are multiplied ahead of the loop: enough for tall tiles, little enough to stay in cache
BLOCK_ROWS = 512  # rows of one block of backpropagation: the length of one chain of additions in a weight's gradient
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
        self.kernel = kernel
        self.places = {n: k for k, n in enumerate(kernel.names)}
        p = kernel.program
        pinned = {k: v for k, v in p.cell.gates.items()}
        key = f"{p.cell.equations}\n{p.cell.states} {pinned}\n{kind} {kernel.scalar}"
        library = machine.compile(kernel.module, name=f"{p.cell.name} {kind}", key=key, target=kernel.target)
        self.address = {job: library.address(job) for job in kernel.jobs()}
        self.library = library


@lru_cache(maxsize=512)
def compiled_forward(cell: Cell, scalar: str, keep: bool, histories: bool) -> Compiled:
    return Compiled(Forward(program(cell), machine.host(), scalar, keep, histories), f"forward keep={keep} histories={histories}")


@lru_cache(maxsize=512)
def compiled_backward(cell: Cell, scalar: str, d_histories: bool) -> Compiled:
    return Compiled(Backward(program(cell), machine.host(), scalar, d_histories), f"backward d_histories={d_histories}")


class Sizes:
    """T, B, C, H, P of a call, where each step's lines begin, and what follows from them."""

    def __init__(self, cell: Cell, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], sizes: Tensor | None, lanes: int):
        self.B = states[0].shape[0]
        self.C = x.shape[-1]
        if sizes is None:
            self.T, self.R = x.shape[0], x.shape[0] * self.B
            self.first = _dense_lines(self.T, self.B)
            self.lengths: list[int] | None = None
        else:
            counts = sizes.tolist()
            self.T, self.R = len(counts), x.shape[0]
            lines = [0]
            for c in counts:
                lines.append(lines[-1] + c)
            self.first = array("q", lines)
            self.lengths = [0] * self.B
            for t, c in enumerate(counts):
                if t + 1 == len(counts) or counts[t + 1] < c:
                    for b in range(counts[t + 1] if t + 1 < len(counts) else 0, c):
                        self.lengths[b] = t + 1
        self.H, self.P = hidden_sizes(cell, states, weights)
        self.lanes = lanes
        self.width = {"C": self.C, "H": self.H, "P": self.P}

    def pad(self, width: str) -> int:
        """A width rounded up to whole pairs of vectors."""
        n = 2 * self.lanes
        return -(-self.width[width] // n) * n

    def count(self, place: tuple[int, int]) -> int:
        return place[0] * self.H + place[1] * self.P

    def cuts(self, parts: int) -> array:
        """Ranges of rows of nearly equal work."""
        if self.lengths is None:
            return array("q", [i * self.B // parts for i in range(parts + 1)])
        cuts, done, total = [0], 0, sum(self.lengths)
        for b, n in enumerate(self.lengths):
            if len(cuts) < parts and done >= total * len(cuts) / parts and b > cuts[-1]:
                cuts.append(b)
            done += n
        return array("q", [*cuts, *[self.B] * (parts + 1 - len(cuts))])


@lru_cache(maxsize=64)
def _dense_lines(T: int, B: int) -> array:
    return array("q", range(0, (T + 1) * B, B)) if B else array("q", [0] * (T + 1))


def hidden_sizes(cell: Cell, states: Sequence[Tensor], weights: Sequence[Tensor]) -> tuple[int, int]:
    """(H, P) as the tensors have them."""
    known = {w: s.shape[-1] for w, s in zip(cell.state_widths, states)}
    if "H" not in known:
        shape = dict(zip(cell.parameters(1, 1), weights))
        letter, stacked = next((k, shape[n]) for k, n in (("W", "weight_ih"), ("U", "weight_hh"), ("b", "bias_ih")) if n in shape)
        known["H"] = stacked.shape[0] // len(cell.gates[letter])
    return known["H"], known.get("P", known["H"])


class Frame:
    """The frame of one call, and the memory it points to, kept alive until the call is over."""

    def __init__(self, compiled: Compiled, s: Sizes, dtype: torch.dtype):
        self.compiled, self.sizes, self.dtype = compiled, s, dtype
        self.values = array("q", bytes(8 * len(compiled.places)))
        self.alive: list[object] = []
        self._wanted: list[tuple[str, int]] = []
        self.set(T=s.T, B=s.B, C=s.C, H=s.H, P=s.P, padH=s.pad("H"), padP=s.pad("P"), pad=max(s.pad("H"), s.pad("P")), end=s.T)
        self.counter = array("q", [0])
        self.set(counter=self.counter.buffer_info()[0], first=s.first.buffer_info()[0])

    def set(self, **values: int) -> None:
        places = self.compiled.places
        for name, v in values.items():
            if name in places:
                self.values[places[name]] = v

    def point(self, name: str, t: Tensor) -> None:
        if name in self.compiled.places:
            self.alive.append(t)
            self.values[self.compiled.places[name]] = t.data_ptr()

    def rows(self, name: str, t: Tensor) -> None:
        self.point(name, t)
        self.set(**{"stride_" + name: t.shape[-1]})

    def room(self, name: str, count: int) -> None:
        """Asks for `count` numbers of workspace."""
        self._wanted.append((name, -(-count // 16) * 16))

    def allocate(self) -> None:
        """All workspace in one piece."""
        space = buffers.empty((max(1, sum(n for _, n in self._wanted)),), self.dtype)
        self.alive.append(space)
        at = space.data_ptr()
        for name, n in self._wanted:
            self.set(**{name: at})
            at += n * space.element_size()

    def cut(self, parts: int, count: int) -> None:
        cuts = self.sizes.cuts(parts)
        self.alive.append(cuts)
        self.set(cuts=cuts.buffer_info()[0], parts=count)

    def call(self, job: str, parts: int) -> None:
        self.counter[0] = 0
        self.set(parts=parts)
        threads.parallel(self.compiled.address[job], self.values.buffer_info()[0], min(parts, threads.thread_count()))

    def prepare(self, cell: Cell, weights: Sequence[Tensor], products: list[tuple[int, Product]]) -> None:
        """Weights, and room for them packed."""
        s = self.sizes
        for name, w in zip(weight_names(cell), weights):
            self.point(name, w)
        for number, p in products:
            blocks = -(-s.width[p.width] // (p.span * s.lanes))
            k = sum(s.width[q.depth] * (1 if p.transposed else len(q.weights)) for q in p.parts)
            self.room(f"panel_{number}", blocks * k * p.columns * s.lanes)
            self.room(f"start_{number}", blocks * p.columns * s.lanes)
        kernel = self.compiled.kernel
        for name in kernel.vectors:
            self.room("vector_" + name, max(s.pad("H"), s.pad("P")))
        step = kernel.step
        self.room("cross", s.B * step.crossing * max(s.pad("H"), s.pad("P")))
        self.room("means", s.B * step.mean_count)
        for k, w in enumerate(cell.state_widths):
            self.room(f"even_{k}", s.B * s.pad(w))
            if step.pingpong[k]:
                self.room(f"odd_{k}", s.B * s.pad(w))


def weight_names(cell: Cell) -> list[str]:
    """The frame's names of a cell's weights, in the order in which a layer gives them."""
    names = ["weight_" + k for k in cell.letters if k != "p"]
    return names + [f"weight_p.{n}" for n in cell.gates.get("p", ())]


def _parts(p: Program, s: Sizes) -> int:
    n = threads.thread_count()
    gates = sum(len(v) for k, v in p.cell.gates.items() if k in "UV") * s.H + len(p.cell.gates.get("W", ())) * s.C + 16
    return max(1, min(n, s.B)) if n > 1 and s.R * s.H * gates > WORTH_A_THREAD * n else 1


def forward(cell: Cell, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], sizes: Tensor | None, reverse: bool,
            keep: bool, histories: bool) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
    """One layer, one direction, forward; all tensors contiguous and of one dtype.

    x [T, B, C] or packed [R, C] with sizes; states [B, H or P]; weights in the order of `cell.parameters`.
    Returns output, final states, histories (the states that are not the output, after every step; [] unless asked for) and
    what backward needs (empty unless keep).
    """
    c = compiled_forward(cell, SCALARS[x.dtype], keep, histories)
    p = c.kernel.program
    s = Sizes(cell, x, states, weights, sizes, c.kernel.target.lanes(c.kernel.scalar))
    f = Frame(c, s, x.dtype)
    lead = x.shape[:-1]

    def make(width: int) -> Tensor:
        return buffers.empty((*lead, width), x.dtype)

    output = make(s.width[cell.output_width])
    stored = [k for k in range(len(states)) if k != cell.output_state] if histories else p.histories if keep else []
    lines = {k: make(states[k].shape[-1]) for k in stored}
    kept_lines = make(s.count(p.kept_width)) if keep and p.kept else None
    finals = [torch.empty_like(v) for v in states]
    _idle_rows(states, finals, s)
    if s.R and s.T:
        parts = _parts(p, s)
        f.rows("x", x)
        f.rows("output", output)
        for k, t in lines.items():
            f.rows(f"history_{k}", t)
        if kept_lines is not None:
            f.rows("kept", kept_lines)
        for k, (a, b) in enumerate(zip(states, finals)):
            f.point(f"start_state_{k}", a)
            f.point(f"final_state_{k}", b)
        f.prepare(cell, weights, c.kernel.products)
        chunk = max(1, min(s.T, CHUNK_ROWS // s.B))
        f.set(chunk=chunk, chunk_rows=chunk * s.B * parts, t0=s.T - 1 if reverse else 0, dt=-1 if reverse else 1)
        for q in c.kernel.step.ahead:
            f.room(f"gates_{c.kernel.numbers[id(q)]}", -(-s.H // (q.span * s.lanes)) * chunk * s.B * parts * q.columns * s.lanes)
        f.allocate()
        f.cut(parts, parts)
        f.call("pack", parts)
        f.call("forward", parts)
    else:
        for a, b in zip(states, finals):
            b.copy_(a)
    kept = ([kept_lines] if kept_lines is not None else []) + [lines[k] for k in p.histories] if keep else []
    return output, finals, [lines[k] for k in stored] if histories else [], kept


def _idle_rows(states: Sequence[Tensor], finals: Sequence[Tensor], s: Sizes) -> None:
    """Rows of length 0 end where they began."""
    if s.lengths is not None and s.T:
        n = s.first[1]
        if n < s.B:
            for a, b in zip(states, finals):
                b[n:] = a[n:]


def backward(cell: Cell, x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], sizes: Tensor | None, reverse: bool,
             output: Tensor, kept: Sequence[Tensor], d_output: Tensor | None, d_finals: Sequence[Tensor | None],
             d_histories: Sequence[Tensor | None], needs: tuple[bool, bool, bool]
             ) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
    """Gradients of one layer and direction from those of its results; None stands for zero.

    needs: which gradients are wanted, of (x, states, weights). Reads what forward kept and writes to none of it.
    """
    sent = any(d is not None for d in d_histories)
    c = compiled_backward(cell, SCALARS[x.dtype], sent)
    p = c.kernel.program
    assert isinstance(c.kernel, Backward)
    s = Sizes(cell, x, states, weights, sizes, c.kernel.target.lanes(c.kernel.scalar))
    f = Frame(c, s, x.dtype)
    wants_x, _, wants_weights = needs
    dx = buffers.empty(x.shape, x.dtype) if wants_x and p.input_gradient is not None else torch.zeros_like(x) if wants_x else None
    arriving = [torch.zeros_like(a) if d is None else d.contiguous() for a, d in zip(states, d_finals)]
    d_states = [torch.empty_like(a) for a in states]
    _idle_rows(arriving, d_states, s)
    d_weights = [torch.zeros_like(w) for w in weights] if wants_weights else []
    if not (s.R and s.T):
        for a, b in zip(arriving, d_states):
            b.copy_(a)
        return dx, d_states, d_weights
    parts = _parts(p, s)
    block = max(1, min(s.T, BLOCK_ROWS // s.B))
    zeros = torch.zeros(max(4 * s.lanes, s.pad("H"), s.pad("P")), dtype=x.dtype)
    f.point("zeros", zeros)
    f.rows("x", x)
    f.rows("output", output)
    rest = list(kept)
    if p.kept:
        f.rows("kept", rest.pop(0))
    for k, t in zip(p.histories, rest):
        f.rows(f"history_{k}", t)
    if dx is not None:
        f.rows("dx", dx)
    others = [k for k in range(len(states)) if k != cell.output_state]
    for name, d in (("d_output", d_output), *((f"d_history_{k}", d) for k, d in zip(others, d_histories))):
        if d is not None:
            f.rows(name, d.contiguous())
        else:
            f.point(name, zeros)
    for k, (first, a, b) in enumerate(zip(states, arriving, d_states)):
        f.point(f"first_state_{k}", first)
        f.point(f"start_state_{k}", a)
        f.point(f"final_state_{k}", b)
    f.prepare(cell, weights, c.kernel.products)
    for name, d in zip(weight_names(cell), d_weights):
        f.point("d_" + name, d)
    line = s.count(p.slot_width)
    workers = parts if parts > 1 else 1
    room = block * s.B * 2 * s.lanes
    f.set(t0=0 if reverse else s.T - 1, dt=1 if reverse else -1, stride_slots=line, wants_x=int(wants_x), room_w=room)
    f.room("slots", block * s.B * line)
    f.room("panel_w", workers * room)
    f.allocate()
    f.cut(parts, parts)
    f.call("pack", parts)
    for begin in range(0, s.T, block):
        f.set(begin=begin, end=min(begin + block, s.T))
        f.call("bptt", parts)
        if wants_weights:
            f.call("weights", workers)
    return dx, d_states, d_weights
