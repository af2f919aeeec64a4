"""Networks of two directions as C: whole sequences, with the bits that they have in Python."""

import ctypes
import shutil
import subprocess
from itertools import product

import pytest
import torch
from emulated import CODE, MACHINES

import ostinato
from export.chips.two_ways import Classifier, Labels, drawn, expected, inputs
from ostinato.errors import InputError, ShapeError
from ostinato.export import c, chip, page
from ostinato.kernels.system.target import can_run, target_by_name

MOST, OK, BAD_TOKEN, OTHER_BITS, BAD_STEPS = 12, 0, 1, 8, 9
FORMS = ("object", "source")
STRICT = "-std=c99 -O1 -Wall -Wextra -Wpedantic -Wconversion -Werror".split()
MODELS = {"labels": Labels, "mean": Classifier, "maximum": lambda: Classifier("maximum")}
HOST = pytest.mark.skipif(
    shutil.which("gcc") is None or not can_run(target_by_name("avx2")), reason="needs gcc, and the machine x86-64-v3"
)


def command(*words, folder):
    done = subprocess.run(list(words), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Loaded:
    """An exported network as a library of this process, with memory of exactly the sizes of its header."""

    def __init__(self, model, folder, **options):
        self.report = c(model, folder, "x86-64-v3", max_steps=MOST, **options)
        code = next(file for file in self.report.files if file in ("net.o", "net.c"))
        command("gcc", *STRICT, "-shared", "-fPIC", "net_tools.c", code, "-o", "net.so", folder=folder)
        self.code = ctypes.CDLL(f"{folder}/net.so")
        self.given = [(folder / "net.weights").read_bytes()] if "net.weights" in self.report.files else []
        # Memory that is no number shows a value that is read before it is written.
        self.state, self.work = (
            ctypes.create_string_buffer(b"\xff" * n, n) for n in (self.report.state, self.report.work)
        )

    def run(self, x, y, steps=None):
        steps = ctypes.c_size_t(len(x) if steps is None else steps)
        addresses = (ctypes.c_void_p(t.data_ptr()) for t in (x, y))
        return self.code.net_run(self.state, self.work, *self.given, *addresses, steps)


@HOST
@pytest.mark.parametrize(
    "name, form, weights",
    [
        ("labels", "object", "const"),
        ("mean", "source", "blob"),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in product(MODELS, FORMS, ("const", "blob"))),
    ],
)
def test_every_length_has_the_bits_of_python_whatever_ran_before(name, form, weights, tmp_path):
    model = drawn(MODELS[name]())
    net = Loaded(model, tmp_path, form=form, weights=weights)
    for steps in (5, MOST, 1, 5):
        x = inputs(model, steps)
        right = expected(model, x)
        y = torch.full_like(right, torch.nan)
        assert net.run(x, y) == OK
        assert torch.equal(y, right), steps
    y = torch.empty(3 * MOST)
    assert net.code.net_selftest(net.state, net.work, *net.given, ctypes.c_void_p(y.data_ptr())) == OK


@HOST
@pytest.mark.parametrize("form", ["object", pytest.param("source", marks=pytest.mark.slow)])
def test_too_many_steps_none_and_tokens_outside_are_refused_and_nothing_is_written(form, tmp_path):
    net = Loaded(drawn(Classifier()), tmp_path, form=form)
    before, y = (net.state.raw, net.work.raw), torch.full((4,), 7.0)
    for steps in (0, MOST + 1, 1 << 32, (1 << 64) - 1):
        assert net.run(torch.zeros(MOST + 1, dtype=torch.int64), y, steps) == BAD_STEPS
    for token in (-1, 11, 1 << 32):
        assert net.run(torch.tensor([0, token]), y) == BAD_TOKEN
    assert (net.state.raw, net.work.raw) == before and y.tolist() == [7.0] * 4
    net.code.net_reason.restype = ctypes.c_char_p
    assert net.code.net_reason(BAD_STEPS) == b"net: no step, or more than NET_MAX_STEPS; nothing has changed"


