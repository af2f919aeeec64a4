"""Whole models: torch.onnx writes everything but the layers of this package, which are one node each in its graph.

The nodes are then replaced by what `whole` writes. A layer's weights are taken from the layer itself and so are
constants of the file, computed ones (`parametrize`) too.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..errors import InputError, OstinatoError, phrase
from ..execution.interception import Answer, replaced
from ..layers.arguments import State, check_arguments, state_shapes
from ..layers.base import Layer
from ..ragged.lengths import Lengths, Resets
from .onnx_graph import OPSET, WHERE, GraphBuilder
from .onnx_layer import Inputs, output_size, own_type, write_layer
from .packages import require

DOMAIN, OPERATOR = "ostinato", "Layer"
_exporting = threading.Lock()
"""torch.onnx keeps its settings in variables of the process, so that one model is traced at a time."""


def captured(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    dynamic_shapes: Any,
    input_names: Sequence[str] | None,
    output_names: Sequence[str] | None,
) -> Any:
    """The model as onnx.ModelProto, each of our layers written out."""
    require("onnxscript", WHERE)
    layers = {name: module for name, module in model.named_modules() if isinstance(module, Layer)}
    # torch's own, about its tree specifications, which no caller can act on. The filter stays: to put the filters back
    # as they were would undo what other threads do to them meanwhile.
    warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
    # The same of sizes with one name, such as the rows of two inputs, of which one keeps it.
    warnings.filterwarnings("ignore", "# The axis name", UserWarning)
    with _exporting, replaced(_one_node(layers)):
        try:
            program = torch.onnx.export(
                model,
                args,
                kwargs=dict(kwargs),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=dynamic_shapes,
                input_names=input_names,
                output_names=output_names,
                verbose=False,
            )
        except Exception as error:
            reason = _own_reason(error)
            if reason is None:
                raise
            raise reason from error
    assert program is not None
    proto = program.model_proto
    _replace(proto, layers)
    _without_traces(proto)
    return proto


def _without_traces(proto: Any) -> None:
    """Removes what torch.onnx notes at every node: lines of source code with the paths of this machine."""
    for values in (proto, proto.graph):
        del values.metadata_props[:]
    for kind in (proto.graph.node, proto.graph.value_info, proto.graph.initializer):
        for value in kind:
            del value.metadata_props[:]
            value.doc_string = ""


def _own_reason(error: BaseException) -> OstinatoError | None:
    """A layer's own error, where it is the cause of the failure of torch.onnx."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OstinatoError):
        cause = cause.__cause__ or cause.__context__
    return cause


def _one_node(layers: Mapping[str, Layer]) -> Callable[[Layer], Answer]:
    """What answers for each layer of a model: one node in the graph."""
    # A layer with two names comes as torch's proxy of it, another object with the same attributes.
    names = {id(vars(layer)): name for name, layer in layers.items()}

    def one_node(
        layer: Layer,
        x: Tensor | PackedSequence,
        state: State,
        lengths: Lengths,
        resets: Resets,
        return_states: bool,
    ) -> Any:
        name = names.get(id(vars(layer)))
        if name is None:
            received = f"a {type(layer).__name__} that named_modules() does not list"
            remedy = "Keep it in an attribute of the model, or in a torch.nn.ModuleList."
            raise InputError(phrase(WHERE, "each layer", "a module of the model", received, remedy))
        where = f"{WHERE}: {name or type(layer).__name__}"
        weights = [[getattr(layer, name) for name in group] for group in layer._weight_names()]
        if isinstance(x, PackedSequence):  # first of all: a tracer's batch_sizes are not those that a layer checks
            raise InputError(phrase(where, "x", "a tensor", "a PackedSequence", "Give the padded batch and lengths=."))
        problem = check_arguments(layer, x, state, weights, lengths)
        if problem is not None:
            raise problem
        if resets is not None:
            remedy = "Cut rows at their resets before the exported call; a reset is a row of its own."
            raise InputError(phrase(where, "resets", "None", type(resets).__name__, remedy))
        if return_states:
            remedy = "States after every step are not exported; the output is."
            raise InputError(phrase(where, "return_states", "False", "True", remedy))
        return _node(layer, name, x, state, lengths)

    return lambda layer: one_node


def _node(layer: Layer, name: str, x: Tensor, state: State, lengths: Lengths) -> tuple[Tensor, State]:
    batched = x.dim() == 3
    batch_dim = 0 if layer.batch_first else 1
    states = None if state is None else (state,) if len(layer.cell.states) == 1 else state
    if not batched:
        x = x.unsqueeze(batch_dim)
        states = None if states is None else [s.unsqueeze(1) for s in states]
    given = None
    if lengths is not None:
        given = torch.as_tensor(lengths, device=x.device).to(torch.int64).reshape(x.shape[batch_dim])
    shapes = [(*x.shape[:2], output_size(layer)), *state_shapes(layer, x)]
    output, *finals = torch.onnx.ops.symbolic_multi_out(
        f"{DOMAIN}::{OPERATOR}",
        (x, given, *(states or ())),
        {"layer": name},
        dtypes=[x.dtype] * len(shapes),
        shapes=shapes,
        version=1,
    )
    if not batched:
        output, finals = output.squeeze(batch_dim), [s.squeeze(1) for s in finals]
    return output, finals[0] if len(finals) == 1 else tuple(finals)


def _replace(proto: Any, layers: Mapping[str, Layer]) -> None:
    """Replaces the placeholder node of each layer by the layer's nodes."""
    graph, kept, taken = proto.graph, [], set()
    for k, node in enumerate(list(graph.node)):
        if (node.domain, node.op_type) != (DOMAIN, OPERATOR):
            kept.append(node)
            continue
        name = next(a.s.decode() for a in node.attribute if a.name == "layer")
        layer = layers[name]
        nodes = GraphBuilder(f"{name or 'layer'}/{k}/", own_type(layer))
        x, lengths, *states = [*node.input, ""][: max(2, len(node.input))]
        write_layer(nodes, layer, Inputs(x, lengths or None, states or None), node.output[0], node.output[1:])
        kept += nodes.nodes
        graph.initializer.extend(nodes.initializers())
        taken.add(name)
    del graph.node[:]
    graph.node.extend(kept)
    for opset in [o for o in proto.opset_import if o.domain == DOMAIN]:
        proto.opset_import.remove(opset)
