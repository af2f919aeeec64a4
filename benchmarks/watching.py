"""What watching costs: a training step inside `lens.watch`, and with its report, beside the same step alone.

    python benchmarks/watching.py [--seconds 5] [--write docs/lens.md] [--suffix avx2]

All three take turns, medians; the weights after the step must be equal. --write fills the table between the page's
markers "watching", --suffix that of another vector width, as `make bench-avx2` sets it.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import torch
from measure import in_turns
from report import fill, markdown_table, measured
from torch import Tensor, nn

import ostinato
from ostinato import lens

SIZES = ((100, 32, 64), (100, 32, 128), (100, 64, 256), (35, 20, 512))
"""T steps, B rows, H = C units."""
MOST = 1.3
"""The target: times the step alone."""


def steps(kind: str, steps: int, batch: int, hidden: int, everywhere: bool = False) -> list[Callable[[], Tensor]]:
    """A training step alone, watched, and watched with its report; all begin with the same weights.

    everywhere: the loss reads every step, so that the probe is a pass of its own, and not the last step alone.
    """
    jobs: list[Callable[[], Tensor]] = []
    for mode in ("alone", "watched", "reported"):
        torch.manual_seed(0)
        layer, head = getattr(ostinato, kind)(hidden, hidden), nn.Linear(hidden, 10)
        model = nn.ModuleList([layer, head])
        optimiser = torch.optim.Adam(model.parameters())
        x, target = torch.randn(steps, batch, hidden), torch.randint(10, (steps if everywhere else 1, batch))

        def step(layer: nn.Module = layer, head: nn.Module = head, optimiser: torch.optim.Adam = optimiser) -> Tensor:
            optimiser.zero_grad()
            output = layer(x)[0] if everywhere else layer(x)[0][-1:]  # noqa: B023
            loss = nn.functional.cross_entropy(head(output).flatten(0, 1), target.flatten())  # noqa: B023
            loss.backward()
            nn.utils.clip_grad_norm_([*layer.parameters(), *head.parameters()], 1.0)
            optimiser.step()
            return layer.weight_hh_l0.detach()  # type: ignore[operator]

        def watched(
            step: Callable[[], Tensor] = step, model: nn.Module = model, report: bool = mode == "reported"
        ) -> Tensor:
            with lens.watch(model) as looking:
                weight = step()
            if report:
                looking.report()
            return weight

        jobs.append(step if mode == "alone" else watched)
    return jobs


def measure(kind: str, size: tuple[int, int, int], everywhere: bool, seconds: float) -> tuple[float, float, float]:
    """(seconds of the step alone, times as long watched, times as long with its report)"""
    jobs = steps(kind, *size, everywhere)
    alone, watched, reported = (job().clone() for job in jobs)
    if not (torch.equal(alone, watched) and torch.equal(alone, reported)):
        raise ValueError(f"{kind} {size}: the watched step moved the weights elsewhere")
    a, w, r = (statistics.median(times) for times in in_turns(jobs, seconds, 5))
    return a, w / a, r / a


def main() -> int:
    """Prints each line as it is measured."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=5.0, help="for each line")
    options.add_argument("--write", type=Path, metavar="PAGE", help="put the table between the page's markers")
    options.add_argument("--suffix", default="", metavar="TEXT", help="of the markers' names, such as avx2")
    chosen = options.parse_args()
    torch.set_num_threads(2)
    rows, ratios = [], []
    for kind, size in product(("LSTM", "GRU"), SIZES):
        row = [f"{kind} {' '.join(map(str, size))}"]
        for everywhere in (False, True):
            alone, watched, reported = measure(kind, size, everywhere, chosen.seconds)
            where = "every step" if everywhere else "the last step"
            name = f"{kind} T {size[0]} B {size[1]} H {size[2]}, loss at {where}"
            print(f"{name}: {1e3 * alone:.2f} ms alone, {watched:.2f} watched, {reported:.2f} with report", flush=True)
            row += [f"{1e3 * alone:.2f}", f"{watched:.2f}{'' if watched <= MOST else ' !'}", f"{reported:.2f}"]
            ratios.append(watched)
        rows.append(row)
    if chosen.write:
        ways = ("alone, ms", "watched", "with report")
        head = [
            "layer, T B H",
            *(f"loss at {where}: {way}" for where in ("the last step", "every step") for way in ways),
        ]
        met = sum(ratio <= MOST for ratio in ratios)
        summary = f"Watched: {min(ratios):.2f} to {max(ratios):.2f} times; {met} of {len(ratios)} are at most {MOST}."
        suffix = f"-{chosen.suffix}" * bool(chosen.suffix)
        fill(chosen.write, f"watching{suffix}", measured([*markdown_table(head, rows), "", summary]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
