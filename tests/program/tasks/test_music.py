"""The task of music: a periodic piece is learned, no frame is known before it comes, both heads are distributions."""

import itertools
import math

import numpy as np
import pytest
import torch

from ostinato.errors import InputError
from ostinato.program.data.examples import Examples
from ostinato.program.options import NetworkOptions, TrainOptions
from ostinato.program.tasks.music import music
from ostinato.program.tasks.music.heads import ApartHead, JointHead
from ostinato.program.tasks.music.metrics import by_octave, midi_numbers, tally_of_rolls
from ostinato.program.tasks.music.music import Music
from ostinato.program.tasks.own_options import refuse_foreign_options
from ostinato.program.tasks.task import Predictions
from ostinato.program.training.evaluate import predict
from program.tasks.made_rolls import KEYS, noise, options, periodic, trained, untrained

HEADS = pytest.mark.parametrize("chords", ["joint", "apart"])


@HEADS
def test_a_periodic_piece_is_learned_exactly(chords):
    examples = periodic()
    task, network, _ = trained(examples, chords=chords)
    found = predict(task, network, task.encode(examples))[0]
    tally = task.tally(examples, found)
    assert tally.value("nats_per_frame") < 0.02 and tally.value("frame_accuracy") == 1.0


@HEADS
def test_no_frame_is_known_before_it_comes(chords):
    examples = noise([9])
    task, network = untrained(examples, chords=chords)
    before = predict(task, network, task.encode(examples))[0]
    changed = examples.inputs[0].copy()
    changed[5] = 1 - changed[5]
    after = predict(task, network, task.encode(type(examples)("roll", [changed], "frames", [changed], KEYS)))[0]
    same = np.isclose(before.values[0], after.values[0], rtol=1e-6)
    assert same.tolist() == [True] * 5 + [False] * 4
    assert np.array_equal(before.probabilities[0][:6], after.probabilities[0][:6])
    assert not np.allclose(before.probabilities[0][6], after.probabilities[0][6])


@HEADS
def test_other_pieces_of_a_batch_change_nothing(chords):
    examples = noise([3, 12, 1, 7])
    task, network = untrained(examples, chords=chords)
    together = predict(task, network, task.encode(examples))[0]
    for row in range(4):
        alone = predict(task, network, task.encode(examples.take([row])))[0]
        np.testing.assert_allclose(alone.values[0], together.values[row], rtol=1e-5)
        np.testing.assert_allclose(alone.probabilities[0], together.probabilities[row], rtol=1e-4, atol=1e-6)


@HEADS
def test_the_probabilities_of_all_chords_add_up_to_one(chords):
    _, network = untrained(noise([4]), chords=chords)
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.normal_(0, 0.7, generator=torch.Generator().manual_seed(3))
        every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=len(KEYS))))
        read = torch.randn(1, 24, generator=torch.Generator().manual_seed(4)).expand(len(every), -1)
        chances = torch.exp(-network.head.nats(read, every).double())
    assert float(chances.sum()) == pytest.approx(1, rel=1e-5)
    assert float(chances.max()) < 0.9


@HEADS
def test_drawn_chords_have_the_probabilities_that_the_nats_say(chords):
    _, network = untrained(noise([4]), chords=chords)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.normal_(0, 0.7, generator=generator)
        every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=len(KEYS))))
        read, count = torch.randn(1, 24, generator=generator), 20_000
        expected = torch.exp(-network.head.nats(read.expand(len(every), -1), every)).double().numpy()
        numbers = torch.rand(count, len(KEYS), generator=generator, dtype=torch.float64)
        drawn = network.draw(read.expand(count, -1), numbers)
    assert drawn.dtype == torch.uint8
    places = (drawn.long() * 2 ** torch.arange(len(KEYS) - 1, -1, -1)).sum(1)
    share = np.bincount(places.numpy(), minlength=len(every)) / count
    assert np.all(np.abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / count) + 1e-4)


def test_at_temperature_0_every_key_is_as_its_probability_says():
    for head in (ApartHead(8, 6), JointHead(8, 6, 20)):
        read = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.normal_(0, 0.7, generator=torch.Generator().manual_seed(1))
            drawn = head.draw(read, torch.full((50, 6), 0.999, dtype=torch.float64), 0.0)
            assert torch.equal(drawn > 0, head.probabilities(read) > 0.5) and 0 < drawn.sum() < 300


def test_the_joint_head_knows_chords_that_keys_apart_cannot():
    both = [np.array([[0] * 6, [1, 1, 1, 0, 0, 0]], np.uint8), np.array([[0] * 6, [0, 0, 0, 1, 1, 1]], np.uint8)]
    examples = Examples("roll", both * 8, "frames", both * 8, KEYS)
    nats = {}
    for chords in ("joint", "apart"):
        task, network, _ = trained(examples, updates=150, chords=chords)
        nats[chords] = task.score(examples, predict(task, network, task.encode(examples))[0])
    assert nats["joint"] == pytest.approx(math.log(2), abs=0.02)
    assert nats["apart"] == pytest.approx(6 * math.log(2), abs=0.05)


def test_steps_give_what_a_whole_piece_gives():
    examples = noise([6])
    task, network = untrained(examples)
    batch = task.batch(task.encode(examples), [0])
    steps = network.steps(1)
    with torch.no_grad():
        whole = network(batch.x, batch.lengths).read
    for t, frame in enumerate(batch.x["frames"]):
        torch.testing.assert_close(steps.step(frame), whole[t])


