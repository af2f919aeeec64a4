"""The task of transcripts: the loss against all paths, rows that no alignment fits, frames, and made data learned."""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile
import torch

from ostinato.errors import InputError
from ostinato.kernels.system.openmp import kernel_threads
from ostinato.program.data.examples import Examples
from ostinato.program.data.sound.log_mel import log_mel
from ostinato.program.one_thread import one_thread
from ostinato.program.options import NetworkOptions
from ostinato.program.tasks.inputs import TextInputs
from ostinato.program.tasks.task import Batch
from ostinato.program.tasks.transcribing.frames import stacked, steps_of_frame
from ostinato.program.tasks.transcribing.transcribe import IGNORED, Transcribe
from ostinato.program.tasks.transcribing.units import TranscriptUnits
from ostinato.program.training.evaluate import predict
from program.tasks.made_transcripts import codes, digits, keys, trained
from program.tasks.test_transcript_search import every_path, made

NETWORK = NetworkOptions(hidden=6, embedding=5, dropout=0.0)


def of(lengths, texts, channels=2):
    """Series of zeros of such lengths."""
    return Examples("series", [np.zeros((n, channels)) for n in lengths], "transcript", texts, ("a", "b")[:channels])


@pytest.fixture(scope="module")
def learned():
    train, valid = codes(400), codes(60, 1)
    return train, *trained(train, valid, 120)


@pytest.mark.parametrize("frames, labels", [(1, 1), (3, 2), (5, 3), (6, 2)])
def test_the_loss_is_minus_the_logarithm_of_the_sum_over_all_paths(frames, labels):
    logs = made(frames, 1, labels, 3, 1.0)
    task = Transcribe.encode_from(of([frames], ["a"]), NETWORK)
    for text, (p, _) in every_path(logs[:, 0]).items():
        target = torch.tensor([text]) if text else torch.full((1, 1), IGNORED)
        batch = Batch({}, torch.tensor([frames]), target, max(1, len(text)))
        loss = float(task.loss(torch.from_numpy(logs) + 7.0, batch))  # scores, so that a constant changes nothing
        assert loss == pytest.approx(-np.log(p) / max(1, len(text)), abs=1e-6)


def test_the_loss_is_the_sum_over_rows_over_their_units():
    task = Transcribe.encode_from(of([4, 4], ["ab", "b"]), NETWORK)
    examples = of([4, 3, 2], ["ab", "b", ""])
    batch = task.batch(task.encode(examples), [0, 1, 2])
    outputs = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0))
    alone = []
    for row in range(3):
        one = task.batch(task.encode(examples.take([row])), [0])
        alone.append(float(task.loss(outputs[: int(one.lengths[0]), row : row + 1], one)) * one.weight)
    assert batch.weight == 2 + 1 + 1 and task.encode(examples).lengths.tolist() == [4, 3, 2]
    assert float(task.loss(outputs, batch)) == pytest.approx(sum(alone) / 4, rel=1e-6)


def test_rows_that_no_alignment_fits_are_left_out_of_the_loss_and_counted():
    task = Transcribe.encode_from(of([3, 3], ["ab", "ba"]), NETWORK)
    examples = of([2, 2, 3, 0, 0], ["ab", "aa", "aa", "a", ""])  # two equal letters need three frames
    batch = task.batch(task.encode(examples), [0, 1, 2, 3, 4])
    assert batch.weight == 2 + 2 + 1  # the empty transcript counts as one
    outputs = torch.zeros(3, 5, 3, requires_grad=True)
    loss = task.loss(outputs, batch)
    loss.backward()
    touched = outputs.grad.abs().sum((0, 2)) > 0
    assert torch.isfinite(loss) and touched.tolist() == [True, False, True, False, False]
    assert task.part_notes(examples, "test") == [
        "2 rows of test have transcripts of more units, and blanks between equal ones, than frames: the loss leaves "
        "them out, the metrics count them."
    ]
    assert task.part_notes(examples.take([1]), "train") == [
        "1 row of train has a transcript of more units, and blanks between equal ones, than frames: the loss leaves it "
        "out, the metrics count it."
    ]
    one = task.batch(task.encode(examples), [1])
    assert one.weight == 0 and float(task.loss(outputs.detach(), one)) == 0
    predicted, mean = predict(task, task.network(NETWORK), task.encode(examples))
    assert len(predicted.values) == 5 and np.isfinite(mean)
    assert task.tally(examples, predicted).sums.toarray()[:, 1].tolist() == [2, 2, 2, 1, 0]


def test_units_without_a_label_are_counted_and_count_as_mistakes():
    task = Transcribe.encode_from(of([3, 3], ["ab", "ba"]), NETWORK)
    examples = of([3], ["axb"])
    assert task.encode(examples).rows[0][1].tolist() == [1, 2]
    assert task.part_notes(examples, "test") == [
        "1 character of 3 in test is in no training transcript or not in the vocabulary: the network cannot write them."
    ]
    assert task.part_notes(of([3], ["ab"]), "test") == [] == task.part_notes(of([3], None), "test")


