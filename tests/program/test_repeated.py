"""A training repeated, resumed, interrupted and gone on with, by the commands: the same updates give the same bits."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

import ostinato as library
from ostinato.program import storage
from ostinato.program.folder import save
from ostinato.program.running import result
from ostinato.program.running.listening import Listening
from program import made_files as made
from program.commands import ostinato

pytestmark = pytest.mark.slow

COMMAND = ("train", "reviews.csv", "--text", "review", "--target", "label", "--no-lens", "--quiet")
SMALL = (*made.SMALL, "--updates", 24, "--out", "model")
CELL = """
import pathlib
from torch import tanh
import ostinato

log = pathlib.Path("ran.txt")
log.write_text((log.read_text() if log.exists() else "") + "x")


@ostinato.cell
def leaky(W, U, b, x, h):
    return 0.5 * h + 0.5 * tanh(W.g @ x + b.g + U.g @ h)
"""


@pytest.fixture
def place(tmp_path):
    made.reviews(tmp_path / "reviews.csv", 120)
    return tmp_path


def sha(place, folder):
    return json.loads((place / folder / "config.json").read_text(encoding="utf-8"))["weights_sha256"]


def test_config_repeats_the_run_to_the_same_hash_and_overwrites_nothing(place):
    assert ostinato(place, *COMMAND, *SMALL).status in (0, 1)
    before = {path.name: path.read_bytes() for path in (place / "model").iterdir() if path.is_file()}
    ended = ostinato(place, "train", "--config", "model/config.json", "--out", "model", "--json")
    assert ended.document["folder"] == "model-2"
    assert ended.document["notes"] == ["The weights have the hash of the run that was repeated."]
    assert sha(place, "model-2") == sha(place, "model")
    assert (place / "model-2/history.jsonl").read_text().count("\n") == before["history.jsonl"].decode().count("\n")
    assert {path.name: path.read_bytes() for path in (place / "model").iterdir() if path.is_file()} == before
    ostinato(place, *COMMAND, *SMALL)  # the same words typed again
    assert sha(place, "model-3") == sha(place, "model")


def test_config_refuses_changed_data_and_other_options(place):
    ostinato(place, *COMMAND, *SMALL)
    refused = ostinato(place, "train", "--config", "model/config.json", "--hidden", 4)
    assert refused.status == 2 and "--config must be alone, got --hidden beside it." in refused.err
    with (place / "reviews.csv").open("a", encoding="utf-8") as file:
        file.write("yes the no film was,good\n")
    refused = ostinato(place, "train", "--config", "model/config.json")
    assert refused.status == 2 and "The file has changed since: train anew, without --config." in refused.err
    assert not (place / "model-2").exists()
    evaluated = ostinato(place, "evaluate", "model")
    assert evaluated.status == 2 and "must be the file of the training, got one that has changed" in evaluated.err


def test_two_files_of_one_name_are_each_compared_with_their_own(place):
    """The hashes were once kept by name, so that a run on train/a.csv and test/a.csv could not be repeated."""
    for folder, seed in (("train", 0), ("test", 1)):
        (place / folder).mkdir()
        made.reviews(place / folder / "a.csv", 80, seed=seed)
    command = ("train", "train/a.csv", "--test", "test/a.csv", *COMMAND[2:])
    assert ostinato(place, *command, *SMALL).status in (0, 1)
    repeated = ostinato(place, "train", "--config", "model/config.json", "--out", "again", "--quiet")
    assert repeated.status in (0, 1), repeated
    assert sha(place, "model") == sha(place, "again")
    assert ostinato(place, "evaluate", "model").status == 0
    made.reviews(place / "test" / "a.csv", 80, seed=2)
    refused = ostinato(place, "train", "--config", "model/config.json", "--out", "third", "--quiet")
    assert refused.status == 2 and "The file has changed since" in str(refused)


def test_a_cell_of_a_file_runs_when_it_is_typed_and_never_again(place):
    (place / "my_cells.py").write_text(CELL, encoding="utf-8")
    options = ("--cell", "my_cells.py:leaky", "--zoneout", "0.1", *SMALL)
    assert ostinato(place, *COMMAND, *options).status in (0, 1)
    ran = (place / "ran.txt").read_text()
    config = json.loads((place / "model/config.json").read_text(encoding="utf-8"))["options"]["network"]
    assert config["options"] == {"zoneout": 0.1} and "my_cells" not in config["cell"] and "tanh" in config["cell"]
    assert ostinato(place, "predict", "model", "reviews.csv").status == 0
    assert ostinato(place, "train", "--config", "model/config.json", "--quiet").status in (0, 1)
    library.load(place / "model")
    assert sha(place, "reviews-model") == sha(place, "model")
    assert (place / "ran.txt").read_text() == ran == "x"


def test_a_folder_that_names_a_file_as_its_cell_is_refused(place):
    (place / "my_cells.py").write_text(CELL, encoding="utf-8")
    ostinato(place, *COMMAND, *SMALL)
    path = place / "model/config.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["options"]["network"]["cell"] = "my_cells.py:leaky"
    path.write_text(json.dumps(document), encoding="utf-8")
    for words in (("predict", "model"), ("evaluate", "model"), ("train", "--config", path), ("inspect", "model")):
        ended = ostinato(place, *words)
        assert ended.status == 2 and "Nothing but the equations of a cell is read from a model folder" in ended.err
    assert not (place / "ran.txt").exists()


def killed(monkeypatch, update, do):
    """Makes the fit call `do` after an update."""

    def updated(self, number):
        if number == update:
            do()

    monkeypatch.setattr(Listening, "updated", updated)


def test_an_unfinished_folder_is_resumed_to_the_same_hash(place, monkeypatch):
    ostinato(place, *COMMAND, *SMALL[:-1], "whole")
    with monkeypatch.context() as patched:

        def stop():
            raise KeyboardInterrupt  # as the second Ctrl-C

        killed(patched, 15, stop)
        assert ostinato(place, *COMMAND, *SMALL).status == 130
    assert not (place / "model/config.json").exists()
    for words in (("predict", "model"), ("evaluate", "model")):
        ended = ostinato(place, *words)
        assert ended.status == 2 and "Run `ostinato train --resume model`." in ended.err
    ended = ostinato(place, "train", "--resume", "model", "--quiet")
    assert ended.status in (0, 1), ended.err
    assert sha(place, "model") == sha(place, "whole")
    again = ostinato(place, "train", "--resume", "model")
    assert (
        again.status == 2 and "a folder with an unfinished training, got model, whose training has ended" in again.err
    )
    other = ostinato(place, "train", "--resume", ".")
    assert other.status == 2 and "which holds none" in other.err


def test_one_process_alone_trains_into_a_folder(place, monkeypatch):
    """Two of them once trained to the end, and one then failed."""
    found = []

    def resume():
        if not found:
            found.append(None)
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            words = [sys.executable, "-m", "ostinato", "train", "--resume", "model"]
            found[0] = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True)
            found.append(ostinato(place, "train", "--resume", "model"))  # of this process

    def stop():
        raise KeyboardInterrupt  # as the second Ctrl-C

    expected = (
        "ostinato train: --resume must be a folder in which no training runs, got model: another process is still "
        "training into this folder. Wait until it ends, or end it.\n"
    )
    killed(monkeypatch, 5, resume)
    assert ostinato(place, *COMMAND, *SMALL, "--no-baselines").status in (0, 1)
    assert (found[0].returncode, found[0].stderr) == (2, expected) == (found[1].status, found[1].err)
    assert sha(place, "model") and not (place / "model-2").exists()
    for words in ((*COMMAND, *SMALL[:-1], "other", "--no-baselines"), ("train", "--resume", "other")):
        killed(monkeypatch, 5 if words[1] != "--resume" else 8, stop)
        assert ostinato(place, *words).status == 130, "the end of the first released the folder"


def test_a_resumed_training_records_what_an_undisturbed_one_does(place, monkeypatch):
    """What was inferred was once read again as if the user had typed it, so that sentences differed."""
    rows = [(f"{1990 + m // 12}-{m % 12 + 1:02d}", (7 * m) % 12 + m / 50) for m in range(120)]
    made.write_table(place / "sales.csv", ("month", "y"), rows)
    words = (
        "train",
        "sales.csv",
        "--target",
        "y",
        "--horizon",
        3,
        "--no-lens",
        "--no-baselines",
        "--quiet",
        *SMALL[:-2],
    )
    assert ostinato(place, *words, "--out", "whole").status in (0, 1)

    def stop():
        raise KeyboardInterrupt  # as the second Ctrl-C

    with monkeypatch.context() as patched:
        killed(patched, 15, stop)
        assert ostinato(place, *words, "--out", "model").status == 130
    assert ostinato(place, "train", "--resume", "model", "--quiet").status in (0, 1)
    whole, model = (json.loads((place / name / "config.json").read_text()) for name in ("whole", "model"))
    assert "--horizon asks for it" in whole["because"]
    assert {**model["options"].pop("run"), "out": "whole"} == whole["options"].pop("run")
    assert model == whole


@pytest.mark.parametrize("private", [False, True])
def test_a_training_goes_on_with_the_rows_it_began_with_alone(place, monkeypatch, private):
    made.reviews(place / "test.csv", 60, seed=1)
    words = (*COMMAND, *SMALL, "--test", "test.csv", "--no-baselines", *["--private"] * private)

    def stop():
        raise KeyboardInterrupt  # as the second Ctrl-C

    with monkeypatch.context() as patched:
        killed(patched, 15, stop)
        assert ostinato(place, *words).status == 130
    assert ("sha256" in (place / "model/resume/options.json").read_text()) is not private
    before = (place / "test.csv").read_bytes()
    made.reviews(place / "test.csv", 60, seed=2)
    refused = ostinato(place, "train", "--resume", "model", "--quiet")
    expected = "got one of another test rows. Give" if private else "The file has changed since: train anew, without --"
    assert refused.status == 2 and expected in refused.err and not (place / "model/config.json").exists()
    (place / "test.csv").write_bytes(before)
    options = json.loads((place / "model/resume/options.json").read_text())
    del options["sources"]  # as an earlier version wrote it
    (place / "model/resume/options.json").write_text(json.dumps(options))
    assert ostinato(place, "train", "--resume", "model", "--quiet").status in (0, 1)


KILL = """
import os, signal, sys
from ostinato.program.running.listening import Listening
from ostinato.apps.cli import main
Listening.updated = lambda self, number: number == 13 and os.kill(os.getpid(), signal.SIGKILL)
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_command_is_resumed_to_the_same_hash(place):
    ostinato(place, *COMMAND, *SMALL[:-1], "whole")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [sys.executable, "-c", KILL, *map(str, (*COMMAND, *SMALL))]
    assert subprocess.run(words, cwd=place, env=environment, capture_output=True).returncode == -signal.SIGKILL
    assert ostinato(place, "train", "--resume", "model", "--quiet").status in (0, 1)
    assert sha(place, "model") == sha(place, "whole")


