"""Exported objects give the bits of the stream on other machines, which emulators stand for."""

import pytest
import torch
from chips import FOUR, STEPS, TOKENS, Model, layer
from emulated import MACHINES, SOFT, run

import ostinato
from ostinato.cells import catalogue
from ostinato.export import CHIPS, c
from ostinato.network import Input, Network, Softmax
from ostinato.streaming.read import read
from streaming.drawn import drawn_input, drawn_network

LONG = pytest.mark.slow


def machine(name):
    """The machine, or a skip that says what is not installed."""
    found = (MACHINES | SOFT)[name]
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
    assert report.stack is None or outcome.stack <= report.stack
    return report, outcome


@pytest.mark.parametrize("target", MACHINES)
def test_an_lstm_has_the_same_bits_on_every_machine(target, tmp_path):
    torch.manual_seed(0)
    report, _ = bits_are_equal(ostinato.LSTM(13, 24), target, tmp_path)
    assert report.code <= 6 << 10


@LONG
@pytest.mark.parametrize("cell", [name for name in catalogue() if not catalogue()[name].random])
def test_every_cell_has_the_same_bits_on_aarch64(cell, tmp_path):
    bits_are_equal(layer(cell), "aarch64", tmp_path)


@LONG
@pytest.mark.parametrize("cell", FOUR)
@pytest.mark.parametrize("target", [name for name in MACHINES if name != "aarch64"])
def test_four_cells_have_the_same_bits_on_every_machine(cell, target, tmp_path):
    bits_are_equal(layer(cell), target, tmp_path)


@LONG
@pytest.mark.parametrize("target", MACHINES)
def test_a_whole_model_of_tokens_has_the_same_bits_on_every_machine(target, tmp_path):
    torch.manual_seed(2)
    tokens = torch.randint(0, TOKENS, (STEPS,), generator=torch.Generator().manual_seed(5))
    bits_are_equal(Model().eval(), target, tmp_path, tokens, weights="blob")


@LONG
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("target", ["x86-64-v3", "aarch64", "cortex-m4", "cortex-m55", "riscv64v", "riscv32"])
def test_drawn_networks_have_the_same_bits(target, seed, tmp_path):
    network = drawn_network(seed)
    bits_are_equal(network, target, tmp_path, drawn_input(network, STEPS, 1)[:, 0])


@LONG
@pytest.mark.parametrize("target", [name for name in MACHINES if CHIPS[name].float64])
def test_float64_has_the_same_bits_where_the_machine_has_its_multiply_add(target, tmp_path):
    bits_are_equal(layer("lstm").double(), target, tmp_path)


@LONG
@pytest.mark.parametrize("target", ["x86-64-v3", "aarch64", "armv7", "cortex-m4", "cortex-m55"])
def test_subnormal_numbers_are_taken_as_zero_where_the_machine_can(target, tmp_path):
    model = ostinato.GRU(13, 24)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e-3)
        for bias in (model.bias_ih_l0, model.bias_hh_l0):
            bias.zero_()
    x = torch.randn(STEPS, 13, generator=torch.Generator().manual_seed(3)) * 1e-37
    assert x.abs().max() * 1e-3 < torch.finfo(torch.float32).tiny
    bits_are_equal(model, target, tmp_path, x)


def test_source_has_the_same_bits(tmp_path):
    bits_are_equal(layer("lstm"), "x86-64-v3", tmp_path, form="source")


@LONG
@pytest.mark.parametrize("weights", ["const", "blob"])
@pytest.mark.parametrize("target", MACHINES)
def test_source_of_a_whole_model_has_the_same_bits_on_every_machine(target, weights, tmp_path):
    torch.manual_seed(2)
    tokens = torch.randint(0, TOKENS, (STEPS,), generator=torch.Generator().manual_seed(5))
    bits_are_equal(Model().eval(), target, tmp_path, tokens, weights=weights, form="source")


@LONG
@pytest.mark.parametrize("target", SOFT)
def test_source_has_the_same_bits_without_a_floating_point_unit(target, tmp_path):
    for name in ("lstm", "gru"):
        bits_are_equal(layer(name), target, tmp_path / name, form="source")
    torch.manual_seed(2)
    tokens = torch.randint(0, TOKENS, (STEPS,), generator=torch.Generator().manual_seed(5))
    bits_are_equal(Model().eval(), target, tmp_path / "model", tokens, weights="blob", form="source")


@LONG
@pytest.mark.parametrize("weights", ["const", "blob"])
def test_source_of_a_network_without_states_or_weights_has_the_same_bits(weights, tmp_path):
    nodes = Input(place="x", width=5), Softmax(place="softmax", inputs=(0,), width=5)
    for form in ("source", "object"):
        bits_are_equal(Network(nodes, 1, torch.float32), "x86-64-v3", tmp_path / form, weights=weights, form=form)


@LONG
def test_source_starts_from_learned_states(tmp_path):
    model = ostinato.GRU(13, 24, learn_initial_state=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "initial" in name:
                parameter.normal_()
    for weights in ("const", "blob"):
        bits_are_equal(model, "aarch64", tmp_path / weights, weights=weights, form="source")


@LONG
def test_wider_vector_registers_run_the_same_code(tmp_path):
    torch.manual_seed(0)
    model, x = ostinato.LSTM(13, 24), torch.randn(STEPS, 13)
    found = machine("riscv64v")
    wider = type(found)(found.compiler, [*found.run[:-1], "rv64,v=true,vlen=512"])
    outcome = run(c(model, tmp_path, "riscv64v"), read(model), x, wider)
    assert outcome.equal, outcome
