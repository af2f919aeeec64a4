"""One benchmark: the same layer twice, checked for equal results first, then timed in turns in one process."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

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
    options = {"nonlinearity": nonlinearity} if nonlinearity else {}
    torch.manual_seed(0)
    ours = getattr(ostinato, family)(shape.features, shape.hidden, **options)
    theirs = getattr(nn, family)(shape.features, shape.hidden, **options)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def job(layer: nn.Module, shape: Shape) -> Callable[[], dict[str, Tensor]]:
    """One call as it is timed; returns what it computed by name, "output …" or "gradient …"."""
    torch.manual_seed(1)
    x = torch.randn(shape.steps, shape.batch, shape.features)
    from_above = torch.randn(shape.steps, shape.batch, shape.hidden)

    def infer() -> dict[str, Tensor]:
        with torch.inference_mode():
            output, state = layer(x)
        return {"output": output, **_states(state)}

    def train() -> dict[str, Tensor]:
        layer.zero_grad()
        x.grad = None
        output, state = layer(x)
        output.backward(from_above)
        found = {"output": output.detach(), **_states(state)}
        return found | {f"gradient {name}": _grad(weight) for name, weight in [("x", x), *layer.named_parameters()]}

    x.requires_grad_(shape.training)
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


def time_pair(shape: Shape, seconds: float, least: int = 5) -> Timing:
    """Check, then time the two layers in turns for about `seconds`, at least `least` calls each."""
    jobs = [job(layer, shape) for layer in pair(shape)]
    check(shape, *({name: value.clone() for name, value in call().items()} for call in jobs))
    spent: tuple[list[float], list[float]] = ([], [])
    for call in jobs:
        call()
    stop = time.perf_counter() + seconds
    while len(spent[0]) < least or time.perf_counter() < stop:
        for call, times in zip(jobs, spent, strict=True):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    return Timing(median(spent[0]), median(spent[1]), min(spent[0]), min(spent[1]), len(spent[0]))