def test_a_disk_that_is_full_at_the_first_state_is_gone_on_from(place, monkeypatch):
    plain = storage.os.fsync

    def full_from(first):
        calls = []

        def fsync(handle):
            calls.append(handle)
            if len(calls) >= first:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            plain(handle)

        return fsync

    for first, kept in ((1, False), (3, True)):  # the options, with their folder's entry; the first state
        with monkeypatch.context() as patched:
            patched.setattr(storage.os, "fsync", full_from(first))
            ended = ostinato(place, *COMMAND, *SMALL, "--no-baselines")
        assert ended.status == 2 and (place / "model").exists() is kept
        said = "Make room, or name another place." + " Then go on with `ostinato train --resume model`." * kept
        assert ended.err.endswith(f"(No space left on device). {said}\n")
    assert ostinato(place, "train", "--resume", "model", "--quiet").status in (0, 1)


def test_a_file_of_the_training_that_is_gone_is_called_so(place):
    assert ostinato(place, *COMMAND, *SMALL, "--no-baselines").status in (0, 1)
    (place / "reviews.csv").unlink()
    (place / "elsewhere").mkdir()
    for words in (("--config", "../model/config.json"), ("--resume", "../model")):
        ended = ostinato(place / "elsewhere", "train", *words)
        assert ended.status == 2 and ended.err == (
            "ostinato train: the file of the training must be still there, got none at reviews.csv, here or beside the "
            "model folder. Put it back, or run the command where it is.\n"
        )
        (place / "model/config.json").unlink(missing_ok=True)


