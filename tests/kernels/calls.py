"""Calls of the kernels as the tests make them: drawn tensors, the reference beside, watched memory around.

The reference runs in float64 on the very numbers that the kernels get, so that what is measured is the kernels' error
and not torch's own.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ostinato import kernels
from ostinato.cells import Cell, reference
from ostinato.kernels.system import memory_pool
from ostinato.sequence import ForwardResult, Needs, SequenceCall, Upstream
from tolerance import BOUNDS, error

GUARD, MARK = 64, 8765.4321  # numbers on either side of a tensor, and what they hold


@dataclass
class Call:
    """One call: what goes in. `sizes` None is a dense batch [T, B, C]."""

    cell: Cell
    x: Tensor
    states: list[Tensor]
    weights: list[Tensor]
    sizes: list[int] | None = None
    reverse: bool = False
    d_output: Tensor | None = None
    d_finals: list[Tensor | None] = field(default_factory=list)
    d_histories: list[Tensor | None] = field(default_factory=list)

    @property
    def packed(self) -> Tensor | None:
        return None if self.sizes is None else torch.tensor(self.sizes, dtype=torch.int64)

    @property
    def sequence(self) -> SequenceCall:
        return SequenceCall(self.cell, self.x, self.states, self.weights, self.packed, self.reverse)

    @property
    def upstream(self) -> Upstream:
        return Upstream(self.d_output, self.d_finals, self.d_histories)

    @property
    def names(self) -> list[str]:
        """What backward gives gradients of."""
        return ["x", *self.cell.states, *self.cell.parameters(1, 1)]

    def forward(
        self, keep: bool = True, histories: bool = False
    ) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
        """output, finals, histories, kept."""
        result = kernels.forward(self.sequence, keep, histories)
        return result.output, result.final_states, result.histories, result.saved

    def backward(
        self,
        output: Tensor,
        kept: list[Tensor],
        needs: tuple[bool, bool, bool] = (True, True, True),
        onto: Sequence[Tensor] = (),
    ):
        """dx, gradients of states, gradients of weights."""
        result = ForwardResult(output, [], [], kept)
        found = kernels.backward(self.sequence, result, self.upstream, Needs(*needs), onto)
        return found.x, found.states, found.weights

    def gradients(self) -> dict[str, Tensor]:
        """Forward and backward; every gradient by name."""
        output, _, _, kept = self.forward()
        return self.named(self.backward(output, kept))

    def named(self, gradients: tuple[Tensor, list[Tensor], list[Tensor]]) -> dict[str, Tensor]:
        dx, d_states, d_weights = gradients
        return dict(zip(self.names, [dx, *d_states, *d_weights], strict=True))

    def __getitem__(self, rows: Sequence[int]) -> "Call":
        """These rows of a dense batch, alone."""
        return replace(
            self,
            x=self.x[:, rows].contiguous(),
            states=[s[rows] for s in self.states],
            d_output=None if self.d_output is None else self.d_output[:, rows].contiguous(),
            d_finals=[None if d is None else d[rows] for d in self.d_finals],
        )


def draw(
    cell: Cell,
    T: int = 5,
    B: int = 3,
    C: int = 7,
    H: int = 19,
    P: int = 0,
    dtype: torch.dtype = torch.float64,
    sizes: list[int] | None = None,
    reverse: bool = False,
    seed: int = 0,
    histories: bool = False,
) -> Call:
    """Random numbers of moderate size, every gate with its own; gradients of everything that comes out."""
    P = P if cell.projected and P else H
    generator = torch.Generator().manual_seed(seed)

    def tensor(*shape: int, scale: float = 1.0) -> Tensor:
        return (torch.randn(shape, generator=generator, dtype=torch.float64) * scale).to(dtype)

    lead = (T, B) if sizes is None else (sum(sizes),)
    width = {"H": H, "P": P}
    states = [tensor(B, width[w], scale=0.5) for w in cell.state_widths]
    for k, name in enumerate(cell.states):
        if name == "n":  # a normaliser: a sum of exponentials, never near 0
            states[k] = states[k].abs() + 0.5
    shapes = cell.parameters(C, H, P).values()
    weights = [tensor(*s, scale=s[-1] ** -0.5 if len(s) > 1 else 0.5) for s in shapes]
    others = [w for k, w in enumerate(cell.state_widths) if k != cell.output_state]
    return Call(
        cell, tensor(*lead, C), states, weights, sizes, reverse,
        tensor(*lead, width[cell.output_width]),
        [tensor(*s.shape) for s in states],
        [tensor(*lead, width[w]) for w in others] if histories else [],
    )  # fmt: skip


def lengths_to_sizes(lengths: Sequence[int]) -> list[int]:
    """PackedSequence's batch_sizes of rows with these lengths."""
    return [sum(n > t for n in lengths) for t in range(max(lengths))]


