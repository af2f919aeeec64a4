"""Memory of truncated backpropagation along a long stream: a million steps, that of the process printed as it goes.

    python benchmarks/stream.py [--steps 1000000] [--k1 50] [--k2 100]

A GRU of 32 units reads numbers that are made as they are needed. After the first tenth of the stream the memory of the
process must not grow by more than 1 percent; the script fails if it does.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

import ostinato


def resident() -> float:
    """MiB of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


def stream(steps: int, size: int, rows: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Chunks (x, y, resets) of `size` steps: y is x three steps before; documents of about 1,000 steps."""
    for _ in range(0, steps, size):
        x = torch.randn(size, rows, 1)
        yield x, x.roll(3, 0), torch.rand(size, rows) < 1e-3


class Model(nn.Module):
    """x [T, B, 1] → [T, B, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = ostinato.GRU(1, 32), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.layer(x)[0])
        return found


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("steps", 1_000_000), ("k1", 50), ("k2", 100), ("rows", 2)):
        asked.add_argument(f"--{name}", type=int, default=value)
    given = asked.parse_args()
    torch.manual_seed(0)
    model = Model()
    optimiser = torch.optim.Adam(model.parameters())
    tbptt = ostinato.TruncatedBPTT(model, given.k1, given.k2)
    began, every, marks, due = time.perf_counter(), max(1, given.steps // 10), [], 0
    print(f"k1 = {given.k1}, k2 = {given.k2}, {given.rows} rows\n{'steps':>10} {'MiB':>8} {'loss':>8} {'s':>6}")
    for x, y, resets in tbptt.windows(stream(given.steps, 777, given.rows)):
        optimiser.zero_grad()
        loss = ostinato.sequence_loss(tbptt(x, resets=resets), y, "squared")
        loss.backward()
        optimiser.step()
        if tbptt.steps >= due + every:
            due += every
            marks.append(resident())
            print(
                f"{tbptt.steps:10d} {marks[-1]:8.1f} {loss.item():8.4f} {time.perf_counter() - began:6.1f}", flush=True
            )
    growth = max(marks) / marks[0] - 1
    print(f"after the first tenth of the stream the memory grew by {growth:.2%}")
    return int(growth > 0.01)


if __name__ == "__main__":
    sys.exit(main())