def test_a_folder_is_whole_where_it_has_its_config(place, monkeypatch):
    """A kill between config.json and report.html once left a folder without its page, which nothing could write."""
    written = []

    def noted(path, content, where):
        written.append(path.name)
        storage.write_bytes(path, content, where)

    def stop(run, cell):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(result, "page_of", stop)
        assert ostinato(place, *COMMAND, *SMALL, "--no-baselines").status == 130
    assert not (place / "model/config.json").exists()
    monkeypatch.setattr(save, "write_bytes", noted)
    assert ostinato(place, "train", "--resume", "model", "--quiet").status in (0, 1)
    assert written[-2:] == ["report.html", "config.json"]
    (place / "model/config.json").unlink()
    assert ostinato(place, "train", "--resume", "model", "--quiet").status in (0, 1)


def test_an_error_of_a_picture_or_of_the_lens_does_not_lose_the_training(place, monkeypatch):
    command = (*COMMAND[:6], *SMALL, "--no-baselines")
    plain = result.page_of

    def failing(*arguments):
        raise ValueError("no such\ncolour")

    def without_lens(run, cell):
        return plain(run, cell) if run.lens is None else failing()

    for name, function, said, page in (
        ("look", failing, "The lens could not observe this network: ValueError: no such colour.", True),
        ("page_of", without_lens, "What the lens found could not be drawn: ValueError: no such colour.", True),
        ("page_of", failing, "The report page could not be drawn: ValueError: no such colour.", False),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(result, name, function)
            ended = ostinato(place, *command, "--json")
        folder = place / ended.document["folder"]
        assert ended.status in (0, 1) and (folder / "report.html").exists() is page
        where = (folder / "report.html").read_text() if page else json.loads((folder / "config.json").read_text())
        assert said in (where if page else where["notes"]) and (page or said in ended.err)
        assert ostinato(place, "evaluate", folder).status == 0
    with monkeypatch.context() as patched:
        patched.setattr(result, "page_of", failing)
        ended = ostinato(place, *command, "--no-lens", "--private", "--json")
    assert "The report page could not be drawn: ValueError." in ended.document["notes"]


def test_the_first_interrupt_evaluates_saves_and_ends_with_130(place, monkeypatch):
    killed(monkeypatch, 9, lambda: os.kill(os.getpid(), signal.SIGINT))
    loud = tuple(word for word in COMMAND if word != "--quiet")
    ended = ostinato(place, *loud, *SMALL, "--json")
    assert ended.status == 130 and ended.document["stopped"] == "interrupted" and ended.document["status"] == 130
    assert "Finishing the step, then evaluating and saving. Ctrl-C again stops at once." in ended.err
    assert 9 <= ended.document["updates"] <= 10
    monkeypatch.undo()
    assert ostinato(place, "evaluate", "model").status == 0
    assert ostinato(place, "predict", "model", "-", typed="the yes film no\n").out.split("\t")[0] in ("bad", "good")


def test_from_model_begins_with_the_weights_of_a_folder(place):
    ostinato(place, *COMMAND, *made.SMALL, "--updates", 90, "--out", "first")
    first = ostinato(place, *COMMAND, *made.SMALL, "--updates", 1, "--from-model", "first", "--out", "second", "--json")
    assert first.document["metrics"]["test"]["model"]["value"] == 1.0
    ended = ostinato(place, "train", "--config", "second/config.json", "--quiet", "--json")
    assert ended.document["weights_sha256"] == first.document["weights_sha256"]
    refused = ostinato(place, *COMMAND, "--hidden", 5, "--embedding", 8, "--from-model", "first", "--updates", 1)
    assert refused.status == 2 and "--from-model must be a model with the weights of this network" in refused.err


def test_vectors_are_the_first_embeddings_and_the_run_can_be_repeated(place):
    words = [*made.WORDS, "yes", "no"]
    lines = (f"{word} {' '.join(str(float(k == n)) for k in range(12))}\n" for n, word in enumerate(words))
    (place / "vectors.txt").write_text("".join(lines), encoding="utf-8")
    options = (*COMMAND, *SMALL[:-4], "--vectors", "vectors.txt", "--updates", 2, "--out", "model", "--json")
    first = ostinato(place, *options).document
    assert library.load(place / "model").network_.state_dict()["embedding.weight"].shape[1] == 12
    (place / "again").mkdir()
    second = ostinato(place, "train", "--config", "model/config.json", "--quiet", "--json").document
    assert second["weights_sha256"] == first["weights_sha256"]
    (place / "vectors.txt").unlink()
    assert ostinato(place, "predict", "model", "reviews.csv").status == 0
    assert ostinato(place, "train", "--config", "model/config.json").status == 2
