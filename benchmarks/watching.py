"""What looking on costs: a training step inside `lens.watch`, and with its report, beside the same step alone.

python benchmarks/watching.py [seconds for each size]
"""

import statistics
import sys
from collections.abc import Callable
from itertools import product

import torch
from measure import in_turns
from torch import Tensor, nn

import ostinato
from ostinato import lens

SIZES = ((100, 32, 64), (100, 32, 128), (100, 64, 256), (35, 20, 512))
"""T steps, B rows, H = C units."""


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


def main(budget: float = 5.0) -> None:
    torch.set_num_threads(2)
    for kind, everywhere in product(("LSTM", "GRU"), (False, True)):
        for size in SIZES:
            jobs = steps(kind, *size, everywhere)
            alone, watched, reported = (job().clone() for job in jobs)
            if not (torch.equal(alone, watched) and torch.equal(alone, reported)):
                raise ValueError(f"{kind} {size}: the watched step moved the weights elsewhere")
            a, w, r = (statistics.median(times) for times in in_turns(jobs, budget, 5))
            name = f"{kind} T {size[0]} B {size[1]} H {size[2]}, loss at {'every' if everywhere else 'the last'} step"
            print(f"{name}: {1e3 * a:.2f} ms alone, {w / a:.2f} watched, {r / a:.2f} with report")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
