"""Exported objects give the bits of the stream on other machines, which emulators stand for."""

import pytest
import torch
from emulated import MACHINES, run
from torch import nn

import ostinato
from ostinato.cells import catalogue
from ostinato.export import CHIPS, c, chip
from ostinato.network import Network
from ostinato.streaming.read import read
from streaming.drawn import drawn_input, drawn_network

STEPS = 20
FOUR = ("gru", "elman", "slstm", "lstm_projected")
LONG = pytest.mark.slow


def machine(name):
    """The machine, or a skip that says what is not installed."""
    found = MACHINES[name]
    if found.missing():
        pytest.skip(f"{name} needs {found.missing()}")
    return found


def bits_are_equal(model, target, folder, x=None, **options):
    """Exports, links, runs; returns the report and what the program said."""
    network = model if isinstance(model, Network) else read(model)
    if x is None:
        x = torch.randn(STEPS, network.input.width, dtype=network.dtype, generator=torch.Generator().manual_seed(3))
    report = c(model, folder, target, **options)
    outcome = run(report, network, x, machine(target if isinstance(target, str) else target.name))
    assert outcome.equal, outcome
    assert outcome.stack <= report.stack
    return report, outcome


def recurrent(name, inputs=13, hidden=24):
    torch.manual_seed(1)
    options = {"proj_size": hidden // 2} if catalogue()[name].projected else {}
    return ostinato.Recurrent(name, inputs, hidden, **options)


@pytest.mark.parametrize("target", MACHINES)
def test_an_lstm_has_the_same_bits_on_every_machine(target, tmp_path):
    torch.manual_seed(0)
    report, _ = bits_are_equal(ostinato.LSTM(13, 24), target, tmp_path)
    assert report.code <= 6 << 10


@LONG
@pytest.mark.parametrize("cell", [name for name in catalogue() if not catalogue()[name].random])
def test_every_cell_has_the_same_bits_on_aarch64(cell, tmp_path):
    bits_are_equal(recurrent(cell), "aarch64", tmp_path)


@LONG
@pytest.mark.parametrize("cell", FOUR)
@pytest.mark.parametrize("target", [name for name in MACHINES if name != "aarch64"])
def test_four_cells_have_the_same_bits_on_every_machine(cell, target, tmp_path):
    bits_are_equal(recurrent(cell), target, tmp_path)


class Tagger(nn.Module):
    """Tokens, an embedding, two kinds of layers, a residual connection, norms, a head."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(31, 20)
        self.first, self.second = ostinato.LSTM(20, 24), ostinato.GRU(24, 24)
        self.norm, self.head = nn.LayerNorm(24), nn.Linear(24, 7)

    def forward(self, tokens):
        x, _ = self.first(self.embedding(tokens))
        y, _ = self.second(x)
        return torch.log_softmax(self.head(self.norm(x + y)), -1)


@LONG
@pytest.mark.parametrize("weights", ["const", "blob"])
@pytest.mark.parametrize("target", MACHINES)
def test_a_whole_model_of_tokens_has_the_same_bits_on_every_machine(target, weights, tmp_path):
    torch.manual_seed(2)
    tokens = torch.randint(0, 31, (STEPS,), generator=torch.Generator().manual_seed(5))
    bits_are_equal(Tagger().eval(), target, tmp_path, tokens, weights=weights)


@LONG
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("target", ["x86-64-v3", "aarch64", "cortex-m4", "cortex-m55", "riscv64v", "riscv32"])
def test_drawn_networks_have_the_same_bits(target, seed, tmp_path):
    network = drawn_network(seed)
    bits_are_equal(network, target, tmp_path, drawn_input(network, STEPS, 1)[:, 0])


@LONG
@pytest.mark.parametrize("target", [name for name in MACHINES if CHIPS[name].float64])
def test_float64_has_the_same_bits_where_the_machine_has_its_multiply_add(target, tmp_path):
    bits_are_equal(recurrent("lstm").double(), target, tmp_path)


@LONG
@pytest.mark.parametrize("target", ["x86-64-v3", "aarch64", "armv7", "cortex-m4", "cortex-m55"])
def test_subnormal_numbers_are_taken_as_zero_where_the_machine_can(target, tmp_path):
    layer = ostinato.GRU(13, 24)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(1e-3)
        for bias in (layer.bias_ih_l0, layer.bias_hh_l0):
            bias.zero_()
    x = torch.randn(STEPS, 13, generator=torch.Generator().manual_seed(3)) * 1e-37
    assert x.abs().max() * 1e-3 < torch.finfo(torch.float32).tiny
    bits_are_equal(layer, target, tmp_path, x)


@LONG
def test_wider_vector_registers_run_the_same_code(tmp_path):
    torch.manual_seed(0)
    wide = chip("riscv64v")
    layer, x = ostinato.LSTM(13, 24), torch.randn(STEPS, 13)
    found = machine("riscv64v")
    wider = type(found)(found.compiler, [*found.run[:-1], "rv64,v=true,vlen=512"])
    outcome = run(c(layer, tmp_path, wide), read(layer), x, wider)
    assert outcome.equal, outcome
