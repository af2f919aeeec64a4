"""The adding problem: two numbers among many, marked, are to be added."""

import torch
from torch import Generator

from .task import Examples, only_last, task


@task(
    source="S. Hochreiter, J. Schmidhuber, Neural Computation 9(8) (1997), section 5.4, in the form of S. Bai, "
    "J. Z. Kolter, V. Koltun, arXiv 1803.01271v2 (2018): values from [0, 1], marks 0 or 1, placed anywhere",
    criterion="mean squared error of at most 0.01, the bound on the average error in the paper of 1997",
    loss="squared error",
    bound=0.01,
    chance=1 / 6,
    shortest=2,
    sizes=lambda lag: (2, 1),
)
def adding(lag: int, batch: int, generator: Generator) -> Examples:
    """The sum of the two marked values: x_t = (v_t, m_t), v_t from U(0, 1), m_t = 1 at two steps and 0 elsewhere.

    target after step T: Σ_t m_t v_t. T = lag: a mark may stand as early as the first step. The constant guess 1 has a
    mean squared error of 1/6, a network that knows only the later of the two values one of 1/12.
    """
    values = torch.rand(lag, batch, generator=generator, dtype=torch.float32, device="cpu")
    places = torch.rand(lag, batch, generator=generator, dtype=torch.float32, device="cpu").topk(2, dim=0).indices
    marks = torch.zeros(lag, batch, dtype=torch.float32, device="cpu").scatter_(0, places, 1.0)
    targets = torch.zeros(lag, batch, 1, dtype=torch.float32, device="cpu")
    targets[-1, :, 0] = (marks * values).sum(0)
    last = only_last(lag, batch)
    return Examples(torch.stack([values, marks], dim=2), targets, last, last)
