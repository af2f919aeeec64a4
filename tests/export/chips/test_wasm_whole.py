"""WebAssembly of networks of two directions: whole sequences, with the bits that they have in Python."""

import json

import pytest
import torch

from export.chips.browsers import node, numbers, same_bits
from export.chips.two_ways import Classifier, Labels, drawn, expected, inputs
from ostinato import export

LENGTHS = (7, 300, 1, 7)
RUN = """
import { Net, NETWORK } from "./net.mjs";
const sequences = JSON.parse(fs.readFileSync("xs.json"));
for (const [name, relaxed] of [["relaxed", true], ["software", false]]) {
  const net = new Net({ relaxed });
  sequences.forEach((xs, k) => fs.writeFileSync(`${name}${k}.bin`, new Uint8Array(net.run(xs).buffer)));
  say([net.same, net.selftest(), net.step === undefined && net.save === undefined]);
}
"""
REFUSED = """
import { Net } from "./net.mjs";
const net = new Net(), e = net.exports, at = e.heap.value;
const refusal = (act) => { try { act(); return "accepted"; } catch (error) { return error.message; } };
for (const xs of [[], [1, 11], [-1], [0.5]]) say(refusal(() => net.run(xs)));
e.memory.grow(1);
new BigInt64Array(e.memory.buffer, at, 2).set([3n, 11n]);
say(refusal(() => e.run(at, at + 64, at + 128, 2)));
say(refusal(() => e.run(at, at + 64, at + 128, 0)));
say(refusal(() => e.run(at, at + 64, at + 128, 1)));
say(Object.keys(e).sort());
say(net.selftest().same);
new Uint8Array(e.memory.buffer)[e.weights.value + 2] ^= 64;
say(net.selftest());
"""


@pytest.mark.parametrize(
    "model", [Labels, Classifier, pytest.param(lambda: Classifier("maximum"), marks=pytest.mark.slow)]
)
def test_every_length_has_the_bits_of_python_whatever_ran_before(model, tmp_path):
    model = drawn(model())
    made = export.wasm(model, tmp_path / "net.wasm")
    xs = [inputs(model, steps) for steps in LENGTHS]
    (tmp_path / "xs.json").write_text(json.dumps([x.reshape(-1).tolist() for x in xs]))
    for same, result, alone in node(tmp_path, RUN):
        assert same and alone and result["same"] and result["of"] == expected(model, inputs(model, 16)).numel()
    for way in ("relaxed", "software"):
        for k, x in enumerate(xs):
            right = expected(model, x)
            assert same_bits(numbers(tmp_path / f"{way}{k}.bin", right.shape), right), (way, len(x))
    assert made.relaxed_bytes < made.code_bytes < 20_000 and made.work_bytes < 4096


def test_what_is_no_sequence_is_refused_and_the_self_test_finds_a_bit(tmp_path):
    export.wasm(drawn(Classifier()), tmp_path / "net.wasm", samples=torch.arange(11))
    said = node(tmp_path, REFUSED)
    assert "at least 1, got 0" in said[0]
    assert ["from 0 to 10, got" in message for message in said[1:4]] == [True] * 3
    assert said[4] == said[5] == "unreachable" and said[6] == "accepted"
    names = "heap initial memory run state weights"
    assert set(said[7]) - {"probe"} == set(names.split()) and said[8] is True
    assert not said[9]["same"] and not said[9]["weights"] and said[9]["differ"] > 0 and said[9]["of"] == 4
