"""Music as a user types it: folders of MIDI files in, a model folder, figures of new files, and MIDI files out."""

import json

import numpy as np
import pytest

from ostinato.program.data.music.midi import piece_of
from program.commands import ostinato
from program.data.made_midi import melody, notes_of

SMALL = ("--hidden", "16", "--dropout", "0", "--batch", "8", "--learning-rate", "0.01", "--no-lens", "--quiet")
SCALE = (0, 2, 4, 5, 7, 9, 11, 12)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of rising scales, and a model of them."""
    found = tmp_path_factory.mktemp("music")
    (found / "scales").mkdir()
    for first in range(40, 64):
        notes = [(first + step, 0.5) for step in SCALE]
        (found / "scales" / f"from{first}.mid").write_bytes(melody(*notes))
    (found / "start.mid").write_bytes(melody((50, 0.5), (52, 0.5), (54, 0.5)))
    ended = ostinato(found, "train", "scales", "--grid", 2, "--updates", 60, *SMALL, "--json")
    assert ended.status in (0, 1), ended.err
    return found


def roll_of(path, grid=2):
    return piece_of(path.read_bytes(), path, grid).roll


def test_the_task_is_said_and_the_folder_has_figures_in_nats_of_a_frame(place):
    config = json.loads((place / "scales-model" / "config.json").read_text(encoding="utf-8"))
    assert config["task"] == "music" and config["options"]["data"]["grid"] == 2
    metrics = json.loads((place / "scales-model" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["metric"] == "nats_per_frame" and not metrics["higher_is_better"]
    checked = ostinato(place, "check", "scales", "--grid", 2).out
    assert checked.startswith("The task is music: scales holds notes.")
    assert "scales: 24 rows" in checked and "24 pieces of 192 frames and 88 keys; keys that sound: 40 to 75" in checked


def test_new_files_are_judged_and_their_frames_have_nats(place):
    ended = ostinato(place, "evaluate", "scales-model", "start.mid", "--json")
    assert ended.status == 0, ended.err
    value = ended.document["metrics"]["nats_per_frame"]["value"]
    assert 0 < value < 88 * np.log(2)
    answer = ostinato(place, "predict", "scales-model", "start.mid")
    assert answer.status == 0 and "start.mid" in answer.out, answer.err


def test_a_prompt_is_continued_in_a_new_file_that_another_reader_reads(place, tmp_path):
    out = tmp_path / "new.mid"
    words = ("generate", "scales-model", "--prompt", "start.mid", "--length", 6, "--seed", 4)
    ended = ostinato(place, *words, "--out", out)
    assert (ended.status, ended.out) == (0, f"{out}\n"), ended.err
    assert ended.err.startswith("3 frames of the prompt, then 6 new ones.\n")
    assert np.array_equal(roll_of(out)[:3], roll_of(place / "start.mid"))
    form, ticks, tempos, _ = notes_of(out.read_bytes())
    assert (form, ticks, tempos) == (1, 480, [500_000])
    again = tmp_path / "again.mid"
    assert ostinato(place, *words, "--out", again).status == 0 and again.read_bytes() == out.read_bytes()
    other = tmp_path / "other.mid"
    assert ostinato(place, *words[:-1], 5, "--out", other).status == 0 and other.read_bytes() != out.read_bytes()


def test_an_existing_file_is_never_written_over(place, tmp_path):
    out = tmp_path / "new.mid"
    out.write_bytes(b"mine")
    ended = ostinato(place, "generate", "scales-model", "--out", out)
    assert ended.status == 2 and out.read_bytes() == b"mine"
    assert ended.err == (
        f"ostinato generate: --out must be a file that is not there yet, got {out}. Name another with --out.\n"
    )


def test_files_without_a_name_are_numbered_and_json_is_one_document(place):
    words = ("generate", "scales-model", "--length", 8, "--count", 2, "--json")
    ended = ostinato(place, *words)
    found = ended.document
    assert ended.err == "" and [s["file"] for s in found["samples"]] == ["scales-1.mid", "scales-2.mid"]
    assert found["prompt"] is None and found["prompt_frames"] == 0 and found["samples"][0]["frames"] == 8
    assert set(found["memorised"]) == {"longest_run", "of_frames", "piece", "share_of_frames"}
    assert found["memorised"]["of_frames"] in (0, 8) and found["memorised"]["longest_run"] <= 8
    assert ostinato(place, *words).document["samples"][0]["file"] == "scales-3.mid"


def test_what_the_training_pieces_have_is_not_said_where_they_are_gone(place, tmp_path):
    ended = ostinato(
        place, "generate", "scales-model", "--prompt", "start.mid", "--length", 3, "--out", tmp_path / "a.mid"
    )
    assert "training piece" in ended.err
    hidden = (place / "scales").rename(place / "moved")
    try:
        ended = ostinato(place, "generate", "scales-model", "--length", 3, "--out", tmp_path / "b.mid")
    finally:
        hidden.rename(place / "scales")
    said = "scales is not there any more, so samples are not compared with the pieces of the training.\n"
    assert ended.status == 0 and ended.err.endswith(said)


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ("--top-k", 3),
            "ostinato generate: --top-k must be left out for a model of music, got it. Leave --top-k out.",
        ),
        (
            ("--top-p", 0.5),
            "ostinato generate: --top-p must be left out for a model of music, got it. Leave --top-p out.",
        ),
        (
            ("--stop", "x"),
            "ostinato generate: --stop must be left out for a model of music, got it. Leave --stop out.",
        ),
        (
            ("--given", "a=b"),
            "ostinato generate: --given must be left out for a model of music, got it. Leave --given out.",
        ),
        (
            ("--prompt", "It was"),
            "ostinato generate: --prompt must be a MIDI file, for music, got 'It was'. Write --prompt start.mid, say.",
        ),
        (
            ("--out", "new.txt"),
            "ostinato generate: --out must be a name that ends in .mid, for music, got new.txt. "
            "Write --out new.mid, say.",
        ),
    ],
)
def test_options_of_texts_are_refused_for_music(place, words, message):
    ended = ostinato(place, "generate", "scales-model", *words)
    assert (ended.status, ended.out, ended.err) == (2, "", message + "\n")


def test_a_file_is_refused_for_a_model_of_texts(tmp_path):
    (tmp_path / "lines.txt").write_text("\n".join(f"ab{k}" for k in range(80)) + "\n", encoding="utf-8")
    words = ("train", "lines.txt", "--updates", 3, *SMALL, "--no-baselines", "--out", "model")
    assert ostinato(tmp_path, *words).status in (0, 1)
    ended = ostinato(tmp_path, "generate", "model", "--out", "new.mid")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        "ostinato generate: --out must be left out for texts, which are printed, got new.mid. "
        "Redirect the output: > FILE.\n"
    )


def test_a_damaged_file_in_a_folder_is_named(tmp_path):
    (tmp_path / "tunes").mkdir()
    (tmp_path / "tunes" / "a.mid").write_bytes(melody((60, 1)))
    (tmp_path / "tunes" / "b.mid").write_bytes(melody((60, 1))[:-6])
    ended = ostinato(tmp_path, "train", "tunes")
    assert (ended.status, ended.out) == (2, "") and not (tmp_path / "tunes-model").exists()
    assert ended.err == (
        "b.mid: the file must be a whole MIDI file, got one that ends within a track. Copy it again.\n"
    )
