"""Symbols to be remembered: their order, or all of them."""

import torch
from torch import Generator

from .task import Examples, only_last, symbols, task

RECALLED, ALPHABET = 10, 8


@task(
    source="S. Hochreiter, J. Schmidhuber, Neural Computation 9(8) (1997), section 5.6, task 6a, at a fixed length",
    criterion="at most 1 % of the classes wrong, as in R. Pascanu, T. Mikolov, Y. Bengio, arXiv 1211.5063v2 (2013)",
    loss="cross entropy",
    bound=0.01,
    chance=0.75,
    shortest=10,
    sizes=lambda lag: (8, 4),
)
def temporal_order(lag: int, batch: int, generator: Generator) -> Examples:
    """Which two of X and Y stood where: XX, XY, YX or YY, in a row of symbols from a, b, c, d.

    The row starts with E and ends with B, T = lag symbols; the first of the two stands between T/10 and 2T/10, the
    second between 5T/10 and 6T/10, each drawn uniformly. class = 2·(first is Y) + (second is Y), due after the last
    symbol. Both are needed: the second alone leaves half of the answers wrong.
    """
    ids = torch.randint(4, (lag, batch), generator=generator, device="cpu")
    ids[0], ids[-1] = 6, 7
    cues = torch.randint(2, (2, batch), generator=generator, device="cpu")
    tenth = lag // 10
    for cue, start in zip(cues, (tenth, 5 * lag // 10), strict=True):
        place = start + torch.randint(tenth + 1, (1, batch), generator=generator, device="cpu")
        ids.scatter_(0, place, 4 + cue[None])
    last = only_last(lag, batch)
    return Examples(symbols(ids, 8), (2 * cues[0] + cues[1]).expand(lag, batch), last, last)


@task(
    source="the copying memory problem of M. Arjovsky, A. Shah, Y. Bengio, arXiv 1511.06464v4 (2016); the answer "
    "starts at the delimiter, one step earlier than there",
    criterion="at most 1 % of the recalled symbols wrong; a guess misses 7 of 8",
    loss="cross entropy",
    bound=0.01,
    chance=1 - 1 / ALPHABET,
    shortest=RECALLED + 1,
    sizes=lambda lag: (ALPHABET + 2, ALPHABET + 1),
)
def copy(lag: int, batch: int, generator: Generator) -> Examples:
    """Ten symbols, each out of eight, said again in order: every one of them comes back lag steps after it was read.

    Inputs: the 10 symbols, blanks, a delimiter at step lag - 1, blanks; T = lag + 9. Answers: blank until the delimiter
    is read, then the 10 symbols. The loss counts every step, success the last ten.
    """
    data = torch.randint(ALPHABET, (RECALLED, batch), generator=generator, device="cpu")
    blank, delimiter = ALPHABET, ALPHABET + 1
    steps = lag + RECALLED - 1
    ids = torch.full((steps, batch), blank, device="cpu")
    ids[:RECALLED] = data
    ids[lag - 1] = delimiter
    targets = torch.full((steps, batch), blank, device="cpu")
    targets[lag - 1 :] = data
    eval_mask = torch.zeros(steps, batch, dtype=torch.bool, device="cpu")
    eval_mask[lag - 1 :] = True
    return Examples(symbols(ids, ALPHABET + 2), targets, torch.ones_like(eval_mask), eval_mask)
