"""The rules of dispatch: which backend runs a call, and in which number type."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NoReturn

import torch
from torch import Tensor
from torch.nn import Parameter

from .. import _torch_private
from ..caching import bounded_cache
from ..cells import Cell, catalogue
from ..errors import InputError, phrase
from . import backends, reference_backend

REFERENCE, OPERATOR, KERNELS = "reference", "operator", "kernels"
NATIVE = (torch.float32, torch.float64)
PLAIN = frozenset((Tensor, Parameter))
"""Classes of tensors that kernels read; all others see registered operators."""
_HALF = (torch.bfloat16, torch.float16)
_WHERE = "ostinato"


def choose_backend(tensors: Sequence[Tensor], dtype: torch.dtype) -> str:
    """REFERENCE, OPERATOR or KERNELS, for a call with these tensors, x first, computed in `dtype`.

    1 Under torch.func and forward-mode differentiation, which understand torch's own operations alone: REFERENCE. (An
      operator would give them a jvp of zero, without an error.)
    2 Under tracers and dispatch modes, and with tensor subclasses, all of which see registered operators: OPERATOR.
    3 Else KERNELS; REFERENCE where no kernels exist for this number type and device.
    """
    if torch.compiler.is_dynamo_compiling():  # it cannot trace `unobserved`
        return REFERENCE if under_functional_transform() else OPERATOR
    if not _torch_private.unobserved() or not PLAIN.issuperset(map(type, tensors)):
        return REFERENCE if under_functional_transform() else OPERATOR
    x = tensors[0]
    x = x if x.dtype is dtype else x.new_empty(0, dtype=dtype)
    return KERNELS if backends.compiled(x) else REFERENCE


def needs_registered_op(tensors: Sequence[Tensor]) -> bool:
    """Whether a tracer, a dispatch mode or the class of one of the tensors must see registered operators."""
    return torch.compiler.is_dynamo_compiling() or torch.jit.is_tracing() or _observed(tensors)


def traced(tensors: Sequence[Tensor]) -> bool:
    """Whether torch.compile or torch.export executes this call in order to record its operators.

    torch.compiler.is_compiling() is True in every thread while one of them exports.
    """
    return torch.compiler.is_dynamo_compiling() or (torch.compiler.is_compiling() and _observed(tensors))


def _observed(tensors: Sequence[Tensor]) -> bool:
    return _torch_private.dispatch_mode_active() or not PLAIN.issuperset(map(type, tensors))


def under_functional_transform() -> bool:
    """Whether torch.func or forward-mode differentiation is active; both understand torch's own operations alone."""
    return _torch_private.functorch_active() or _torch_private.forward_ad_active()


def number_types(cell: Cell, tensors: Sequence[Tensor], packed: bool) -> tuple[torch.dtype, tuple[torch.dtype, ...]]:
    """(the type to compute in, the types to return: of the output, then of each state; () for the same type).

    float32 and float64 stay as they are. bfloat16 and float16 on a CPU, and whatever autocast reaches, are computed in
    float32 and returned in the type in which torch.nn returns them. Refuses a mixture of types or of devices.
    """
    x = tensors[0]
    kind, on_cpu = x.dtype, x.is_cpu
    autocast = torch.is_autocast_enabled("cpu") if on_cpu else reference_backend.autocast_on(x.device.type)
    if autocast and kind is not torch.float64:
        for t in tensors:
            if t.dtype is not torch.float32 and t.dtype not in _HALF:
                _refuse_kind("float32, bfloat16 or float16 under autocast", t.dtype)
        low, states = torch.get_autocast_dtype(x.device.type), tuple(s.dtype for s in tensors[1 : 1 + len(cell.states)])
        return torch.float32, autocast_types(cell.text, low, states, packed)
    for t in tensors:
        if t.dtype is not kind:
            expected, remedy = (
                f"of one number type, that of x ({kind})",
                "x.to(dtype) or the layer with layer.to(dtype)",
            )
            raise InputError(phrase(_WHERE, "x, states and weights", expected, t.dtype, f"Convert x with {remedy}."))
        # Two devices are compared only where it must be: that costs more than asking for the CPU.
        if not (on_cpu and t.is_cpu) and t.device != x.device:
            expected, remedy = (
                f"on one device, that of x ({x.device})",
                "x.to(device) or the layer with layer.to(device)",
            )
            raise InputError(phrase(_WHERE, "x, states and weights", expected, t.device, f"Move x with {remedy}."))
    if kind in NATIVE:
        return kind, ()
    if kind not in _HALF:
        _refuse_kind("float32, float64, bfloat16 or float16", kind)
    return (torch.float32, (kind,) * (1 + len(cell.states))) if x.device.type == "cpu" else (kind, ())


@_torch_private.constant_result
def autocast_types(
    text: str, low: torch.dtype, states: tuple[torch.dtype, ...], packed: bool
) -> tuple[torch.dtype, ...]:
    """What torch's operations return under autocast to `low`: products are in `low`, the rest is promoted.

    So a value is in `low` unless it reads an old state or a vector p outside of a product: nn.RNN returns `low`, nn.GRU
    float32 when its state is, a projected LSTM `low` for h and float32 for c. nn.LSTM itself is the exception: its
    bfloat16 runs in oneDNN on a CPU that has it, which returns bfloat16 for h and c, but not for packed input.
    """
    return _autocast_types(text, low, states, packed)


@bounded_cache(1 << 20, size_of=lambda found, text, *_: len(text) + 128 * len(found))
def _autocast_types(
    text: str, low: torch.dtype, states: tuple[torch.dtype, ...], packed: bool
) -> tuple[torch.dtype, ...]:
    """Cached beneath `autocast_types`: torch.compile refuses to look through a cache that it can see."""
    cell = Cell.from_text(text)
    onednn = low == torch.bfloat16 and not packed and _torch_private.onednn_has_bfloat16()
    if onednn and cell.equations in _onednn():
        return (low,) * (1 + len(states))
    kinds = {v.id: kind for v, kind in zip(cell.trace.previous_states, states, strict=True)}
    for v in cell.trace.graph.nodes:  # each after those that it reads
        if v.op == "vec":
            kinds[v.id] = torch.float32 if v.attr[0] == "p" else low
        elif v.op != "state":
            kinds[v.id] = low
            for a in v.args if v.op != "mm" else ():
                kinds[v.id] = torch.promote_types(kinds[v.id], kinds[a.id])
    return kinds[cell.trace.output.id], *[torch.promote_types(kinds[v.id], low) for v in cell.trace.next_states]


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
