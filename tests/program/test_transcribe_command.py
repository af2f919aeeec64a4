"""Transcription by the commands: symbols to texts, another beam, a private folder, and a run that repeats."""

import csv

import pytest

import ostinato
from ostinato.errors import InputError
from ostinato.program.running.beam import with_beam
from ostinato.program.running.model import open_model
from ostinato.program.running.unlabelled import from_line
from program.commands import ostinato as command
from program.tasks.made_transcripts import keys

SMALL = ("--hidden", 12, "--layers", 1, "--batch", 32, "--learning-rate", 0.03, "--no-lens", "--quiet")
ASKED = ("--text", "pressed", "--target", "written", "--task", "transcribe")


def written(place, count=260):
    rows = keys(count, kind="text")
    with (place / "keys.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["pressed", "written"])
        table.writerows(zip(rows.inputs, rows.targets))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("transcribe")
    written(place)
    return place, command(place, "train", "keys.csv", *ASKED, *SMALL, "--updates", 60, "--json").document


def test_a_table_of_symbols_is_trained_beside_its_baselines(made):
    place, document = made
    assert (document["task"], document["status"]) == ("transcribe", 0)
    model = place / "keys-model"
    assert {"transcripts.json", "vocabulary.json", "report.html", "predictions.csv"} <= {
        p.name for p in model.iterdir()
    }
    shown = command(place, "evaluate", model)
    assert shown.status == 0 and "character error rate" in shown.out and "edits of" in shown.out
    assert "by the most probable path" in shown.out
    assert "Where the network names the units" in (model / "report.html").read_text()


def test_lines_are_answered_with_the_transcript_and_its_probability(made):
    place, _ = made
    answered = command(place, "predict", "keys-model", "-", typed="4433555_555666\n\n")
    first, second = answered.out.split("\n")[:2]
    text, probability = first.split("\t")
    assert answered.status == 0 and text and 0 < float(probability) <= 1
    assert second == "\t1.0000"  # an input without steps has the empty transcript
    assert ostinato.load(place / "keys-model").predict(["4433555_555666"]) == [text]


def test_another_beam_is_searched_with(made):
    place, _ = made
    opened = with_beam(open_model(place / "keys-model"), 1, "predict")
    assert opened.task.beam == 1 and open_model(place / "keys-model").task.beam == 5


def test_a_private_folder_has_no_row_and_the_run_repeats(made, tmp_path):
    written(tmp_path)
    hashes = []
    for more in (("--private", "--threads", 1), ("--threads", 2)):
        how = (*ASKED, *SMALL, "--updates", 8, "--json", *more)
        hashes.append(command(tmp_path, "train", "keys.csv", *how).document["weights_sha256"])
    assert hashes[0] == hashes[1]
    private, page = tmp_path / "keys-model", (tmp_path / "keys-model" / "report.html").read_text()
    assert not (private / "predictions.csv").exists()
    assert "What became of the characters" in page and "<del" not in page
    assert "Where the network names the units" not in page


def test_a_line_of_other_channels_is_refused_and_one_number_is_said_in_the_singular():
    with pytest.raises(InputError) as refused:
        from_line("[[1]]", "series", 2, "ostinato predict")
    assert str(refused.value) == (
        "ostinato predict: a line must be a JSON list of steps, got 1 number of shape [1, 1]."
    )
