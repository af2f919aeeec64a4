"""WebAssembly modules and the class that runs them have the bits of `ostinato.stream`, however they multiply."""

import pytest
import torch
from torch import nn

import ostinato
from export.chips.browsers import node, numbers, same_bits
from ostinato import export
from ostinato.cells import catalogue
from ostinato.errors import InputError, NoKernelsError, ShapeError
from ostinato.export.web import contents as contents_module
from ostinato.streaming.read import read
from ostinato.streaming.runner import ReferenceRunner
from ostinato.streaming.state import State
from ostinato.streaming.streams import Stream
from streaming.drawn import TOKENS, drawn_input, drawn_network

FUSED, SOFTWARE = "fused multiply-add of the processor", "fused multiply-add in software"
RUN = """
import { Net, NETWORK } from "./net.mjs";
const bytes = fs.readFileSync("xs.bin"), buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
const xs = NETWORK.tokens ? Array.from(new BigInt64Array(buffer), Number) : new Float32Array(buffer);
const width = NETWORK.tokens ? 1 : NETWORK.inputs, steps = xs.length / width;
const at = (t) => NETWORK.tokens ? xs[t] : xs.slice(t * width, (t + 1) * width);
for (const [name, relaxed] of [["relaxed", true], ["software", false]]) {
  const net = new Net({ relaxed });
  fs.writeFileSync(name + "_whole.bin", new Uint8Array(net.run(xs).buffer));
  net.reset();
  const ys = new Float32Array(steps * NETWORK.outputs);
  for (let t = 0; t < steps; t++) ys.set(net.step(at(t)), t * NETWORK.outputs);
  fs.writeFileSync(name + "_stepped.bin", new Uint8Array(ys.buffer));
  say([net.arithmetic, net.same, net.selftest().same]);
}
"""


def agrees(folder, model, xs, network=None):
    """Writes the files, runs them in node, and compares whole and stepped outputs with the stream, both ways."""
    export.wasm(model, folder / "net.wasm")
    (folder / "xs.bin").write_bytes(xs.numpy().tobytes())
    said = node(folder, RUN)
    assert said[1] == [SOFTWARE, True, True]
    assert said[0] in ([FUSED, True, True], [SOFTWARE, True, True])  # the latter on a processor without the instruction
    stream = Stream(network) if network is not None else ostinato.stream(model)
    expected = stream.push(xs)
    for way in ("relaxed", "software"):
        for how in ("whole", "stepped"):
            assert same_bits(numbers(folder / f"{way}_{how}.bin", expected.shape), expected), (way, how)


def of_cell(name, sizes):
    torch.manual_seed(0)
    cell = catalogue()[name]
    return ostinato.Recurrent(cell, *sizes, proj_size=9 if cell.projected else 0)


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "slstm", "lstm_projected"])
def test_a_cell_has_the_bits_of_the_stream(name, tmp_path):
    agrees(tmp_path, of_cell(name, (13, 24)), torch.randn(30, 13))


@pytest.mark.parametrize("seed", [3, 7])
def test_a_whole_network_has_the_bits_of_the_stream(seed, tmp_path):
    network = drawn_network(seed, tokens=seed == 3)
    agrees(tmp_path, network, drawn_input(network, 30, 1)[:, 0], network)


@pytest.mark.slow
def test_a_network_of_many_nodes_has_room_on_the_stack(tmp_path):
    torch.manual_seed(0)
    layers = [layer for _ in range(12) for layer in (nn.Linear(9, 9), nn.Softmax(-1), nn.LayerNorm(9))]
    agrees(tmp_path, nn.Sequential(*layers), torch.randn(5, 9))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(catalogue()))
def test_every_cell_has_the_bits_of_the_stream(name, tmp_path):
    cell = catalogue()[name]
    if cell.random:
        pytest.skip("a cell that draws is refused")
    agrees(tmp_path, of_cell(name, (7, 33)), torch.randn(300, 7))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 40))
