"""The C source of a network: the bits of its stream from every compiler, and what keeps them."""

import ctypes
import re
import subprocess

import pytest
import torch

import ostinato
from export.chips.compiled_source import compiled, initial, kernel_of, packed, run, source_of, tool
from ostinato.cells import catalogue
from ostinato.export.c99 import c_source
from ostinato.kernels.network.portable import PortableKernel, Shape
from ostinato.network import Input, LayerNorm, Network
from ostinato.streaming.choose import run_whole
from ostinato.streaming.read import read
from ostinato.streaming.streams import Stream
from streaming.drawn import drawn_input, drawn_network

QUICK = ("lstm", "gru_reset_before", "slstm", "lstm_projected")
LEVELS = (["-O0"], ["-O1"], ["-O2"], ["-O3"])
NATIVE = ["-O3", "-march=native"]


def network_of(layer):
    return ostinato.stream(layer).network


def cell_network(name):
    torch.manual_seed(0)
    cell = catalogue()[name]
    return network_of(ostinato.Recurrent(cell, 13, 24, proj_size=9 if cell.projected else 0))


def norm_network():
    """Its variance is a sum of products, written as one expression."""
    nodes = Input(place="x", inputs=(), width=17), LayerNorm(place="norm", inputs=(0,), width=17, eps=1e-5)
    return Network(nodes, 1, torch.float32)


def equal(network, text, folder, flags, compiler="gcc"):
    """Whether 12 steps of the compiled text have the bits of the stream."""
    x = drawn_input(network, 12, 1)
    y = run(compiled(text, folder, flags, compiler), kernel_of(network), x[:, 0])
    return torch.equal(y, Stream(network, 1).push(x)[:, 0])


@pytest.mark.parametrize("flags", [LEVELS[0], NATIVE], ids=str)
@pytest.mark.parametrize("name", QUICK)
def test_a_cell_has_the_bits_of_its_stream(name, flags, tmp_path):
    network = cell_network(name)
    assert equal(network, source_of(network), tmp_path, flags)


@pytest.mark.parametrize("seed", (0, 4))
def test_a_drawn_network_has_the_bits_of_its_stream(seed, tmp_path):
    """One with a table of tokens, one with a convolution."""
    network = drawn_network(seed, tokens=seed == 0)
    assert equal(network, source_of(network, bits=32), tmp_path, ["-O2"])
    assert equal(network, source_of(network), tmp_path, NATIVE, "clang")


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ("gcc", "clang"))
@pytest.mark.parametrize("name", list(catalogue()))
def test_every_cell_has_the_bits_of_its_stream_at_every_level(name, compiler, tmp_path):
    network = cell_network(name)
    text = source_of(network)
    assert all(equal(network, text, tmp_path, flags, compiler) for flags in (*LEVELS, NATIVE))


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ("gcc", "clang"))
@pytest.mark.parametrize("seed", range(20))
def test_every_drawn_network_has_the_bits_of_its_stream_at_every_level(seed, compiler, tmp_path):
    dtype = torch.float64 if seed % 4 == 3 else torch.float32
    network = drawn_network(seed, dtype, tokens=seed % 5 == 0)
    text = source_of(network, bits=32)
    needed = ["-mfma"] if dtype is torch.float64 else []
    assert all(equal(network, text, tmp_path, [*flags, *needed], compiler) for flags in (*LEVELS, NATIVE))


def test_float64_needs_a_fused_multiply_add(tmp_path):
    network = drawn_network(3, torch.float64)
    text = source_of(network)
    assert equal(network, text, tmp_path, ["-O2", "-mfma"])
    assert "double needs a processor with a fused multiply-add" in refusal(text, tmp_path, ["-mno-fma"])


def refusal(text, folder, flags):
    (folder / "net.c").write_text(text)
    command = [tool("gcc"), *flags, "-fsyntax-only", str(folder / "net.c")]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode != 0
    return built.stderr


@pytest.mark.parametrize(
    "flags, reason",
    [
        (["-ffast-math"], "-ffast-math and its parts"),
        (["-Ofast"], "-ffast-math and its parts"),
        (["-funsafe-math-optimizations"], "-ffast-math and its parts"),
        (["-ffinite-math-only"], "-ffast-math and its parts"),
        (["-mfpmath=387"], "float must be computed in float"),
    ],
    ids=str,
)
def test_flags_that_change_bits_are_refused(flags, reason, tmp_path):
    assert reason in refusal(source_of(cell_network("elman")), tmp_path, flags)


def fused_instructions(text, folder, compiler):
    """Fused multiply-adds in the machine code of a text that asks for none, on a processor that has them."""
    (folder / "net.c").write_text(text)
    flags = ["-O2", "-mfma", "-U__FMA__", "-U__FP_FAST_FMAF"]
    subprocess.run([tool(compiler), *flags, "-c", "net.c", "-o", "net.o"], cwd=folder, check=True)
    listing = subprocess.run([tool("objdump"), "-d", "net.o"], cwd=folder, check=True, capture_output=True, text=True)
    return len(re.findall(r"\bvfn?m(?:add|sub)", listing.stdout))


