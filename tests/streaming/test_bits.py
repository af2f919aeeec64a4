"""A stream gives the bits of the layer's own call, and its own in chunks, in steps and in any batch."""

import pytest
import torch

import ostinato
from ostinato.cells import catalogue
from ostinato.network import Input, Network, Running
from ostinato.network.reference import Reference
from ostinato.streaming.streams import Stream
from streaming.agreement import Made
from streaming.drawn import drawn_input, drawn_network

QUICK = ("lstm", "gru_reset_before", "slstm", "lstm_projected")


def equal_in_every_way(layer, steps, rows):
    """The layer's own call, and the stream whole, step by step and in chunks."""
    x = torch.randn(steps, rows, layer.input_size, dtype=next(layer.parameters()).dtype)
    with torch.no_grad():
        expected = layer.eval()(x)[0]
    stream = ostinato.stream(layer, rows=rows)
    whole = stream.push(x)
    stream.reset()
    stepped = torch.stack([stream.step(x_t) for x_t in x])
    stream.reset()
    chunks = torch.cat([stream.push(part) for part in (x[:1], x[1:4], x[4:])])
    return all(torch.equal(expected, y) for y in (whole, stepped, chunks))


@pytest.mark.parametrize("name", QUICK)
def test_a_stream_has_the_bits_of_the_layers_call(name):
    torch.manual_seed(0)
    cell = catalogue()[name]
    assert equal_in_every_way(ostinato.Recurrent(cell, 13, 24, proj_size=9 if cell.projected else 0), 9, 3)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(13, 24, 2), (3, 70, 1), (16, 16, 5)], ids=str)
@pytest.mark.parametrize("name", list(catalogue()))
def test_every_cell_has_the_bits_of_the_layers_call(name, sizes):
    torch.manual_seed(0)
    cell, (inputs, units, rows) = catalogue()[name], sizes
    assert equal_in_every_way(ostinato.Recurrent(cell, inputs, units, proj_size=9 if cell.projected else 0), 9, rows)


def test_options_several_layers_and_many_rows_have_the_bits_of_the_layers_call():
    torch.manual_seed(0)
    options = {"layer_norm": True, "learn_initial_state": True, "zoneout": 0.1}
    layer = ostinato.LSTM(7, 33, 2, **options)
    for name, p in layer.named_parameters():
        if name.startswith("initial"):
            torch.nn.init.uniform_(p)
    assert equal_in_every_way(layer, 9, 3)
    assert equal_in_every_way(ostinato.GRU(7, 40).double(), 9, 100)
    assert equal_in_every_way(ostinato.LSTM(7, 33, proj_size=11, layer_norm=True), 70, 1)


def scaled(m, x):
    return m.rnn(x)[0] * m.p + m.q


def normed(m, x):
    return torch.nn.functional.layer_norm(m.rnn(x)[0], (6,), m.p, m.q)


@pytest.mark.parametrize("rule", [scaled, normed])
def test_networks_of_one_structure_run_one_code_whether_they_share_parameters_or_not(rule):
    torch.manual_seed(0)
    layer, x = ostinato.GRU(3, 6), torch.randn(4, 2, 3)
    first, second = (torch.nn.Parameter(torch.randn(6)) for _ in range(2))
    models = [Made(rule, rnn=layer, p=p, q=q).eval() for p, q in ((first, first), (first, second), (second, second))]
    streams = [ostinato.stream(model, rows=2) for model in models]
    assert len({stream.network.structure for stream in streams}) == 1
    for model, stream in zip(models, streams):
        with torch.no_grad():
            torch.testing.assert_close(stream.push(x), model(x), rtol=1e-5, atol=1e-5)


def test_a_mean_over_many_steps_loses_none_of_them():
    """Two levels, 200,000 steps each: the increments of a float32 mean would be rounded away."""
    nodes = (Input(place="x", width=1), Running(place="mean", inputs=(0,), width=1, kind="mean"))
    stream = Stream(Network(nodes, 1, torch.float32))
    steps = 200_000
    x = torch.cat([torch.full((steps, 1, 1), 100.0), torch.full((steps, 1, 1), 101.0)])
    assert stream.push(x)[-1].item() == 100.5
    count, rest = 2.0**24, 5.0
    stream.load({**stream.state(), "mean.count": torch.tensor([[count, rest]])})
    stream.step(torch.ones(1, 1))
    assert stream.state()["mean.count"].tolist() == [[count, rest + 1]]


@pytest.mark.parametrize("seed", range(12))
def test_networks_agree_with_the_reference_and_with_themselves(seed):
    """Against plain torch in float64; bits whole and stepped, and of a row by itself."""
    dtype, rows, steps = (torch.float32, torch.float64)[seed % 2], (1, 2, 5, 70)[seed % 4], (1, 7, 20)[seed % 3]
    network = drawn_network(seed, dtype, tokens=seed % 5 == 0)
    x = drawn_input(network, steps, rows)
    reference = Reference(network, torch.float64)
    expected, states = reference.run(x, reference.initial(rows))
    stream = Stream(network, rows)
    y, after = stream.push(x), stream.state()
    tolerance = 2e-5 if dtype is torch.float32 else 1e-12
    torch.testing.assert_close(y.double(), expected, rtol=tolerance, atol=tolerance)
    for name, value in states.items():
        torch.testing.assert_close(after[name].double(), value, rtol=tolerance, atol=tolerance)
    stream.reset()
    assert torch.equal(torch.stack([stream.step(x_t) for x_t in x]), y)
    assert all(torch.equal(value, after[name]) for name, value in stream.state().items())
    row = seed % rows
    assert torch.equal(Stream(network, 1).push(x[:, row : row + 1])[:, 0], y[:, row])
