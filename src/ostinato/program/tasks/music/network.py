"""The network of music: recurrent layers in one direction over frames, and a head of the keys of the next frame.

Letters: T frames, B rows of the batch, K keys, W numbers that the layers give of a frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ....errors import InputError, phrase
from ...options import NetworkOptions
from ..networks import output_width, recurrent
from ..stepping import Core, Steps, steps_of
from .heads import ApartHead, JointHead, head_of

INPUT_SHARE = 0.5
"""Of --dropout: the share of keys that training reads as up, drawn anew for every frame."""


class Chords:
    """What the network has read before each frame [T, B, W], from which the keys of that frame follow."""

    def __init__(self, read: Tensor, head: ApartHead | JointHead) -> None:
        self.read, self.head = read, head

    def nats(self, target: Tensor, there: Tensor) -> Tensor:
        """[N]: -log p of the N frames of [T, B, K] that are there, bool [T, B], row after row of `there`."""
        return self.head.nats(self.read[there], target[there])

    def said(self, there: Tensor) -> Tensor:
        """[N, K]: the probability of each key of these frames, as `probabilities` of the head has them."""
        return self.head.probabilities(self.read[there])


class MusicNetwork(nn.Module):
    """The keys of each frame from those of all frames before it.

    Called as network(x, lengths) → Chords with x:
        frames  float32 [T, B, K], 0 or 1: a frame of zeros, then the frames of the piece without the last
    What stands past a row's length changes none of the frames before.

    keys     K
    options  cell, hidden, layers, dropout, chords and the options of the layers
    """

    def __init__(self, keys: int, options: NetworkOptions) -> None:
        super().__init__()
        if options.both_directions:
            remedy = "Leave --both-directions out: a frame is predicted from those before it alone."
            raise InputError(phrase("music", "both_directions", "False", "True", remedy))
        self.layers = recurrent(replace(options, both_directions=False), keys)
        self.dropout = nn.Dropout(options.dropout)
        self.input_dropout = nn.Dropout(INPUT_SHARE * options.dropout)
        self.head = head_of(options, output_width(self.layers), keys)

    def forward(self, x: Mapping[str, Tensor], lengths: Tensor | None = None) -> Chords:
        """`lengths` is taken as all networks take it, and changes nothing."""
        y, _ = self.layers(self.input_dropout(x["frames"]))
        return Chords(self.dropout(y), self.head)

    def core(self) -> Core:
        """What runs step by step: what `draw` needs [T, B, W] after frames [T, B, K]."""
        return Core(self.layers)

    def steps(self, rows: int) -> Steps:
        """Steps of B pieces at their beginning, with the weights that the network has now: what `draw` needs [B, W]
        after one more frame of each, 0 or 1 [B, K]. The first frame of a piece follows a frame of zeros."""
        return steps_of(self.core(), rows)

    def draw(self, read: Tensor, numbers: Tensor, temperature: float = 1.0) -> Tensor:
        """uint8 [B, K]: the keys of the next frame, after what a step gave.

        numbers      float64 [B, K] from 0 to 1: key k is down where its number is below its probability
        temperature  by which scores are divided; 0: each key as is more probable
        """
        return self.head.draw(read, numbers, temperature)

    def go_on(self, frames: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """What `draw` needs after the last of T more frames of each row [T, B, K], and the state to go on with."""
        y, state = self.layers(frames, state)
        return self.dropout(y[-1]), state
