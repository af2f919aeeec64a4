"""Every kind of tensor that torch can make of one, for all that read tensors by their address.

As a script it runs the kinds that can end a process: `odd_tensors.py WAY`.
"""

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call

import ostinato
from ostinato import lens
from tolerance import BOUNDS, error

Odd = Callable[[Tensor], Tensor]


class Sub(Tensor):
    """A tensor by another name."""


def _strided(t: Tensor) -> Tensor:
    return t.transpose(0, -1).contiguous().transpose(0, -1)


def _overlapping(t: Tensor) -> Tensor:
    return torch.linspace(-1, 1, sum(t.shape), dtype=t.dtype).as_strided(t.shape, (1,) * t.dim())


def _offset(t: Tensor) -> Tensor:
    return torch.cat([t.new_full((3,), torch.nan), t.flatten()])[3:].view(t.shape)


def _in_inference(t: Tensor) -> Tensor:
    with torch.inference_mode():
        return t.clone()


def _freed(t: Tensor) -> Tensor:
    t = t.clone()
    t.untyped_storage().resize_(0)
    return t


def _freed_behind_an_offset(t: Tensor) -> Tensor:
    t = _offset(t)
    t.untyped_storage().resize_(0)
    return t


def _fake(t: Tensor) -> Tensor:
    with FakeTensorMode() as mode:
        return mode.from_tensor(t)


READ: dict[str, Odd] = {
    "negated lazily": lambda t: torch._neg_view(-t),
    "the imaginary part of a conjugate": lambda t: torch.complex(torch.zeros_like(t), -t).conj().imag,
    "other strides": _strided,
    "every other number": lambda t: torch.stack([t, t], -1)[..., 0],
    "expanded": lambda t: t[:1].expand_as(t),
    "overlapping": _overlapping,
    "behind an offset": _offset,
    "from inference mode": _in_inference,
    "a leaf": lambda t: t.clone().requires_grad_(),
    "a parameter": lambda t: nn.Parameter(t.clone()),
    "a subclass": lambda t: t.clone().as_subclass(Sub),
}
"""Whose numbers can be read: the result is that of a contiguous copy, or an error."""
REFUSED: dict[str, Odd] = {
    "meta": lambda t: t.to("meta"),
    "sparse": lambda t: t.to_sparse(),
    "of the other type": lambda t: t.to(torch.float64 if t.dtype == torch.float32 else torch.float32),
    "complex": lambda t: t.to(torch.complex64),
    "conjugate": lambda t: t.to(torch.complex64).conj(),
    "half": lambda t: t.half(),
    "integers": lambda t: t.long(),
    "quantized": lambda t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.qint8),
    "nested": lambda t: torch.nested.as_nested_tensor([t, t[:1]]),
    "without entries": lambda t: t[:0],
    "another shape": lambda t: t.reshape(t.shape[::-1]) if t.shape != t.shape[::-1] else t[None],
    "another dimension": lambda t: t.reshape(1, 1, *t.shape),
    "fewer": lambda t: t[..., :-1],
}
"""Of which nothing is made."""
CRASHED: dict[str, Odd] = {
    "zeros without memory": lambda t: torch._efficientzerotensor(t.shape, dtype=t.dtype),
    "freed": _freed,
    "freed behind an offset": _freed_behind_an_offset,
    "mkldnn": lambda t: t.float().to_mkldnn(),
    "fake": _fake,
}
"""Without memory where an address would lead to it."""

B, C, H = 3, 4, 5
WAYS = {
    "direct": ({}, {}),
    "direct and ragged": ({}, {"lengths": torch.tensor([2, 6, 0])}),
    "general": ({"num_layers": 2, "bidirectional": True}, {"lengths": [6, 3, 4], "return_states": True}),
    "checkpoint": ({"checkpoint": 3}, {}),
    "watched": ({}, {}),
}
STEPS = {"checkpoint": 400}
"""A segment has whole blocks of steps: fewer steps are one segment."""


class Case:
    """A layer, its arguments by name, and one call of it."""

    def __init__(self, way: str, dtype: torch.dtype):
        torch.manual_seed(0)
        options, self.how = WAYS[way]
        self.way, self.layer = way, ostinato.LSTM(C, H, dtype=dtype, **options)
        rows, T = 4 if way == "general" else 1, STEPS.get(way, 6)
        self.given = {name: p.detach() for name, p in self.layer.named_parameters()}
        self.given |= {"x": torch.randn(T, B, C, dtype=dtype)}
        self.given |= {s: torch.randn(rows, B, H, dtype=dtype) for s in "hc"}

    def results(self, **other: Tensor) -> list[Tensor]:
        """Output, final states, and states after every step where the way asks for them."""
        given = {**self.given, **other}
        x, h, c = (given.pop(name) for name in "xhc")
        if self.way == "watched":
            with lens.watch(self.layer):
                found = functional_call(self.layer, given, (x, (h, c)), self.how)
        else:
            found = functional_call(self.layer, given, (x, (h, c)), self.how)
        output, finals, *states = found
        return [output, *finals, *[s for every in states for s in every]]

    def learning(self) -> dict[str, Tensor]:
        return {name: t.clone().requires_grad_() for name, t in self.given.items()}