def test_words_are_units_where_they_are_asked_for():
    options = NetworkOptions(unit="word", lowercase=True)
    task = Transcribe.encode_from(of([9, 9], ["The  cat ", "the dog"]), options)
    assert task.units.entries == ("the", "cat", "dog") and task.units.noun == "word"
    assert task.units.decode(task.units.encode("THE DOG")) == "the dog"
    assert task.pieces("The dog") == ["the", "dog"]
    truth = of([9], ["The dog"])
    said = task._written([np.array([1, 3])])
    assert task.score(truth, said) == 0 and task.details(truth, said)["unit"] == "word"


def test_the_vocabulary_is_bounded_and_the_most_frequent_units_stay():
    units = TranscriptUnits.of(["aab", "ab", "c"], NetworkOptions(vocabulary=2))
    assert units.entries == ("a", "b") and len(units) == 3 and units.unknown("abcc") == 2


@pytest.mark.parametrize(
    "examples, options, message",
    [
        (
            of([3, 3], ["", " "]),
            {},
            "transcribe: the training rows must be transcripts, got empty texts alone. Name the column of transcripts "
            "by --target.",
        ),
        (
            of([1, 2], ["ab", "aa"]),
            {},
            "transcribe: the training rows must be rows with as many steps as their transcripts have units, or more, "
            "got none. Inputs that are shorter than their texts are for --task translate.",
        ),
        (
            of([3], ["ab"]),
            {"unit": "bpe:500"},
            "--unit: unit must be word or char, got 'bpe:500'. Write --unit word or --unit char.",
        ),
        (
            of([3], None),
            {},
            "transcribe: the training rows must be rows with targets, got rows without targets. Give rows with their "
            "targets.",
        ),
    ],
)
def test_rows_and_units_that_cannot_be_used_are_refused(examples, options, message):
    with pytest.raises(InputError) as refused:
        Transcribe.encode_from(examples, NetworkOptions(**options))
    assert str(refused.value) == message


def test_steps_are_stacked_side_by_side_with_zeros_after_the_last():
    row = np.arange(1.0, 11).reshape(5, 2)
    assert stacked(row, 2).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 0, 0]]
    assert stacked(row, 1) is row and stacked(row[:0], 3).shape == (0, 6)


@pytest.mark.parametrize(
    "lengths, needed, steps",
    [
        ([60, 90], [10, 15], 3),  # twice the frames that are needed are left
        ([40, 60], [10, 15], 2),
        ([30, 90], [10, 15], 2),  # by three, the median would be below two
        ([20, 30], [10, 15], 1),
        ([60, 60, 60, 14], [10, 10, 10, 10], 1),  # the last is possible by single steps alone
        ([60, 60, 60, 9], [10, 10, 10, 10], 3),  # the last is impossible in any case
        ([60, 0], [10, 0], 3),
        ([3], [9], 1),
    ],
)
def test_frames_are_as_long_as_every_transcript_allows(lengths, needed, steps):
    assert steps_of_frame(lengths, needed) == steps


def test_stacked_frames_are_said_and_read():
    task = Transcribe.encode_from(of([60, 50], ["abcde", "abcdd"]), NETWORK)
    assert task.notes == ["3 neighbouring steps are read as one frame."]
    encoded = task.encode(of([10], ["ab"]))
    assert encoded.rows[0][0].shape == (4, 6) and encoded.lengths.tolist() == [4]
    assert predict(task, task.network(NETWORK), encoded)[0].alignments[0].shape[1] == 4


def test_symbols_are_read_one_by_one():
    for kind in ("tokens", "text"):
        examples = keys(30, kind=kind)
        task = Transcribe.encode_from(examples, NETWORK)
        assert isinstance(task.inputs, TextInputs) and task.steps == 1
        assert task.encode(examples).lengths.tolist() == [len(row) for row in examples.inputs]


def test_the_same_bits_on_one_and_two_threads():
    examples = codes(40)
    task = Transcribe.encode_from(examples, NETWORK)
    torch.manual_seed(0)
    network = task.network(NETWORK)
    found = []
    with one_thread():  # torch's own product in the gradient of the head depends on its threads on some processors
        for threads in (1, 2):
            with kernel_threads(threads):
                batch = task.batch(task.encode(examples), range(40))
                network.zero_grad()
                loss = task.loss(network(batch.x, batch.lengths), batch)
                loss.backward()
                flat = torch.cat([p.grad.reshape(-1) for p in network.parameters()])
                found.append((loss.detach(), flat.clone()))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_other_rows_of_the_batch_change_no_transcript(learned):
    _, task, network, _ = learned
    test = codes(40, 5, noise=0.8)
    together = predict(task, network, task.encode(test))[0]
    for row in (0, 7, 39):
        alone = predict(task, network, task.encode(test.take([row])))[0]
        assert alone.values[0] == together.values[row]
        assert alone.probabilities[0, 0] == pytest.approx(together.probabilities[row, 0], rel=1e-4)
        np.testing.assert_allclose(alone.alignments[0], together.alignments[row], atol=1e-4)


