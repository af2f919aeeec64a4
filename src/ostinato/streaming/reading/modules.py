"""Layers of torch.nn and this package's recurrent layers, as nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import USE_CONVERT
from ...layers.base import Layer
from ...network import Concatenate, Constant, Number, Parameter, Pointwise, Recurrent
from ..layers import Place, parameter, recurrent_nodes
from .activations import ACTIVATIONS
from .builder import Builder
from .functions import ATTENTION, FUNCTIONS, embedded, layer_norm, normalized
from .shapes import flatten, unflatten
from .sizes import ROWS, TIME, UNKNOWN, FoundWidthError
from .times import Taps, convolve, max_pool, pad, pooled, single
from .values import Const, Hidden, Value, described, refuse


def constant(b: Builder, module: nn.Module, name: str) -> Const | None:
    """A parameter or buffer of the module at the builder's place."""
    if getattr(module, name) is None:
        return None
    p = parameter(module, name, b.place, b.dtype)
    return Const(p.name, p.read, p.shape)


def given(b: Builder, module: nn.Module, name: str) -> Parameter | None:
    """The same as a parameter of a node."""
    return None if getattr(module, name) is None else parameter(module, name, b.place, b.dtype)


# Recurrent layers.


def recurrent(b: Builder, layer: Layer, x: Any, state: Any = None, **options: Any) -> Any:
    """A call of a layer on a sequence → (output, states)."""
    state = options.pop("hx", None) if state is None else state
    for name, value in options.items():
        if value is not None and value is not False:
            remedy = {
                "lengths": "Give a stream the steps that there are; rows join and leave.",
                "resets": "Write stream.reset(rows=[...]) where a new sequence begins.",
                "return_states": "stream.state() has the states after the last step.",
            }.get(name, "")
            refuse("called with x and a state alone", f"{name}=", remedy)
    rows_first = layer.batch_first
    order = (ROWS, TIME) if rows_first else (TIME, ROWS)
    if isinstance(x, Value) and len(x.axes) == 3 and x.axes[1 if rows_first else 0] == 1 and not b.timed:
        b.stepped = True  # a sequence of the present step
        order = (ROWS, 1) if rows_first else (1, ROWS)  # type: ignore[assignment]
    text = "[B, T, C]" if rows_first else "[T, B, C]"
    if not isinstance(x, Value) or x.kind == "token" or len(x.axes) != 3 or x.axes[:2] != order:
        received = described(x) if isinstance(x, Value) else "a constant"
        refuse(f"given {text}, with batch_first={rows_first}", received, "Transpose x, or change batch_first.", True)
    return _layers(b, layer, x, state)


def one_step(b: Builder, layer: Layer, x_t: Any, state: Any = None) -> Any:
    """A call of `layer.step` → (output, states)."""
    if not isinstance(x_t, Value) or b.timed or x_t.axes[:1] != (ROWS,) or len(x_t.axes) != 2:
        remedy = "Write the model for x [B, C] of one step, or call the layer on the whole sequence."
        refuse(
            "given x [B, C] of the present step", described(x_t) if isinstance(x_t, Value) else "another", remedy, True
        )
    b.stepped = True
    return _layers(b, layer, x_t, state)


def _layers(b: Builder, layer: Layer, x: Value, state: Any) -> Any:
    if x.axes[-1] == UNKNOWN:
        raise FoundWidthError(layer.input_size)
    if x.lead:
        remedy = "Slice off the padding before it, or consume it with a convolution."
        refuse("given the steps of x", f"{x.lead} steps of padding before the first one", remedy)
    x = b.features_last(x, layer.input_size)
    initial = _initial(b, layer, state)
    found = recurrent_nodes(layer, Place(b.place, x.node, len(b.nodes), b.whole), b.dtype)
    place = b.once(b.place)
    starts = iter(initial or ())
    for node in found:
        own = f"{place}{node.place.removeprefix(b.place)}"
        if isinstance(node, Recurrent):
            node = replace(node, place=own, initial=next(starts, node.initial))
        b.add(node)
    output = replace(x, node=len(b.nodes) - 1, axes=(*x.axes[:-1], found[-1].width), zeros=False, state=False)
    if layer.bidirectional:
        return output, tuple(Hidden(name) for name in layer.cell.states)
    return output, _states(b, layer, output, len(found))


