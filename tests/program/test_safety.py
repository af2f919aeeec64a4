"""Strings of the user's in everything that a training writes: escaped, neutralised, and absent with --private."""

import csv
import json
import re

import pytest

from program import made_files as made
from program.commands import ostinato

EVIL = "</script><img src=x onerror=alert(1)>"
COMMAND = ("--no-lens", "--quiet", "--updates", 8, *made.SMALL)


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """A folder trained on a file with markup in a text, a label, a column and the file's name."""
    place = tmp_path_factory.mktemp("evil")
    made.reviews(place / "plain.csv", 120)
    with (place / "plain.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    rows = [(f"{text} {EVIL} {k}", (EVIL, "=1+1")[k % 2]) for k, (text, _) in enumerate(rows)]
    made.write_table(place / "a<img src=x onerror=alert(1)>.csv", (f"text {EVIL}", f"label {EVIL}"), rows)
    ended = ostinato(
        place, "train", "a<img src=x onerror=alert(1)>.csv", "--text", f"text {EVIL}", "--target", f"label {EVIL}",
        "--out", "model", *COMMAND,
    )  # fmt: skip
    assert ended.status in (0, 1), ended.err
    return place


@pytest.mark.parametrize("name", ["report.html", "README.md"])
def test_markup_of_the_users_is_escaped(evil, name):
    content = (evil / "model" / name).read_text(encoding="utf-8")
    assert not re.search(r"<img|<script|</script", content, re.IGNORECASE)
    assert "onerror" in content, "the strings are shown"


def test_cells_that_a_spreadsheet_would_run_are_neutralised(evil):
    with (evil / "model/predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    cells = [cell for row in rows for cell in row]
    assert "'=1+1" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


def test_negative_numbers_stay_numbers_in_predictions(tmp_path):
    made.loads(tmp_path / "loads.npz", 120)
    ostinato(tmp_path, "train", "loads.npz", "--out", "model", *COMMAND)
    with (tmp_path / "model/predictions.csv").open(encoding="utf-8") as file:
        truth = [float(row["truth"]) for row in csv.DictReader(file)]
    assert min(truth) < 0


def test_private_leaves_rows_texts_and_hashes_out_of_every_file(tmp_path):
    secrets = [f"secret{k:03d}x" for k in range(120)]
    made.reviews(tmp_path / "reviews.csv", 120)
    with (tmp_path / "reviews.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    rows = [(f"{text} {secret}", label) for (text, label), secret in zip(rows, secrets)]
    made.write_table(tmp_path / "reviews.csv", ("review", "label"), rows)
    words = ("train", "reviews.csv", "--text", "review", "--target", "label")
    open_ended = ostinato(tmp_path, *words, "--out", "open", *COMMAND)
    private = ostinato(tmp_path, *words, "--out", "model", "--private", *COMMAND)
    assert open_ended.status in (0, 1) and private.status == open_ended.status
    hashes = [h for part in json.loads((tmp_path / "open/split.json").read_text())["sha256"].values() for h in part]
    digest = json.loads((tmp_path / "open/config.json").read_text())["sources"][0]["sha256"]
    found = {path.name: path.read_bytes() for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert "predictions.csv" not in found and "report.html" in found and "metrics.json" in found
    assert not (tmp_path / "model/resume").exists() and (tmp_path / "open/resume").exists()
    for name, content in found.items():
        for secret in (*secrets, *(text for text, _ in rows), *hashes, digest):
            assert secret.encode() not in content, (name, secret)
    in_open = b"".join(path.read_bytes() for path in (tmp_path / "open").rglob("*") if path.is_file())
    assert hashes[0].encode() in in_open and digest.encode() in in_open, "the check above can find something"
    assert ostinato(tmp_path, "predict", "model", "-", typed="yes the no\n").status == 0
