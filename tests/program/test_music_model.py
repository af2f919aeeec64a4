"""Music from rolls to a folder and back, by the estimator, and what its report page shows."""

from dataclasses import replace

import mido
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

import ostinato
from ostinato.errors import InputError
from ostinato.program.data.examples import Examples, Origin
from ostinato.program.folder.documents import predictions_csv
from ostinato.program.page.rolls import chosen, key_name, notes, rolls_picture, sections_of
from ostinato.program.running.evaluate import TABLES
from ostinato.program.tasks.music.metrics import by_octave
from ostinato.program.tasks.task import Predictions
from program.commands import ostinato as ostinato_command
from program.tasks.made_rolls import KEYS, noise, periodic

SMALL = {"hidden": 24, "dropout": 0.0, "batch": 8, "learning_rate": 0.04, "valid_share": 0.2}


@pytest.fixture(scope="module")
def model():
    pieces = [roll[k % 5 :] for k, roll in enumerate(periodic(40, 22).inputs)]
    return ostinato.MusicModel(**SMALL, updates=120).fit(pieces), pieces


def test_the_model_goes_on_as_the_pieces_do_and_is_saved_as_a_folder(model, tmp_path):
    made, pieces = model
    period = periodic(1, 22).inputs[0]
    assert made.score(pieces) > -0.1 and made.predict(pieces[:3]).shape == (3,)
    assert made.predict([pieces[0]])[0] == pytest.approx(-made.score([pieces[0]]), rel=1e-6)
    np.testing.assert_array_equal(made.generate(12, prompt=period[:8], temperature=0), period[:20])
    drawn = made.generate(12, prompt=period[:8], seed=3)
    np.testing.assert_array_equal(drawn, made.generate(12, prompt=period[:8], seed=3))
    assert drawn.dtype == np.uint8 and made.generate(5).shape == (5, 6)
    again = ostinato.load(made.save(tmp_path / "model"))
    assert isinstance(again, ostinato.MusicModel) and again.task_.keys == [f"key_{k}" for k in range(1, 7)]
    np.testing.assert_array_equal(again.generate(12, prompt=period[:8], seed=3), drawn)
    np.testing.assert_array_equal(again.predict(pieces[:3]), made.predict(pieces[:3]))


def test_the_estimator_is_cloned_and_cross_validated():
    made = clone(ostinato.MusicModel(cell="gru", hidden=4, updates=1, chords="apart"))
    found = cross_val_score(made, noise([5] * 6).inputs, cv=2)
    assert np.isfinite(found).all() and (found < 0).all()
    assert made.get_params()["chords"] == "apart"


def test_a_saved_model_writes_a_beat_for_each_frame(tmp_path):
    rolls = [np.pad(roll, ((0, 0), (40, 42))) for roll in noise([9] * 6).inputs]
    ostinato.MusicModel(hidden=4, updates=1).fit(rolls).save(tmp_path / "model")
    out = tmp_path / "new.mid"
    ended = ostinato_command(tmp_path, "generate", "model", "--length", 5, "--out", out)
    assert ended.status == 0, ended.err
    assert mido.MidiFile(out).length == 2.5  # seconds of 5 beats, 120 of which are a minute


def test_a_piece_of_one_frame_has_no_nats(model):
    assert np.isnan(model[0].predict([np.zeros((1, 6))])).tolist() == [True]


def test_what_is_no_piece_is_refused(model):
    made, _ = model
    refusals = {
        "MusicModel: X must be a list of arrays [T, K], got none. Pass one array for each piece.": lambda: made.fit([]),
        "MusicModel: X[1] must be of 6 keys, got 5. Make K equal for all pieces.": (
            lambda: made.fit([np.zeros((3, 6)), np.zeros((3, 5))])
        ),
        "MusicModel: X[0] must be of 6 keys, got 2. Make K equal for all pieces.": (
            lambda: made.generate(3, prompt=np.zeros((3, 2)))
        ),
        "MusicModel: length must be a whole number of 1 or more, got 0.": lambda: made.generate(0),
        "MusicModel: temperature must be a number of 0 or more, got -1.": lambda: made.generate(1, temperature=-1),
        "MusicModel: seed must be a whole number, got 'a'. The same seed gives the same draws.": (
            lambda: made.generate(1, seed="a")
        ),
    }
    for message, call in refusals.items():
        with pytest.raises(InputError) as refused:
            call()
        assert str(refused.value) == message


def said(examples):
    nats = [np.arange(len(roll), dtype=float) for roll in examples.inputs]
    return Predictions(nats, [np.full(roll.shape, 0.25) for roll in examples.inputs])


def test_the_page_shows_the_median_piece_and_that_with_most_nats_unless_private():
    examples = noise([3, 110, 5, 1])
    found = chosen(examples, said(examples))
    assert [roll.heading for roll in found] == [
        "row 3, the median piece: 2.50 nats per frame",
        "row 2, the piece with most nats: 55.00 nats per frame, frames 1 to 96 of 110",
    ]
    assert len(rolls_picture(found, KEYS).axes) == 3
    details = {"by_octave": by_octave(examples.inputs, said(examples).probabilities, KEYS)}
    page = "".join(map(str, sections_of(examples, said(examples), details, False)))
    assert "Boxes" in page and "C4 to B4" in page and "4 pieces of 119 frames" in page
    private = "".join(map(str, sections_of(examples, said(examples), details, True)))
    assert "<svg" not in private and "C4 to B4" in private
    of_files = replace(examples, origins=[Origin(f"{name}.mid", 0, 1) for name in "abcd"])
    assert [roll.heading.split(":")[0] for roll in chosen(of_files, said(of_files))] == [
        "c.mid, row 1, the median piece",
        "b.mid, row 1, the piece with most nats",
    ]
    one = noise([2])
    assert "1 piece of 2 frames" in "".join(map(str, sections_of(one, said(one), {}, True)))
    assert chosen(noise([1]), said(noise([1]))) == [] and "by_octave" in TABLES


def test_notes_are_runs_of_frames_and_keys_have_names():
    roll = np.array([[1, 0], [1, 0], [0, 1], [1, 1]])
    assert notes(roll) == [(0, 0, 2), (3, 0, 1), (2, 1, 2)]
    assert [key_name(number) for number in (21, 60, 106)] == ["A0", "C4", "A♯7"]


def test_the_table_of_predictions_has_the_nats_of_each_piece():
    examples = Examples("roll", noise([3, 1]).inputs, "frames", None, KEYS)
    assert predictions_csv(examples, said(examples)) == ("id,frames,nats,nats_per_frame\n0,3,3.0,1.5\n1,1,0.0,\n")