def _initial(b: Builder, layer: Layer, state: Any) -> list[tuple[Parameter | None, ...]] | None:
    """For each layer and state where it starts, as the call says; None for the layer's own."""
    if state is None:
        return None
    every = state if isinstance(state, list | tuple) else (state,)
    names = layer.cell.states
    widths = [
        layer.cell.width(w, layer.input_size, layer.hidden_size, layer.proj_size) for w in layer.cell.state_widths
    ]
    remedy = "Leave the state out: a stream keeps it from step to step. Or give zeros or a parameter expanded over B."
    if len(every) != len(names):
        refuse(f"given {len(names)} states", str(len(every)), remedy)
    per_state: list[list[Parameter | None]] = []
    for value, width in zip(every, widths):
        node = b.nodes[value.node] if isinstance(value, Value) else None
        if isinstance(node, Number) and node.value == 0:
            per_state.append([None] * layer.num_layers)
        elif isinstance(node, Constant) and value.axes == (layer.num_layers, ROWS, width) and node.width > 1:
            per_state.append([_part(node.parameter, k, width) for k in range(layer.num_layers)])
        else:
            refuse("given no state, zeros, or a parameter of the model", "one that depends on x", remedy)
    return list(zip(*per_state))


def _part(whole: Parameter, k: int, width: int) -> Parameter:
    return Parameter(f"{whole.name}.{k}", (width,), lambda: whole.read()[k * width : (k + 1) * width].contiguous())


def _states(b: Builder, layer: Layer, output: Value, count: int) -> Any:
    """The final states: the output of each layer, and what is no output."""
    nodes = tuple(range(len(b.nodes) - count, len(b.nodes)))
    found: list[Value | Hidden] = []
    for k, name in enumerate(layer.cell.states):
        if k != layer.cell.output_state or output.tail:
            found.append(Hidden(name))
            continue
        width = b.nodes[nodes[0]].width
        node = nodes[0] if count == 1 else b.add(Concatenate(place=b.place, inputs=nodes, width=width * count))
        found.append(Value(node, (count, ROWS, width), zeros=False, state=True))
    return tuple(found) if len(found) > 1 else found[0]


# Layers of torch.nn.


def _linear(b: Builder, m: nn.Linear, input: Value) -> Value:
    weight = given(b, m, "weight")
    assert weight is not None
    return b.linear(input, weight, given(b, m, "bias"))


def _embedding(b: Builder, m: nn.Embedding, input: Value) -> Value:
    if m.max_norm is not None:
        refuse("an embedding without max_norm", f"max_norm={m.max_norm}", "Bound the norms of the table in training.")
    table = given(b, m, "weight")
    assert table is not None
    return embedded(b, input, table)


def _conv1d(b: Builder, m: nn.Conv1d, input: Value) -> Value:
    if m.padding_mode != "zeros":
        remedy = "A convolution of a stream begins with zeros."
        refuse('a convolution with padding_mode="zeros"', f"padding_mode={m.padding_mode!r}", remedy)
    weight = given(b, m, "weight")
    assert weight is not None
    stride, padding, dilation = (single(s) for s in (m.stride, m.padding, m.dilation))
    return convolve(b, input, Taps(weight, given(b, m, "bias"), stride, padding, dilation, m.groups))


def _layer_norm(b: Builder, m: nn.LayerNorm, input: Value) -> Value:
    return layer_norm(b, input, m.normalized_shape, constant(b, m, "weight"), constant(b, m, "bias"), m.eps)


