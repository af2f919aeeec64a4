"""What each option of a layer costs: a training step with it beside the plain layer's, `python benchmarks/options.py`.

Before anything is timed, output and gradients are compared with the reference in float64, under the same masks. Then
all layers of one size take turns; a ratio is the median over turns of (the option's time / the plain layer's in the
same turn). The targets hold at H ≥ 128 and T·B ≥ 640: at most 1.3, with layer_norm 1.5.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from measure import GRADIENT_BOUND, OUTPUT_BOUND, Unequal, error, in_turns
from report import fill, markdown_table, measured
from torch import Tensor, nn

import ostinato
from ostinato.execution import dispatch, routing
from ostinato.layers.dropout import pinned

CANDIDATE = {"LSTM": "g", "GRU": "n", "RNN": "h"}
"""The gate whose value recurrent_dropout drops in its second form."""
SIZES = tuple(product(((20, 32), (100, 32)), (128, 256)))
"""((T steps, B rows), H = C units)."""
TARGET, NORM_TARGET = 1.3, 1.5


def options_of(kind: str) -> dict[str, dict[str, Any]]:
    """Each option alone, by the name that the table calls it; {} is the plain layer."""
    return {
        "plain": {},
        "layer_norm": {"layer_norm": True},
        "recurrent_dropout, of U": {"recurrent_dropout": 0.25},
        "recurrent_dropout, of a gate": {"recurrent_dropout": {CANDIDATE[kind]: 0.25}},
        "zoneout": {"zoneout": 0.1},
        "weight_dropout": {"weight_dropout": 0.5},
        "input_dropout": {"input_dropout": 0.25},
        "clip_gradient": {"clip_gradient": 0.5},
        "clip_state": {
            "clip_state": 0.95
        },  # bites rarely: at its edge the gradient jumps, and float32 may step over it
    }


def made(kind: str, hidden: int, options: dict[str, Any]) -> nn.Module:
    """A layer with C = H, from the same first weights for all options.

    Gains of norms are 0.3: with 1 a recurrence is chaotic, and float32 of any arithmetic drifts away from float64.
    """
    torch.manual_seed(0)
    layer: nn.Module = getattr(ostinato, kind)(hidden, hidden, **options)
    for name, gain in layer.named_parameters():
        if name.startswith("p_norm"):
            nn.init.constant_(gain, 0.3)
    return layer


def step(layer: nn.Module, x: Tensor, above: Tensor) -> dict[str, Tensor]:
    """A training step's forward and backward pass: the output and all gradients, by name."""
    leaves = {"x": x, **dict(layer.named_parameters())}
    for leaf in leaves.values():
        leaf.grad = None
    output = layer(x)[0]
    output.backward(above)
    return {"output": output.detach(), **{f"gradient {k}": v.grad for k, v in leaves.items() if v.grad is not None}}


def check(name: str, layer: nn.Module, x: Tensor, above: Tensor) -> None:
    """Raises Unequal unless the step is that of the reference in float64 with the same masks."""
    with pinned(layer, 7):  # type: ignore[arg-type]
        found = {k: v.clone() for k, v in step(layer, x, above).items()}
    wide = x.detach().double().requires_grad_()
    reference = patch.object(dispatch, "choose_backend", lambda *_: routing.REFERENCE)
    with pinned(layer.double(), 7), reference:  # type: ignore[arg-type]
        expected = step(layer, wide, above.double())
    layer.float()
    for kind, bound in (("output", OUTPUT_BOUND), ("gradient", GRADIENT_BOUND)):
        names = [k for k in expected if k.startswith(kind)]
        largest = max(expected[k].abs().max().item() for k in names)
        for k in names:
            off = error(found[k].double(), expected[k], largest)
            if not off <= bound:
                raise Unequal(f"{name}: {k} differs from the reference by {off:.1e}, more than {bound:.0e}.")


def ratios(kind: str, steps: int, batch: int, hidden: int, seconds: float) -> tuple[float, dict[str, float]]:
    """Seconds of the plain layer's step, and each option's ratio to it. seconds = 0: checked, and not timed."""
    torch.manual_seed(1)
    x, above = torch.randn(steps, batch, hidden).requires_grad_(), torch.randn(steps, batch, hidden)
    jobs: dict[str, Callable[[], object]] = {}
    for name, options in options_of(kind).items():
        layer = made(kind, hidden, options)
        check(f"{kind} {name}", layer, x, above)
        jobs[name] = partial(step, layer, x, above)
    if not seconds:
        return 0.0, {}
    plain, *others = in_turns(list(jobs.values()), seconds, 5)
    each = [median(t / p for t, p in zip(times, plain, strict=True)) for times in others]
    return median(plain), dict(zip(list(jobs)[1:], each, strict=True))


def line(kind: str, steps: int, batch: int, hidden: int, seconds: float) -> list[str]:
    """A row of the table: the size with the plain layer's time, and each option's ratio."""
    plain, found = ratios(kind, steps, batch, hidden, seconds)
    size = f"{kind} {steps}·{batch}, {hidden}: {1e3 * plain:.1f} ms"
    return [size, *(_told(name, ratio) for name, ratio in found.items())]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, time and print; and write the table where --write says, if it is whole."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=4.0, help="for each size; 0 checks and times nothing")
    options.add_argument("--kinds", nargs="+", default=list(CANDIDATE), help="of layers; part of them writes nothing")
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    options.add_argument("--write", type=Path, metavar="PAGE", help="also put the table between the page's markers")
    chosen = options.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    headings = ["T·B, H: plain", *(name for name in options_of("LSTM") if name != "plain")]
    lines: list[list[str]] = []
    print("\n".join(markdown_table(headings, [])))
    for kind, ((steps, batch), hidden) in product(chosen.kinds, SIZES):
        lines.append(line(kind, steps, batch, hidden, chosen.seconds))
        print(markdown_table(headings, lines)[-1], flush=True)
    page = measured(markdown_table(headings, lines))
    print(page.splitlines()[-1])
    if chosen.write and chosen.kinds == list(CANDIDATE) and chosen.seconds:
        fill(chosen.write, "options", page)
    return 0


def _told(option: str, ratio: float) -> str:
    """A ratio; in bold above its target."""
    return f"**{ratio:.2f}**" if ratio > (NORM_TARGET if option == "layer_norm" else TARGET) else f"{ratio:.2f}"


if __name__ == "__main__":
    sys.exit(main())
