"""The network of a forecast: segments of the past, recurrent layers, and all segments of the future at once.

Letters: B windows of the batch, K series of a window, L steps of the past, H of the future, S steps of a segment, M
segments of the future, F features known ahead, P covariates of the past, Q quantiles, E numbers of an embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...options import NetworkOptions
from ..networks import output_width, recurrent
from .linear import Linear


@dataclass(frozen=True)
class Shape:
    """The sizes that the network of a forecast depends on."""

    length: int
    """L"""
    horizon: int
    """H"""
    segment: int
    """S"""
    series: int
    """K"""
    own: int
    """Numbers of a step of each series: its value, and 1 more where values are missing."""
    past: int
    """P"""
    known: int
    """F, with the features of the calendar"""
    quantiles: int
    """Q"""


class ForecastNetwork(nn.Module):
    """Q quantiles of each of H steps and K series, each series by itself with the same weights.

    The past is cut into segments of S steps, and a segment is one step of the recurrent layers. From their last state
    one more step is made for each segment of the future, all of them side by side; its input is the place of the
    segment, the series and what is known ahead. A linear map of the past, which is fitted before and stays as it is, is
    added. (SegRNN, arXiv 2308.11200, has the segments and the steps side by side; LSTNet, arXiv 1703.07015, adds a
    linear path.) The last layer is 0 at first: an untrained network gives the guess of the window, the linear map and
    the usual errors of both.

    Called as network(x, lengths) with float32
        own      [B, L, K, 1 or 2]: scaled values less the last one, and 1 where one is there, 0 where it is filled
        error    [K], start [H, Q]: the size of the guess's errors, and their quantiles in it
        past     [B, L, P], known [B, L + H, F], absent where there are none
    → [B, H, K, Q]: the errors of the guess, in `error`.
    """

    linear_weight: Tensor
    linear_bias: Tensor

    def __init__(self, shape: Shape, options: NetworkOptions, linear: Linear | None = None) -> None:
        super().__init__()
        self.shape = s = shape
        self.before = -s.length % s.segment
        self.segments = -(-s.horizon // s.segment)
        width = options.embedding
        self.read = nn.Linear(s.segment * (s.own + s.past + s.known), width)
        self.layers = recurrent(options, width)
        self.place = nn.Parameter(0.1 * torch.randn(self.segments, width))
        self.which = nn.Parameter(0.1 * torch.randn(s.series, width)) if s.series > 1 else None
        self.ahead = nn.Linear(s.segment * s.known, width) if s.known else None
        self.dropout = nn.Dropout(options.dropout)
        self.head = nn.Linear(output_width(self.layers), s.segment * s.quantiles)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("linear_weight", torch.zeros(s.length, s.horizon))
        self.register_buffer("linear_bias", torch.zeros(s.horizon))
        if linear is not None:
            self.linear_weight.copy_(torch.from_numpy(linear.weight))
            self.linear_bias.copy_(torch.from_numpy(linear.bias))

    def forward(self, x: Mapping[str, Tensor], lengths: Tensor | None = None) -> Tensor:
        s, own = self.shape, x["own"]
        batch = own.shape[0]
        rows = batch * s.series
        shared = [x[name][:, : s.length] for name in ("past", "known") if name in x]
        steps = torch.cat([own, *(part.unsqueeze(2).expand(-1, -1, s.series, -1) for part in shared)], -1)
        steps = nn.functional.pad(steps, (0, 0, 0, 0, self.before, 0))
        # [segments, B·K, S · numbers of a step]
        segments = steps.reshape(batch, -1, s.segment, s.series, steps.shape[-1]).permute(1, 0, 3, 2, 4)
        segments = segments.reshape(segments.shape[0], rows, -1)
        _, state = self.layers(torch.relu(self.read(segments)))
        y, _ = self.layers(self._asked(x, batch).reshape(1, rows * self.segments, -1), self._repeated(state))
        found = self.head(self.dropout(y)).reshape(batch, s.series, self.segments * s.segment, s.quantiles)
        found = found[:, :, : s.horizon].transpose(1, 2)
        linear = (own[..., 0].transpose(1, 2) @ self.linear_weight + self.linear_bias).transpose(1, 2) / x["error"]
        return found + linear.unsqueeze(-1) + x["start"][:, None, :]

    def _asked(self, x: Mapping[str, Tensor], batch: int) -> Tensor:
        """[B, K, M, E]: the input of the step of each segment of the future."""
        s = self.shape
        asked = self.place.expand(batch, s.series, -1, -1)
        if self.which is not None:
            asked = asked + self.which[:, None, :]
        if self.ahead is not None:
            known = nn.functional.pad(x["known"][:, s.length :], (0, 0, 0, self.segments * s.segment - s.horizon))
            asked = asked + self.ahead(known.reshape(batch, 1, self.segments, -1))
        return asked

    def _repeated(self, state: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        """The state of every row, once for each segment of the future."""
        if isinstance(state, Tensor):
            return state.repeat_interleave(self.segments, 1)
        return tuple(part.repeat_interleave(self.segments, 1) for part in state)
