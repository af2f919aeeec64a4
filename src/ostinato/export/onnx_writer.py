"""`onnx`: a layer, a stream, or a model with layers in it, as an ONNX file."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from .._torch_private import tree_map
from .._version import __version__
from ..errors import InputError, phrase
from ..layers import GRU, LSTM, RNN, Recurrent
from ..layers.base import Layer
from ..layers.modes import eval_mode
from ..output_files import file_path, written_beside
from ..streaming import Stream
from .onnx_graph import IR, OPSET, WHERE, GraphBuilder
from .onnx_layer import Inputs, described, output_size, own_type, state_sizes, write_layer
from .onnx_model import captured
from .onnx_stream import recurrent_operators, stream_file
from .packages import require


@dataclass(frozen=True)
class Exported:
    """The contents of a file: names of its inputs and outputs, and the operators of each layer of this package."""

    inputs: tuple[str, ...]
    """Names of the file's inputs, in their order."""
    outputs: tuple[str, ...]
    """Names of its outputs, in their order."""
    layers: dict[str, str]
    """A layer's name in the model, or "NAME.0", "NAME.1", … in a stream → a description of the operator that computes
    it."""

    def __str__(self) -> str:
        lines = [f"{name or 'the model itself'}: {how}" for name, how in self.layers.items()]
        return "\n".join([f"inputs {', '.join(self.inputs)}; outputs {', '.join(self.outputs)}", *lines])


