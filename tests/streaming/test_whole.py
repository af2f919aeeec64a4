"""Networks of two directions run on whole sequences, with the bits of the layer's own call."""

import pytest
import torch
from torch import nn

import ostinato
from ostinato.errors import InputError, ShapeError
from ostinato.network.reference import Reference
from ostinato.streaming.choose import run_whole
from ostinato.streaming.read import read


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(9, 6), nn.Linear(16, 3)
        self.layer = ostinato.GRU(6, 8, bidirectional=True)

    def forward(self, x):
        return self.head(self.layer(self.embedding(x))[0].mean(0))


@pytest.mark.parametrize("steps", [1, 30, 300])
def test_two_directions_have_the_bits_of_the_layers_call(steps):
    torch.manual_seed(0)
    layer = ostinato.LSTM(5, 7, 2, bidirectional=True, learn_initial_state=True).eval()
    for p in layer.parameters():
        nn.init.uniform_(p, -0.5, 0.5)
    x = torch.randn(steps, 1, 5)
    network = read(layer, whole=True)
    with torch.no_grad():
        assert torch.equal(run_whole(network, x[:, 0]), layer(x)[0][:, 0])
    names = [field.name for field in network.states]
    assert names == [f"{k}{d}.{s}" for k in "01" for d in ("", ".reverse") for s in "hc"]


def test_a_pooled_model_has_its_value_at_the_last_step():
    torch.manual_seed(0)
    model, tokens = Classifier().eval(), torch.randint(0, 9, (20,))
    network = read(model, whole=True)
    with torch.no_grad():
        torch.testing.assert_close(run_whole(network, tokens)[-1], model(tokens[:, None])[0])
    reference = Reference(network, torch.float64)
    expected, _ = reference.run(tokens[:, None], reference.initial(1))
    torch.testing.assert_close(run_whole(network, tokens).double(), expected[:, 0], atol=1e-5, rtol=1e-5)
    assert run_whole(network, tokens[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    ("xs", "message"),
    [
        (torch.zeros(4, 6), r"run_whole: xs must be of the sizes \[T, 5\], got \[4, 6\]. Time comes first."),
        (torch.zeros(4, 1, 5), r"got \[4, 1, 5\]"),
        (torch.zeros(4, 5, dtype=torch.float64), "run_whole: x must be of type torch.float32, got torch.float64"),
    ],
)
def test_a_sequence_of_other_sizes_or_types_is_refused(xs, message):
    network = read(ostinato.GRU(5, 7, bidirectional=True), whole=True)
    with pytest.raises((InputError, ShapeError), match=message):
        run_whole(network, xs)


def test_torchs_default_device_does_not_change_a_run():
    network, xs = read(ostinato.GRU(5, 7, bidirectional=True), whole=True), torch.randn(4, 5)
    with torch.device("meta"):
        y = run_whole(network, xs)
    assert torch.equal(y, run_whole(network, xs))


def test_a_stream_refuses_a_network_of_two_directions():
    network = read(Classifier(), whole=True)
    with pytest.raises(InputError, match="network must be of one direction, got one that reads from the end too"):
        ostinato.Stream(network)