@HOST
def test_the_self_test_of_whole_sequences_finds_other_bits(tmp_path):
    report = c(drawn(Classifier()), tmp_path, "x86-64-v3", form="source", max_steps=MOST)
    tools = (tmp_path / "net_tools.c").read_text()
    last = tools.index("u,", tools.index("expected[4]")) - 1
    changed = tools[:last] + ("1" if tools[last] != "1" else "2") + tools[last + 1 :]
    for text, result in ((tools, "done"), (changed, "outputs of the self-test that differ from those in Python")):
        (tmp_path / "net_tools.c").write_text(text)
        command(*report.link.split(), folder=tmp_path)
        done = subprocess.run(["./net_test"], cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout.splitlines()[1] == f"net: {result}" and done.returncode == (result != "done")
    assert report.selftest == MOST * 8 + 4 * 4


@pytest.mark.parametrize(
    "name, form",
    [("labels", "object"), *(pytest.param(*case, marks=pytest.mark.slow) for case in product(MODELS, FORMS))],
)
def test_whole_sequences_have_the_same_bits_on_aarch64(name, form, tmp_path):
    machine = MACHINES["aarch64"]
    if machine.missing():
        pytest.skip(f"aarch64 needs {machine.missing()}")
    model = drawn(MODELS[name]())
    report = c(model, tmp_path, "aarch64", form=form, max_steps=40, samples=inputs(model, 40))
    command(*machine.compiler, *STRICT, *report.link.split()[1:], folder=tmp_path)
    assert command(*machine.run, "./net_test", folder=tmp_path).splitlines()[1] == "net: done"


CHECK = """
#include "check.h"
#include "net.h"
static union { float aligned; unsigned char bytes[NET_STATE_BYTES]; } state;
static union { float aligned; unsigned char bytes[NET_WORK_BYTES]; } work;
static float y[NET_SELFTEST_OUTPUT];
int check(unsigned *differing) { *differing = 0; return net_selftest(&state, &work, y); }
void call_once(void) { net_selftest(&state, &work, y); }
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("target", MACHINES)
def test_whole_sequences_have_the_same_bits_on_every_machine(target, form, tmp_path):
    machine = MACHINES[target]
    if machine.missing():
        pytest.skip(f"{target} needs {machine.missing()}")
    model = drawn(Classifier())
    report = c(model, tmp_path, target, form=form, max_steps=MOST)
    (tmp_path / "whole.c").write_text(CHECK)
    code = next(file for file in report.files if file in ("net.o", "net.c"))
    files = ["whole.c", str(CODE / machine.start), "net_tools.c", code]
    script = ["-T", str(CODE / machine.script)] if machine.script else []
    command(*machine.compiler, *STRICT, "-I.", f"-I{CODE}", *files, "-o", "check", *script,
            *(["-lgcc"] if machine.libgcc else []), folder=tmp_path)  # fmt: skip
    done = subprocess.run([*machine.run, "./check"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.stdout or done.stderr).split()[:2] == ["0", "0"]


def test_the_header_has_no_functions_of_single_steps_and_says_why(tmp_path):
    report = c(drawn(Labels()), tmp_path, "cortex-m4", form="source", max_steps=100)
    header = (tmp_path / "net.h").read_text()
    assert "int net_run(" in header and "#define NET_MAX_STEPS     100u" in header
    for name in ("net_step", "net_reset", "net_save", "net_load", "NET_SAVED_BYTES"):
        assert name not in header
    assert "reads from the last step to the first" in header and "y has NET_OUTPUT numbers for each step" in header
    assert report.max_steps == 100 and "whole sequences of at most 100 steps" in str(report)
    longer = c(drawn(Labels()), tmp_path, "cortex-m4", form="source", max_steps=200)
    assert longer.work - 4 == 2 * (report.work - 4) and longer.state == report.state


def test_a_small_device_has_memory_for_one_answer_and_not_for_one_at_each_step(tmp_path):
    c(drawn(Classifier()), tmp_path, "cortex-m4", form="source", max_steps=100)
    header = (tmp_path / "net.h").read_text()
    assert "#define NET_SELFTEST_OUTPUT 4u" in header and "numbers for the whole sequence" in header


def test_the_header_of_a_pool_of_one_direction_says_where_the_answer_is(tmp_path):
    report = c(drawn(Classifier(directions=1)), tmp_path, "cortex-m4", form="source")
    header = (tmp_path / "net.h").read_text()
    assert "net_step(" in header and "y after the last step of a sequence is the model's answer" in header
    assert report.max_steps is None
    c(ostinato.LSTM(5, 9), tmp_path, "cortex-m4", form="source")
    assert "the model's answer" not in (tmp_path / "net.h").read_text()


@pytest.mark.parametrize("most", [None, 0, -3, 2.5, True])
def test_a_network_of_two_directions_needs_the_length_of_its_longest_sequence(most, tmp_path):
    with pytest.raises(InputError, match="max_steps must be a whole number of at least 1, got .*max_steps=100"):
        c(Labels(), tmp_path, "cortex-m4", max_steps=most)


def test_steps_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(InputError, match="max_steps must be None, got 10.*step by step"):
        c(Classifier(directions=1), tmp_path, "cortex-m4", max_steps=10)
    with pytest.raises(ShapeError, match="samples must be of at most 4 steps, got 5"):
        c(Labels(), tmp_path, "cortex-m4", max_steps=4, samples=torch.zeros(5, 5))
    with pytest.raises(InputError, match="ram must be at most 65,536 bytes on cortex-m4"):
        c(Labels(), tmp_path, chip("cortex-m4", ram=64 << 10), max_steps=1000)
    with pytest.raises(InputError, match="ram must be at most 2,147,483,648"):
        c(Labels(), tmp_path, "cortex-m4", max_steps=1 << 40)
    with pytest.raises(InputError, match="one-directional"):
        page(Labels(), tmp_path / "net.html")