def _rms_norm(b: Builder, m: nn.RMSNorm, input: Value) -> Value:
    eps = torch.finfo(b.dtype).eps if m.eps is None else m.eps
    if len(m.normalized_shape) != 1:
        refuse("RMSNorm over one axis of features", f"over {list(m.normalized_shape)}", "Reshape it.")
    x = b.features_last(input, m.normalized_shape[0])
    mean = FUNCTIONS["mean"](b, b.op("mul", x, x), -1, True)
    y = b.op("div", x, b.op("sqrt", b.op("add", mean, eps)))
    weight = constant(b, m, "weight")
    return y if weight is None else b.op("mul", y, weight)


def _batch_norm(b: Builder, m: nn.BatchNorm1d, input: Value) -> Value:
    """x · weight / √(variance + eps) + (bias - mean · weight / √(variance + eps)), with the statistics of training."""
    if m.running_mean is None or m.running_var is None:
        remedy = "It normalises by the mean over rows and steps of the batch. Train with track_running_stats=True."
        refuse("BatchNorm1d with statistics of its own", "track_running_stats=False", remedy)
    if len(input.axes) not in (2, 3):
        refuse("given [B, C, T] or [B, C]", described(input), "Transpose it so.", True)
    if input.axes[1] == UNKNOWN:
        raise FoundWidthError(m.num_features)
    if input.axes[1] != m.num_features or not input.whole_features(1):
        refuse(f"given {m.num_features} features as the second axis", described(input), "Transpose it so.", True)
    x = b.dense(b.as_number(input))

    def scale() -> Tensor:
        assert m.running_var is not None
        weight = 1.0 if m.weight is None else m.weight.detach().to("cpu", torch.float64)
        return weight / (m.running_var.detach().to("cpu", torch.float64) + m.eps).sqrt()

    def shift() -> Tensor:
        assert m.running_mean is not None
        bias = 0.0 if m.bias is None else m.bias.detach().to("cpu", torch.float64)
        return (bias - m.running_mean.detach().to("cpu", torch.float64) * scale()).to(b.dtype)

    shape, at = (m.num_features,), f"{b.place}." if b.place else ""
    parameters = [Parameter(f"{at}scale", shape, lambda: scale().to(b.dtype)), Parameter(f"{at}shift", shape, shift)]
    constants = [b.add(Constant(place=b.place, width=shape[0], parameter=p)) for p in parameters]
    node = Pointwise(place=b.place, inputs=(x.node, *constants), width=shape[0], operation="fma")
    return replace(x, node=b.add(node), zeros=False, state=False)


def _prelu(b: Builder, m: nn.PReLU, input: Value) -> Value:
    weight = constant(b, m, "weight")
    assert weight is not None
    count = weight.shape[0]
    if count > 1:
        if len(input.axes) < 2 or (input.axes[1] != UNKNOWN and input.axes[1] != count):
            refuse(f"given {count} features as the second axis", described(input), "Transpose it so.", True)
        if input.axes[1] == UNKNOWN:
            raise FoundWidthError(count)
        shape = (count,) + (1,) * (len(input.axes) - 2)
        weight = Const(weight.name, weight.compute, shape)
    return b.op("where", b.op("gt", input, 0.0), input, b.op("mul", input, weight))


def _softmax(log: bool) -> Callable[..., Value]:
    return lambda b, m, input: normalized(b, input, m.dim, log)


def _identity(b: Builder, m: nn.Module, input: Any) -> Any:
    return input


def _pad(b: Builder, m: Any, input: Value) -> Value:
    return pad(b, input, m.padding, "constant", getattr(m, "value", 0))


def _by_function(name: str, *attributes: str) -> Callable[..., Value]:
    def read(b: Builder, m: nn.Module, input: Value) -> Value:
        return ACTIVATIONS[name](b, input, *(getattr(m, a) for a in attributes))

    return read


