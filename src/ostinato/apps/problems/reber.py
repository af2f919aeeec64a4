"""The embedded Reber grammar: a string inside a string, whose last but one symbol repeats the second."""

import torch
from torch import Generator, Tensor

from ... import _torch_private
from ...caching import bounded_cache, tensor_bytes
from .task import Examples, symbols, task

ALPHABET = "BTPSXVE"
_KEPT = 1 << 11  # symbols of a string up to which its chances are kept for the next one: 1 MiB
GRAPH: dict[int, dict[str, int]] = {
    0: {"B": 1},
    1: {"T": 2, "P": 3},
    2: {"S": 2, "X": 4},
    3: {"T": 3, "V": 5},
    4: {"X": 3, "S": 6},
    5: {"P": 4, "V": 6},
    6: {"E": 7},
}
"""Reber's graph: node -> symbol -> next node. A string is the symbols on a way from 0 to 7; the shortest has five."""
END = 7


def _table(entries: dict[int, dict[str, int]]) -> Tensor:
    """The next node by node and symbol, -1 where there is no such way: [8, 7]."""
    table = torch.full((END + 1, len(ALPHABET)), -1, device="cpu")
    for node, ways in entries.items():
        for symbol, following in ways.items():
            table[node, ALPHABET.index(symbol)] = following
    return table


_NEXT = _table(GRAPH)


@bounded_cache(4 << 20, size_of=lambda chances, length: tensor_bytes([chances]))
def _chances(length: int) -> Tensor:
    """The chance of each symbol at a node, when `left` more must follow and end the string: [length, 8, 7].

    Every way on from a node is as likely before the length is known; the chance that exactly `left` symbols lead from a
    node to the end then gives those after. Rows of nodes from which no such string leads are 0.
    """
    with _torch_private.untransformed():
        exists = (_NEXT >= 0).double()
        ends = torch.zeros(END + 1, dtype=torch.float64, device="cpu")
        ends[END] = 1.0
        chances = []
        for _ in range(length):
            ways = exists * ends[_NEXT.clamp(min=0)]
            chances.append(ways)
            ends = ways.sum(1) / exists.sum(1).clamp(min=1)
        return torch.stack(chances)


def strings(length: int, batch: int, generator: Generator) -> Tensor:
    """Reber strings of exactly `length` symbols, each of them as likely: [length, batch] int64."""
    chances = (_chances if length <= _KEPT else _chances.__wrapped__)(length)
    nodes = torch.zeros(batch, dtype=torch.int64, device="cpu")
    drawn = []
    for left in range(length - 1, -1, -1):
        drawn.append(torch.multinomial(chances[left, nodes], 1, generator=generator)[:, 0])
        nodes = _NEXT[nodes, drawn[-1]]
    return torch.stack(drawn)


@task(
    source="A. Cleeremans, D. Servan-Schreiber, J. L. McClelland, Neural Computation 1(3) (1989); S. Hochreiter, "
    "J. Schmidhuber, Neural Computation 9(8) (1997), section 5.1; here every string of a batch has the same length",
    criterion="at most 1 % of the last but one symbols wrong; the paper asks for every symbol of its test strings",
    loss="cross entropy",
    bound=0.01,
    chance=0.5,
    shortest=6,
    sizes=lambda lag: (len(ALPHABET), len(ALPHABET)),
)
def reber(lag: int, batch: int, generator: Generator) -> Examples:
    """Next symbol of B s R s E, where s is T or P and R a Reber string of lag - 1 symbols drawn at random.

    Every step's prediction is trained; success is judged where R has ended and s must come again. T = lag + 2 inputs.
    """
    inner = strings(lag - 1, batch, generator)
    cue = torch.randint(2, (1, batch), generator=generator, device="cpu") + ALPHABET.index("T")
    begin, end = (torch.full((1, batch), ALPHABET.index(symbol), device="cpu") for symbol in "BE")
    whole = torch.cat([begin, cue, inner, cue, end])
    every = torch.ones(lag + 2, batch, dtype=torch.bool, device="cpu")
    eval_mask = torch.zeros_like(every)
    eval_mask[lag] = True
    return Examples(symbols(whole[:-1], len(ALPHABET)), whole[1:], every, eval_mask)
