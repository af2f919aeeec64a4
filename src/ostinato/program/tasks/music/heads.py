"""The heads of music: the probability of a chord, each key apart or each key after the lower ones.

Letters: N frames, W numbers that the layers give of a frame, K keys, M hidden units of the joint head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...options import NetworkOptions

UNITS = 256
"""M."""


class ApartHead(nn.Module):
    """Every key by itself: a chord has the product of the probabilities of its keys."""

    def __init__(self, width: int, keys: int) -> None:
        super().__init__()
        self.scores = nn.Linear(width, keys)

    def nats(self, read: Tensor, target: Tensor) -> Tensor:
        """[N]: -log p of chords, 0 or 1 [N, K], after [N, W]."""
        return _nats(self.scores(read), target)

    def probabilities(self, read: Tensor) -> Tensor:
        """[N, K]: the probability of each key."""
        return torch.sigmoid(self.scores(read))

    def draw(self, read: Tensor, numbers: Tensor, temperature: float) -> Tensor:
        """uint8 [N, K]; `MusicNetwork.draw` says how."""
        return _down(self.scores(read), numbers, temperature)

    def drawn(self, read: Tensor, numbers: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """(what `draw` gives, the probability that each key had [N, K])."""
        return self.draw(read, numbers, temperature), self.probabilities(read)


class JointHead(nn.Module):
    """Every key after the lower ones of its chord: an autoregressive network with masks.

    M. Germain, K. Gregor, I. Murray, H. Larochelle, MADE, arXiv 1502.03509, section 4, with connections from inputs to
    outputs: a hidden unit reads the keys below its degree and adds to the scores of the keys from its degree on. What
    the layers have read adds to hidden units and scores, as in the RNN-NADE of N. Boulanger-Lewandowski, Y. Bengio and
    P. Vincent, arXiv 1206.6392.
    """

    degrees: Tensor

    def __init__(self, width: int, keys: int, units: int = UNITS, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.scores = nn.Linear(width, keys)
        self.hidden = nn.Linear(width, units)
        self.to_hidden = nn.Parameter(torch.randn(units, keys) * 0.1)
        self.from_hidden = nn.Parameter(torch.randn(keys, units) * 0.3 / units**0.5)
        self.direct = nn.Parameter(torch.zeros(keys, keys))
        self.register_buffer("degrees", torch.arange(units) % max(1, keys - 1) + 1, persistent=False)

    def masked(self) -> tuple[Tensor, Tensor, Tensor]:
        """With their masks: the weights into hidden units [M, K], out of them [K, M], and from key to key [K, K]."""
        keys = torch.arange(len(self.direct), device=self.direct.device)
        reads = keys[None, :] < self.degrees[:, None]
        adds = self.degrees[None, :] <= keys[:, None]
        below = keys[None, :] < keys[:, None]
        return self.to_hidden * reads, self.from_hidden * adds, self.direct * below

    def nats(self, read: Tensor, target: Tensor) -> Tensor:
        """[N]: -log p of chords, 0 or 1 [N, K], after [N, W]."""
        to_hidden, from_hidden, direct = self.masked()
        hidden = self.dropout(F.relu(self.hidden(read) + F.linear(target, to_hidden)))
        scores = self.scores(read) + F.linear(target, direct) + F.linear(hidden, from_hidden)
        return _nats(scores, target)

    def probabilities(self, read: Tensor) -> Tensor:
        """[N, K]: the probability of each key, where every lower key is as is more probable."""
        half = torch.full((len(read), len(self.direct)), 0.5, dtype=torch.float64, device=read.device)
        return self._one_by_one(read, half, 0.0)[1]

    def draw(self, read: Tensor, numbers: Tensor, temperature: float) -> Tensor:
        """uint8 [N, K]; `MusicNetwork.draw` says how."""
        return self._one_by_one(read, numbers, temperature)[0].to(torch.uint8)

    def drawn(self, read: Tensor, numbers: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """(what `draw` gives, the probability that each key had after those below it [N, K])."""
        chord, chances = self._one_by_one(read, numbers, temperature)
        return chord.to(torch.uint8), chances

    def _one_by_one(self, read: Tensor, numbers: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Each key after the keys that are already decided: (what is decided [N, K], the probabilities [N, K])."""
        to_hidden, from_hidden, direct = self.masked()
        before, scores = self.hidden(read), self.scores(read)
        chord, chances = torch.zeros_like(scores), torch.zeros_like(scores)
        for key in range(scores.shape[1]):
            own = scores[:, key] + chord @ direct[key] + F.relu(before) @ from_hidden[key]
            chord[:, key] = _down(own, numbers[:, key], temperature).to(chord)
            chances[:, key] = torch.sigmoid(own)
            before = before + chord[:, key, None] * to_hidden[:, key]
        return chord, chances


def head_of(options: NetworkOptions, width: int, keys: int) -> ApartHead | JointHead:
    """The head that `--chords` names."""
    return JointHead(width, keys, dropout=options.dropout) if options.chords == "joint" else ApartHead(width, keys)


def _nats(scores: Tensor, target: Tensor) -> Tensor:
    """[N] of the scores of each key [N, K] in nats."""
    return F.binary_cross_entropy_with_logits(scores, target, reduction="none").sum(-1)


def _down(scores: Tensor, numbers: Tensor, temperature: float) -> Tensor:
    """uint8: whether keys of some scores are down; numbers from 0 to 1 decide, or the scores alone at temperature 0."""
    if temperature == 0:
        return (scores > 0).to(torch.uint8)
    return (numbers < torch.sigmoid(scores.double() / temperature)).to(torch.uint8)
