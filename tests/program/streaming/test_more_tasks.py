"""`ostinato stream` of transcripts, items and music: the figures of `ostinato predict` on the whole."""

import json
import math
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

import ostinato as package
from ostinato.errors import InputError
from ostinato.program.data.sound.log_mel import log_mel
from ostinato.program.running.model import open_model
from ostinato.program.running.streaming import ways
from program.commands import ostinato
from program.made_models import SMALL, of_items, of_music, of_transcripts
from program.tasks.made_items import letters
from program.tasks.made_rolls import periodic
from program.tasks.made_transcripts import RATE, codes, dialled, keys

KEYS = [f"key_{k + 1}" for k in range(6)]


def long_codes(count):
    """Rows of `codes` with every step three times, so that steps are read in frames."""
    rows = codes(count)
    rows.inputs[:] = [np.repeat(row, 3, 0)[: 3 * len(row) - k % 3] for k, row in enumerate(rows.inputs)]
    return rows


def forwards(made_rows, **options):
    rows = made_rows(80)
    given = {**SMALL, "updates": 60, "both_directions": False, "layers": 1, "beam": 1, **options}
    return package.Transcriber(**given).fit(list(rows.inputs), list(rows.targets))


def items():
    return package.LanguageModel(**SMALL, embedding=8).fit(letters(60).targets)


