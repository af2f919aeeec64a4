"""A step that keeps the values of gates: they are the lens's, and all other bits are as without them."""

import ctypes

import pytest
import torch

import ostinato
from ostinato import lens
from ostinato.cells import catalogue
from ostinato.cells.transforms import gate_values
from ostinato.kernels.network.pack import pack
from ostinato.kernels.network.portable import ARGUMENTS, PortableKernel, Shape
from ostinato.kernels.system import compile_cache
from ostinato.kernels.system.target import host

QUICK = ("lstm", "gru_reset_before", "mingru", "slstm", "lstm_projected")
STEPS = 6


class Probed:
    """One stream of a network's portable code on this machine: its outputs, its states, and the gates of every step."""

    def __init__(self, network, lanes, probed):
        kernel = PortableKernel(network, Shape(lanes, 16, 64), probed)
        key = f"gates {lanes} {probed} {network.structure}"
        self.library = compile_cache.compile(lambda: kernel.module("net"), name="gates", key=key, target=host())
        self.step = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(ARGUMENTS))(self.library.address("net_step"))
        self.kernel, self.network = kernel, network
        self.weights = pack(kernel.layout, {p.name: p.read() for p in network.parameters})

    def run(self, xs):
        """(y [T, O], states [S], gate → [T, H])."""
        state, work = torch.zeros(self.kernel.state_size), torch.full((self.kernel.work_size,), torch.nan)
        ys = torch.zeros(len(xs), self.network.nodes[self.network.output].width)
        found = {probe.name: [] for probe in self.kernel.layout.probes}
        for x, y in zip(xs, ys, strict=True):
            self.step(*(t.data_ptr() for t in (state, work, self.weights, x, y)))
            for probe in self.kernel.layout.probes:
                found[probe.name].append(work[probe.column :][: probe.width].clone())
        return ys, state, {name: torch.stack(values) for name, values in found.items()}


def layer_of(name, **options):
    torch.manual_seed(0)
    cell = catalogue()[name]
    return ostinato.Recurrent(cell, 5, 11, proj_size=7 if cell.projected else 0, **options).eval()


def agrees(layer, lanes):
    """Whether the bits are those of a step without gates and of the stream, and the gates those of the lens."""
    xs = torch.randn(STEPS, layer.input_size)
    stream = ostinato.stream(layer)
    y, state, gates = Probed(stream.network, lanes, True).run(xs)
    plain_y, plain_state, none = Probed(stream.network, lanes, False).run(xs)
    assert none == {}
    assert torch.equal(y, plain_y) and torch.equal(state, plain_state) and torch.equal(y, stream.push(xs))
    expected = lens.gate_values(layer, xs[:, None])
    assert {name.rsplit(".", 1)[1] for name in gates} == set(expected)
    for name, values in gates.items():
        torch.testing.assert_close(values, expected[name.rsplit(".", 1)[1]][:, 0], rtol=0, atol=1e-5)
    return gates


@pytest.mark.parametrize("name", QUICK)
def test_the_gates_of_a_step_are_those_of_the_lens_and_the_bits_stay(name):
    gates = agrees(layer_of(name), 4)
    assert list(gates) == [f"0.{gate}" for gate in gate_values(catalogue()[name])]


def test_the_gates_of_an_lstm_are_its_four_and_those_of_a_gru_its_three():
    assert list(agrees(layer_of("lstm"), 8)) == ["0.i", "0.f", "0.g", "0.o"]
    assert list(agrees(layer_of("gru"), 1)) == ["0.r", "0.z", "0.n"]


def test_options_of_the_equations_keep_their_gates():
    agrees(layer_of("lstm", layer_norm=True, zoneout=0.1, clip_state={"c": 0.5}), 4)


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 4, 8])
@pytest.mark.parametrize("name", list(catalogue()))
def test_every_cell_has_the_gates_of_the_lens(name, lanes):
    agrees(layer_of(name), lanes)
