"""Networks that go on step by step: streams against whole sequences and calls of the layers, rows that go on."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

import ostinato
from ostinato.program.options import NetworkOptions
from ostinato.program.running.training_samples import LENGTH, TrainingSamples
from ostinato.program.running.writing import Request, Writer
from ostinato.program.tasks.networks import output_width
from ostinato.program.tasks.stepping import Called, Core, Streamed, steps_of
from ostinato.program.tasks.texts.language_network import LanguageNetwork
from ostinato.program.tasks.texts.units import TextUnits
from ostinato.program.tasks.translating.network import TranslationNetwork

LAYERS = {
    "lstm": {"cell": "lstm"},
    "gru, two layers": {"cell": "gru", "num_layers": 2},
    "projected": {"cell": "lstm_projected", "proj_size": 4},
    "layer norm": {"cell": "lstm", "layer_norm": True},
    "learned states": {"cell": "lstm", "num_layers": 2, "learn_initial_state": True},
    "zoneout": {"cell": "gru", "zoneout": 0.2},
    "clipped": {"cell": "lstm", "clip_state": {"c": 0.3}},
    "dropped": {"cell": "gru", "num_layers": 2, "dropout": 0.3, "recurrent_dropout": 0.2, "weight_dropout": 0.2},
    "without bias": {"cell": "elman", "bias": False},
    "four states": {"cell": "slstm"},
}
EACH = pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)


def core(options, tokens=0, head=0, seed=0):
    """With random parameters, learned states included, in evaluation."""
    torch.manual_seed(seed)
    layers = ostinato.Recurrent(input_size=6, hidden_size=7, **options)
    made = Core(
        layers,
        nn.Embedding(tokens, 6) if tokens else None,
        nn.Linear(output_width(layers), head) if head else None,
    )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.uniform_(-0.8, 0.8)
    return made.eval()


def ways(made, rows, start=None):
    return Streamed(made, rows, start), Called(made, start)


@EACH
def test_steps_give_what_the_whole_sequence_gives(options):
    made, x = core(options, tokens=9, head=5), torch.randint(0, 9, (6, 3))
    with torch.no_grad():
        whole = made(x)
    for steps in ways(made, 3):
        found = torch.stack([steps.step(row) for row in x])
        torch.testing.assert_close(found, whole)


@EACH
def test_steps_go_on_from_a_given_state(options):
    made, x = core(options), torch.randn(4, 2, 6)
    with torch.no_grad():
        _, state = made.layers(torch.randn(5, 2, 6))
        whole, _ = made.layers(x, state)
    start = [state] if isinstance(state, torch.Tensor) else list(state)
    for steps in ways(made, 2, start):
        torch.testing.assert_close(torch.stack([steps.step(row) for row in x]), whole)


@EACH
def test_rows_are_kept_repeated_and_dropped(options):
    made, x = core(options), torch.randn(7, 8, 6)
    read = [3, 3, 0, 0, 2]
    with torch.no_grad():
        whole = made(torch.cat([x[:3, [0, 0, 0, 0, 2]], x[3:4, [3, 3, 0, 0, 2]], x[4:, :5]]))
    for steps in ways(made, 4):
        for row in x[:3, :4]:
            steps.step(torch.stack([row[0], row[1], row[2], row[0]]))
        steps.keep([0, 1, 2, 3])
        steps.step(x[3, :4])
        steps.keep(read)
        found = torch.stack([steps.step(row[:5]) for row in x[4:]])
        torch.testing.assert_close(found, whole[4:])
        steps.keep([])
        assert steps.step(torch.empty(0, 6)).shape == (0, output_width(made.layers))


def test_a_fork_and_what_it_came_from_go_on_independently():
    made, x = core(LAYERS["lstm"]), torch.randn(3, 1, 6)
    with torch.no_grad():
        whole = made(x)
    for steps in ways(made, 1):
        steps.step(x[0])
        other = steps.fork()
        first = steps.step(x[2])
        torch.testing.assert_close(other.step(x[1]), whole[1])
        assert not torch.allclose(first, whole[1])
        torch.testing.assert_close(other.step(x[2]), whole[2])


def test_layers_are_called_on_other_devices_than_the_cpu():
    assert isinstance(steps_of(core(LAYERS["lstm"]), 1), Streamed)
    assert isinstance(steps_of(core(LAYERS["lstm"]).to("meta"), 1), Called)


def test_a_core_has_the_modules_of_its_network_and_the_network_has_no_more_for_it():
    options = NetworkOptions(cell="lstm", hidden=7, embedding=6, both_directions=False)
    network = LanguageNetwork(9, options).eval()
    names = list(network.state_dict())
    made = network.core()
    assert (made.layers, made.embedding, made.head) == (network.layers, network.embedding, network.head)
    assert not made.training and list(network.state_dict()) == names
    assert TranslationNetwork(4, 4, NetworkOptions(hidden=5, embedding=4)).eval().core().layers.num_layers == 1


def writer(cell="lstm", layers=1, **options):
    units = TextUnits.of(["the quick brown fox jumps over the lazy dog"], NetworkOptions(unit="char"))
    torch.manual_seed(1)
    options = NetworkOptions(
        cell=cell, hidden=12, layers=layers, embedding=6, both_directions=False, options=options, dropout=0.2
    )
    network = LanguageNetwork(len(units), options).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)
    return Writer(SimpleNamespace(units=units), network, "ostinato generate")


@pytest.mark.parametrize(
    "options",
    [{}, {"cell": "gru", "layers": 2}, {"layer_norm": True}, {"learn_initial_state": True}, {"zoneout": 0.1}],
    ids=str,
)
def test_the_same_seed_draws_the_same_text_from_a_stream_as_from_calls_of_the_layers(options, monkeypatch):
    asked = Request("the ", length=60, seed=4)
    streamed = [writer(**options).write(asked, number).text for number in range(3)]
    monkeypatch.setattr("ostinato.program.tasks.texts.language_network.steps_of", lambda core, rows: Called(core))
    assert [writer(**options).write(asked, number).text for number in range(3)] == streamed
    assert len(set(streamed)) == 3


def test_texts_of_one_writer_may_be_read_in_turns():
    made, asked = writer(), Request("a", length=20)
    alone = [made.write(asked, number).text for number in range(2)]
    (_, first), (_, second) = made.begin(asked, 0), made.begin(asked, 1)
    pairs = list(zip(first, second))
    assert ["".join(side) for side in zip(*pairs)] == alone


def test_samples_of_a_training_are_written_with_the_weights_that_the_network_has_then():
    made = writer()
    samples = TrainingSamples(made.task, made.network, None)
    samples.write(1)
    with torch.no_grad():
        made.network.head.weight.mul_(-1)
    samples.write(2)
    texts = [Writer(made.task, made.network, "train").write(Request(length=LENGTH), 2).text]
    texts.append(made.write(Request(length=LENGTH), 2).text)
    assert samples.lines[1]["text"] == texts[0] != texts[1]
