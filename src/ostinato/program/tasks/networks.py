"""The networks of the tasks: an embedding or the series itself, recurrent layers, and a linear head.

Letters: T steps, B rows of the batch, C channels, E numbers of an embedding, D directions, H units, K outputs, V
entries of the vocabulary, W different words of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers import Recurrent
from ..options import NetworkOptions
from .cell_argument import resolve_cell
from .inputs import SeriesInputs, TextInputs
from .pooling import last_output, pool
from .vocabulary import UNKNOWN, Vocabulary

LETTER_EMBEDDING, LETTER_UNITS = 32, 64
"""Of the tagger's layer that reads the characters of a word."""
WORD_DROPOUT = 0.5
"""The share of words seen once that a tagger reads as unknown in training."""


def recurrent(options: NetworkOptions, width: int) -> Recurrent:
    """The recurrent layers that the options name, over `width` features of a step."""
    return Recurrent(
        resolve_cell(options.cell),
        width,
        options.hidden,
        options.layers,
        dropout=options.dropout if options.layers > 1 else 0.0,
        bidirectional=options.both_directions,
        **options.options,
    )


def output_width(layer: Recurrent) -> int:
    """D·H, or D·P, of a layer's output."""
    width = layer.cell.width(layer.cell.output_width, layer.input_size, layer.hidden_size, layer.proj_size)
    return width * (2 if layer.bidirectional else 1)


class RowNetwork(nn.Module):
    """K numbers of a whole row: classification and regression.

    Called as network(x, lengths) with x = {"words": int64 [T, B]} or {"x": float32 [T, B, C]} → [B, K]: embeddings or
    the series, recurrent layers, mean and maximum over steps beside the last output, a linear head. What x holds past a
    row's length changes nothing.
    """

    def __init__(self, inputs: TextInputs | SeriesInputs, options: NetworkOptions, outputs: int) -> None:
        super().__init__()
        self.embedding = None
        if isinstance(inputs, TextInputs):
            self.embedding = embedding(inputs)
            width = inputs.width
        else:
            width = inputs.scaling.width
        self.dropout = nn.Dropout(options.dropout)
        self.layers = recurrent(options, width)
        self.head = nn.Linear(3 * output_width(self.layers), outputs)

    def forward(self, x: Mapping[str, Tensor], lengths: Tensor) -> Tensor:
        read = x["x"] if self.embedding is None else self.dropout(self.embedding(x["words"]))
        y, _ = self.layers(read, lengths=lengths)
        return self.head(self.dropout(pool(y, lengths, 2 if self.layers.bidirectional else 1)))


class TaggerNetwork(nn.Module):
    """K scores of every word: tagging.

    Called as network(x, lengths) → [T, B, K] with x:
        words           int64 [T, B]
        letters         int64 [characters, W]: the different words of the batch
        letter_lengths  int64 [W]
        which           int64 [T, B]: the column of `letters` of each word
    A word is its embedding beside the last outputs, of both directions, of a layer over its characters. In training
    half of the words that the training rows have once are read as unknown, so that the unknown entry is learned.
    """

    def __init__(self, words: TextInputs, letters: Vocabulary, options: NetworkOptions, outputs: int) -> None:
        super().__init__()
        self.seen_once = words.vocabulary.seen_once
        self.embedding = embedding(words)
        self.letter_embedding = nn.Embedding(len(letters), LETTER_EMBEDDING)
        self.letter_layer = Recurrent("gru", LETTER_EMBEDDING, LETTER_UNITS, bidirectional=True)
        self.dropout = nn.Dropout(options.dropout)
        self.layers = recurrent(options, words.width + 2 * LETTER_UNITS)
        self.head = nn.Linear(output_width(self.layers), outputs)

    def forward(self, x: Mapping[str, Tensor], lengths: Tensor) -> Tensor:
        y, _ = self.layers(self.dropout(self.vectors(x)), lengths=lengths)
        return self.head(self.dropout(y))

    def vectors(self, x: Mapping[str, Tensor]) -> Tensor:
        """[T, B, E] of the words: the embedding beside the spelling."""
        words = x["words"]
        if self.training:
            dropped = torch.rand(words.shape, device=words.device) < WORD_DROPOUT
            words = torch.where(dropped & (words >= self.seen_once), UNKNOWN, words)
        spelled, _ = self.letter_layer(self.letter_embedding(x["letters"]), lengths=x["letter_lengths"])
        spelling = F.embedding(x["which"], last_output(spelled, x["letter_lengths"], 2))
        return torch.cat([self.embedding(words), spelling], -1)


def embedding(inputs: TextInputs) -> nn.Embedding:
    """[V, E], drawn from N(0, 0.1²), or from the spread of the word vectors, which entries that have one start from."""
    made, vectors = nn.Embedding(len(inputs.vocabulary), inputs.width), inputs.vectors
    spread = 0.1 if vectors is None else float(vectors.values.std())
    with torch.no_grad():
        made.weight.normal_(0.0, spread)
        if vectors is not None:
            made.weight[torch.from_numpy(vectors.places)] = torch.from_numpy(vectors.values)
    return made
