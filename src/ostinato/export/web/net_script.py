"""The JavaScript class that runs a network's module, for the file beside a module and for the page."""

COMMON_SCRIPT = r"""
// Base64, without atob, which an AudioWorklet does not have.
function decode(text) {
  const code = new Uint8Array(128);
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (let k = 0; k < 64; k++) code[letters.charCodeAt(k)] = k;
  const size = text.length / 4 * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0);
  const bytes = new Uint8Array(size);
  for (let i = 0, at = 0; i < text.length; i += 4) {
    const n = code[text.charCodeAt(i)] << 18 | code[text.charCodeAt(i + 1)] << 12
      | code[text.charCodeAt(i + 2)] << 6 | code[text.charCodeAt(i + 3)];
    bytes[at++] = n >> 16;
    if (at < size) bytes[at++] = n >> 8;
    if (at < size) bytes[at++] = n;
  }
  return bytes;
}

// CRC-32, as zlib computes it.
function crc32(bytes) {
  const table = new Int32Array(256);
  for (let k = 0; k < 256; k++) {
    table[k] = k;
    for (let turn = 0; turn < 8; turn++) table[k] = table[k] & 1 ? table[k] >>> 1 ^ 0xedb88320 : table[k] >>> 1;
  }
  let c = -1;
  for (const b of bytes) c = c >>> 8 ^ table[(c ^ b) & 255];
  return ~c >>> 0;
}

let compiled = null;

// The module that runs here, compiled once: { module, arithmetic, same }.
function compile(relaxed) {
  if (compiled && compiled.asked === relaxed) return compiled;
  const bytes = relaxed ? decode(NETWORK.relaxed) : null;
  if (bytes && WebAssembly.validate(bytes)) {
    const module = new WebAssembly.Module(bytes);
    // (1 + 2^-12)^2 - (1 + 2^-11) is 2^-24 where the product is not rounded before the sum, else 0.
    const fused = new WebAssembly.Instance(module).exports.probe(1 + 2 ** -12, 1 + 2 ** -12, -1 - 2 ** -11) !== 0;
    if (fused || NETWORK.bits === "fast") {
      const arithmetic = fused ? "fused multiply-add of the processor" : "multiply, then add";
      compiled = { asked: relaxed, module, arithmetic, same: fused };
      return compiled;
    }
  }
  const same = NETWORK.bits === "same";
  const arithmetic = same ? "fused multiply-add in software" : "multiply, then add";
  compiled = { asked: relaxed, module: new WebAssembly.Module(decode(NETWORK.portable)), arithmetic, same };
  return compiled;
}

// What a self-test says of outputs: { same, differ, of, most, weights }.
function compared(exports, got, expected) {
  const a = new Uint32Array(got.buffer), b = new Uint32Array(expected.buffer);
  let differ = 0, most = 0;
  for (let k = 0; k < a.length; k++) {
    if (a[k] !== b[k]) differ++;
    most = Math.max(most, Math.abs(got[k] - expected[k]));
  }
  const held = new Uint8Array(exports.memory.buffer, exports.weights.value, NETWORK.weightsSize);
  const weights = crc32(held) === NETWORK.weightsCheck;
  return { same: weights && differ === 0, differ, of: a.length, most, weights };
}
"""
"""What the classes share: Base64, checksums, the choice of the module, and what a self-test says."""

