"""Random numbers inside the time loop: the Philox generator of `cells.noise`, one vector of units at a time.

Nothing is saved for backward, which generates the same numbers from the seed and the counters. One counter gives four
numbers for a unit. For a letter R they belong to four consecutive steps: they are written to the random buffer at the
first of these, and the steps read them there. For a letter S they belong to four names, written before the first step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir

from ...cells.noise import BITS, KINDS, MULTIPLIERS, ONCE, ROUNDS, ROWS, SEED, STEP, STREAM, WEYL, WORDS
from ..codegen.ir_builder import I64, Int, Ptr
from ..codegen.kernel_args import KernelArgs
from ..planning.operands import Location
from ..planning.step_schedule import StepSchedule

_LOW = 0xFFFFFFFF


class CounterBlock(NamedTuple):
    """The four numbers of one counter. counter_index: for R that of the name, for S that of the group of four names."""

    letter: str
    counter_index: int


def counter_blocks(step: StepSchedule) -> list[CounterBlock]:
    """The counters that a step reads, in the order of the random buffer."""
    read = {v.id for v in step.nodes}
    return sorted({counter_block(s) for i, s in step.inputs.items() if s.kind == "random" and i in read})


def counter_block(s: Location) -> CounterBlock:
    return CounterBlock(s.name, s.index // WORDS if s.name == "S" else s.index)


def number_address(args: KernelArgs, order: dict[CounterBlock, int], s: Location, lane: Int, b: Int, u: Int) -> Ptr:
    """The address in the random buffer of the numbers of row b from unit u on.

    order: index of each counter block; lane: `counter_lane` of the step.
    """
    which = args.code.int_const(s.index % WORDS) if s.name == "S" else lane
    line = (which + order[counter_block(s)] * WORDS) * args.B + b
    return args.random_buffer.at(line * args.padded_units + u)


def counter_lane(args: KernelArgs, t: Int) -> Int:
    """The index, among the four numbers of a counter, of that of step t of the call."""
    return (args.random_state.load_i64(STEP) + t) & (WORDS - 1)


class RandomGenerator:
    """Generates the numbers of four consecutive steps, of which step `t` of the call is one."""

    def __init__(self, args: KernelArgs, t: Int):
        self.code, self.lanes, self.args = args.code, args.code.lanes, args
        self.random_state = args.random_state
        # 32-bit words in 64-bit lanes: their products fit, without a shuffle between lanes.
        self.wide = ir.VectorType(I64, self.lanes.lanes)
        self.narrow = ir.VectorType(ir.IntType(32), self.lanes.lanes)
        self.keys = self._keys(self.random_state.load_i64(SEED))
        self.time = (self.random_state.load_i64(STEP) + t) // WORDS
        self.stream = self.random_state.load_i64(STREAM) * (1 << KINDS)

    def fill(self, order: list[CounterBlock], letter: str, b: Int, u: Int) -> None:
        """Writes all numbers of a letter for the vector of units at u of row b to the random buffer."""
        buffer, line = self.args.random_buffer, self.args.padded_units
        for k, (name, counter_index) in enumerate(order):
            if name == letter:
                for w, word in enumerate(self._words(letter, counter_index, b, u)):
                    buffer.at(((self.args.B * (k * WORDS + w)) + b) * line + u).store(self._number(word))

    def _words(self, letter: str, counter_index: int, b: Int, u: Int) -> list[Any]:
        builder = self.code.builder
        once = letter == "S"
        units = builder.add(self._splat(u), self._constants(range(self.lanes.lanes)))
        sequence = self._splat(self.random_state.load_i64(b + ROWS))
        time = self._splat(self.code.int_const(0) if once else self.time)
        kind = self.stream + ((ONCE if once else 0) | counter_index)
        words = [units, sequence, time, self._splat(kind)]
        for k, m in self.keys:
            a, b_, c, d = words
            first, second = self._product(a, MULTIPLIERS[0]), self._product(c, MULTIPLIERS[1])
            words = [
                builder.xor(builder.xor(self._high(second), b_), self._splat(k)),
                second,
                builder.xor(builder.xor(self._high(first), d), self._splat(m)),
                first,
            ]
        return words

    def _keys(self, seed: Int) -> list[tuple[Int, Int]]:
        """The two words of the key in each round."""
        k, m = self._low(seed), Int(self.code, self.code.builder.lshr(seed.value, ir.Constant(I64, 32)))
        return [(self._low(k + WEYL[0] * n), self._low(m + WEYL[1] * n)) for n in range(ROUNDS)]

    def _low(self, i: Int) -> Int:
        return i & _LOW

    def _product(self, a: Any, factor: int) -> Any:
        """The 64-bit product of the low words of `a` and a constant."""
        n = self.lanes.lanes
        low = self.code.builder.and_(a, self._constants([_LOW] * n))
        return self.code.builder.mul(low, self._constants([factor] * n))

    def _high(self, product: Any) -> Any:
        return self.code.builder.lshr(product, self._constants([32] * self.lanes.lanes))

    def _number(self, word: Any) -> Any:
        builder = self.code.builder
        shift = ir.Constant(self.narrow, [ir.Constant(self.narrow.element, 32 - BITS)] * self.lanes.lanes)
        shifted = builder.lshr(builder.trunc(word, self.narrow), shift)
        # Exact: 24 bits fit into every format, and the factor is a power of two.
        return self.lanes.mul(builder.sitofp(shifted, self.lanes.V), self.lanes.const(2.0**-BITS))

    def _splat(self, i: Int) -> Any:
        return self.lanes.splat(i.value)

    def _constants(self, values: Any) -> Any:
        return ir.Constant(self.wide, [ir.Constant(I64, v) for v in values])
