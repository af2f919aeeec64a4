"""Baselines of music: counts and regressions with known answers, and the figures that counting gives on chorales."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from ostinato.program.data.examples import Examples
from ostinato.program.tasks.baselines import rolls
from ostinato.program.tasks.baselines.rolls import CountedKeys, KeyRegression, for_rolls
from ostinato.program.tasks.metrics import Tally
from ostinato.program.tasks.music.metrics import tally_of_rolls
from program.tasks.made import data
from program.tasks.made_rolls import KEYS, noise, of, periodic


def tally(baseline, test) -> Tally:
    found = baseline.predict(test)
    return tally_of_rolls(test.inputs, found.values, found.probabilities, None)


def test_the_trivial_baseline_is_first_and_chords_are_modelled_where_the_network_does():
    assert [(b.name, b.trivial) for b in for_rolls(True)] == [
        ("each key alone", True),
        ("each key after itself", False),
        ("regression on the frame before", False),
        ("regression on the 8 frames before", False),
        ("regression on the frame before and the keys below", False),
        ("regression on the 8 frames before and the keys below", False),
    ]
    assert len(for_rolls(False)) == 4


def test_counts_are_those_of_the_frames_with_half_added():
    train = of([np.array([[1, 0, 0, 0, 0, 0]] * 3 + [[0] * 6] * 2, np.uint8)])
    alone, after = CountedKeys(False).fit(train), CountedKeys(True).fit(train)
    assert alone.predict(train).probabilities[0][:, 0].tolist() == pytest.approx([3.5 / 6] * 5)
    # Key 0 after itself: 2 of 3 stay down, 0 of 1 comes.
    assert after.predict(train).probabilities[0][:, 0].tolist() == pytest.approx([0.25, *[2.5 / 4] * 3, 0.25])
    one = after.predict(of([train.inputs[0][:1]])).values[0]
    assert one == pytest.approx([-math.log(0.25) - 5 * math.log(4.5 / 5)])


@pytest.mark.parametrize("below", [False, True])
@pytest.mark.parametrize("window", [1, 3])
def test_the_slope_of_a_regression_is_that_of_its_loss(below, window, monkeypatch):
    found = {}

    def kept(objective, first, **_):
        found.update(f=objective, x=first)
        return SimpleNamespace(x=first)

    monkeypatch.setattr(rolls, "minimize", kept)
    KeyRegression(window, below).fit(noise([9, 5, 7]))
    x = found["x"] + np.random.default_rng(0).normal(size=len(found["x"])) * 0.3
    _, slope = found["f"](x)
    for place in range(0, len(x), 7):
        step = np.zeros_like(x)
        step[place] = 1e-2
        rise = (found["f"](x + step)[0] - found["f"](x - step)[0]) / 2e-2
        assert rise == pytest.approx(slope[place], rel=2e-3, abs=1e-5)


def test_a_window_knows_a_period_that_the_frame_before_does_not():
    train = periodic(12, 22)
    nats = [tally(b.fit(train), train).value("nats_per_frame") for b in for_rolls(True)]
    assert nats[0] > nats[1] > nats[2]
    # The fourth chord stands twice, so that the frame before is not enough; 8 frames are.
    assert nats[2] > 0.2 and nats[3] < 0.1
    assert nats[4] == pytest.approx(2 / 5 * math.log(2), abs=0.06)  # of two chords that may follow the fourth


def test_the_keys_below_are_those_of_the_truth_for_nats_and_its_own_for_what_is_said():
    both = [np.array([[1] * 6, [1, 1, 1, 0, 0, 0]], np.uint8), np.array([[1] * 6, [0, 0, 0, 1, 1, 1]], np.uint8)]
    train = Examples("roll", both * 40, "frames", both * 40, KEYS)
    found = KeyRegression(1, True).fit(train).predict(train)
    assert found.values[0][1] == pytest.approx(math.log(2), abs=0.15)
    assert found.values[1][1] == pytest.approx(math.log(2), abs=0.15)
    np.testing.assert_array_equal(found.probabilities[0], found.probabilities[1])  # nothing of the truth is read
    assert ((found.probabilities[0][1] > 0.5).tolist()) in ([True] * 3 + [False] * 3, [False] * 3 + [True] * 3)


def test_keys_that_never_move_have_their_frequency_and_no_pieces_have_no_predictions():
    train = of([np.tile(np.array([[1, 0, 1, 0, 1, 0], [1, 0, 0, 0, 1, 0]], np.uint8), (4, 1))])
    found = KeyRegression(1, False).fit(train)
    said = found.predict(train).probabilities[0]
    assert said[:, 0] == pytest.approx(8.5 / 9) and said[:, 1] == pytest.approx(0.5 / 9)
    assert found.predict(of([])).values == []


def test_of_very_many_frames_the_first_pieces_are_read_and_it_is_said(monkeypatch):
    monkeypatch.setattr(rolls, "MOST_FRAMES", 12)
    found = KeyRegression(1, False).fit(noise([5, 6, 7]))
    assert found.note == "fitted to the first 2 of 3 pieces"


def chorales():
    from scipy.io import loadmat

    content = loadmat(data("music/JSB_Chorales.mat"))
    return [[np.asarray(roll, np.uint8) for roll in content[name][0]] for name in ("traindata", "testdata")]


def test_chorales_by_counting():
    train, test = chorales()
    keys = tuple(str(key) for key in range(21, 109))
    parts = [Examples("roll", pieces, "frames", pieces, keys) for pieces in (train, test)]
    ours = [tally(CountedKeys(after).fit(parts[0]), parts[1]) for after in (False, True)]
    names = ("nats_per_frame", "nats_per_frame_of_pieces")
    assert [[round(t.value(name), 2) for name in names] for t in ours] == [[11.09, 11.04], [10.49, 10.49]]
    # The same with sums of Python, key by key.
    counts = {(state, key): [0, 0] for state in (0, 1) for key in range(88)}
    for roll in train:
        for before, now in zip(roll.tolist(), roll.tolist()[1:]):
            for key, (a, b) in enumerate(zip(before, now)):
                counts[a, key][0] += 1
                counts[a, key][1] += b
    total = frames = 0
    for roll in test:
        for before, now in zip(roll.tolist(), roll.tolist()[1:]):
            frames += 1
            for key, (a, b) in enumerate(zip(before, now)):
                seen, down = counts[a, key]
                p = (down + 0.5) / (seen + 1)
                total -= math.log(p if b else 1 - p)
    assert ours[1].value("nats_per_frame") == pytest.approx(total / frames, rel=1e-9) and frames == 4648