MODELS = {
    "series": lambda: forwards(codes),
    "frames": lambda: forwards(long_codes),
    "symbols": lambda: forwards(keys, embedding=8),
    "text": lambda: forwards(lambda count: keys(count, kind="text"), embedding=8),
    "items": items,
    "music": lambda: of_music(chords="apart"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A function from a name of MODELS to a folder with that model, once for all tests."""

    @cache
    def of(name):
        folder = tmp_path_factory.mktemp("stream")
        MODELS[name]().save(folder / "model")
        return folder

    return of


def lines_of(steps):
    return "".join(",".join(map(repr, step)) + "\n" for step in np.asarray(steps).tolist())


def documents(folder, typed, *words):
    ended = ostinato(folder, "stream", "model", "--json", *words, typed=typed)
    assert (ended.status, ended.err) == (0, "")
    return [json.loads(line) for line in ended.out.splitlines()]


@pytest.mark.parametrize("name, made", [("series", codes), ("frames", long_codes)])
def test_the_transcript_after_every_step_is_that_of_predict(place, name, made):
    folder, rows = place(name), made(4).inputs
    task = open_model(folder / "model").task
    assert (task.steps > 1) == (name == "frames") and any(len(row) % task.steps for row in rows) == (name == "frames")
    found = documents(folder, "\n".join(map(lines_of, rows)))
    parts = [row[: k + 1].tolist() for row in rows for k in range(len(row))]
    whole = ostinato(folder, "predict", "model", "-", typed="".join(json.dumps(part) + "\n" for part in parts))
    texts = [answer.split("\t")[0] for answer in whole.out.splitlines()]
    assert [one["transcript"] for one in found] == texts and len(set(texts)) > 4
    # Without --json, a line has what its step adds; joined they are the transcript up to the last whole frame.
    answers = ostinato(folder, "stream", "model", typed="\n".join(map(lines_of, rows))).out.split("\n")[:-1]
    assert answers == [one["added"] for one in found] and "" in answers
    ends = [0, *np.cumsum([len(row) for row in rows])]
    for start, end, row in zip(ends, ends[1:], rows):
        if len(row) % task.steps == 0:
            assert "".join(answers[start:end]) == texts[end - 1]


def test_the_frames_of_a_recording_have_its_transcript(tmp_path):
    draw, texts = np.random.default_rng(0), ["one", "two", "three", "four five"] * 4
    for k, text in enumerate(texts):
        soundfile.write(tmp_path / f"{k}.wav", dialled(text, draw), RATE)
    rows = "".join(f"{k}.wav,{text}\n" for k, text in enumerate(texts))
    (tmp_path / "calls.csv").write_text("path,text\n" + rows)
    words = ("--audio", "path", "--target", "text", "--mels", 12, "--one-direction", "--updates", 30)
    rest = (
        "--task",
        "transcribe",
        "--hidden",
        12,
        "--layers",
        1,
        "--learning-rate",
        0.05,
        "--no-lens",
        "--no-baselines",
        "--quiet",
        "--out",
        "model",
    )
    ended = ostinato(tmp_path, "train", "calls.csv", *words, *rest)
    assert ended.status < 2, ended.err
    signal, rate = soundfile.read(tmp_path / "3.wav")
    found = documents(tmp_path, lines_of(log_mel(signal, rate, 12)))
    whole = ostinato(tmp_path, "predict", "model", "-", "--beam", 1, typed="3.wav\n").out
    assert found[-1]["transcript"] == whole.split("\t")[0] != ""


def test_a_transcript_goes_on_in_the_middle_of_a_frame_and_after_a_refused_line(place):
    folder, row = place("frames"), long_codes(2).inputs[1]
    whole = ostinato(folder, "stream", "model", "--json", typed=lines_of(row)).out.splitlines()
    parts = [ostinato(folder, "stream", "model", "--json", "--state", "kept", typed=lines_of(row[:4]))]
    parts += [ostinato(folder, "stream", "model", "--json", "--state", "kept", typed="1,2\n" + lines_of(row[4:]))]
    texts = [json.loads(line)["transcript"] for part in parts for line in part.out.splitlines()]
    assert texts == [json.loads(line)["transcript"] for line in whole]
    start = "ostinato stream, line 1: a line must be 6 cells: channel_1, "
    assert parts[1].err.startswith(start) and parts[1].status == 2


@pytest.mark.parametrize("name, joint", [("symbols", " "), ("text", "")])
def test_symbols_may_be_divided_into_lines_anywhere(place, name, joint):
    folder, row = place(name), list(keys(3).inputs[1])
    whole = ostinato(folder, "predict", "model", "-", typed=joint.join(row) + "\n").out.split("\t")[0]
    assert len(whole) > 1
    for lines in (row, [joint.join(row[:3]), joint.join(row[3:])], [joint.join(row)]):
        found = documents(folder, "\n".join(lines) + "\n\n" + "\n".join(lines) + "\n")
        half = len(found) // 2
        assert found[half - 1]["transcript"] == found[-1]["transcript"] == whole
        assert "".join(one["added"] for one in found[:half]) == whole


def test_white_space_is_a_symbol_of_a_text_and_an_empty_line_of_others(place):
    assert len(documents(place("text"), "2\n \n\n3\n")) == 3
    assert len(documents(place("symbols"), "2\n \n\n3\n")) == 2


def test_a_label_that_breaks_lines_does_not_break_an_answer(place):
    running = ways.way_of(open_model(place("symbols") / "model"), None)
    running.units = SimpleNamespace(decode=lambda labels: "a\n\x1b")
    answer = running.answer(running.begin(), SimpleNamespace(text="2", where="here"))
    assert answer.text == "a\\n\\x1b" and answer.content["added"] == "a\n\x1b"


def test_every_line_is_an_item_with_the_nats_that_predict_gives(place):
    folder, lines = place("items"), ["aaa", "b", "", "ab", "q"]
    found = documents(folder, "\n".join(lines) + "\n")
    whole = ostinato(folder, "predict", "model", "-", typed="\n".join(lines) + "\n").out.splitlines()
    assert [one["text"] for one in found] == lines
    for one, line, answer in zip(found, lines, whole, strict=True):
        per_unit, units = answer.split()
        assert one["units"] == int(units) == len(line) + 1
        assert one["nats"] / one["units"] == pytest.approx(float(per_unit), abs=1e-5)
        assert one["bits_per_character"] == pytest.approx(one["nats"] / math.log(2) / (len(line) + 1), abs=1e-5)
    (again,) = documents(folder, "b")  # neither the lines before nor a line break matter
    assert again["nats"] == found[1]["nats"]
    text = ostinato(folder, "stream", "model", "--ids", typed="one\tb\n").out
    assert text == f"one\t{found[1]['bits_per_character']:.6f}\t{found[1]['nats']:.6f}\t2\tb\n"


def test_the_units_after_an_item_have_the_end_among_them(place):
    folder = place("items")
    nats = {one["text"]: one["nats"] for one in documents(folder, "\na\naa\n")}
    (after,) = (one["next"] for one in documents(folder, "a\n", "--next", 9))
    assert {one["unit"] for one in after} == {None, "a", "b"}
    shares = [one["probability"] for one in after]
    assert shares == sorted(shares, reverse=True) and 0.9 < sum(shares) < 1
    (first,) = (one["next"] for one in documents(folder, "\n", "--next", 9))
    share = next(one["probability"] for one in first if one["unit"] == "a")
    end = next(one["probability"] for one in after if one["unit"] is None)
    assert math.exp(-nats["a"]) == pytest.approx(share * end, rel=1e-3)
    text = ostinato(folder, "stream", "model", "--next", 3, typed="a\n").out.split("\t")
    assert len(text) == 5 and f"(end) {end:.4f}" in text[3] and text[4] == "a\n"


def test_an_item_is_cut_where_the_training_cuts_it(place):
    found = documents(place("items"), "a" * 1001 + "\n" + "a" * 1000 + "\n", "--next", 1)
    assert [one["units"] for one in found] == [1000, 1001]
    assert found[0]["next"] == found[1]["next"]


def test_an_item_carries_no_state_that_could_be_kept(place):
    ended = ostinato(place("items"), "stream", "model", "--state", "kept", typed="a\n")
    assert (ended.status, ended.out) == (2, "") and ended.err == (
        "ostinato stream: --state must be left out, got a value for a model of the task generate, which carries "
        "nothing from line to line. Leave --state out.\n"
    )
    assert not (place("items") / "kept").exists()


def test_the_keys_of_the_next_frame_have_the_probabilities_of_the_network(place):
    folder, roll = place("music"), periodic(1).inputs[0]
    opened = open_model(folder / "model")
    frames = torch.from_numpy(np.concatenate([np.zeros((1, len(KEYS))), roll])).float()[:, None]
    with torch.no_grad():
        chords = opened.network({"frames": frames})
        expected = opened.network.head.probabilities(chords.read[1:, 0]).numpy()
    typed = lines_of(roll)
    found = documents(folder, typed + "\n" + typed)
    got = np.array([[one["probabilities"][key] for key in KEYS] for one in found])
    np.testing.assert_allclose(got, np.concatenate([expected, expected]), atol=2e-6)
    assert np.ptp(expected, 0).min() > 0.02
    text = ostinato(folder, "stream", "model", typed=typed).out.splitlines()
    assert text[-1].split("\t") == [f"{p:.4f}" for p in got[len(roll) - 1]]
    parts = "".join(
        ostinato(folder, "stream", "model", "--state", "kept", typed=lines_of(part)).out
        for part in (roll[:5], roll[5:])
    )
    assert parts.splitlines() == text


def test_a_frame_may_be_a_list_of_keys_or_in_the_order_of_a_heading(place):
    folder, roll = place("music"), periodic(1).inputs[0]
    expected = ostinato(folder, "stream", "model", "--next", 2, typed=lines_of(roll)).out
    down = [[key for key, on in zip(KEYS, frame) if on] for frame in roll]
    assert (
        ostinato(folder, "stream", "model", "--next", 2, typed="".join(map(json.dumps, down)).replace("]", "]\n")).out
        == expected
    )
    turned = ",".join(KEYS[::-1]) + "\n" + lines_of(roll[:, ::-1])
    assert ostinato(folder, "stream", "model", "--next", 2, typed=turned).out == expected
    every = documents(folder, lines_of(roll))[-1]["probabilities"]
    (last,) = documents(folder, lines_of(roll), "--next", 2)[-1:]
    best = sorted(every, key=every.get, reverse=True)[:2]
    assert [one["key"] for one in last["next"]] == best
    assert expected.splitlines()[-1] == " ".join(f"{key} {every[key]:.4f}" for key in best)


def test_frames_that_are_none_of_the_model_are_refused_and_change_nothing(place):
    folder, roll = place("music"), periodic(1).inputs[0][:3]
    bad = '[61, "\\ud800"]\n[1\n0,0,0,0,0,2\n0,0\n'
    ended = ostinato(folder, "stream", "model", typed=lines_of(roll[:2]) + bad + lines_of(roll[2:]))
    assert ended.status == 2 and ended.out == ostinato(folder, "stream", "model", typed=lines_of(roll)).out
    remedy = "Write 1 where a key is down and 0 where not, or a JSON list of the keys that are down."
    empty = "An empty list is a frame without a key."
    assert ended.err.splitlines() == [
        "ostinato stream, line 3: the keys of a line must be of the model's keys: key_1, key_2, key_3, key_4, key_5 "
        f"and 1 more, got 61, '\\ud800'. {empty}",
        f"ostinato stream, line 4: a line must be a JSON list, got '[1'. {empty}",
        f"ostinato stream, line 5: a cell must be 0 or 1, got '2'. {remedy}",
        "ostinato stream, line 6: a line must be 6 cells: key_1, key_2, key_3, key_4, key_5, key_6, "
        f"got 2 cells. {remedy}",
    ]


@pytest.mark.parametrize(
    "make, message",
    [
        (
            of_items,
            "one of texts alone, got one of the task generate, whose items have a condition, which a line of text "
            "lacks. Use ostinato predict MODEL FILE, or train without --given and --features.",
        ),
        (
            of_music,
            "one that decides each key apart, got one of the task music that decides the keys of a frame one after "
            "another. Train with --chords apart, or use ostinato predict MODEL FILE.",
        ),
        (
            of_transcripts,
            "one that reads forwards, step by step, got one of the task transcribe that reads both directions. The "
            "second direction begins at the end, which a stream does not have yet. Train with --one-direction.",
        ),
    ],
)
def test_conditions_joint_chords_and_both_directions_are_refused(make, message, tmp_path):
    make().save(tmp_path / "model")
    with pytest.raises(InputError) as error:
        ways.way_of(open_model(tmp_path / "model"), None)
    assert str(error.value) == f"ostinato stream: MODEL must be {message}"
