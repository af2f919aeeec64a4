"""Any cell as ONNX's Scan: the body of the loop, one step, is written from the cell's own graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..cells import Cell
from ..cells.operations import OPERATIONS
from ..cells.operations.operation import numbers
from ..cells.value import Value
from .onnx_graph import GraphBuilder, Name


def scan(
    nodes: GraphBuilder,
    cell: Cell,
    weights: Sequence[Tensor],
    x: Name,
    states: Sequence[Name],
    sizes: Sequence[int],
    valid: Name | None,
    reverse: bool,
) -> tuple[Name, list[Name]]:
    """One layer, one direction, as a Scan node → the output [T, B, ·] and the final states [B, ·].

    x [T, B, C]; states [B, H or P] each; sizes, the entries of each state, and then those of the output;
    valid bool [T, B, 1], whether a row has this step. A row keeps its state through the steps that it does not have, so
    the reverse direction, too, begins at the row's own end.
    """
    parts = cell.split(weights)
    inner = nodes.inner()
    body = _Body(inner, cell, parts)
    scanned, fed = [], []
    if "W" in parts:  # the product with x needs no loop
        width = len(parts["W"]) * next(iter(parts["W"].values())).shape[0]
        stacked = weights[cell.letters.index("W")].t().contiguous()
        scanned.append(nodes.make("MatMul", x, stacked, out=nodes.name("projected")))
        fed.append(inner.value(inner.name("projected_t"), ("B", width)))
    if valid is not None:
        scanned.append(valid)
        fed.append(nodes.helper.make_tensor_value_info(inner.name("valid_t"), nodes.onnx.TensorProto.BOOL, ("B", 1)))
    if not scanned:
        scanned.append(x)
        fed.append(inner.value(inner.name("x_t"), None))
    old = [inner.name(s) for s in cell.states]
    step = fed[0].name if "W" in parts else None
    results = body.run(step, old, sizes, fed[-1].name if valid is not None else None)
    graph = nodes.helper.make_graph(
        inner.nodes,
        f"{cell.name}_step",
        [*[inner.value(n, ("B", s)) for n, s in zip(old, sizes)], *fed],
        [inner.value(n, ("B", s)) for n, s in zip(results, sizes, strict=True)],
        doc_string=cell.text,
    )
    finals, output = [nodes.name(f"last_{s}") for s in cell.states], nodes.name("output")
    nodes.make(
        "Scan",
        *states,
        *scanned,
        out=[*finals, output],
        body=graph,
        num_scan_inputs=len(scanned),
        scan_input_directions=[int(reverse)] * len(scanned),
        scan_output_directions=[int(reverse)],
    )
    return output, finals


class _Body:
    """The values of one step, in the order of the cell's graph."""

    def __init__(self, nodes: GraphBuilder, cell: Cell, parts: dict[str, dict[str, Tensor]]):
        self.nodes, self.cell, self.parts = nodes, cell, parts
        self.known: dict[int, Name | Tensor] = {}
        self.products: dict[tuple[str, str], Name] = {}
        self.alike: dict[tuple[str, int], list[str]] = {}
        """(letter, operand's node.id) → the names whose products are one."""
        for v in cell.trace.graph.nodes:
            if v.op == "mm" and v.id in cell.trace.widths:
                self.alike.setdefault((v.attr[0], v.args[0].id), []).append(v.attr[1])

    def run(self, step: Name | None, old: Sequence[Name], sizes: Sequence[int], valid: Name | None) -> list[Name]:
        """Names of the new states and of the output: what the step computes where `valid`, else the old and 0."""
        nodes, trace = self.nodes, self.cell.trace
        self.known.update({v.id: name for v, name in zip(trace.previous_states, old, strict=True)})
        if step is not None:
            units = next(iter(self.parts["W"].values())).shape[0]
            pieces = nodes.split(step, len(self.parts["W"]), units, axis=1)
            self.products.update({("W", n): piece for n, piece in zip(self.parts["W"], pieces, strict=True)})
        for v in trace.graph.nodes:
            if v.id in trace.widths and v.id not in self.known and v.op != "x":
                self.known[v.id] = self._write(v)
        results = []
        others: list[Name | Tensor] = [*old, torch.zeros(1, sizes[-1], dtype=nodes.dtype, device="cpu")]
        for v, other, size in zip([*trace.next_states, trace.output], others, sizes, strict=True):
            value = self.known[v.id]
            if valid is not None:
                results.append(nodes.make("Where", valid, value, other, out=nodes.name("new")))
            elif trace.widths[v.id] == "1":  # one number for all units and, where it is a constant, for all rows
                shape = nodes.make("Concat", nodes.size(old[0], 0), torch.tensor([size], device="cpu"), axis=0)
                results.append(nodes.make("Expand", value, shape, out=nodes.name("new")))
            else:
                results.append(nodes.make("Identity", value, out=nodes.name("new")))
        return results

    def _write(self, v: Value) -> Name | Tensor:
        nodes = self.nodes
        args = [self.known.get(a.id) for a in v.args]
        if v.op == "const":
            return nodes.number(v.attr)
        if v.op == "vec":
            return self.parts[v.attr[0]][v.attr[1]]
        if v.op == "mm":
            if v.attr not in self.products:
                self._multiply(v)
            return self.products[v.attr]
        onnx = OPERATIONS[v.op].onnx
        assert onnx is not None, v
        return onnx(nodes, *args, *numbers(v.attr))

    def _multiply(self, v: Value) -> None:
        """All products of one letter with one value are one product."""
        nodes, letter, operand = self.nodes, v.attr[0], v.args[0]
        names = self.alike[letter, operand.id]
        blocks = [self.parts[letter][n] for n in names]
        whole = nodes.make("MatMul", self.known[operand.id], torch.cat(blocks).t().contiguous())
        for n, piece in zip(names, nodes.split(whole, len(names), blocks[0].shape[0], axis=1), strict=True):
            self.products[letter, n] = piece
