"""`stream`: the way from a model to a `Stream`."""

from __future__ import annotations

from torch import nn

from .read import read
from .streams import Stream


def stream(model: nn.Module, rows: int = 1) -> Stream:
    """A snapshot of `model` that runs step by step, for `rows` rows at a time.

    model  a recurrent layer of this package, or a model of such layers and of Linear, Embedding, activations, Dropout
           in evaluation, LayerNorm, BatchNorm in evaluation, causal Conv1d, sums, products, concatenations, and the
           shape operations between them
    rows   B, how many independent rows every step has; `join` and `leave` change it

    The model is read as it is in evaluation, with torch.fx; its mode and attributes stay as they are. x may come with
    time or rows first, or as [B, C, T]: the layers say which it is. A layer that is used twice has two states, rnn.0.h
    and rnn#2.0.h, and a model written for one step, `layer.step` and a state=None, leaves its state to the stream.

    The weights are packed and the memory is allocated once; `refresh()` takes new weights. Recurrent layers give the
    bits of the layer's own call, in chunks and steps of any size and in any batch. A mean or maximum over time becomes
    the one over all steps so far, and a last step the present one.

    Raises InputError, with the place in the model, for what cannot run step by step: two directions, operations that
    read later steps, layers of torch.nn that `ostinato.convert` has not replaced.
    """
    return Stream(read(model), rows)
