"""Which way a call goes, and in which number type: the one place where that is decided."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.nn import Parameter

from .. import _torch_private
from ..cells import Cell, catalogue
from ..errors import InputError, phrase
from . import backends, reference_backend

REFERENCE, OPERATOR, KERNELS = "reference", "operator", "kernels"
_NATIVE = (torch.float32, torch.float64)
_PLAIN = frozenset((Tensor, Parameter))
_HALF = (torch.bfloat16, torch.float16)
_WHERE = "ostinato"


def way(tensors: Sequence[Tensor]) -> str:
    """REFERENCE, OPERATOR or KERNELS, for a call with these tensors, x first.

    1 torch.func and forward-mode differentiation see torch's own operations and nothing else: the reference. (Through
      an operator a jvp would be zero without a word.)
    2 Tracers, dispatch modes and tensor subclasses want one operator that they can see: the registered one.
    3 Else the short way, straight into the kernels; the reference where there are none.
    """
    if transformed():
        return REFERENCE
    if seen(tensors):
        return OPERATOR
    if backends.compiled(tensors[0]):
        return KERNELS
    backends.without_kernels(tensors[0])
    return REFERENCE


def straight(tensors: Sequence[Any]) -> bool:
    """Whether `way` says KERNELS of tensors of a native type on a CPU, outside of compilation; False if one is None."""
    return _torch_private.unobserved() and _PLAIN.issuperset(map(type, tensors)) and backends.compiled(tensors[0])


def seen(tensors: Sequence[Tensor]) -> bool:
    """Whether a tracer, a dispatch mode or one of the tensors wants to see operators."""
    return torch.compiler.is_dynamo_compiling() or torch.jit.is_tracing() or _observed(tensors)


def traced(tensors: Sequence[Tensor]) -> bool:
    """Whether this call is one that torch.compile or torch.export runs to see its operators.

    torch.compiler.is_compiling() is True in every thread while one of them exports.
    """
    return torch.compiler.is_dynamo_compiling() or (torch.compiler.is_compiling() and _observed(tensors))


def _observed(tensors: Sequence[Tensor]) -> bool:
    return _torch_private.dispatch_mode_active() or not _PLAIN.issuperset(map(type, tensors))


def transformed() -> bool:
    """Whether torch.func or forward-mode differentiation looks on, which understand only torch's own operations."""
    return _torch_private.functorch_active() or _torch_private.forward_ad_active()


def number_types(cell: Cell, tensors: Sequence[Tensor], packed: bool) -> tuple[torch.dtype, tuple[torch.dtype, ...]]:
    """(the type to compute in, the types to return: of the output, then of each state; () for the same type).

    float32 and float64 stay as they are. bfloat16 and float16 on a CPU, and whatever autocast reaches, are computed in
    float32 and returned in the type in which torch.nn returns them. Refuses a mixture of types or of devices.
    """
    x, n = tensors[0], len(cell.states)
    kind, device = x.dtype, x.device
    if reference_backend.autocast_on(device.type) and kind is not torch.float64:
        for t in tensors:
            if t.dtype is not torch.float32 and t.dtype not in _HALF:
                _refuse_kind("float32, bfloat16 or float16 under autocast", t.dtype)
        low, states = torch.get_autocast_dtype(device.type), tuple(s.dtype for s in tensors[1 : 1 + n])
        return torch.float32, autocast_types(cell.text, low, states, packed)
    for t in tensors:
        if t.dtype is not kind:
            raise InputError(
                phrase(
                    _WHERE,
                    "x, states and weights",
                    f"of one number type, that of x ({kind})",
                    t.dtype,
                    "Convert x with x.to(dtype) or the layer with layer.to(dtype).",
                )
            )
        if t.device != device:
            raise InputError(
                phrase(
                    _WHERE,
                    "x, states and weights",
                    f"on one device, that of x ({device})",
                    t.device,
                    "Move x with x.to(device) or the layer with layer.to(device).",
                )
            )
    if kind in _NATIVE:
        return kind, ()
    if kind not in _HALF:
        _refuse_kind("float32, float64, bfloat16 or float16", kind)
    return (torch.float32, (kind,) * (1 + n)) if device.type == "cpu" else (kind, ())


@_torch_private.constant_result
def autocast_types(
    text: str, low: torch.dtype, states: tuple[torch.dtype, ...], packed: bool
) -> tuple[torch.dtype, ...]:
    """What torch's operations return under autocast to `low`: products are in `low`, the rest is promoted.

    So a value is in `low` unless it reads an old state or a vector p outside of a product: nn.RNN returns `low`, nn.GRU
    float32 when its state is, a projected LSTM `low` for h and float32 for c. nn.LSTM itself is the exception: its
    bfloat16 runs in oneDNN on a CPU that has it, which returns bfloat16 for h and c, but not for packed input.
    """
    cell = Cell.from_text(text)
    onednn = low == torch.bfloat16 and not packed and _torch_private.onednn_has_bfloat16()
    if onednn and cell.equations in _onednn():
        return (low,) * (1 + len(states))
    kinds = {v.id: kind for v, kind in zip(cell.trace.old, states, strict=True)}
    for v in cell.trace.graph.nodes:  # each after those that it reads
        if v.op == "vec":
            kinds[v.id] = torch.float32 if v.attr[0] == "p" else low
        elif v.op != "state":
            kinds[v.id] = low
            for a in v.args if v.op != "mm" else ():
                kinds[v.id] = torch.promote_types(kinds[v.id], kinds[a.id])
    return kinds[cell.trace.output.id], *[torch.promote_types(kinds[v.id], low) for v in cell.trace.new]


@lru_cache(maxsize=1)
def _onednn() -> tuple[str, str]:
    lstm = catalogue()["lstm"]
    return lstm.equations, lstm.without_bias().equations


def _refuse_kind(expected: str, received: torch.dtype) -> NoReturn:
    raise InputError(
        phrase(
            _WHERE,
            "the number type",
            expected,
            received,
            "Convert the input and the layer with .to(torch.float32) or .to(torch.float64).",
        )
    )
