"""Refusal of torch.onnx.export, which has no translation of a layer."""

from __future__ import annotations

import inspect

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from .. import _torch_private
from ..errors import InputError, phrase
from ..execution.routing import needs_registered_op
from .structure import LayerStructure


def inside_torch_onnx(x: Tensor | PackedSequence) -> bool:
    """Whether torch.onnx.export makes this call, itself or through torch.export and torch.compile."""
    data = x.data if isinstance(x, PackedSequence) else x
    return isinstance(data, Tensor) and needs_registered_op([data]) and _called_by_torch_onnx()


@_torch_private.constant_result
def _called_by_torch_onnx() -> bool:
    """torch.onnx.is_in_onnx_export() says that some thread exports; the frames of this one say whether it does."""
    frame = inspect.currentframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith("torch.onnx."):
            return True
        frame = frame.f_back
    return False


def refuse_torch_onnx(layer: LayerStructure) -> None:
    """Raises InputError, which names the exporter that has a translation."""
    remedy = "Write ostinato.export.onnx(model, path, args): layers become ONNX's RNN, GRU, LSTM or Scan."
    where = type(layer).__name__
    raise InputError(phrase(where, "the exporter", "ostinato.export.onnx", "torch.onnx.export", remedy))
