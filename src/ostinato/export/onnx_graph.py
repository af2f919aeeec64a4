"""Builds the nodes of an ONNX graph. Only this file uses the details of the package onnx."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .packages import require

OPSET, IR = 18, 9
"""The version of ONNX's operators, and of its file format, that files are written in."""
WHERE = "export.onnx"

Name = str
"""What a value is called within a graph."""


class GraphBuilder:
    """Collects the nodes of a graph. Names begin with `prefix` and are unique.

    A tensor among the inputs of a node becomes a constant of the graph. Subgraphs (`inner`) share names and constants
    with the graph around them, which ONNX lets them read.
    """

    def __init__(self, prefix: str, dtype: torch.dtype):
        self.onnx = require("onnx", WHERE)
        self.helper = require("onnx.helper", WHERE)
        self.prefix, self.dtype = prefix, dtype
        self.nodes: list[Any] = []
        self.constants: dict[Name, Tensor] = {}
        self._known: dict[Any, Name] = {}
        self._count: dict[str, int] = {}

    def inner(self) -> GraphBuilder:
        """The nodes of a subgraph."""
        made = object.__new__(GraphBuilder)
        made.__dict__.update(self.__dict__, nodes=[])
        return made

    def name(self, hint: str) -> Name:
        """A name that no other value has."""
        k = self._count[hint] = self._count.get(hint, -1) + 1
        return f"{self.prefix}{hint}" + (f"_{k}" if k else "")

    def number(self, value: float) -> Tensor:
        """A number among the values of the graph."""
        return torch.tensor(value, dtype=self.dtype, device="cpu")

    def make(
        self,
        op: str,
        *inputs: Name | Tensor | None,
        out: Name | Sequence[Name] = "",
        **attributes: Any,
    ) -> Name:
        """One node → the name of its first output. `out`: names for its outputs; None leaves an input out."""
        outputs = [out or self.name(op.lower())] if isinstance(out, str) else list(out)
        given = [self._constant(v, op) if isinstance(v, Tensor) else v or "" for v in inputs]
        while given and not given[-1]:
            given.pop()
        self.nodes.append(self.helper.make_node(op, given, outputs, name=self.name(f"node_{op}"), **attributes))
        return outputs[0]

    def split(self, value: Name, parts: int, size: int, axis: int) -> list[Name]:
        """`parts` pieces of `size` each; the value itself where there is one."""
        if parts == 1:
            return [value]
        names = [self.name("part") for _ in range(parts)]
        self.make("Split", value, torch.full((parts,), size, device="cpu"), out=names, axis=axis)
        return names

    def concat(self, values: Sequence[Name], axis: int, out: Name = "") -> Name:
        """One after the other; with one value and no name asked for, that value."""
        if len(values) == 1:
            return self.make("Identity", values[0], out=out) if out else values[0]
        return self.make("Concat", *values, out=out, axis=axis)

    def squeeze(self, value: Name, axis: int) -> Name:
        return self.make("Squeeze", value, torch.tensor([axis], device="cpu"))

    def unsqueeze(self, value: Name, axis: int, out: Name = "") -> Name:
        return self.make("Unsqueeze", value, torch.tensor([axis], device="cpu"), out=out)

    def size(self, value: Name, dim: int) -> Name:
        """The number of entries along a dimension, int64 [1]."""
        return self.make("Shape", value, start=dim, end=dim + 1)

    def kind(self, dtype: torch.dtype | None = None) -> int:
        """ONNX's number for a type of numbers, the graph's own where none is given."""
        return self.helper.np_dtype_to_tensor_dtype(
            torch.empty(0, dtype=dtype or self.dtype, device="cpu").numpy().dtype
        )

    def value(self, name: Name, shape: Sequence[int | str] | None, dtype: torch.dtype | None = None) -> Any:
        """An input or output of a graph: its name, number type and shape, sizes that vary by name."""
        return self.helper.make_tensor_value_info(name, self.kind(dtype), shape)

    def initializers(self) -> list[Any]:
        """The constants as ONNX stores them."""
        convert = require("onnx.numpy_helper", WHERE).from_array
        return [convert(t.detach().cpu().contiguous().numpy(), name) for name, t in self.constants.items()]

    def _constant(self, value: Tensor, op: str) -> Name:
        """The name of a constant: small ones that are equal are one, and so is a large one that is given again."""
        small = value.numel() <= 8
        key = (value.dtype, value.shape, *value.flatten().tolist()) if small else id(value)
        if key not in self._known:
            self._known[key] = name = self.name(f"{op.lower()}_constant")
            self.constants[name] = value
        return self._known[key]
