"""One benchmark: the same layer twice, checked for equal results first, then timed in turns in one process."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from shapes import Shape
from torch import Tensor, nn

import ostinato

OUTPUT_BOUND, GRADIENT_BOUND = 1e-5, 1e-4
"""The project's tolerance in float32."""


class Unequal(Exception):
    """The two layers do not compute the same, so that timing them would compare nothing."""


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: medians, and the fastest call of each, over `calls` calls of each layer."""

    ours: float
    torchs: float
    ours_best: float
    torchs_best: float
    calls: int

    @property
    def ratio(self) -> float:
        """How many times faster than torch.nn: above 1 is faster."""
        return self.torchs / self.ours


def error(a: Tensor, b: Tensor, largest: float) -> float:
    """max|a - b| / (max|b| + 1e-5 · largest); `largest` is the largest value of that kind in the call."""
    return ((a - b).abs().max() / (b.abs().max() + 1e-5 * largest)).item()


def pair(shape: Shape) -> tuple[nn.Module, nn.Module]:
    """The layer from ostinato and from torch.nn, with the same random weights."""
    family, _, nonlinearity = shape.kind.partition(" ")
    options: dict[str, Any] = {"nonlinearity": nonlinearity} if nonlinearity else {}
    options |= {"num_layers": shape.layers, "bidirectional": shape.directions == 2}
    torch.manual_seed(0)
    ours = getattr(ostinato, family)(shape.features, shape.hidden, **options)
    theirs = getattr(nn, family)(shape.features, shape.hidden, **options)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@dataclass(frozen=True)
class Material:
    """What a call is given: x [T, B, C], the output's gradient [T, B, D·H], states [D·L, B, H] unless they are 0."""

    x: Tensor
    from_above: Tensor
    start: tuple[Tensor, ...]


def material(shape: Shape) -> Material:
    """Random numbers, the same for each layer of a shape."""
    torch.manual_seed(1)
    x = torch.randn(shape.steps, shape.batch, shape.features)
    from_above = torch.randn(shape.steps, shape.batch, shape.directions * shape.hidden)
    sizes = (shape.directions * shape.layers, shape.batch, shape.hidden)
    count = 0 if not shape.from_state else 2 if shape.kind == "LSTM" else 1
    return Material(x, from_above, tuple(torch.rand(sizes) - 0.5 for _ in range(count)))


def job(layer: nn.Module, shape: Shape, unseen: Sequence[int] = ()) -> Callable[[], dict[str, Tensor]]:
    """One call as it is timed; returns what it computed by name, "output …" or "gradient …".

    unseen: rows of the batch that the loss does not look at, so that no gradient comes from them.
    """
    given = material(shape)
    x, from_above, start = given.x, given.from_above, given.start
    from_above[:, list(unseen)] = 0
    arguments = (x, start if len(start) > 1 else start[0]) if start else (x,)

    def infer() -> dict[str, Tensor]:
        with torch.inference_mode():
            output, state = layer(*arguments)
        return {"output": output, **_states(state)}

    wanted = [("x", x), *((f"start {index}", part) for index, part in enumerate(start)), *layer.named_parameters()]

    def train() -> dict[str, Tensor]:
        for _, tensor in wanted:
            tensor.grad = None
        output, state = layer(*arguments)
        output.backward(from_above)
        found = {"output": output.detach(), **_states(state)}
        return found | {f"gradient {name}": _grad(tensor) for name, tensor in wanted}

    for tensor in (x, *start):
        tensor.requires_grad_(shape.training)
    return train if shape.training else infer


def _states(state: Tensor | tuple[Tensor, ...]) -> dict[str, Tensor]:
    parts = state if isinstance(state, tuple) else (state,)
    return {f"output state {index}": part.detach() for index, part in enumerate(parts)}


def _grad(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad


def check(shape: Shape, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """The largest error as a share of its bound; raises Unequal above 1."""
    worst = 0.0
    for kind, bound in (("output", OUTPUT_BOUND), ("gradient", GRADIENT_BOUND)):
        names = [name for name in theirs if name.startswith(kind)]
        largest = max((theirs[name].abs().max().item() for name in names), default=0.0)
        for name in names:
            found = error(ours[name], theirs[name], largest)
            if not found <= bound:
                raise Unequal(f"{shape.name}: {name} differs from torch.nn by {found:.1e}, more than {bound:.0e}.")
            worst = max(worst, found / bound)
    return worst


def turned(shape: Shape, ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> list[int]:
    """Rows of the batch in which some unit of a ReLU is above 0 in one layer alone.

    There the sum before the ReLU is 0 but for rounding, and the two layers differentiate it to 0 and 1, which are both
    right and nothing alike. None where it is more than a quarter of the rows, which is not rounding.
    """
    if not (shape.training and shape.kind.endswith("relu")):
        return []
    rows = ((ours["output"] > 0) != (theirs["output"] > 0)).any(2).any(0).nonzero().flatten().tolist()
    return rows if 4 * len(rows) <= shape.batch else []


def in_turns(calls: Sequence[Callable[[], object]], seconds: float, least: int, most: int = 10**9) -> list[list[float]]:
    """The seconds of each call of each of `calls`, which take turns for about `seconds`: from `least` to `most` turns.

    Each is called once before, untimed.
    """
    for call in calls:
        call()
    spent: list[list[float]] = [[] for _ in calls]
    stop = time.perf_counter() + seconds
    while len(spent[0]) < least or (len(spent[0]) < most and time.perf_counter() < stop):
        for call, times in zip(calls, spent, strict=True):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    return spent


def time_pair(shape: Shape, seconds: float, least: int = 5, most: int = 10**9) -> Timing:
    """Check, then time the two layers in turns for about `seconds`."""
    jobs = [job(layer, shape) for layer in pair(shape)]
    found = [{name: value.clone() for name, value in call().items()} for call in jobs]
    if unseen := turned(shape, *found):
        found = [job(layer, shape, unseen)() for layer in pair(shape)]
    check(shape, *found)
    ours, theirs = in_turns(jobs, seconds, least, most)
    return Timing(median(ours), median(theirs), min(ours), min(theirs), len(ours))