def test_drawn_networks_have_the_bits_of_the_stream(seed, tmp_path):
    network = drawn_network(seed, tokens=seed % 2 == 1)
    agrees(tmp_path, network, drawn_input(network, 30, 1)[:, 0], network)


def test_a_learned_initial_state_and_many_chunks_have_the_bits_of_the_stream(tmp_path):
    torch.manual_seed(0)
    layer = ostinato.GRU(5, 12, learn_initial_state=True)
    for name, p in layer.named_parameters():
        if name.startswith("initial"):
            torch.nn.init.uniform_(p)
    agrees(tmp_path, layer, torch.randn(3000, 5))


@pytest.fixture(scope="module")
def lstm(tmp_path_factory):
    """An LSTM, its files, and their sizes."""
    torch.manual_seed(1)
    folder, layer = tmp_path_factory.mktemp("wasm"), ostinato.LSTM(6, 16)
    return folder, layer, export.wasm(layer, folder / "net.wasm")


def test_the_code_of_an_lstm_is_small_and_the_record_says_how_large(lstm):
    folder, _, made = lstm
    assert made.module == folder / "net.wasm" and made.script == folder / "net.mjs"
    assert 1000 < made.relaxed_bytes < made.code_bytes < 6000
    assert made.weights_bytes == 4 * 4 * (16 * 6 + 16 * 16 + 2 * 16)
    assert made.module.stat().st_size < made.code_bytes + made.weights_bytes + made.state_bytes + 32
    assert made.state_bytes == 4 * 32 and made.multiply_adds == 4 * 16 * (6 + 16)
    assert f"{made.code_bytes} bytes of code (fused in software)" in str(made)


def test_the_class_runs_where_there_is_nothing_but_the_language_as_in_an_audio_worklet(lstm):
    folder, layer, _ = lstm
    code = """
import vm from "node:vm";
const text = fs.readFileSync("net.mjs", "utf8").replace(/export .*/, "");
const context = vm.createContext({}, { codeGeneration: { wasm: true } });
const run = `const net = new Net();
net.step(new Float32Array([1, 2, 3, 4, 5, 6]));
const kept = net.save();
net.reset();
net.load(kept);
JSON.stringify([net.selftest(), typeof atob, typeof crypto, Array.from(net.state("0.h"))])`;
say(JSON.parse(vm.runInContext("(() => {" + text + run.replace("JSON.str", "return JSON.str") + "})()", context)));
"""
    ((result, atob, crypto, h),) = node(folder, code)
    assert result["same"] and atob == crypto == "undefined"
    expected = ostinato.stream(layer).step(torch.tensor([1.0, 2, 3, 4, 5, 6]))
    assert same_bits(torch.tensor(h, dtype=torch.float64).float(), expected)


def test_the_module_alone_has_the_bits_of_the_stream_without_relaxed_instructions(lstm):
    folder, layer, _ = lstm
    xs = torch.randn(40, 6)
    (folder / "xs.bin").write_bytes(xs.numpy().tobytes())
    code = """
const e = new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync("net.wasm"))).exports;
const xs = fs.readFileSync("xs.bin"), at = e.heap.value;
e.memory.grow(1);
const memory = new Uint8Array(e.memory.buffer);
memory.set(xs, at);
e.reset();
e.run(at, at + xs.length, 40);
fs.writeFileSync("alone.bin", memory.slice(at + xs.length, at + xs.length + 4 * 40 * 16));
say(Object.keys(e).sort());
"""
    (names,) = node(folder, code, relaxed=False)
    assert names == sorted("heap initial memory reset run state step weights work x y".split())
    assert same_bits(numbers(folder / "alone.bin", (40, 16)), ostinato.stream(layer).push(xs))