NET_SCRIPT = (
    COMMON_SCRIPT
    + r"""
// SHA-256 of bytes; crypto.subtle is asynchronous, and an AudioWorklet does not have it.
function sha256(bytes) {
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
  const fraction = (v) => (v - Math.floor(v)) * 4294967296 | 0;
  const K = primes.map((p) => fraction(Math.cbrt(p)));
  const H = primes.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
  const whole = new Uint8Array((bytes.length + 72) >> 6 << 6);
  whole.set(bytes);
  whole[bytes.length] = 128;
  const view = new DataView(whole.buffer);
  view.setUint32(whole.length - 8, Math.floor(bytes.length / 536870912));
  view.setUint32(whole.length - 4, bytes.length << 3);
  const w = new Int32Array(64);
  const turn = (x, n) => x >>> n | x << 32 - n;
  for (let at = 0; at < whole.length; at += 64) {
    for (let t = 0; t < 64; t++) {
      if (t < 16) { w[t] = view.getInt32(at + 4 * t); continue; }
      const a = w[t - 15], b = w[t - 2];
      w[t] = w[t - 16] + w[t - 7] + (turn(a, 7) ^ turn(a, 18) ^ a >>> 3) + (turn(b, 17) ^ turn(b, 19) ^ b >>> 10);
    }
    let [a, b, c, d, e, f, g, h] = H;
    for (let t = 0; t < 64; t++) {
      const one = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (e & f ^ ~e & g) + K[t] + w[t];
      const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + (a & b ^ a & c ^ b & c);
      [h, g, f, e, d, c, b, a] = [g, f, e, d + one | 0, c, b, a, one + two | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((v, k) => { H[k] = H[k] + v | 0; });
  }
  const digest = new DataView(new ArrayBuffer(32));
  H.forEach((v, k) => digest.setInt32(4 * k, v));
  return new Uint8Array(digest.buffer);
}

function toText(bytes) {
  return decodeURIComponent(Array.from(bytes, (b) => "%" + (b + 256).toString(16).slice(1)).join(""));
}

function toBytes(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (c) => c.charCodeAt(0));
}

const CHUNK = 65536;

// One stream of the network: its state, in a memory of its own. Everything is synchronous.
//   arithmetic    how it multiplies and adds here
//   same          whether the bits are those of Python on every machine
//   input, output views of the memory: step() without arguments reads the one and writes the other
class Net {
  // relaxed: false leaves the processor's fused instruction aside, for a comparison
  constructor({ relaxed = true } = {}) {
    const { module, arithmetic, same } = compile(relaxed);
    this.arithmetic = arithmetic;
    this.same = same;
    const e = new WebAssembly.Instance(module).exports;
    this.exports = e;
    const line = (NETWORK.tokens ? 8 : 4 * NETWORK.inputs) + 4 * NETWORK.outputs;
    this.most = Math.max(1, Math.floor(CHUNK / line));
    // Room for x and y of `most` steps, taken now: growing later would detach the views.
    this.xs = Math.ceil(e.heap.value / 64) * 64;
    this.ys = this.xs + this.most * (NETWORK.tokens ? 8 : 4 * NETWORK.inputs);
    const end = this.ys + 4 * this.most * NETWORK.outputs;
    const lacking = end - e.memory.buffer.byteLength;
    if (lacking > 0) e.memory.grow(Math.ceil(lacking / 65536));
    const memory = e.memory.buffer;
    new Uint8Array(memory).set(decode(NETWORK.weights), e.weights.value);
    new Uint8Array(memory).set(decode(NETWORK.initial), e.initial.value);
    const x = e.x.value;
    this.input = NETWORK.tokens ? new Int32Array(memory, x, 2) : new Float32Array(memory, x, NETWORK.inputs);
    this.output = new Float32Array(memory, e.y.value, NETWORK.outputs);
    this.memory = new Float32Array(memory, e.state.value, NETWORK.stateSize);
    e.reset();
  }

  // Zeros or the learned initial state.
  reset() { this.exports.reset(); }

  // One step. x: numbers, or one token; y: where the output is written, a new Float32Array by default.
  step(x, y) {
    const e = this.exports;
    if (x === undefined) {
      if (NETWORK.tokens) this.check(this.input[0], 0);
      e.step(e.x.value, e.y.value);
      return this.output;
    }
    if (NETWORK.tokens) {
      this.check(x, 0);
      this.input[0] = x;
      this.input[1] = 0;
    } else {
      const width = NETWORK.inputs;
      if (x.length !== width) throw new RangeError(`step: x must be ${width} numbers, got ${x.length}.`);
      this.input.set(x);
    }
    e.step(e.x.value, e.y.value);
    if (y === undefined) return this.output.slice();
    y.set(this.output);
    return y;
  }

  // T steps, with the bits of T calls of step. xs: numbers [T · C], or T tokens; returns numbers [T · O].
  run(xs, ys) {
    const e = this.exports, width = NETWORK.tokens ? 1 : NETWORK.inputs, outputs = NETWORK.outputs;
    const steps = xs.length / width, memory = e.memory.buffer;
    if (!Number.isInteger(steps)) {
      throw new RangeError(`run: xs must be a multiple of ${width} numbers, got ${xs.length}.`);
    }
    if (NETWORK.tokens) for (let t = 0; t < steps; t++) this.check(xs[t], t);
    const to = ys === undefined ? new Float32Array(steps * outputs) : ys;
    for (let first = 0; first < steps; first += this.most) {
      const count = Math.min(this.most, steps - first);
      if (NETWORK.tokens) {
        const place = new Int32Array(memory, this.xs, 2 * count);
        for (let t = 0; t < count; t++) { place[2 * t] = xs[first + t]; place[2 * t + 1] = 0; }
      } else {
        new Float32Array(memory, this.xs, count * width).set(xs.slice(first * width, (first + count) * width));
      }
      e.run(this.xs, this.ys, count);
      to.set(new Float32Array(memory, this.ys, count * outputs), first * outputs);
    }
    return to;
  }

  check(token, t) {
    const last = NETWORK.tokens - 1;
    if (!Number.isInteger(token) || token < 0 || token > last) {
      throw new RangeError(`The token of step ${t} must be a whole number from 0 to ${last}, got ${token}.`);
    }
  }

  // The numbers of one state, by its name; a copy.
  state(name) {
    const field = NETWORK.states.find((s) => s.name === name);
    const names = NETWORK.states.map((s) => s.name).join(", ");
    if (!field) throw new RangeError(`state: there is no ${name}, only ${names}.`);
    return this.memory.slice(field.at, field.at + field.width);
  }

  // The states as bytes, which load reads back, and State.from_bytes in Python.
  save() {
    const fields = NETWORK.states.map((s) => [s.name, [1, s.width], "float32"]);
    const header = toBytes(JSON.stringify({ structure: NETWORK.structure, weights: NETWORK.digest, states: fields }));
    const width = NETWORK.states.reduce((sum, s) => sum + s.width, 0);
    const bytes = new Uint8Array(16 + header.length + 4 * width);
    const view = new DataView(bytes.buffer);
    bytes.set(toBytes("OSTSTATE"));
    view.setUint32(8, 1, true);
    view.setUint32(12, header.length, true);
    bytes.set(header, 16);
    let at = 16 + header.length;
    for (const s of NETWORK.states) {
      bytes.set(new Uint8Array(this.state(s.name).buffer), at);
      at += 4 * s.width;
    }
    const sealed = new Uint8Array(bytes.length + 32);
    sealed.set(bytes);
    sealed.set(sha256(bytes), bytes.length);
    return sealed;
  }

  // Sets the states to those that save, or State.to_bytes of one row, returned. Refuses those of another network.
  load(bytes) {
    const whole = bytes.slice(0, -32), seal = bytes.slice(-32);
    const begins = toBytes("OSTSTATE").every((b, k) => whole[k] === b);
    if (bytes.length < 48 || !begins) throw new TypeError("load: these bytes are no state.");
    const view = new DataView(whole.buffer, whole.byteOffset);
    if (view.getUint32(8, true) > 1) throw new TypeError("load: the state was written by a later version.");
    if (sha256(whole).some((b, k) => b !== seal[k])) throw new TypeError("load: the bytes are cut off or changed.");
    const length = view.getUint32(12, true), header = JSON.parse(toText(whole.slice(16, 16 + length)));
    if (header.structure !== NETWORK.structure) throw new TypeError("load: the state belongs to another network.");
    if (header.weights !== NETWORK.digest) throw new TypeError("load: the state belongs to other weights.");
    if (header.states.some(([, sizes]) => sizes[0] !== 1)) throw new TypeError("load: the state must have one row.");
    let at = 16 + length;
    NETWORK.states.forEach((s) => {
      const numbers = whole.slice(at, at + 4 * s.width);
      this.memory.set(new Float32Array(numbers.buffer), s.at);
      at += 4 * s.width;
    });
  }

  // Another stream that begins with this one's state.
  fork() {
    const other = new Net();
    other.memory.set(this.memory);
    return other;
  }

  // Runs the samples that Python ran: { same, differ, of, most, weights }. weights: whether they are those that were
  // exported, by their CRC-32; same: they are, and every bit of the outputs is equal. The state stays as it is.
  selftest() {
    const kept = this.memory.slice(), { x, y } = NETWORK.samples;
    const expected = new Float32Array(decode(y).buffer), given = decode(x).buffer;
    this.reset();
    const got = this.run(NETWORK.tokens ? Array.from(new Int32Array(given)) : new Float32Array(given));
    this.memory.set(kept);
    return compared(this.exports, got, expected);
  }
}
"""
)
