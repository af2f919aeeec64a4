"""What detect_anomaly costs where nothing is wrong: a training step inside it beside the same step alone.

python benchmarks/anomaly.py [seconds for each size]
"""

import sys
from statistics import median

import torch
from measure import in_turns
from torch import Tensor, nn

import ostinato

SIZES = ((20, 32, 128), (100, 32, 128), (100, 32, 256))
"""T steps, B rows, H = C units."""


def step(layer: nn.Module, x: Tensor, above: Tensor) -> list[Tensor]:
    """The output and all gradients of a forward and a backward pass."""
    leaves = [x, *layer.parameters()]
    for leaf in leaves:
        leaf.grad = None
    output = layer(x)[0]
    output.backward(above)
    return [output.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def inside(layer: nn.Module, x: Tensor, above: Tensor) -> list[Tensor]:
    """The same, looked at."""
    with ostinato.detect_anomaly(layer):
        return step(layer, x, above)


def main(seconds: float = 2.0) -> None:
    torch.set_num_threads(2)
    for kind in ("LSTM", "GRU", "RNN"):
        for steps, batch, hidden in SIZES:
            layer: nn.Module = getattr(ostinato, kind)(hidden, hidden)
            x, above = torch.randn(steps, batch, hidden).requires_grad_(), torch.randn(steps, batch, hidden)
            alone = [t.clone() for t in step(layer, x, above)]
            if not all(torch.equal(a, b) for a, b in zip(alone, inside(layer, x, above), strict=True)):
                raise ValueError(f"{kind} {steps} {batch} {hidden}: detect_anomaly changed a result")
            calls = [lambda: step(layer, x, above), lambda: inside(layer, x, above)]  # noqa: B023
            plain, looked_at = in_turns(calls, seconds, 5)
            ratio = median(b / a for a, b in zip(plain, looked_at, strict=True))
            print(
                f"{kind} T {steps} B {batch} H {hidden}: {1e3 * median(plain):.1f} ms alone, {ratio:.2f} times inside"
            )


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