def test_a_state_travels_between_python_and_the_class(lstm):
    folder, layer, _ = lstm
    stream, xs = ostinato.stream(layer), torch.randn(9, 6)
    stream.push(xs)
    (folder / "state.bin").write_bytes(stream.state().to_bytes())
    (folder / "xs.bin").write_bytes(xs.numpy().tobytes())
    code = """
import { Net } from "./net.mjs";
const xs = new Float32Array(new Uint8Array(fs.readFileSync("xs.bin")).buffer), net = new Net();
net.load(new Uint8Array(fs.readFileSync("state.bin")));
const other = net.fork();
fs.writeFileSync("after.bin", new Uint8Array(net.run(xs).buffer));
fs.writeFileSync("saved.bin", net.save());
net.input.set(xs.slice(0, 6));
other.step(xs.slice(0, 6));
say(Array.from(other.state("0.h")).every((v, k) => v === other.output[k]));
"""
    assert node(folder, code) == [True]
    assert same_bits(numbers(folder / "after.bin", (9, 16)), stream.push(xs))
    saved, expected = State.from_bytes((folder / "saved.bin").read_bytes()), stream.state()
    assert list(saved) == list(expected) and all(torch.equal(saved[name], expected[name]) for name in expected)
    ostinato.stream(layer).load(saved)


def test_the_class_refuses_what_does_not_fit(lstm):
    folder, layer, _ = lstm
    other = ostinato.LSTM(6, 16)
    states = {
        "weights": ostinato.stream(other).state().to_bytes(),
        "network": ostinato.stream(ostinato.LSTM(6, 17)).state().to_bytes(),
        "rows": ostinato.stream(layer, rows=2).state().to_bytes(),
        "cut": ostinato.stream(layer).state().to_bytes()[:-1],
        "none": b"no state of any network, and long enough to be one",
    }
    for name, data in states.items():
        (folder / f"{name}.bin").write_bytes(data)
    code = """
import { Net } from "./net.mjs";
const net = new Net();
const refusal = (act) => { try { act(); return "accepted"; } catch (error) { return error.message; } };
for (const name of ["weights", "network", "rows", "cut", "none"]) {
  say(refusal(() => net.load(new Uint8Array(fs.readFileSync(name + ".bin")))));
}
say(refusal(() => net.step([1, 2])));
say(refusal(() => net.run([1, 2, 3, 4, 5, 6, 7])));
say(refusal(() => net.state("nothing")));
"""
    said = node(folder, code)
    expected = [
        "other weights",
        "another network",
        "one row",
        "cut off",
        "no state",
        "6 numbers, got 2",
        "multiple of 6",
    ]
    assert len(said) == 8
    for message, words in zip(said, [*expected, "only 0.h, 0.c"], strict=True):
        assert words in message


def test_the_self_test_finds_one_bit_of_one_weight(lstm):
    folder, _, _ = lstm
    code = """
import { Net } from "./net.mjs";
const net = new Net();
net.run(new Float32Array(60).fill(0.5));
const before = net.state("0.h"), memory = new Uint8Array(net.exports.memory.buffer), at = net.exports.weights.value + 8;
say(net.selftest());
say(net.state("0.h").every((v, k) => v === before[k]));
memory[at] ^= 1;
say(net.selftest());
memory[at] ^= 1;
memory[at + 2] ^= 64;
say(net.selftest());
"""
    whole, kept, last, high = node(folder, code)
    assert whole == {"same": True, "differ": 0, "of": 16 * 16, "most": 0, "weights": True}
    assert kept is True
    assert not last["same"] and not last["weights"]
    assert not high["same"] and not high["weights"] and high["differ"] > 0 and 0 < high["most"] < 1


