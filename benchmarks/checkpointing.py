"""What checkpointing through time keeps, counted, and what it costs in time: `python benchmarks/checkpointing.py`.

A layer with checkpoint="sqrt" beside one without: the bytes that each holds at most for backward, beside input, output,
start and weights, and the medians of training steps in turns, after a check that all bits are equal.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from measure import in_turns, job, pair
from report import fill, markdown_table, measured
from shapes import Kind, Shape
from torch import Tensor, nn

from ostinato.execution import backends

KINDS: tuple[Kind, ...] = ("LSTM", "GRU")
HEADINGS = ("T, B, H", "kept without", 'with "sqrt"', "share", "step without", 'with "sqrt"', "times")


def shape(kind: Kind, steps: int = 10_000, batch: int = 16, hidden: int = 256) -> Shape:
    """The size of the targets: T = 10,000, B = 16, C = H = 256."""
    return Shape(kind, True, steps, batch, hidden, hidden)


def bytes_kept(layer: nn.Module, size: Shape) -> int:
    """The most that a training step of `layer` holds for backward beside input, output, start and weights.

    What a forward pass saves, and what one more call of the kernels inside backward returns: the outputs and what is
    kept of one segment at a time.
    """
    x = torch.randn(size.steps, size.batch, size.features, requires_grad=True)
    parts = tuple(torch.zeros(1, size.batch, size.hidden) for _ in range(2 if size.kind == "LSTM" else 1))
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output, state = layer(x, parts if len(parts) > 1 else parts[0])
    finals = state if isinstance(state, tuple) else (state,)
    for tensor in (x, output, *finals, *parts, *layer.parameters()):
        saved.pop(tensor.untyped_storage().data_ptr(), None)
    with _watched() as again:
        output.backward(torch.zeros_like(output))
    return sum(saved.values()) + max(again, default=0)


@contextmanager
def _watched() -> Iterator[list[int]]:
    """Bytes that each call of the kernels' forward pass returns."""
    found: list[int] = []
    kernels = backends.kernels()
    forward = kernels.forward

    def watched(*arguments: Any) -> Any:
        result = forward(*arguments)
        made = (result.output, *result.final_states, *result.histories, *result.saved)
        found.append(sum(t.nbytes for t in made))
        return result

    with patch.object(kernels, "forward", watched):
        yield found


def memory(kind: Kind, size: Shape | None = None) -> tuple[int, int]:
    """Bytes that checkpoint="sqrt" and no checkpointing hold at most."""
    size = size or shape(kind)
    layer = pair(size)[0]
    layer.checkpoint = "sqrt"  # type: ignore[assignment]
    checkpointed = bytes_kept(layer, size)
    layer.checkpoint = None  # type: ignore[assignment]
    return checkpointed, bytes_kept(layer, size)


def seconds(kind: Kind, budget: float, size: Shape | None = None) -> tuple[list[float], list[float]]:
    """Times of training steps with checkpoint="sqrt" and without, in turns, after a check that all bits are equal."""
    size = size or shape(kind)
    layers = pair(size)[0], pair(size)[0]
    layers[0].checkpoint = "sqrt"  # type: ignore[assignment]
    jobs = [job(layer, size) for layer in layers]
    with_it, without = (call() for call in jobs)
    for name, expected in without.items():
        if not torch.equal(with_it[name], expected):
            raise ValueError(f"checkpointing: {name} of {size.name} differs from a layer without.")
    del with_it, without, expected
    first, second = in_turns(jobs, budget, 3)
    return first, second


def row(kind: Kind, size: Shape, budget: float) -> list[str]:
    """A row of the table: the size, bytes kept and their share, seconds of a step and their ratio."""
    less, whole = memory(kind, size)
    with_it, without = map(median, seconds(kind, budget, size))
    name = f"{kind}: {size.steps:,}, {size.batch}, {size.hidden}"
    kept = (f"{whole / 1e6:.1f} MB", f"{less / 1e6:.1f} MB", f"{less / whole:.3f}")
    return [name, *kept, f"{1e3 * without:.0f} ms", f"{1e3 * with_it:.0f} ms", f"{with_it / without:.2f}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Count, check, time and print; and write the table where --write says."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=4.0, help="for each pair of timings")
    options.add_argument("--write", type=Path, metavar="PAGE", help="also put the table between the page's markers")
    chosen = options.parse_args(arguments)
    rows: list[list[str]] = []
    print("\n".join(markdown_table(HEADINGS, [])))
    for kind in KINDS:
        for size in (shape(kind, 1000, 32, 128), shape(kind)):
            rows.append(row(kind, size, chosen.seconds))
            print(markdown_table(HEADINGS, rows)[-1], flush=True)
    page = measured(markdown_table(HEADINGS, rows))
    print(page.splitlines()[-1])
    if chosen.write:
        fill(chosen.write, "checkpointing", page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
