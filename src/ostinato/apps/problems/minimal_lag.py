"""The long time lag tasks of 1997: the first symbol comes back as the last."""

import math

import torch
from torch import Generator

from .task import Examples, only_last, symbols, task

_PAPER = "S. Hochreiter, J. Schmidhuber, Neural Computation 9(8) (1997), section 5.2"
_CRITERION = "at most 1 % of the last symbols wrong; the paper asks for 10,000 sequences in a row without a large error"
LONGER = 0.9
"""The chance that a sequence with distractors goes on by one more of them."""


@task(
    source=f"{_PAPER}, task 2a",
    criterion=_CRITERION,
    loss="cross entropy",
    bound=0.01,
    chance=0.5,
    shortest=2,
    sizes=lambda lag: (lag + 1, lag + 1),
)
def minimal_lag(lag: int, batch: int, generator: Generator) -> Examples:
    """Next symbol of x a_1 … a_{p-1} x or of y a_1 … a_{p-1} y, one as likely as the other; p = lag.

    All but the last symbol follow from the one before; the last needs the first. T = lag inputs, the last symbol is
    only predicted. p + 1 symbols, each a unit of its own, so the network's size grows with the lag, as in the paper.
    """
    between = torch.arange(lag - 1, device="cpu")[:, None].expand(lag - 1, batch)
    cue = lag - 1 + torch.randint(2, (1, batch), generator=generator, device="cpu")
    whole = torch.cat([cue, between, cue])
    every = torch.ones(lag, batch, dtype=torch.bool, device="cpu")
    return Examples(symbols(whole[:-1], lag + 1), whole[1:], every, only_last(lag, batch))


def distractor_count(lag: int) -> int:
    """How many different distractor symbols there are: the paper's p, 50, or lag - 2 where that is less, at least 1."""
    return min(50, max(1, lag - 2))


@task(
    source=f"{_PAPER}, task 2c, with p = 50 distractor symbols (table 3: q = 50 to 1000), fewer below a lag of 52",
    criterion=_CRITERION,
    loss="cross entropy",
    bound=0.01,
    chance=0.5,
    shortest=2,
    sizes=lambda lag: (distractor_count(lag) + 4, 2),
)
def distractors(lag: int, batch: int, generator: Generator) -> Examples:
    """Which of x and y stood at the second step of b x d_1 … d_{q+k} e; the d are distractors drawn at random.

    q = lag - 2 distractors at least, then one more with probability 0.9, again and again (k, 9 on average). The answer
    is due when e has been read, after q + k + 3 inputs; nothing else is trained. The lag is the least of all rows'.
    """
    kinds = distractor_count(lag)
    begin, end, x = kinds, kinds + 1, kinds + 2
    uniform = torch.rand(batch, generator=generator, dtype=torch.float64, device="cpu")
    extra = (torch.log1p(-uniform) / math.log(LONGER)).floor().long()
    last = lag + extra
    steps = int(last.max()) + 1
    ids = torch.randint(kinds, (steps, batch), generator=generator, device="cpu")
    cue = torch.randint(2, (batch,), generator=generator, device="cpu")
    ids[0], ids[1] = begin, x + cue
    step = torch.arange(steps, device="cpu")[:, None]
    ids = ids.masked_fill(step == last, end).masked_fill(step > last, -1)
    asked = step == last
    return Examples(symbols(ids, kinds + 4), cue.expand(steps, batch), asked, asked)