MODULES: dict[type[nn.Module], Callable[..., Any]] = {
    nn.Linear: _linear,
    nn.Embedding: _embedding,
    nn.Conv1d: _conv1d,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _rms_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.PReLU: _prelu,
    nn.Softmax: _softmax(False),
    nn.LogSoftmax: _softmax(True),
    nn.Softmin: lambda b, m, input: normalized(b, b.op("neg", input), m.dim, False),
    **dict.fromkeys((nn.Identity, nn.Dropout, nn.Dropout1d, nn.AlphaDropout, nn.FeatureAlphaDropout), _identity),
    nn.ZeroPad1d: _pad,
    nn.ConstantPad1d: _pad,
    nn.Flatten: lambda b, m, input: flatten(b, input, m.start_dim, m.end_dim),
    nn.Unflatten: lambda b, m, input: unflatten(b, input, m.dim, m.unflattened_size),
    nn.AdaptiveAvgPool1d: lambda b, m, input: pooled(b, input, "mean", m.output_size),
    nn.AdaptiveMaxPool1d: lambda b, m, input: max_pool(b, input, m.output_size, m.return_indices),
    nn.GLU: lambda b, m, input: FUNCTIONS["glu"](b, input, m.dim),
    nn.ReLU: _by_function("relu"),
    nn.ReLU6: _by_function("relu6"),
    nn.LeakyReLU: _by_function("leaky_relu", "negative_slope"),
    nn.RReLU: _by_function("rrelu", "lower", "upper"),
    nn.ELU: _by_function("elu", "alpha"),
    nn.CELU: _by_function("celu", "alpha"),
    nn.SELU: _by_function("selu"),
    nn.SiLU: _by_function("silu"),
    nn.GELU: _by_function("gelu", "approximate"),
    nn.Mish: _by_function("mish"),
    nn.Sigmoid: _by_function("sigmoid"),
    nn.LogSigmoid: _by_function("logsigmoid"),
    nn.Tanh: _by_function("tanh"),
    nn.Tanhshrink: _by_function("tanhshrink"),
    nn.Softplus: _by_function("softplus", "beta", "threshold"),
    nn.Softsign: _by_function("softsign"),
    nn.Hardtanh: _by_function("hardtanh", "min_val", "max_val"),
    nn.Hardsigmoid: _by_function("hardsigmoid"),
    nn.Hardswish: _by_function("hardswish"),
    nn.Hardshrink: _by_function("hardshrink", "lambd"),
    nn.Softshrink: _by_function("softshrink", "lambd"),
    nn.Threshold: _by_function("threshold", "threshold", "value"),
}
"""Class of torch.nn → how it is read; a subclass with a forward of its own is traced instead."""

_EVERY_STEP = "A stream has an output for every step."
REFUSED_MODULES: dict[type[nn.Module], str] = {
    nn.RNNBase: USE_CONVERT,
    nn.RNNCellBase: "Write ostinato's layer and its step for a cell of torch.nn.",
    nn.MultiheadAttention: ATTENTION,
    nn.Transformer: ATTENTION,
    nn.TransformerEncoder: ATTENTION,
    nn.TransformerDecoder: ATTENTION,
    nn.TransformerEncoderLayer: ATTENTION,
    nn.TransformerDecoderLayer: ATTENTION,
    nn.ConvTranspose1d: f"{_EVERY_STEP} A transposed convolution has others.",
    nn.MaxPool1d: f"{_EVERY_STEP} Write a maximum over all time, or a causal Conv1d.",
    nn.AvgPool1d: f"{_EVERY_STEP} Write a mean over all time, or a causal Conv1d.",
    nn.GroupNorm: "It normalises over time. Write LayerNorm over the features.",
    nn.InstanceNorm1d: "It normalises over time. Write LayerNorm over the features.",
    nn.Upsample: _EVERY_STEP,
}
"""Class of torch.nn that cannot run step by step → what to write instead."""


def reader_of(module: nn.Module) -> Callable[..., Any] | None:
    """How a layer is read; None for a module that is traced."""
    if isinstance(module, Layer):
        return recurrent
    for kind, read in MODULES.items():
        if isinstance(module, kind) and type(module).forward in (kind.forward, *_same_forward(kind)):
            return read
    return None


def _same_forward(kind: type[nn.Module]) -> tuple[Any, ...]:
    return tuple(base.__dict__["forward"] for base in kind.__mro__ if "forward" in base.__dict__)