def test_a_token_that_the_table_lacks_is_refused_and_the_state_stays(tmp_path):
    network = drawn_network(3, tokens=True)
    export.wasm(network, tmp_path / "net.wasm")
    code = f"""
import {{ Net }} from "./net.mjs";
const net = new Net(), kept = net.memory.slice(), e = net.exports;
for (const token of [{TOKENS}, -1, 0.5]) {{
  try {{ net.step(token); say("accepted"); }} catch (error) {{ say(error.message); }}
  new BigInt64Array(e.memory.buffer, e.x.value, 1)[0] = BigInt(Math.floor(token) || -1);
  try {{
    if (token !== 0.5) e.step(e.x.value, e.y.value);
    say("ran");
  }} catch (error) {{ say(error.constructor.name); }}
}}
say(net.memory.every((v, k) => v === kept[k]));
"""
    said = node(tmp_path, code)
    assert [f"from 0 to {TOKENS - 1}, got {token}" in said[2 * k] for k, token in enumerate((TOKENS, -1, 0.5))] == [
        True
    ] * 3
    assert said[1] == said[3] == "RuntimeError" and said[-1] is True


def test_fast_bits_may_differ_and_the_class_says_so(tmp_path):
    torch.manual_seed(0)
    layer = ostinato.LSTM(64, 64)
    made = export.wasm(layer, tmp_path / "net.wasm", bits="fast")
    assert made.arithmetic == "multiply, then add"
    code = """
import { Net } from "./net.mjs";
const net = new Net({ relaxed: false }), result = net.selftest();
say([net.arithmetic, net.same, result.same, result.most]);
"""
    ((arithmetic, promised, same, most),) = node(tmp_path, code)
    assert (arithmetic, promised, same) == ("multiply, then add", False, False) and 0 < most < 1e-5


def test_the_self_test_runs_the_callers_samples(tmp_path):
    xs = torch.linspace(-3, 3, 20).view(10, 2)
    layer = ostinato.LSTM(2, 8)
    export.wasm(ostinato.stream(layer), tmp_path / "net.wasm", samples=xs)
    code = 'import { Net } from "./net.mjs";\nsay(new Net().selftest());\n'
    (result,) = node(tmp_path, code)
    assert result["of"] == 80 and result["same"]


def test_what_cannot_be_exported_is_refused(tmp_path, monkeypatch):
    layer, path = ostinato.LSTM(2, 8), tmp_path / "net.wasm"
    with pytest.raises(InputError, match="ending in .wasm.*Write 'net.wasm'"):
        export.wasm(layer, "net.js")
    with pytest.raises(InputError, match='bits must be "same" or "fast".*Did you mean \'same\''):
        export.wasm(layer, path, bits="sane")
    with pytest.raises(InputError, match="in float32, got torch.float64.*float\\(\\)"):
        export.wasm(ostinato.LSTM(2, 8).double(), path)
    two = ostinato.LSTM(2, 8, bidirectional=True)
    with pytest.raises(InputError, match="one-directional"):
        export.page(two, tmp_path / "net.html")
    with pytest.raises(InputError, match="of one direction"):
        export.page(read(two, whole=True), tmp_path / "net.html")
    with pytest.raises(ShapeError, match="T at least 1, got \\[0, 2\\]"):
        export.wasm(two, path, samples=torch.zeros(0, 2))
    with pytest.raises(InputError, match="a tensor \\[T, 2\\], got torch.int64"):
        export.wasm(layer, path, samples=torch.zeros(4, 2, dtype=torch.int64))
    with pytest.raises(InputError, match="a tensor \\[T, 2\\], got list"):
        export.wasm(layer, path, samples=[[1.0, 2.0]])
    with pytest.raises(ShapeError, match="of shape \\[T, 2\\], got \\[4, 3\\]"):
        export.wasm(layer, path, samples=torch.zeros(4, 3))
    monkeypatch.setattr("ostinato.streaming.streams.runner_of", ReferenceRunner)
    assert contents_module.ReferenceRunner is ReferenceRunner
    with pytest.raises(NoKernelsError, match="one that compiles kernels"):
        export.wasm(layer, path)
    monkeypatch.setattr(contents_module.backends, "compiled", lambda x: False)
    with pytest.raises(NoKernelsError, match="one that compiles kernels"):
        export.wasm(two, path)
    assert not path.exists()
