"""Random numbers inside a step: the same Philox as `cells.noise`, one vector of units at a time.

Nothing is stored: forward and backward make the same numbers again from the seed and the place. One counter gives four
numbers for a unit, so up to four of a cell's letters R cost as much as one.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ..cells.noise import BITS, MULTIPLIERS, ONCE, ROUNDS, ROWS, SEED, STEP, STREAM, WEYL
from .code import Code, Int
from .vector import Frame

NAME = "noise"
"""The frame's name of the tensor `noise`."""
_I32 = ir.IntType(32)


class Random:
    """Draws for the rows of one step; `t` is the step's number in the call."""

    def __init__(self, code: Code, frame: Frame, t: Int):
        self.code, self.lanes = code, code.lanes
        self.noise = frame.pointer(NAME)
        self.V = ir.VectorType(_I32, code.lanes.lanes)
        self.wide = ir.VectorType(ir.IntType(64), code.lanes.lanes)
        with code.builder.goto_entry_block():
            seed = self.noise.integer(SEED)
            self.keys = self._keys(seed)
            self.time = self._word(self.noise.integer(STEP) + t)
            self.stream = self._word(self.noise.integer(STREAM) * 256)

    def __call__(self, letter: str, group: int, b: Int, u: Int) -> list[Any]:
        """Four vectors of numbers in [0, 1): places 4·group … of `letter`, for units u … of row b."""
        builder = self.code.builder
        units = builder.add(self._splat(self._word(u)), self._constants(range(self.lanes.lanes)))
        sequence = self._splat(self._word(self.noise.integer(b + ROWS)))
        once = letter == "S"
        time = self._constants([0] * self.lanes.lanes) if once else self._splat(self.time)
        kind = builder.or_(self.stream, ir.Constant(_I32, (ONCE if once else 0) | group))
        words = [units, sequence, time, self._splat(kind)]
        for k, m in self.keys:
            a, b_, c, d = words
            high, low = self._product(a, MULTIPLIERS[0])
            over, under = self._product(c, MULTIPLIERS[1])
            words = [
                builder.xor(builder.xor(over, b_), self._splat(k)),
                under,
                builder.xor(builder.xor(high, d), self._splat(m)),
                low,
            ]
        return [self._number(w) for w in words]

    def _keys(self, seed: Int) -> list[tuple[Any, Any]]:
        """The two words of the key in every round."""
        builder = self.code.builder
        k, m = self._word(seed), builder.trunc(builder.lshr(seed.value, ir.Constant(seed.value.type, 32)), _I32)
        return [(builder.add(k, _constant(WEYL[0] * n)), builder.add(m, _constant(WEYL[1] * n))) for n in range(ROUNDS)]

    def _product(self, a: Any, factor: int) -> tuple[Any, Any]:
        """The high and the low word of a product of 32-bit words."""
        builder, n = self.code.builder, self.lanes.lanes
        product = builder.mul(
            builder.zext(a, self.wide), ir.Constant(self.wide, [ir.Constant(self.wide.element, factor)] * n)
        )
        half = ir.Constant(self.wide, [ir.Constant(self.wide.element, 32)] * n)
        return builder.trunc(builder.lshr(product, half), self.V), builder.trunc(product, self.V)

    def _number(self, word: Any) -> Any:
        builder = self.code.builder
        shifted = builder.lshr(word, self._constants([32 - BITS] * self.lanes.lanes))
        # Exact: 24 bits fit into every format, and the factor is a power of two.
        return self.lanes.mul(builder.sitofp(shifted, self.lanes.V), self.lanes.const(2.0**-BITS))

    def _word(self, i: Int) -> Any:
        return self.code.builder.trunc(i.value, _I32)

    def _splat(self, word: Any) -> Any:
        return self.lanes.splat(word)

    def _constants(self, values: Any) -> Any:
        return ir.Constant(self.V, [_constant(v) for v in values])


def _constant(n: int) -> Any:
    signed = (n + (1 << 31)) % (1 << 32) - (1 << 31)
    return ir.Constant(_I32, signed)