def test_codes_are_read_with_one_error_in_a_thousand_characters_at_most(learned):
    _, task, network, fitted = learned
    test = codes(200, 2)
    found = predict(task, network, task.encode(test))[0]
    assert task.score(test, found) <= 0.001 and fitted.history[-1].metric <= 0.001
    assert found.probabilities.shape == (200, 1) and (found.probabilities > 0.2).mean() > 0.95
    for row in range(20):
        shares = found.alignments[row]
        assert shares.shape == (len(found.values[row]), len(test.inputs[row]))
        assert shares.min() >= 0 and shares.sum(0).max() <= 1 + 1e-5
        assert np.all(np.diff(shares.argmax(1)) > 0)  # each unit's most probable step is after the one before


def test_the_beam_is_compared_with_the_most_probable_path_on_validation_rows(learned):
    train, task, network, _ = learned
    assert task.remark == (
        "On the 60 validation rows the character error rate is 0.0 % by the most probable path, 0.0 % by the beam of 5."
    )
    assert task.details(codes(3), predict(task, network, task.encode(codes(3)))[0])["remark"] == task.remark
    single = trained(train.take(range(40)), codes(9, 1), 1, beam=1)[0]
    assert single.remark == "" and single.beam == 1


def test_a_quick_answer_is_the_most_probable_path_alone(learned):
    _, task, network, _ = learned
    batch = task.batch(task.encode(codes(8, 3)), range(8))
    with torch.no_grad():
        outputs = network(batch.x, batch.lengths)
    quick, whole = (task.answer(network, outputs, batch, quick) for quick in (True, False))
    assert (
        quick.alignments is None and quick.probabilities is None and quick.values == task.decode(outputs, batch).values
    )
    assert len(whole.alignments) == 8 == len(whole.probabilities)


def test_keys_of_a_telephone_become_texts_with_doubled_letters():
    task, network, _ = trained(keys(400), keys(30, 1), 120)
    test = keys(100, 2)
    found = predict(task, network, task.encode(test))[0]
    assert any("ll" in text for text in test.targets) and task.score(test, found) <= 0.005


@pytest.mark.slow
def test_spoken_digits_of_tones_are_written_as_words():
    task, network, _ = trained(digits(400), digits(20, 1), 240, hidden=64)
    test = digits(50, 2)
    found = predict(task, network, task.encode(test))[0]
    assert task.steps > 1 and task.score(test, found) < 0.02


@pytest.mark.slow
def test_digits_of_a_speech_synthesiser_are_written_as_words(tmp_path):
    program = shutil.which("espeak-ng")
    if program is None:
        pytest.skip("espeak-ng is not installed; apt-get install espeak-ng")
    train, valid, test = (spoken(program, tmp_path, *part) for part in ((300, 0), (50, 1), (80, 2)))
    task, network, _ = trained(train, valid, 400, hidden=64, learning_rate=0.01)
    assert task.score(test, predict(task, network, task.encode(test))[0]) < 0.05


def spoken(program, place, count, seed):
    """Digits as a synthesiser speaks them, at several speeds and pitches."""
    draw, frames, texts = np.random.default_rng(seed), [], []
    for _ in range(count):
        text = " ".join(draw.choice(("zero one two three four five six seven eight nine").split(), 3))
        how = ["-s", str(int(draw.integers(130, 200))), "-p", str(int(draw.integers(20, 80)))]
        subprocess.run([program, *how, "-w", str(place / "one.wav"), text], check=True)
        samples, rate = soundfile.read(place / "one.wav")
        frames.append(np.asarray(log_mel(samples, rate, 40), np.float64))
        texts.append(text)
    return Examples("series", frames, "transcript", texts, tuple(f"m{k}" for k in range(40)))


def test_a_task_is_the_same_after_json():
    for examples in (of([60, 50], ["abcde", "abcdd"]), keys(20), codes(20)):
        task = Transcribe.encode_from(examples, NETWORK)
        task.remark = "A remark."
        again = Transcribe.from_json({name: dict(content) for name, content in task.to_json().items()})
        assert again.to_json() == task.to_json() and again.notes == task.notes
        for (a, b), (c, d) in zip(task.encode(examples).rows, again.encode(examples).rows, strict=True):
            assert a.tolist() == c.tolist() and b.tolist() == d.tolist()
