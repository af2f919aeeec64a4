"""New frames after a prompt: what is read and drawn, the names of the files, and how much the training pieces have."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ostinato.errors import InputError
from ostinato.program.data.music.rolls import PIANO
from ostinato.program.running.compose import new_frames
from ostinato.program.running.music_request import MusicRequest, names_of, prompt_of
from ostinato.program.running.repeated_frames import longest_repeated
from program.data.made_midi import melody


class Next(nn.Module):
    """Says that the key above the last one sounds; the probability of every other key is `rest`."""

    def __init__(self, rest=0.0):
        super().__init__()
        self.rest, self.seen = rest, []
        self.weight = nn.Parameter(torch.zeros(1))

    def steps(self, rows):
        assert rows == 1
        return self

    def step(self, frame):
        assert frame.dtype == torch.float32 and frame.shape[0] == 1
        self.seen.append(frame[0].to(torch.uint8).tolist())
        return torch.roll(frame, 1, 1)

    def draw(self, read, numbers, temperature=1.0):
        assert numbers.dtype == torch.float64 and numbers.shape == read.shape
        if temperature == 0:
            return (read > 0.5).to(torch.uint8)
        return (numbers < torch.where(read > 0.5, 1.0, self.rest)).to(torch.uint8)


def drawn(network, prompt, number=0, **options):
    return np.stack(list(new_frames(network, np.array(prompt, np.uint8), MusicRequest(**options), number)))


def test_a_frame_of_zeros_the_prompt_and_each_new_frame_are_read_in_turn():
    network = Next()
    found = drawn(network, [[1, 0, 0, 0]], length=3)
    assert found.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]] and found.dtype == np.uint8
    assert network.seen == [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]


def test_the_seed_and_the_number_of_a_sample_decide_its_frames_and_temperature_0_draws_nothing():
    prompt = np.zeros((0, 20), np.uint8)
    first = drawn(Next(0.5), prompt, length=10, seed=3)
    assert np.array_equal(first, drawn(Next(0.5), prompt, length=10, seed=3))
    assert np.array_equal(first[:4], drawn(Next(0.5), prompt, length=4, seed=3))
    assert not np.array_equal(first, drawn(Next(0.5), prompt, 1, length=10, seed=3))
    assert not np.array_equal(first, drawn(Next(0.5), prompt, length=10, seed=4))
    assert not drawn(Next(0.5), prompt, length=10, temperature=0).any()


def test_a_prompt_is_read_in_the_keys_of_the_model(tmp_path):
    (tmp_path / "start.mid").write_bytes(melody((60, 0.5), (60, 0.5), (64, 0.5)))
    found = prompt_of(tmp_path / "start.mid", PIANO, 2)
    assert found.roll.shape == (3, 88) and [int(row.argmax()) + 21 for row in found.roll] == [60, 60, 64]
    assert found.notes == [
        "start.mid: 1 note is joined with one that began a frame before on the same key; a larger --grid keeps them "
        "apart."
    ]
    found = prompt_of(tmp_path / "start.mid", ["64", "60"], 2)
    assert found.roll.tolist() == [[0, 1], [0, 1], [1, 0]]
    (tmp_path / "start.mid.gz").write_bytes(gzip.compress((tmp_path / "start.mid").read_bytes()))
    assert np.array_equal(prompt_of(tmp_path / "start.mid.gz", ["64", "60"], 2).roll, found.roll)
    assert prompt_of(None, PIANO, 4).roll.shape == (0, 88)


@pytest.mark.parametrize(
    "name, keys, message",
    [
        (
            "start.txt",
            PIANO,
            "ostinato generate: --prompt must be a MIDI file, for music, got 'start.txt'. "
            "Write --prompt start.mid, say.",
        ),
        (
            "start.mid",
            ["64", "65"],
            "ostinato generate: --prompt must be with keys that the model has, 64 to 65, got start.mid with 60.",
        ),
        (
            "broken.mid",
            PIANO,
            "broken.mid: the file must be a MIDI file, which begins with MThd, got b'x'. "
            "Check that it is the right file.",
        ),
        (
            "none.mid",
            PIANO,
            "read: a path must be an existing file or folder, got 'none.mid', which is none. Check its name.",
        ),
    ],
)
def test_a_prompt_that_no_model_can_read_is_refused(tmp_path, monkeypatch, name, keys, message):
    monkeypatch.chdir(tmp_path)
    Path("start.mid").write_bytes(melody((60, 1)))
    Path("broken.mid").write_bytes(b"x")
    with pytest.raises(InputError) as error:
        prompt_of(Path(name), keys, 4)
    assert str(error.value) == message


@pytest.mark.parametrize(
    "options, message",
    [
        ({"length": 0}, "ostinato generate: --length must be a whole number from 1 to 100,000, got 0."),
        ({"length": 100_001}, "ostinato generate: --length must be a whole number from 1 to 100,000, got 100001."),
        ({"count": 0}, "ostinato generate: --count must be a whole number from 1 to 100,000, got 0."),
        (
            {"out": Path("new.wav")},
            "ostinato generate: --out must be a name that ends in .mid, for music, got new.wav. "
            "Write --out new.mid, say.",
        ),
        (
            {"temperature": -1.0},
            "ostinato generate: --temperature must be a number of 0 or more, got -1.0. 0 takes the most probable unit "
            "each time, 1 follows the model's probabilities.",
        ),
    ],
)
def test_a_request_by_which_nothing_can_be_written_is_refused(options, message):
    with pytest.raises(InputError) as error:
        MusicRequest(**options).checked()
    assert str(error.value) == message


def test_files_are_numbered_and_none_is_written_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert names_of(MusicRequest(out=Path("new.mid")), Path("m")) == [Path("new.mid")]
    assert names_of(MusicRequest(out=Path("new.mid"), count=2), Path("m")) == [Path("new-1.mid"), Path("new-2.mid")]
    (tmp_path / "new-2.mid").write_bytes(b"")
    with pytest.raises(InputError) as error:
        names_of(MusicRequest(out=Path("new.mid"), count=2), Path("m"))
    assert str(error.value) == (
        "ostinato generate: --out must be a file that is not there yet, got new-2.mid. Name another with --out."
    )
    with pytest.raises(InputError) as error:
        names_of(MusicRequest(out=Path("none/new.mid")), Path("m"))
    assert str(error.value) == (
        "ostinato generate: --out must be in a folder that is there, got none/new.mid. Make the folder first."
    )
    assert names_of(MusicRequest(count=2), Path("tunes-model")) == [Path("tunes-1.mid"), Path("tunes-2.mid")]
    (tmp_path / "tunes-1.mid").write_bytes(b"")
    assert names_of(MusicRequest(), Path("tunes-model")) == [Path("tunes-2.mid")]


def frames(text):
    """Each letter a key of four, a dot a silent frame."""
    roll = np.zeros((len(text), 4), np.uint8)
    for frame, letter in enumerate(text):
        if letter != ".":
            roll[frame, "abcd".index(letter)] = 1
    return roll


@pytest.mark.parametrize(
    "samples, pieces, run, of, piece, share",
    [
        (["abcd"], ["abd", "cabcx".replace("x", "a")], 3, 4, "p1", 1.0),
        (["ab"], ["ca", "bc"], 1, 2, "p0", 1.0),
        (["d", "abcc"], ["abc"], 3, 4, "p0", 0.8),
        (["....d"], ["a....a"], 0, 0, "", 0.0),
        (["a..b"], ["ca..c"], 3, 4, "p0", 0.5),
        (["...a"], ["....b"], 0, 0, "", 0.0),
        (["aaaa"], ["aa"], 2, 4, "p0", 1.0),
    ],
)
def test_the_longest_run_that_one_training_piece_has_is_found(samples, pieces, run, of, piece, share):
    names = [f"p{k}" for k in range(len(pieces))]
    found = longest_repeated([frames(s) for s in samples], [frames(p) for p in pieces], names)
    assert (found.frames, found.of, found.piece) == (run, of, piece) and found.share == pytest.approx(share)


def test_what_is_in_the_training_pieces_is_said_in_a_sentence():
    found = longest_repeated([frames("abd")], [frames("ab")], ["one.mid"])
    assert found.sentence() == (
        "The longest run of new frames that a training piece has, too, is 2 of 3 (one.mid); 67 % of the new frames "
        "with notes are in training pieces."
    )
    none = longest_repeated([frames("d.")], [frames("ab")], ["one.mid"])
    assert none.sentence() == "No new frame with a note is in a training piece."
    assert none.content() == {"longest_run": 0, "of_frames": 0, "piece": "", "share_of_frames": 0.0}
