"""exp, log, tanh, sigmoid and softplus as functions of the module, where the least code matters more than calls."""

from __future__ import annotations

from llvmlite import ir

from .math_functions import MathLanes
from .vector_ops import Value


class CalledMath(MathLanes):
    """`MathLanes` with one function for each of them, emitted at its first use. The instructions are the same."""

    def _call_function(self, name: str, x: Value) -> Value:
        function = self.module.globals.get(name)
        if function is None:
            function = ir.Function(self.module, ir.FunctionType(self.V, [self.V]), name)
            function.linkage = "internal"
            function.attributes.add("nounwind")
            function.attributes.add("noinline")
            function.args[0].name = "x"
            builder = ir.IRBuilder(function.append_basic_block("entry"))
            body = MathLanes(self.module, builder, self.scalar, self.lanes)
            builder.ret(getattr(body, name)(function.args[0]))
        return self.builder.call(function, [x])

    def exp(self, x: Value) -> Value:
        return self._call_function("exp", x)

    def log(self, x: Value) -> Value:
        return self._call_function("log", x)

    def tanh(self, x: Value) -> Value:
        return self._call_function("tanh", x)

    def sigmoid(self, x: Value) -> Value:
        return self._call_function("sigmoid", x)

    def softplus(self, x: Value) -> Value:
        return self._call_function("softplus", x)
