"""Text, streams, the character model and its training."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import ostinato
from ostinato.apps.models import CharModel
from ostinato.apps.training import Text, Trainer, bits_per_character, chunks, streams, weight_count
from ostinato.errors import InputError

PATTERN = "abcdefgh" * 200


@pytest.fixture(autouse=True)
def one_thread():
    """Models this small gain nothing from threads, and lose much where other tests run beside them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny(kind=nn.GRU, characters=8, **options):
    torch.manual_seed(1)
    return CharModel(kind(4, 6, **options), characters)


def test_text_numbers_its_characters_and_holds_out_the_end():
    text = Text.of("banana-ß\n" * 10, held_out=0.1)
    assert text.alphabet == "\n-abnß"
    assert text.decode(text.train) + text.decode(text.valid) == "banana-ß\n" * 10
    assert len(text.valid) == 9
    assert text.decode(text.encode("nab")) == "nab"


def test_characters_beyond_two_bytes():
    text = Text.of("a🎻b" * 10)
    assert text.alphabet == "ab🎻"
    assert text.decode(text.train)[:3] == "a🎻b"


def test_streams_lie_side_by_side():
    assert streams(torch.arange(11), 3).tolist() == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


def test_chunks_predict_the_next_character_and_use_every_one_once():
    pieces = list(chunks(streams(torch.arange(22), 2), 4))
    assert [len(inputs) for inputs, _ in pieces] == [4, 4, 2]
    assert torch.cat([inputs for inputs, _ in pieces])[:, 0].tolist() == list(range(10))
    assert all(torch.equal(inputs + 1, targets) for inputs, targets in pieces)


@pytest.mark.parametrize("kind", [nn.LSTM, ostinato.RNN, ostinato.GRU, ostinato.LSTM])
def test_model_carries_its_state(kind):
    model = tiny(kind)
    ids = torch.randint(8, (7, 3))
    whole, _ = model(ids)
    first, state = model(ids[:4])
    rest, _ = model(ids[4:], state)
    assert whole.shape == (7, 3, 8)
    torch.testing.assert_close(torch.cat([first, rest]), whole)


def test_projected_layer_gets_a_head_of_its_size():
    scores, _ = tiny(nn.LSTM, proj_size=3)(torch.zeros(2, 1, dtype=torch.int64))
    assert scores.shape == (2, 1, 8)


def test_bits_per_character_is_the_mean_over_what_is_predicted():
    model, ids = tiny(), torch.randint(8, (90,))
    streamed = streams(ids, 3)
    nats = cross_entropy(model(streamed[:-1])[0].flatten(0, 1), streamed[1:].flatten())
    assert bits_per_character(model, ids, batch=3, steps=7) == pytest.approx(nats.item() / math.log(2), rel=1e-6)


def test_a_model_that_knows_nothing_needs_log2_k():
    model = tiny()
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    assert bits_per_character(model, torch.randint(8, (500,))) == pytest.approx(3.0, rel=1e-6)


@pytest.mark.parametrize("kind", [nn.GRU, ostinato.RNN, ostinato.GRU, ostinato.LSTM])
def test_training_learns_a_pattern(kind):
    text = Text.of(PATTERN)
    model = tiny(kind)
    running = Trainer(model, text, batch=4, steps=16, total=80, learning_rate=3e-2)
    losses = [running.step() for _ in range(80)]
    assert losses[0] > 1.5
    assert bits_per_character(model, text.valid, batch=2) < 0.3
    assert text.decode(model.generate(text.encode("abcdabcdefgh"), 16, temperature=0.1)) == "abcdefgh" * 2


def test_the_first_step_is_the_reference_step():
    """One step against the same step written out: carry nothing, average over T·B, clip, Adam."""
    text = Text.of(PATTERN)
    model = tiny()
    expected = copy.deepcopy(model)
    Trainer(model, text, batch=4, steps=16, clip=0.01, learning_rate=1e-2).step()
    (ids, targets), *_ = chunks(streams(text.train, 4), 16)
    optimiser = torch.optim.Adam(expected.parameters(), lr=1e-2)
    cross_entropy(expected(ids)[0].flatten(0, 1), targets.flatten()).backward()
    norm = torch.stack([weight.grad.norm() for weight in expected.parameters()]).norm()
    for weight in expected.parameters():
        weight.grad *= 0.01 / norm
    optimiser.step()
    for trained, reference in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(trained, reference, rtol=1e-4, atol=1e-5)


def test_the_state_is_carried_between_chunks_and_starts_anew_with_the_text():
    seen = []

    class Spy(CharModel):
        def forward(self, ids, state=None):
            seen.append(state)
            return super().forward(ids, state)

    torch.manual_seed(1)
    text = Text.of(PATTERN)
    running = Trainer(Spy(nn.GRU(4, 6), 8), text, batch=4, steps=150)
    for _ in range(5):
        running.step()
    assert [state is None for state in seen] == [True, False, False, True, False]
    assert not seen[1].requires_grad
    assert seen[1].abs().max() > 0
    assert running.characters == 4 * (150 + 150 + 71) + 4 * (150 + 150)


def test_the_learning_rate_falls_to_a_tenth():
    running = Trainer(tiny(), Text.of(PATTERN), batch=4, steps=4, total=10, learning_rate=1e-2)
    for _ in range(10):
        running.step()
    assert running._optimiser.param_groups[0]["lr"] == pytest.approx(1e-3)


def test_generating_is_repeatable_and_leaves_the_global_generator_alone():
    model, prompt = tiny(), torch.tensor([1, 2, 3])
    before = torch.random.get_rng_state()
    first, second, other = (model.generate(prompt, 40, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())
    assert model.generate(prompt, 0).shape == (0,)


def test_weights_are_counted():
    assert weight_count(tiny(nn.RNN)) == 8 * 4 + (6 * 4 + 6 * 6 + 6 + 6) + (8 * 6 + 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Text.of("abc", held_out=1.0), "Text: held_out must be a share between 0 and 1, got 1.0"),
        (lambda: Text.of("abc").encode("ax"), "Text.encode: text must be characters of the alphabet, got 'x'"),
        (lambda: streams(torch.arange(5), 3), "streams: batch must be between 1 and 2 for 5 characters, got 3"),
        (lambda: tiny(nn.GRU, bidirectional=True), "CharModel: layer must be one-directional"),
        (lambda: tiny(nn.GRU, batch_first=True), "CharModel: layer must be time first, got batch_first=True"),
        (lambda: tiny().generate(torch.tensor([], dtype=torch.int64), 3), "prompt must be at least one character"),
        (lambda: tiny().generate(torch.tensor([1]), 3, temperature=0), "temperature must be above 0, got 0"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError, match=message):
        call()