def test_the_loss_is_the_mean_of_the_nats_of_all_frames_and_the_metric_leaves_out_the_first():
    examples = noise([5, 2, 1])
    task, network = untrained(examples)
    batch = task.batch(task.encode(examples), [0, 1, 2])
    with torch.no_grad():
        outputs = network(batch.x, batch.lengths)
        nats = task.decode(outputs, batch).values
        assert float(task.loss(outputs, batch)) == pytest.approx(np.concatenate(nats).mean(), rel=1e-6)
        assert task.answer(network, outputs, batch, True).probabilities is None
    later = np.concatenate([row[1:] for row in nats])
    assert batch.weight == 8 and len(later) == 5
    tally = task.tally(examples, Predictions(nats))
    assert tally.value("nats_per_frame") == pytest.approx(later.mean())
    assert tally.value("nats_per_frame_of_pieces") == pytest.approx((nats[0][1:].mean() + nats[1][1]) / 2)


def test_frame_accuracy_is_hits_over_hits_and_mistakes_after_the_first_frame():
    roll = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1]], np.uint8)
    said = [np.array([[0, 0, 1], [0.9, 0.6, 0.5], [0.2, 0.7, 0.4]])]
    tally = tally_of_rolls([roll], [np.array([9.0, 1.0, 2.0])], said, None)
    assert tally.value("frame_accuracy") == pytest.approx(2 / 4)
    assert tally.value("nats_per_frame") == 1.5
    assert by_octave([roll], said, ["59", "60", "61"]) == {
        "C3 to B3": {"notes": 1, "precision": 1.0, "recall": 1.0, "f1": 1.0},
        "C4 to B4": {"notes": 2, "precision": 0.5, "recall": 0.5, "f1": 0.5},
    }
    assert midi_numbers(["key_1"]) is None and by_octave([roll], said, ["a", "b", "c"]) == {}
    assert midi_numbers(["128"]) is None


def test_long_pieces_are_trained_on_in_runs_whose_frames_are_all_of_them(monkeypatch):
    monkeypatch.setattr(music, "SPAN", 4)
    examples = noise([9, 4, 0, 1])
    task, _ = untrained(examples)
    encoded = task.encode(examples)
    assert encoded.lengths.tolist() == [9, 4, 0, 1]
    assert encoded.training.lengths.tolist() == [3, 3, 3, 4, 1]
    runs = encoded.training.rows
    np.testing.assert_array_equal(np.concatenate([run[1:] for run in runs[:3]]), examples.inputs[0])
    np.testing.assert_array_equal(runs[1][0], runs[0][-1])
    assert not runs[0][0].any() and not runs[3][0].any()
    assert task.part_notes(examples, "train") == [
        "2 pieces of train have fewer than 2 frames, and so none that is judged.",
        "1 piece of train is longer than 4 frames; the training reads them in runs, each of which begins without a "
        "memory.",
    ]
    assert len(task.part_notes(examples, "test")) == 1


def test_a_piece_without_frames_is_answered_without_any():
    examples = noise([0, 3])
    task, network = untrained(examples)
    for rows in ([0], [0, 1]):
        found = predict(task, network, task.encode(examples.take(rows)))[0]
        assert [len(nats) for nats in found.values] == [len(examples.inputs[row]) for row in rows]
        assert found.probabilities[0].shape == (0, 6)


def test_a_fit_has_the_same_bits_on_one_and_two_threads():
    examples = noise([9, 4, 6, 8, 3, 7, 5, 5])
    found = {trained(examples, updates=6, threads=threads, dropout=0.3)[2].sha256 for threads in (1, 2)}
    assert len(found) == 1


def test_a_model_is_the_same_after_json():
    task, _ = untrained(noise([4]), chords="apart")
    again = Music.from_json(task.to_json())
    assert (again.keys, again.joint) == (task.keys, False)
    assert [b.name for b in again.baselines()] == [b.name for b in task.baselines()]


def test_what_is_no_music_is_refused():
    words = Examples("text", ["a"], "class", ["b"])
    cases = {
        "music: the training rows must be piano rolls, got text. Give MIDI files, or piano rolls in .mat or .npz.": (
            lambda: Music.encode_from(words, NetworkOptions())
        ),
        "music: the rows must be piano rolls of 6 keys, got rolls of 2 keys. Give rolls with the keys of the "
        "training, in its order.": lambda: untrained(noise([4]))[0].encode(
            Examples("roll", [], "frames", [], ("1", "2"))
        ),
        "music: the rows must be piano rolls of 6 keys, got rolls of 6 keys with other names. Give rolls with the keys "
        "of the training, in its order.": lambda: untrained(noise([4]))[0].encode(
            Examples("roll", [], "frames", [], tuple("abcdef"))
        ),
        "music: the rows must be piano rolls of 6 keys, got rows of the kind text. Give rolls with the keys of "
        "the training, in its order.": lambda: untrained(noise([4]))[0].encode(words),
        "music: the training rows must be at least one piece with a frame, got 2 pieces without one. Look at the "
        "split, and at what `ostinato check` says.": lambda: untrained(noise([0, 0])),
        "music: both_directions must be False, got True. Leave --both-directions out: a frame is predicted from those "
        "before it alone.": lambda: untrained(noise([4]), both_directions=True),
        "test: chords must be joint or apart, got 'both'.": lambda: options(chords="both"),
        "train: --chords must be left out, as the task is classify, got it. It belongs to the task music.": (
            lambda: refuse_foreign_options(TrainOptions.of("train", {"chords": "apart"}), "classify", "train")
        ),
    }
    for message, call in cases.items():
        with pytest.raises(InputError) as error:
            call()
        assert str(error.value) == message
