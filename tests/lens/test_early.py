"""The early word: its score on networks whose gradient is known, when it is given, and what it refuses."""

import json
import math

import pytest
import torch

import ostinato
from lens.example_reports import example_probe, example_report, powers
from ostinato.errors import InputError
from ostinato.lens import Live
from ostinato.lens.live.early import SCORE_BELOW, early_word, is_long_enough, score_of

STEPS, LAG, UPDATES = 30, 20, 150
"""The word is due at step 3."""


@ostinato.cell
def keeping(W, U, x, h):
    return W.h @ x + U.h @ h


def network(a):
    """h_t = a·h_{t-1} + x_t."""
    layer = ostinato.Recurrent(keeping, 4, 4)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(a * torch.eye(4))
    return layer


def trained(live, layer, steps=6, loss=0.5, lengths=lambda step: STEPS):
    optimiser = torch.optim.SGD(layer.parameters(), 0.0)
    for step in range(steps):
        with live.step():
            layer(torch.ones(lengths(step), 3, 4))[0][-1].square().sum().backward()
            live.loss(torch.tensor(loss), 2.0)
            optimiser.step()


@pytest.mark.parametrize(("a", "loss", "learning"), [(1.0, 1.0, True), (0.3, 20.0, False), (0.3, 1.0, True)])
def test_the_word_on_a_network_whose_gradient_is_known(a, loss, learning, tmp_path):
    layer = network(a)
    with Live(layer, tmp_path / "lens.jsonl", lag=LAG, updates=UPDATES) as live:
        trained(live, layer, steps=3, loss=0.5 * loss)
        assert live.early is None
        trained(live, layer, loss=0.5 * loss)
    word = live.early
    assert (word.learning, word.lag, word.step) == (learning, LAG, 3)
    assert word.ratio == pytest.approx(a**LAG, rel=1e-4) and word.loss == pytest.approx(0.25 * loss)
    expected = 1.088 - 0.217 * math.log10(21) + 0.0456 * max(-6, LAG * math.log10(a)) - 0.0963 * 0.25 * loss
    assert word.score == pytest.approx(expected, abs=1e-5) == score_of(LAG, a**LAG, 0.25 * loss)
    assert (word.score < word.threshold) != learning and word.threshold == SCORE_BELOW
    lines = [json.loads(line) for line in (tmp_path / "lens.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == [0, 3]
    assert lines[1]["verdict"][0] == str(word) and lines[1]["scalars"]["early/ratio"] == word.ratio
    assert "early/ratio" not in lines[0]["scalars"]
    start = f"the dependency at lag 20 {'may be learned' if learning else 'is not being learned'}: after 3 updates"
    assert word.sentence.startswith(start) and ("stop the run" in word.sentence) != learning


def test_losses_count_from_half_of_the_time_before_the_word():
    layer = network(1.0)
    live = Live(layer, lag=LAG, updates=200)  # due at step 4
    trained(live, layer, steps=2, loss=8.0)
    trained(live, layer, steps=2, loss=0.4)
    trained(live, layer, steps=2, loss=0.8)
    assert live.early.step == 4 and live.early.loss == pytest.approx((0.2 + 0.2 + 0.4) / 3)


def test_the_word_waits_for_a_sequence_that_is_longer_than_the_lag():
    layer = network(1.0)
    live = Live(layer, lag=LAG, updates=UPDATES)
    trained(live, layer, lengths=lambda step: LAG)
    assert live.early is None and live.report is not None
    trained(live, layer, lengths=lambda step: LAG + (step > 0))
    assert live.early.step == 7


def test_the_layer_with_most_of_the_gradient_counts_and_a_second_direction_does_not():
    low, high = (example_probe(torch.cat([powers(a, 40)] * 2, 1)) for a in (0.5, 0.9))
    found = [early_word(example_report(probe), 10, 5, [1.0]).ratio for probe in (low, high)]
    assert found[0] < found[1]
    both = ostinato.lens.Report(
        (
            *example_report(low).layers,
            *example_report(high).layers,
            *example_report(powers_probe(), reverse=True).layers,
        ),
        (),
        ostinato.lens.Clipping((), ()),
    )
    assert early_word(both, 10, 5, [1.0]).ratio == found[1]


def powers_probe():
    return example_probe(powers(1.0, 40))


def test_long_enough_is_longer_than_the_lag():
    report = example_report(powers_probe(), lengths_steps=torch.tensor([12, 7]))
    assert is_long_enough(report, 11) and not is_long_enough(report, 12)


def test_training_is_the_same_with_an_early_word():
    found = []
    for options in ({}, {"lag": 5, "updates": 100}):
        torch.manual_seed(0)
        layer = ostinato.LSTM(4, 6)
        optimiser = torch.optim.Adam(layer.parameters())
        live = Live(layer, **options)
        for _ in range(4):
            with live.step():
                optimiser.zero_grad()
                loss = layer(torch.randn(8, 3, 4))[0][-1].square().mean()
                loss.backward()
                live.loss(loss, 1.0)
                optimiser.step()
        found.append([*layer.state_dict().values()])
    assert live.early is not None and all(torch.equal(a, b) for a, b in zip(*found))


def test_what_is_refused():
    layer = network(1.0)
    with pytest.raises(InputError, match="lens.Live: lag and updates must be given together, got 3 and None"):
        Live(layer, lag=3)
    for updates in (49, 2.5, True):
        with pytest.raises(InputError, match="lens.Live: updates must be a number of updates, 50 or more, got"):
            Live(layer, lag=3, updates=updates)
    with pytest.raises(InputError, match="lens.watch: lag must be a number of steps, 0 or more, got -1"):
        Live(layer, lag=-1, updates=100)
    live = Live(layer, lag=LAG, updates=50)
    with pytest.raises(InputError, match="lens.Live: constant must be above 0, got 0"):
        live.loss(1.0, 0)
    with pytest.raises(
        InputError, match="loss must be noted before step 1, where the early word is due, got none. Call"
    ):
        for _ in range(2):
            with live.step():
                layer(torch.ones(STEPS, 3, 4))[0][-1].sum().backward()
    live = Live(layer, lag=LAG, updates=50)
    with pytest.raises(
        InputError, match="the training step must be a loss that reads the last step, got none. The lag"
    ):
        for _ in range(2):
            with live.step():
                layer(torch.ones(STEPS, 3, 4))[0][0].sum().backward()
                live.loss(1.0, 1.0)