def onnx(
    model: nn.Module | Stream,
    path: str | PathLike[str],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    lengths: bool = True,
    state: bool = True,
    dynamic_shapes: Any = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> Exported:
    """Writes what `model.eval()` or a stream computes into an ONNX file, for any number of steps and rows.

    A layer of this package needs no example. Its file takes x [T, B, C], or [B, T, C] with batch_first, the lengths
    int64 [B], and initial_NAME [D·L, B, H] for each state NAME; it gives output and final_NAME. All of them are as in
    the call of the layer, whatever T and B are: lengths in any order, 0 allowed.

    lengths, state     False leaves these inputs out: all rows have T steps, and the initial state is the layer's own

    A stream needs no example. Its file runs step by step, or several steps in a call: it takes x [T, B, C], or int64
    [T, B] for tokens, and every state [B, width], named as in `stream.state()`, "rnn.0.h"; it gives y [T, B, O] and
    every state after the last step, "rnn.0.h.next", in the same order. The file's metadata has, under
    "ostinato.states", the states' names, sizes and initial values as JSON.

    Any other model is traced by torch.onnx on example arguments, with its layers of this package written as above;
    torch.onnx decides what other modules it accepts.

    args, kwargs       the example: a tensor, or a tuple of arguments, and keyword arguments (`lengths`, say)
    dynamic_shapes     as for torch.export; None lets every size of every tensor vary that can
    input_names, output_names   as for torch.onnx.export

    RNN, GRU and LSTM, and all cells with equations that ONNX has an operator for, become this operator; other cells,
    and all of them in float64, a Scan over one step. Needs the package onnx, and onnxscript for models.
    The number of steps is the first size of x. Raises InputError for anything but a module or a stream, for a model
    without example arguments, for a stream with any of these arguments and one of a model whose weights have changed
    since; MissingPackageError without those packages; StorageError where the file cannot be written.
    """
    file = file_path(WHERE, "path", path)
    if isinstance(model, Stream):
        _refuse_for_a_stream(args, kwargs, lengths, state, (dynamic_shapes, input_names, output_names))
        return _saved(stream_file(model), file, recurrent_operators(model.network))
    given: object = model
    if not isinstance(given, nn.Module):
        remedy = "Give the model, not its weights."
        raise InputError(phrase(WHERE, "model", "a torch.nn.Module or a Stream", type(given).__name__, remedy))
    require("onnx", WHERE)
    parts = {name: module for name, module in model.named_modules() if isinstance(module, Layer)}
    with eval_mode(model), torch.no_grad():
        if isinstance(model, Layer) and args is None and kwargs is None and _as_it_is(model):
            proto = _layer_file(model, lengths, state)
        else:
            if args is None and not kwargs:
                expected = "example arguments for a model that is not a layer of this package as it is"
                remedy = (
                    "Give a tuple of tensors such as the model is called with. For a file that runs step by step, give "
                    "ostinato.stream(model) without any."
                )
                raise InputError(phrase(WHERE, "args", expected, "none", remedy))
            example = args if isinstance(args, tuple) else () if args is None else (args,)
            shapes = _all_may_vary(model, example, kwargs or {}) if dynamic_shapes is None else dynamic_shapes
            proto = captured(model, example, kwargs or {}, shapes, input_names, output_names)
    return _saved(proto, file, {name: described(layer) for name, layer in parts.items()})


def _saved(proto: Any, path: Path, layers: dict[str, str]) -> Exported:
    """Writes the file after a check of it; it replaces one that exists."""
    library = require("onnx", WHERE)
    library.checker.check_model(proto, full_check=True)
    with written_beside(WHERE, "path", path) as aside:
        library.save(proto, aside)
    inputs, outputs = (tuple(v.name for v in values) for values in (proto.graph.input, proto.graph.output))
    return Exported(inputs, outputs, layers)


def _refuse_for_a_stream(args: Any, kwargs: Any, lengths: bool, state: bool, tracing: tuple[Any, ...]) -> None:
    """Raises InputError for arguments of `onnx` that a stream has no use for; tracing: those that torch.onnx reads."""
    settings = dict(zip(("dynamic_shapes", "input_names", "output_names"), tracing, strict=True))
    for name, value in {"args": args, "kwargs": kwargs, **settings}.items():
        if value is not None:
            remedy = "Leave it out: a stream is not traced. Its sizes vary and its names are those of its states."
            raise InputError(phrase(WHERE, name, "None for a stream", type(value).__name__, remedy))
    for name, on, remedy in (
        ("lengths", lengths, "Leave it out: the file of a stream has no lengths; each call runs T steps of all rows."),
        ("state", state, "Leave it out: the file of a stream has every state; for none, export the layer itself."),
    ):
        if not on:
            raise InputError(phrase(WHERE, name, "True for a stream", on, remedy))


def _layer_file(layer: Layer, lengths: bool, state: bool) -> Any:
    """onnx.ModelProto of one layer."""
    nodes = GraphBuilder(f"{layer.cell.name}/", own_type(layer))
    lead = ("B", "T") if layer.batch_first else ("T", "B")
    inputs = [nodes.value("x", (*lead, layer.input_size))]
    if lengths:
        inputs.append(nodes.value("lengths", ("B",), torch.int64))
    calls = layer.num_layers * (2 if layer.bidirectional else 1)
    starts = [f"initial_{s}" for s in layer.cell.states]
    finals = [f"final_{s}" for s in layer.cell.states]
    sizes = state_sizes(layer)
    if state:
        inputs += [nodes.value(n, (calls, "B", size)) for n, size in zip(starts, sizes, strict=True)]
    outputs = [nodes.value("output", (*lead, output_size(layer)))]
    outputs += [nodes.value(n, (calls, "B", size)) for n, size in zip(finals, sizes, strict=True)]
    given = Inputs("x", "lengths" if lengths else None, starts if state else None)
    write_layer(nodes, layer, given, "output", finals)
    graph = nodes.helper.make_graph(
        nodes.nodes, layer.cell.name, inputs, outputs, nodes.initializers(), doc_string=repr(layer)
    )
    opset = nodes.helper.make_opsetid("", OPSET)
    return nodes.helper.make_model(
        graph, opset_imports=[opset], ir_version=IR, producer_name="ostinato", producer_version=__version__
    )


def _as_it_is(layer: Layer) -> bool:
    """Whether calling the layer runs the forward of this package and nothing else."""
    kind = parametrize.type_before_parametrizations(layer)
    hooks = (layer._forward_hooks, layer._forward_pre_hooks)
    return kind in (Recurrent, RNN, GRU, LSTM) and "forward" not in vars(layer) and not any(hooks)


def _all_may_vary(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """torch.export's dynamic shapes for an example: every size of every tensor, as far as the model lets it."""

    def sizes(leaf: Any) -> Any:
        return dict.fromkeys(range(leaf.dim()), torch.export.Dim.AUTO) if isinstance(leaf, torch.Tensor) else None

    given = inspect.signature(model.forward).bind(*args, **kwargs).arguments
    return {name: tree_map(sizes, value) for name, value in given.items()}
