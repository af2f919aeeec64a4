"""The JavaScript class that runs the module of a network of two directions, which takes whole sequences."""

from __future__ import annotations

from .net_script import COMMON_SCRIPT

WHOLE_SCRIPT = (
    COMMON_SCRIPT
    + r"""
// The network on whole sequences: a layer of it reads from the last step to the first, so there is no single step, and
// no state to save. Everything is synchronous.
//   arithmetic    how it multiplies and adds here
//   same          whether the bits are those of Python on every machine
class Net {
  // relaxed: false leaves the processor's fused instruction aside, for a comparison
  constructor({ relaxed = true } = {}) {
    const { module, arithmetic, same } = compile(relaxed);
    this.arithmetic = arithmetic;
    this.same = same;
    const e = new WebAssembly.Instance(module).exports;
    this.exports = e;
    new Uint8Array(e.memory.buffer).set(decode(NETWORK.weights), e.weights.value);
    new Uint8Array(e.memory.buffer).set(decode(NETWORK.initial), e.initial.value);
  }

  // A whole sequence from the initial states. xs: numbers [T · C], or T tokens, T at least 1; returns numbers [T · O],
  // or the model's answer [O] where its result has no axis of time. ys: where they are written.
  run(xs, ys) {
    const e = this.exports, width = NETWORK.tokens ? 1 : NETWORK.inputs, steps = xs.length / width;
    if (!Number.isInteger(steps) || steps < 1) {
      throw new RangeError(`run: xs must be a multiple of ${width} numbers, at least ${width}, got ${xs.length}.`);
    }
    if (NETWORK.tokens) for (let t = 0; t < steps; t++) this.check(xs[t], t);
    const whole = (bytes) => Math.ceil(bytes / 64) * 64, count = (NETWORK.answer ? 1 : steps) * NETWORK.outputs;
    const at = whole(e.heap.value), to = at + whole((NETWORK.tokens ? 8 : 4 * width) * steps);
    const work = to + whole(4 * count), lacking = work + NETWORK.workBytes * steps - e.memory.buffer.byteLength;
    if (lacking > 0) e.memory.grow(Math.ceil(lacking / 65536));
    const memory = e.memory.buffer;
    if (NETWORK.tokens) {
      const place = new Int32Array(memory, at, 2 * steps);
      for (let t = 0; t < steps; t++) { place[2 * t] = xs[t]; place[2 * t + 1] = 0; }
    } else {
      new Float32Array(memory, at, steps * width).set(xs);
    }
    e.run(at, to, work, steps);
    const y = new Float32Array(memory, to, count);
    if (ys === undefined) return y.slice();
    ys.set(y);
    return ys;
  }

  check(token, t) {
    const last = NETWORK.tokens - 1;
    if (!Number.isInteger(token) || token < 0 || token > last) {
      throw new RangeError(`The token of step ${t} must be a whole number from 0 to ${last}, got ${token}.`);
    }
  }

  // Runs the samples that Python ran: { same, differ, of, most, weights }. weights: whether they are those that were
  // exported, by their CRC-32; same: they are, and every bit of the outputs is equal.
  selftest() {
    const { x, y } = NETWORK.samples, expected = new Float32Array(decode(y).buffer), given = decode(x).buffer;
    const got = this.run(NETWORK.tokens ? Array.from(new Int32Array(given)) : new Float32Array(given));
    return compared(this.exports, got, expected);
  }
}
"""
)