def expected(call: Call) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(output, finals and histories; gradients) of the reference in float64, by name."""
    cell, n = call.cell, len(call.states)
    leaves = [t.to(torch.float64).requires_grad_() for t in (call.x, *call.states, *call.weights)]
    x, states, weights = leaves[0], leaves[1 : 1 + n], leaves[1 + n :]
    output, finals, histories = reference.sequence(cell, x, states, weights, call.sizes, call.reverse)
    others = [k for k in range(n) if k != cell.output_state]
    histories = [histories[k] for k in others]
    results = outputs(call, output, finals, histories)
    pairs = [(output, call.d_output), *zip(finals, call.d_finals), *zip(histories, call.d_histories)]
    loss = sum((a * d.to(torch.float64)).sum() for a, d in pairs if d is not None)
    if isinstance(loss, Tensor) and loss.requires_grad:
        found = torch.autograd.grad(loss, leaves, allow_unused=True)
    else:
        found = (None,) * len(leaves)
    zeros = [torch.zeros_like(t) if g is None else g for g, t in zip(found, leaves)]
    return results, dict(zip(call.names, zeros, strict=True))


def outputs(call: Call, output: Tensor, finals: list[Tensor], histories: list[Tensor]) -> dict[str, Tensor]:
    """The results of a forward pass by name."""
    names = [s for k, s in enumerate(call.cell.states) if k != call.cell.output_state]
    named = {"output": output, **{f"final {s}": t for s, t in zip(call.cell.states, finals, strict=True)}}
    return named | {f"history {s}": t for s, t in zip(names, histories)}


def agree(
    kind: str, found: dict[str, Tensor], wanted: dict[str, Tensor], dtype: torch.dtype, context: object = ""
) -> None:
    """`found`, in dtype, against float64 at the tolerance of dtype."""
    largest = max((t.abs().max().item() for t in wanted.values() if t.numel()), default=0.0)
    for name, a in found.items():
        assert a.dtype == dtype, f"{name}: {a.dtype}"
        e = error(a, wanted[name], largest)
        assert e <= BOUNDS[kind, dtype], f"{kind} {name}: error {e:.2e} {context}"


def same_bits(a: Tensor, b: Tensor, what: object = "") -> None:
    """Equal bit by bit; NaN equals NaN, and 0.0 does not equal -0.0."""
    assert a.shape == b.shape and a.dtype == b.dtype, f"{what}: {a.shape} {a.dtype}, {b.shape} {b.dtype}"
    bits = {torch.float32: torch.int32, torch.float64: torch.int64}[a.dtype]
    different = (a.contiguous().view(bits) != b.contiguous().view(bits)).sum().item()
    assert different == 0, f"{what}: {different} of {a.numel()} differ, by {(a - b).abs().max().item():.2e}"


def check(call: Call, histories: bool = False, context: object = "") -> None:
    """Forward and backward of a call, in watched memory, against the reference."""
    dtype, wanted = call.x.dtype, expected(call)
    with watched(call) as inside:
        output, finals, lines, kept = inside.forward(histories=histories)
        gradients = inside.backward(output, kept)
    agree("outputs", outputs(call, output, finals, lines), wanted[0], dtype, context)
    agree("gradients", call.named(gradients), wanted[1], dtype, context)


def surrounded(t: Tensor) -> Tensor:
    """The same numbers, contiguous, amid NaN, and at an address that is a multiple of nothing but a number's size."""
    n, before = t.numel(), GUARD + 1
    space = t.new_full((n + before + GUARD,), float("nan"))
    inner = space[before : before + n].view(t.shape)
    return inner.copy_(t)


@contextmanager
def watched(call: Call) -> Iterator[Call]:
    """The call with NaN around all that it reads; marks around what the kernels allocate inside must survive."""
    spaces: list[Tensor] = []

    def guarded(shape: Sequence[int], dtype: torch.dtype, value: float) -> Tensor:
        count = torch.Size(shape).numel()
        space = torch.full((count + 2 * GUARD,), MARK, dtype=dtype)
        spaces.append(space)
        return space[GUARD : GUARD + count].fill_(value).view(tuple(shape))

    def like(value: float):
        return lambda t, **settings: guarded(t.shape, t.dtype, value)

    def optional(d: Tensor | None) -> Tensor | None:
        return None if d is None else surrounded(d)

    inside = replace(
        call,
        x=surrounded(call.x),
        states=[surrounded(s) for s in call.states],
        weights=[surrounded(w) for w in call.weights],
        d_output=optional(call.d_output),
        d_finals=[optional(d) for d in call.d_finals],
        d_histories=[optional(d) for d in call.d_histories],
    )
    nan = float("nan")
    saved = (memory_pool.empty, torch.empty_like, torch.zeros_like)
    memory_pool.empty = lambda shape, dtype: guarded(shape, dtype, nan)
    torch.empty_like, torch.zeros_like = like(nan), like(0.0)
    try:
        yield inside
    finally:
        memory_pool.empty, torch.empty_like, torch.zeros_like = saved
    assert spaces, "the kernels allocated nothing, so nothing was watched"
    for space in spaces:
        outside = torch.cat([space[:GUARD], space[-GUARD:]])
        assert (outside == torch.tensor(MARK, dtype=space.dtype)).all(), "written outside of a tensor"
    for before, after in zip(tensors(call), tensors(inside), strict=True):
        same_bits(before, after, "an input was written")


def tensors(call: Call) -> list[Tensor]:
    """All tensors that go in."""
    gradients = [call.d_output, *call.d_finals, *call.d_histories]
    return [call.x, *call.states, *call.weights, *(d for d in gradients if d is not None)]
