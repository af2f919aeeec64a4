"""The network of a stream as ONNX nodes: every node over all steps at once, its states read and returned by name.

Letters: T steps, B rows, C numbers that enter a node, O numbers that leave it, K taps of a convolution.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..cells.operations import OPERATIONS
from ..network import (
    Columns,
    Concatenate,
    Constant,
    Convolution,
    Embedding,
    Input,
    LayerNorm,
    Linear,
    Network,
    Node,
    Number,
    Parameter,
    Pointwise,
    Recurrent,
    Running,
    Softmax,
)
from .onnx_graph import GraphBuilder, Name
from .onnx_operators import kind_of, operator
from .onnx_running import running
from .onnx_scan import scan

Value = Name | Tensor
"""[T, B, O], by its name; or [O], the same for all steps and rows, by its name or as a tensor of the file."""

_LAST = torch.iinfo(torch.int64).max
"""The end of a slice that has no end."""


class NetworkWriter:
    """Writes the nodes of a network in their order.

    x       the name of the file's x [T, B, C], or int64 [T, B] for tokens
    values  the parameters by name, in the dtype of `nodes`
    states  a state's name → the name of its value [B, width]: first as the file receives it, and after `write` the
            value after the last step
    """

    def __init__(self, nodes: GraphBuilder, network: Network, values: Mapping[str, Tensor], x: Name):
        self.nodes, self.network, self.parameters, self.x = nodes, network, values, x
        self.states: dict[str, Name] = {field.name: field.name for field in network.states}
        self._values: list[Value] = []
        self._varies: list[bool] = []
        """For each node: whether its value has the dimensions T and B."""
        self._transposed: dict[str, Tensor] = {}
        self._tables = {node.table.name for node in network.nodes if isinstance(node, Embedding)}

    def write(self, output: Name) -> None:
        """All nodes; the network's value, [T, B, O], is called `output`."""
        for k, node in enumerate(self.network.nodes):
            self.nodes.prefix = f"{node.place}/"
            self._varies.append(self._has_steps(node))
            self._values.append(self._write(k, node))
        self.nodes.prefix = ""
        self.nodes.make("Identity", self._full(self.network.output), out=output)

    def _has_steps(self, node: Node) -> bool:
        """Whether a value has the dimensions T and B: it depends on x, or on a state."""
        return isinstance(node, Input | Recurrent | Convolution | Running) or any(self._varies[i] for i in node.inputs)

    def _full(self, k: int) -> Name:
        """The value of a node with all its dimensions, [T, B, width]."""
        value, nodes = self._values[k], self.nodes
        if self._varies[k]:
            assert isinstance(value, str)
            return value
        lead = nodes.make("Shape", self.x, start=0, end=2)
        width = torch.tensor([self.network.nodes[k].width], device="cpu")
        return nodes.make("Expand", value, nodes.make("Concat", lead, width, axis=0))

    def _write(self, k: int, node: Node) -> Value:
        """The value of a node. Where it has states, `self.states` then names those after the last step."""
        nodes, read = self.nodes, [self._values[i] for i in node.inputs]
        match node:
            case Input():
                return self.x
            case Embedding():
                return nodes.make("Gather", self._parameter(node.table), read[0], axis=0)
            case Recurrent():
                return self._recurrent(k, node)
            case Linear():
                return self._added(nodes.make("MatMul", read[0], self._columns_of(node.weight)), node.bias)
            case Convolution():
                return self._convolution(k, node)
            case LayerNorm():
                return self._layer_norm(node, read[0])
            case Pointwise():
                if node.operation == "fma":
                    return nodes.make("Add", nodes.make("Mul", read[0], read[1]), read[2])
                builder = OPERATIONS[node.operation].onnx
                assert builder is not None, node
                written: Value = builder(nodes, *read, *node.settings)
                return written
            case Constant():
                return self._parameter(node.parameter)
            case Number():
                return nodes.number(node.value).expand(node.width).contiguous()
            case Softmax():
                return nodes.make("LogSoftmax" if node.log else "Softmax", read[0], axis=-1)
            case Concatenate():
                return nodes.concat([self._full(i) for i in node.inputs], 2)
            case Columns():
                return self._slice(self._full(node.inputs[0]), node.first, node.first + node.width, axis=2)
            case Running():
                return self._running(k, node)
        raise AssertionError(node)

    def _parameter(self, p: Parameter) -> Tensor:
        return self.parameters[p.name]

    def _columns_of(self, weight: Parameter) -> Value:
        """A matrix [O, C] as [C, O]. One that is the table of an embedding too is stored once, as the table."""
        if weight.name in self._tables:
            return self.nodes.make("Transpose", self._parameter(weight), perm=[1, 0])
        if weight.name not in self._transposed:
            self._transposed[weight.name] = self._parameter(weight).t().contiguous()
        return self._transposed[weight.name]

    def _added(self, value: Name, bias: Parameter | None) -> Name:
        return value if bias is None else self.nodes.make("Add", value, self._parameter(bias))

    def _slice(self, value: Name, first: int, end: int, axis: int) -> Name:
        """Entries first, …, end - 1 along a dimension; negative numbers count from its end."""
        bounds = [torch.tensor([n], device="cpu") for n in (first, end, axis)]
        return self.nodes.make("Slice", value, *bounds)

    def _own_states(self, k: int) -> list[str]:
        return [field.name for field in self.network.states_of(k)]

    def _recurrent(self, k: int, node: Recurrent) -> Name:
        """The operator of ONNX that computes the cell, else a Scan."""
        nodes, cell, names = self.nodes, node.cell, self._own_states(k)
        x, weights = self._full(node.inputs[0]), [self._parameter(p) for p in node.weights]
        states = [self.states[name] for name in names]
        if kind_of(cell, nodes.dtype) is not None:
            states = [nodes.unsqueeze(s, 0) for s in states]
            output, [_, *others] = operator(nodes, cell, [weights], x, states, None, node.sizes[1])
            # The first state of these cells is their output. Taken from there, a call of no step is an error in ONNX
            # Runtime, as it is with a Scan; the operator itself would return zeros as the states.
            states = [nodes.make("Gather", output, torch.tensor(-1, device="cpu"), axis=0)]
            states += [nodes.squeeze(s, 0) for s in others]
        else:
            sizes = [*(field.width for field in self.network.states_of(k)), node.width]
            output, states = scan(nodes, cell, weights, x, states, sizes, None, reverse=False)
        self.states.update(zip(names, states, strict=True))
        return output

    def _convolution(self, k: int, node: Convolution) -> Name:
        """The history before x, then ONNX's Conv, or one product in float64, which ONNX Runtime has no Conv for."""
        nodes, c = self.nodes, node.weight.shape[1]
        lines = nodes.make("Transpose", self._full(node.inputs[0]), perm=[1, 0, 2])
        for name in self._own_states(k):
            shape, flat = (torch.tensor(s, device="cpu") for s in ([0, node.steps, c], [0, node.steps * c]))
            lines = nodes.concat([nodes.make("Reshape", self.states[name], shape), lines], 1)  # [B, steps + T, C]
            self.states[name] = nodes.make("Reshape", self._slice(lines, -node.steps, _LAST, axis=1), flat)
        if nodes.dtype == torch.float64:
            return nodes.make("Transpose", self._taps(node, lines), perm=[1, 0, 2])
        bias = None if node.bias is None else self._parameter(node.bias)
        channels = nodes.make("Transpose", lines, perm=[0, 2, 1])
        y = nodes.make("Conv", channels, self._parameter(node.weight), bias, dilations=[node.dilation])
        return nodes.make("Transpose", y, perm=[2, 0, 1])

    def _taps(self, node: Convolution, lines: Name) -> Name:
        """The K steps that an output reads, side by side, [B, T, K·C], times the weights [K·C, O] → [B, T, O]."""
        o, c, taps = node.weight.shape
        read = [lines]
        if node.steps:
            ends = [tap * node.dilation - node.steps or _LAST for tap in range(taps)]
            read = [self._slice(lines, tap * node.dilation, end, axis=1) for tap, end in enumerate(ends)]
        weight = self._parameter(node.weight).permute(2, 1, 0).reshape(taps * c, o).contiguous()
        return self._added(self.nodes.make("MatMul", self.nodes.concat(read, 2), weight), node.bias)

    def _layer_norm(self, node: LayerNorm, x: Value) -> Name:
        """In single operations, all of which ONNX Runtime runs in float64 too, in the order of the reference."""
        nodes, over = self.nodes, torch.tensor([-1], device="cpu")
        centred = nodes.make("Sub", x, nodes.make("ReduceMean", x, over, keepdims=1))
        variance = nodes.make("ReduceMean", nodes.make("Mul", centred, centred), over, keepdims=1)
        y = nodes.make("Div", centred, nodes.make("Sqrt", nodes.make("Add", variance, nodes.number(node.eps))))
        y = y if node.weight is None else nodes.make("Mul", y, self._parameter(node.weight))
        return self._added(y, node.bias)

    def _running(self, k: int, node: Running) -> Name:
        names = self._own_states(k)
        x, states = self._full(node.inputs[0]), [self.states[name] for name in names]
        output, after = running(self.nodes, node.kind, x, states, node.width)
        self.states.update(zip(names, after, strict=True))
        return output
