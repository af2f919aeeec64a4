"""The network of transcripts: recurrent layers both ways, and scores of the labels and the blank at every frame.

Letters: F frames, B rows of the batch, C channels, V labels without the blank.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ...options import NetworkOptions
from ..inputs import SeriesInputs, TextInputs
from ..networks import embedding, output_width, recurrent


class TranscriptNetwork(nn.Module):
    """Called as network(x, lengths) with x = {"words": int64 [F, B]} or {"x": float32 [F, B, C]} → [F, B, V + 1].

    What x holds past a row's length changes nothing.
    """

    def __init__(self, inputs: TextInputs | SeriesInputs, stacked: int, options: NetworkOptions, outputs: int) -> None:
        super().__init__()
        self.embedding = embedding(inputs) if isinstance(inputs, TextInputs) else None
        width = inputs.width if isinstance(inputs, TextInputs) else inputs.scaling.width
        self.dropout = nn.Dropout(options.dropout)
        self.layers = recurrent(options, stacked * width)
        self.head = nn.Linear(output_width(self.layers), outputs)

    def forward(self, x: Mapping[str, Tensor], lengths: Tensor) -> Tensor:
        read = x["x"] if self.embedding is None else self.dropout(self.embedding(x["words"]))
        y, _ = self.layers(read, lengths=lengths)
        return self.head(self.dropout(y))