@pytest.mark.parametrize("compiler", ("gcc", "clang"))
def test_products_and_sums_are_not_contracted(compiler, tmp_path):
    text = source_of(norm_network())
    assert fused_instructions(text, tmp_path, compiler) == 0
    free = re.sub(r'#pragma STDC FP_CONTRACT OFF\n|"fp-contract=off", ', "", text)
    assert fused_instructions(free, tmp_path, compiler) > 0  # it would be


def test_weights_move_to_data_on_demand(tmp_path):
    network = cell_network("elman")
    text = source_of(network)
    assert equal(network, text, tmp_path, ["-O1", "-DNET_WEIGHTS_IN_RAM"])
    for flags, section in (([], "r"), (["-DNET_WEIGHTS_IN_RAM"], "D")):
        subprocess.run([tool("gcc"), *flags, "-c", "net.c", "-o", "net.o"], cwd=tmp_path, check=True)
        names = subprocess.run([tool("nm"), "net.o"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        assert re.search(rf"^\w+ {section} net_weights$", names, re.MULTILINE)
        assert not re.search(r"^\w+ [bBdC] ", names, re.MULTILINE)  # nothing else that can change


def test_weights_that_the_caller_passes_give_the_same_bits(tmp_path):
    network = cell_network("gru")
    kernel = kernel_of(network)
    library, weights = compiled(c_source(kernel, None, "net"), tmp_path, ["-O2"]), packed(kernel)
    own = compiled(source_of(network), tmp_path, ["-O1"])
    x = drawn_input(network, 5, 1)[:, 0]

    class Passing:
        @staticmethod
        def net_step(state, work, x, y):
            library.net_step(state, work, ctypes.c_void_p(weights.data_ptr()), x, y)

    assert torch.equal(run(Passing, kernel, x), run(own, kernel, x))


def test_weights_that_are_not_finite_are_exact(tmp_path):
    layer = ostinato.GRU(3, 4)
    with torch.no_grad():
        layer.bias_ih_l0[:3] = torch.tensor([-torch.inf, torch.inf, -0.0])
    network = network_of(layer)
    assert equal(network, source_of(network), tmp_path, ["-O2"])
    layer.bias_ih_l0.data[9] = torch.nan
    assert '__builtin_nanf("")' in source_of(network_of(layer))


def test_the_source_of_a_network_does_not_change_and_is_ascii():
    network = drawn_network(4)
    text = source_of(network)
    assert text == source_of(network) and text.isascii()
    assert max(map(len, text.splitlines())) <= 200


def test_two_networks_share_one_translation_unit(tmp_path):
    """Every name has the prefix, and what the first changes for the compiler ends with it."""
    one, two = norm_network(), cell_network("elman")
    first = c_source(kernel_of(one), packed(kernel_of(one)), "first")
    library = compiled(first + source_of(two), tmp_path, ["-O1"])
    x = drawn_input(two, 4, 1)
    assert torch.equal(run(library, kernel_of(two), x[:, 0]), Stream(two, 1).push(x)[:, 0])


def test_other_functions_may_call_the_step(tmp_path):
    """As those of a header that checks arguments and runs several steps."""
    network = cell_network("elman")
    kernel = kernel_of(network)
    entry = """\
void net_run(void *state, void *work, const float *x, float *y, int64_t steps);

void net_run(void *state, void *work, const float *x, float *y, int64_t steps)
{
    for (int64_t t = 0; t < steps; t += 1)
        net_kernel_step(state, work, x + 13 * t, y + 24 * t);
}
"""
    library = compiled(c_source(kernel, packed(kernel), "net", entry), tmp_path, ["-O1"])
    assert not hasattr(library, "net_step")
    x, y = drawn_input(network, 7, 1), torch.empty(7, 24)
    tensors = initial(kernel), torch.empty(kernel.work_size), x, y
    library.net_run(*(ctypes.c_void_p(t.data_ptr()) for t in tensors), ctypes.c_int64(7))
    assert torch.equal(y, Stream(network, 1).push(x)[:, 0])


def test_a_network_of_two_directions_is_a_function_of_whole_sequences(tmp_path):
    network = read(ostinato.GRU(3, 4, bidirectional=True), whole=True)
    kernel, x, y = PortableKernel(network, Shape(1, 1, 64)), torch.randn(6, 3), torch.empty(6, 8)
    library = compiled(c_source(kernel, packed(kernel), "net"), tmp_path, ["-O2"])
    tensors = initial(kernel), torch.full((kernel.work_of(6),), torch.nan), x, y
    library.net_sequence(*(ctypes.c_void_p(t.data_ptr()) for t in tensors), ctypes.c_int64(6))
    assert torch.equal(y, run_whole(network, x))
