"""The files of an export to C, compiled and called on this machine: states, weights, the self-test, the header."""

import ctypes
import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import torch
from emulated import MACHINES

import ostinato
from ostinato.export import CHIPS, c
from ostinato.export.chips.objects import parts_of
from ostinato.kernels.system.object_code import vector_slots
from ostinato.kernels.system.target import can_run, target_by_name
from ostinato.streaming.read import read
from streaming.drawn import drawn_network

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None or not can_run(target_by_name("avx2")), reason="needs gcc, and the machine x86-64-v3"
)
HOST = "x86-64-v3"
STRICT = ["-O1", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
OK, BAD_TOKEN, TOO_SHORT, NOT_OURS, OTHER_VERSION, OTHER_NETWORK, OTHER_WEIGHTS, DAMAGED, OTHER_BITS = range(9)


def command(*words, folder):
    done = subprocess.run(list(words), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Loaded:
    """An exported network as a library of this process, with its memory."""

    def __init__(self, report, model):
        self.report, folder = report, report.folder
        command("gcc", *STRICT, "-std=c99", "-shared", "-fPIC", "net_tools.c", "net.o", "-o", "net.so", folder=folder)
        self.code = ctypes.CDLL(f"{folder}/net.so")
        self.code.net_info.restype = self.code.net_reason.restype = ctypes.c_char_p
        self.code.net_save.restype = ctypes.c_size_t
        self.state, self.work = (ctypes.create_string_buffer(n) for n in (report.state, report.work))
        network = read(model)
        self.y = torch.zeros(network.nodes[network.output].width, dtype=network.dtype)
        blob = Path(folder) / "net.weights"
        self.blob = blob.read_bytes() if blob.name in report.files else None

    def given(self):
        return [] if self.blob is None else [self.blob]

    def reset(self):
        self.code.net_reset(self.state, *self.given())

    def step(self, x):
        code = self.code.net_step(self.state, self.work, *self.given(), ctypes.c_void_p(x.data_ptr()), self.at_y())
        return self.y.clone() if x.is_floating_point() else code

    def at_y(self):
        return ctypes.c_void_p(self.y.data_ptr())

    def selftest(self):
        return self.code.net_selftest(self.state, self.work, *self.given(), self.at_y())

    def save(self):
        saved = ctypes.create_string_buffer(self.report.saved)
        assert self.code.net_save(self.state, *self.given(), saved) == self.report.saved
        return saved.raw

    def load(self, data):
        return self.code.net_load(self.state, *self.given(), data, ctypes.c_size_t(len(data)))

    def check(self, data):
        return self.code.net_weights_check(data, ctypes.c_size_t(len(data)))


def layer(seed=0, **options):
    torch.manual_seed(seed)
    return ostinato.LSTM(3, 8, **options)


def loaded(folder, model=None, **options):
    model = layer() if model is None else model
    return Loaded(c(model, folder, HOST, **options), model)


def test_the_program_runs_the_self_test_and_says_so(tmp_path):
    for weights in ("const", "blob"):
        report = c(layer(), tmp_path / weights, HOST, weights=weights)
        command(*report.link.split(), folder=report.folder)
        said = command("./net_test", folder=report.folder).splitlines()
        assert said[0].startswith("net: Ostinato network for x86-64-v3, float, input 3 numbers, output 8 numbers")
        assert said[1] == "net: done"


def test_the_self_test_finds_a_single_bit_in_any_weight(tmp_path):
    report = c(layer(), tmp_path, HOST)
    code = (tmp_path / "net.o").read_bytes()
    packed = torch.cat([p.detach().reshape(-1) for p in layer().parameters()])
    command("gcc", "-O1", "-c", "net_tools.c", "net_test.c", folder=tmp_path)
    for value in packed[:: len(packed) // 7]:
        at = code.index(struct.pack("<f", value))
        flipped = bytearray(code)
        flipped[at] ^= 1
        (tmp_path / "flipped.o").write_bytes(flipped)
        command("gcc", "net_test.o", "net_tools.o", "flipped.o", "-o", "flipped", folder=tmp_path)
        done = subprocess.run(["./flipped"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1 and "a checksum that is not that of the content" in done.stdout
    assert report.selftest == 16 * (3 + 8) * 4


def test_the_self_test_finds_code_that_gives_other_bits(tmp_path):
    report = c(layer(), tmp_path, HOST)
    tools = (tmp_path / "net_tools.c").read_text()
    first = tools.index("0x", tools.index("expected["))
    (tmp_path / "net_tools.c").write_text(
        tools[: first + 9] + ("1" if tools[first + 9] != "1" else "2") + tools[first + 10 :]
    )
    command(*report.link.split(), folder=tmp_path)
    done = subprocess.run(["./net_test"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "differ from those in Python" in done.stdout


def test_a_state_goes_on_where_it_was_saved_on_another_machine_too(tmp_path):
    model, x = layer(), torch.randn(6, 3)
    expected = ostinato.stream(model).push(x)
    first, second = loaded(tmp_path / "first", model), Loaded(c(model, tmp_path / "v", HOST, weights="blob"), model)
    first.reset()
    for t in range(3):
        assert torch.equal(first.step(x[t]), expected[t])
    saved = first.save()
    assert second.load(saved) == OK
    assert torch.equal(second.step(x[3]), expected[3])
    assert saved[:8] == b"OSTROW\0\0" and struct.unpack_from("<I", saved, 8) == (1,)
    h = ostinato.stream(model)
    h.push(x[:3])
    numbers = torch.frombuffer(bytearray(saved[48:]), dtype=torch.float32)
    assert torch.equal(numbers, torch.cat(list(h.state().values()), -1)[0])


def test_states_that_are_no_states_of_this_network_are_refused_and_change_nothing(tmp_path):
    net, other = loaded(tmp_path / "net"), loaded(tmp_path / "other", layer(seed=1))
    net.reset()
    net.step(torch.ones(3))
    saved, before = net.save(), net.state.raw
    damaged = bytearray(saved)
    damaged[60] ^= 1
    newer = bytearray(saved)
    newer[8] = 2
    other.reset()
    for data, code in [
        (saved[:40], TOO_SHORT),
        (saved[:-1], TOO_SHORT),
        (b"x" * len(saved), NOT_OURS),
        (bytes(newer), OTHER_VERSION),
        (other.save(), OTHER_NETWORK),
        (bytes(damaged), DAMAGED),
    ]:
        assert net.load(data) == code, data[:12]
        assert net.state.raw == before
    assert net.load(saved) == OK
    assert net.code.net_reason(DAMAGED).startswith(b"net: a checksum")
    assert net.code.net_reason(99) == net.code.net_reason(-1) == b"net: no result of this network"


def test_weights_that_are_cut_off_or_of_another_network_are_refused(tmp_path):
    net = loaded(tmp_path / "net", weights="blob")
    other = loaded(tmp_path / "other", ostinato.GRU(3, 8), weights="blob").blob
    blob = net.blob
    assert net.check(blob) == OK and net.selftest() == OK
    for data, code in [
        (blob[:100], TOO_SHORT),
        (blob[:-1], TOO_SHORT),
        (b"y" * len(blob), NOT_OURS),
        (blob[:8] + b"\7" + blob[9:], OTHER_VERSION),
        (other, OTHER_NETWORK),
        (blob[:16] + b"\0" + blob[17:], DAMAGED),
        (blob[:-1] + bytes([blob[-1] ^ 1]), DAMAGED),
    ]:
        assert net.check(data) == code
    net.blob = blob[:200] + bytes([blob[200] ^ 1]) + blob[201:]
    assert net.selftest() == DAMAGED


def test_a_file_of_other_weights_gives_their_bits_without_a_new_object(tmp_path):
    net, model, x = loaded(tmp_path / "net", weights="blob"), layer(seed=1), torch.randn(4, 3)
    c(model, tmp_path / "other", HOST, weights="blob")
    assert (tmp_path / "net" / "net.o").read_bytes() == (tmp_path / "other" / "net.o").read_bytes()
    saved = net.save()
    net.blob = (tmp_path / "other" / "net.weights").read_bytes()
    assert net.check(net.blob) == OK
    net.reset()
    assert torch.equal(torch.stack([net.step(row) for row in x]), ostinato.stream(model).push(x))
    assert net.load(saved) == OTHER_NETWORK
    assert net.selftest() == OTHER_WEIGHTS


def test_learned_initial_states_are_set_by_reset(tmp_path):
    model = ostinato.GRU(3, 5, learn_initial_state=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "initial" in name:
                parameter.normal_()
    x = torch.randn(2, 3)
    expected = ostinato.stream(model).push(x)
    for weights in ("const", "blob"):
        net = loaded(tmp_path / weights, model, weights=weights)
        net.reset()
        assert torch.equal(torch.stack([net.step(row) for row in x]), expected)


def test_a_token_that_the_network_does_not_have_changes_nothing(tmp_path):
    network = drawn_network(1, tokens=True)
    report = c(network, tmp_path, HOST)
    command("gcc", *STRICT, "-std=c99", "-shared", "-fPIC", "net_tools.c", "net.o", "-o", "net.so", folder=tmp_path)
    code = ctypes.CDLL(f"{tmp_path}/net.so")
    state, work = ctypes.create_string_buffer(report.state), ctypes.create_string_buffer(report.work)
    y = (ctypes.c_float * 4096)()
    code.net_reset(state)
    before = state.raw
    for token in (-1, 11, 1 << 32):
        assert code.net_step(state, work, (ctypes.c_int64 * 1)(token), y) == BAD_TOKEN
        assert code.net_run(state, work, (ctypes.c_int64 * 2)(0, token), y, ctypes.c_size_t(2)) == BAD_TOKEN
    assert state.raw == before and not any(y)
    assert code.net_step(state, work, (ctypes.c_int64 * 1)(10), y) == OK


def test_given_samples_are_those_of_the_self_test(tmp_path):
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(9))
    net = loaded(tmp_path / "t", samples=x)
    assert net.selftest() == OK and net.report.selftest == 5 * (3 + 8) * 4
    assert loaded(tmp_path / "n", samples=x.numpy()).selftest() == OK


def test_two_networks_are_linked_into_one_program(tmp_path):
    for name, seed in (("low", 0), ("high", 1)):
        c(layer(seed), tmp_path, HOST, name=name)
    main = '#include "low.h"\n#include "high.h"\n'
    main += "static union { float f; char bytes[4096]; } s, w;\nstatic float y[64];\n"
    main += "int main(void) { return low_selftest(&s, &w, y) + high_selftest(&s, &w, y); }\n"
    (tmp_path / "main.c").write_text(main)
    files = "main.c low.o low_tools.c high.o high_tools.c".split()
    command("gcc", *STRICT, "-std=c99", *files, "-o", "main", folder=tmp_path)
    command("./main", folder=tmp_path)


def test_the_header_is_one_of_c_plus_plus_too(tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    c(layer(), tmp_path, HOST, weights="blob")
    (tmp_path / "main.cpp").write_text(
        '#include "net.h"\n#include "net.h"\nint main() { return net_info() == nullptr; }\n'
    )
    command("gcc", "-std=c99", *STRICT, "-c", "net_tools.c", folder=tmp_path)
    command("g++", *STRICT, "main.cpp", "net_tools.o", "net.o", "-o", "main", folder=tmp_path)
    command("./main", folder=tmp_path)


def test_all_is_said_in_the_report_the_json_and_the_readme(tmp_path):
    report = c(layer(num_layers=2), tmp_path, "cortex-m4")
    found = json.loads((tmp_path / "net.json").read_text())
    assert found["code"] == report.code and found["multiply_adds"] == report.multiply_adds
    assert report.multiply_adds == 4 * 8 * (3 + 8) + 4 * 8 * (8 + 8)
    assert list(found["states"]) == [f.name for f in read(layer(num_layers=2)).states]
    assert {path.name for path in tmp_path.iterdir()} == set(report.files)
    readme = (tmp_path / "README.txt").read_text()
    assert report.link in readme and f"{report.stack:,} bytes" in readme and "linker script" in readme
    assert f"{report.code:,} bytes" in str(report)
    assert all(name in (tmp_path / "net.h").read_text() for name in report.states)


@pytest.mark.parametrize("target", [n for n, row in CHIPS.items() if not row.source_only and n not in MACHINES])
def test_objects_refer_to_nothing_but_marks(target, tmp_path):
    report = c(layer(), tmp_path, target)
    data = (tmp_path / report.files[1]).read_bytes()
    parts = parts_of(data)
    assert set(parts.undefined) <= {"_fltused"}
    assert parts.code == report.code > 500 and parts.constants >= report.weights
    magic = {"macos": b"\xcf\xfa\xed\xfe", "windows": data[:2]}.get(target.rpartition("-")[2], b"\x7fELF")
    assert data.startswith(magic)


def test_vector_registers_in_frames_are_counted_from_the_text():
    """As LLVM writes frames of 13, of 8 + 1 and of 7 registers, and addresses in them, which are no frames."""
    text = """
one:
\taddi\tsp, sp, -96
\tcsrr\ta5, vlenb
\tli\ta6, 13
\tmul\ta5, a5, a6
\tsub\tsp, sp, a5
\tcsrr\ta4, vlenb
\tslli\ta4, a4, 3
\tadd\ta4, a4, sp
\tret
two:
\tcsrr\ta1, vlenb
\tslli\ta4, a1, 3
\tadd\ta1, a1, a4
\tsub\tsp, sp, a1
three:
\tcsrr\ta2, vlenb
\tslli\ta5, a2, 3
\tsub\ta2, a5, a2
\tsub\tsp, sp, a2
four:
\tret
"""
    assert vector_slots(text) == {"one": 13, "two": 9, "three": 7}