def attempt(call: Callable[[], list[Tensor]]) -> list[Tensor] | Exception:
    try:
        return [t.detach().clone() for t in call()]
    except Exception as problem:  # which one is another test's matter
        return problem


def judge(kind: str, found: list[Tensor] | Exception, expected: list[Tensor] | Exception, where: str) -> None:
    """An error is no wrong value; what was read must be what a contiguous copy gives."""
    if isinstance(found, Exception):
        assert not isinstance(found, SystemError), f"{where}, {kind}: {found!r}"
        assert kind not in ("negated lazily", "behind an offset", "other strides") or isinstance(expected, Exception), (
            f"{where}, {kind}: {found!r}"
        )
        return
    assert isinstance(expected, list), f"{where}, {kind}: read, though {expected!r}"
    bound = BOUNDS["gradients", expected[0].dtype] / 10
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape and error(a, b) < bound, f"{where}, {kind}: other values"


def plain(odd: Odd, t: Tensor) -> Tensor:
    """The same numbers as anyone would write them."""
    return odd(t).detach().resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format)


def usual(kind: str, odd: Odd, t: Tensor) -> Tensor | None:
    if kind == "zeros without memory":
        return torch.zeros_like(t)
    return plain(odd, t).as_subclass(Tensor) if kind in READ else None


def arguments(case: Case, kinds: dict[str, Odd]) -> None:
    """Every argument of a call, and gradients through it."""
    for name, t in list(case.given.items())[:: 4 if case.way == "general" else 1]:
        for kind, odd in kinds.items():

            def run(value: Tensor, name: str = name) -> list[Tensor]:
                given = case.learning() | {name: value}
                wanted = [g for n, g in given.items() if n != name]
                results = case.results(**given)
                loss = sum((r.double() * torch.linspace(0.5, 1.5, r.numel()).view(r.shape)).sum() for r in results)
                return [*results, *torch.autograd.grad(loss, wanted)]

            same = usual(kind, odd, t)
            expected = ValueError("nothing to read") if same is None else attempt(lambda: run(same))  # noqa: B023
            judge(kind, attempt(lambda: run(odd(t))), expected, f"{case.way}, {name}")  # noqa: B023


def upstream(case: Case, kinds: dict[str, Odd]) -> None:
    """The gradient of every result, alone and beside the others."""
    given = case.learning()
    results = case.results(**given)
    ones = [torch.linspace(-1, 1, r.numel(), dtype=r.dtype).view(r.shape) for r in results]
    for k, d in enumerate(ones):
        for kind, odd in kinds.items():

            def run(value: Tensor, k: int = k) -> list[Tensor]:
                several = [*ones[:k], value, *ones[k + 1 :]]
                return list(torch.autograd.grad(results, list(given.values()), several, retain_graph=True))

            same = usual(kind, odd, d)
            # torch brings a gradient to the type of its tensor before anyone sees it.
            if kind == "of the other type" or kind == "half" or kind == "integers":
                same = odd(d).to(d.dtype)
            expected = ValueError("nothing to read") if same is None else attempt(lambda: run(same))  # noqa: B023
            judge(kind, attempt(lambda: run(odd(d))), expected, f"{case.way}, gradient of result {k}")  # noqa: B023


def saved(case: Case, kinds: dict[str, Odd], twice: bool = False) -> None:
    """What hooks give back for each saved tensor of numbers; with `twice` under create_graph."""

    def gradients(odd: Odd, which: int) -> tuple[list[Tensor], int]:
        given, count = case.learning(), [0]

        def unpack(t: Tensor) -> Tensor:
            floating = t.is_floating_point() and t.dim() > 0 and t.numel() > 1
            count[0] += floating
            return odd(t.detach()) if floating and count[0] - 1 == which else t

        with saved_tensors_hooks(lambda t: t, unpack):
            results = case.results(**given)
        loss = sum(r.square().sum() for r in results[:3])
        found = torch.autograd.grad(loss, list(given.values()), create_graph=twice)
        return list(found), count[0]

    untouched, count = gradients(lambda t: t, -1)
    for which in range(0, count, 7 if case.way == "general" else 1):
        for kind, odd in kinds.items():

            def same(t: Tensor) -> Tensor:
                found = usual(kind, odd, t)  # noqa: B023
                if found is None:
                    raise ValueError("nothing to read")
                return found

            expected = attempt(lambda: gradients(same, which)[0])  # noqa: B023
            if isinstance(expected, ValueError):  # what is not read, such as the output under create_graph, may be this
                expected = [t.detach() for t in untouched]
            found = attempt(lambda: gradients(odd, which)[0])  # noqa: B023
            judge(kind, found, expected, f"{case.way}, saved tensor {which}, twice {twice}")


def survey(way: str, kinds: dict[str, Odd], dtype: torch.dtype) -> None:
    """All of it, for one way of a call."""
    case = Case(way, dtype)
    arguments(case, kinds)
    upstream(case, kinds)
    saved(case, kinds)
    if way == "direct":
        saved(case, kinds, twice=True)


if __name__ == "__main__":
    for number_type in (torch.float32, torch.float64):
        survey(sys.argv[1], CRASHED, number_type)
    print("survived")
