"""A model folder: what is written, what comes back, and what is refused."""

import errno
import json
import os
import pickle
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

import ostinato
from ostinato.cells.cell import Cell
from ostinato.errors import InputError, OstinatoError, StorageError
from ostinato.program import storage
from ostinato.program.data.examples import Examples, Origin, Source, Split
from ostinato.program.folder.config import FORMAT, from_json, to_json
from ostinato.program.folder.documents import Results, metrics_json, predictions_csv, split_json
from ostinato.program.folder.load import load, read_json, restore
from ostinato.program.folder.names import new_folder
from ostinato.program.folder.save import Trained, save, write
from ostinato.program.options import DataOptions, FitOptions, RunOptions, TrainOptions
from ostinato.program.tasks.task import Metric, Predictions
from ostinato.program.training.evaluate import predict
from program.training.made import SMALL, Signs, fitted, parts

EVIL = "</script><img src=x onerror=alert(1)>|`*"
OPTIONS = FitOptions(updates=6)
DATA = DataOptions(paths=(Path("data/reviews.csv"),), text="review", target=EVIL)
GRU = ostinato.GRU(2, 3).cell


@cache
def six():
    return fitted(OPTIONS)


def metric(value, name="accuracy"):
    return Metric(name, value, value - 0.1, value + 0.1, 40, True)


def trained(**changes):
    found, network = six()
    task = Signs()
    valid = parts(task)[1]
    origins = [Origin("=evil.csv", k + 2) for k in range(40)]
    values = {
        "task": task,
        "fitted": found,
        "cell": GRU,
        "options": TrainOptions(data=DATA, network=replace(SMALL, options={"zoneout": 0.1}), fit=OPTIONS),
        "because": f"Classifies, since {EVIL} has two values.",
        "sources": [Source(Path("data/reviews.csv"), "ab" * 32, 105, 106, "utf-8")],
        "notes": [f"3 rows of {EVIL} are empty."],
        "results": Results(model=[metric(0.7), metric(0.6, "macro_f1")], baselines={"majority": [metric(0.5)]}),
        "test": replace(valid.examples, origins=origins),
        "predictions": predict(task, network, valid.encoded)[0],
        "split": Split(np.arange(65), np.arange(65, 105), np.arange(0), given=False, leaked=np.arange(0)),
        "row_hashes": [f"{k:064x}" for k in range(105)],
    }
    return Trained(**{**values, **changes})


@pytest.fixture
def folder(tmp_path):
    return save(tmp_path / "reviews-model", trained())


def test_the_folder_holds_text_and_safetensors_alone(folder):
    names = "README.md config.json model.safetensors labels.json metrics.json history.jsonl split.json predictions.csv"
    assert {p.name for p in folder.iterdir()} == set(names.split())
    for path in folder.iterdir():
        if path.suffix != ".safetensors":
            path.read_text(encoding="utf-8")


def test_what_was_saved_comes_back(folder):
    found, network = six()
    loaded = load(folder)
    assert loaded.config.task == "signs" and loaded.config.options.network.options == {"zoneout": 0.1}
    assert loaded.config.options.fit == OPTIONS and loaded.config.options.data == DATA
    assert loaded.config.settings == found.settings and loaded.config.weights_sha256 == found.sha256
    assert Cell.from_text(loaded.config.options.network.cell) == GRU
    assert loaded.files == {"labels.json": {"classes": ["negative", "positive"]}}
    task, again = restore(loaded, Signs)
    encoded = parts(task)[1].encoded
    one, other = predict(task, again, encoded)[0], predict(task, network, encoded)[0]
    assert np.array_equal(one.probabilities, other.probabilities) and not again.training


def test_the_config_repeats_the_run(folder):
    config = load(folder).config
    again, _ = fitted(config.options.fit, settings=config.settings)
    assert again.sha256 == config.weights_sha256


def test_the_folder_can_be_moved(folder, tmp_path):
    moved = tmp_path / "elsewhere" / "model"
    moved.parent.mkdir()
    folder.rename(moved)
    assert load(moved).config.weights_sha256 == six()[0].sha256


def test_metrics_have_the_documented_form(folder):
    found = read_json(folder / "metrics.json")
    assert found["format"] == 1 and found["task"] == "signs" and found["metric"] == "accuracy" and found["n"] == 40
    assert found["higher_is_better"] is True
    assert found["test"]["model"] == {"value": 0.7, "low": pytest.approx(0.6), "high": pytest.approx(0.8)}
    assert found["test"]["baselines"]["majority"]["value"] == 0.5
    assert found["all"]["model"]["macro_f1"]["value"] == 0.6
    undefined = Results(model=[Metric("r2", float("nan"), 0, 1, 3, True)], extra={"format": 9, "confusion": [[1]]})
    found = metrics_json("regress", undefined, "")
    assert found["test"]["model"]["value"] is None and found["format"] == 1 and found["confusion"] == [[1]]


def test_the_history_and_the_split_are_lines_and_hashes(folder):
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines] == [e.update for e in six()[0].history]
    assert lines[0]["train_loss"] is None
    found = read_json(folder / "split.json")
    assert found["rows"] == {"train": 65, "valid": 40, "test": 0} and found["given"] is False
    assert found["sha256"]["valid"][0] == f"{65:064x}" and len(found["sha256"]["train"]) == 65


def test_predictions_of_every_kind_are_cells_that_no_spreadsheet_runs():
    def rows(kind, targets, values, probabilities=None):
        examples = Examples("text", [""] * len(values), kind, targets)
        return predictions_csv(examples, Predictions(values, probabilities)).splitlines()[1:]

    assert rows("class", ["=a", "b"], ["b", "@c"], np.array([[0.25, 0.75], [0.5, 0.5]])) == [
        "0,'=a,b,0.750000",
        "1,b,'@c,0.500000",
    ]
    assert rows("number", [1.5, -2.0], [0.5, -3.25]) == ["0,1.5,0.5,", "1,-2.0,-3.25,"]
    assert rows("labels", [("a", "b"), ()], [("a",), ()]) == ["0,a;b,a,", "1,,,"]
    tags = [np.array([[0.5, 0.5], [1.0, 0.0]]), np.zeros((0, 2))]
    assert rows("tags", [["X", "-"], []], [["X", "Y"], []], tags) == ["0,X -,X Y,0.750000", "1,,,"]
    assert rows("class", None, ["b"]) == ["0,,b,"]


def test_ids_of_predictions_are_files_and_lines(folder):
    lines = (folder / "predictions.csv").read_text().splitlines()
    assert lines[0] == "id,truth,prediction,probability" and lines[1].startswith("'=evil.csv:2,")
    assert len(lines) == 41


def test_no_string_of_the_user_is_markup_in_the_card(folder):
    text = (folder / "README.md").read_text()
    assert "<img" not in text and "</script" not in text and "`*" not in text
    assert "&lt;/script" in text and "0.7" in text and "majority" in text and six()[0].sha256 in text
    assert text.startswith("---\nlibrary_name: ostinato\n")


def test_a_private_folder_has_no_rows_hashes_or_predictions(tmp_path):
    folder = new_folder(tmp_path / "model")
    write(folder, trained(options=TrainOptions(network=SMALL, run=RunOptions(private=True))))
    assert not (folder / "predictions.csv").exists()
    everything = "".join(p.read_text() for p in folder.iterdir() if p.suffix in (".json", ".jsonl", ".md", ".csv"))
    assert "ab" * 32 not in everything and f"{65:064x}" not in everything
    assert read_json(folder / "split.json")["rows"]["train"] == 65
    assert load(folder).config.options.run.private
    assert "sha256" in split_json(trained().split, trained().row_hashes, private=False)


def test_an_existing_folder_is_never_written_into(folder, tmp_path):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    second, third = (save(folder, trained()) for _ in range(2))
    assert [second.name, third.name] == ["reviews-model-2", "reviews-model-3"]
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    with pytest.raises(InputError, match=r"save: the folder must be one without config\.json, got .*reviews-model\."):
        write(folder, trained())


def test_a_place_where_no_folder_can_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="train: the folder of the model must be a new one that can be made, got "):
        new_folder(tmp_path / "file" / "model")


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    def mkdir(self, *_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(StorageError, match=r"\(Permission denied\)\. Choose another place with --out\."):
        new_folder(tmp_path / "model")


def test_a_disk_that_is_full_while_the_folder_is_written_leaves_an_unfinished_one(tmp_path, monkeypatch):
    plain, calls = os.fsync, []

    def fsync(handle):
        calls.append(handle)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(handle)

    monkeypatch.setattr(storage.os, "fsync", fsync)
    with pytest.raises(StorageError, match="save: the file must be writable, got .*No space left on device"):
        save(tmp_path / "model", trained())
    folder = tmp_path / "model"
    assert not any("unfinished" in p.name for p in folder.iterdir()) and not (folder / "config.json").exists()
    assert load_file(folder / "model.safetensors").keys() == six()[0].weights.keys()
    with pytest.raises(InputError, match=r"the model folder: the folder must be one with config\.json, got .* without"):
        load(folder)
    (folder / "resume").mkdir()
    with pytest.raises(InputError, match="whose training has not ended. Run `ostinato train --resume"):
        load(folder)


@dataclass
class Marker:
    """Unpickled, it would make a file."""

    path: str

    def __reduce__(self):
        return (open, (self.path, "w"))


def spoil(folder, how):
    weights, config = folder / "model.safetensors", folder / "config.json"
    document = json.loads(config.read_text())
    if how == "weights":
        tensors = load_file(weights)
        tensors["head.bias"] = torch.nextafter(tensors["head.bias"], torch.tensor(9.0))
        weights.write_bytes(to_bytes(tensors))
    elif how == "pickle":
        weights.write_bytes(pickle.dumps(Marker(str(folder / "executed"))))
    elif how == "torch.save":
        torch.save({"a": torch.zeros(2)}, weights)
    elif how == "header":
        weights.write_bytes((10 << 30).to_bytes(8, "little") + weights.read_bytes()[8:])
    elif how == "sizes":
        header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
        weights.write_bytes(len(header).to_bytes(8, "little") + header)
    elif how == "cut":
        weights.write_bytes(weights.read_bytes()[:-7])
    elif how == "no weights":
        weights.unlink()
    elif how == "a folder for weights":
        weights.unlink()
        weights.mkdir()
    elif how == "labels":
        (folder / "labels.json").write_text(json.dumps({"classes": ["positive", "negative"]}))
    elif how == "no labels":
        (folder / "labels.json").unlink()
    elif how == "escape":
        document["files"] = {"../labels.json": "00"}
    elif how == "newer":
        document["version"] = 2
    elif how == "foreign":
        document = {"architectures": ["BertModel"], "model_type": "bert"}
    elif how == "missing":
        del document["settings"]
    elif how == "type":
        document["options"]["fit"]["batch"] = "32"
    elif how == "option":
        document["options"]["fit"]["bach"] = 32
    elif how == "range":
        document["options"]["fit"]["batch"] = 0
    elif how == "layer option":
        document["options"]["network"]["options"] = {"zoneouts": 0.1}
    elif how == "no part":
        del document["options"]["run"]
    elif how == "no mapping":
        document["options"]["fit"] = [1]
    elif how == "cell":
        document["options"]["network"]["cell"] = "evil.py:cell"
    elif how == "code":
        document["options"]["network"]["cell"] = f"import os\nopen({str(folder / 'executed')!r}, 'w')\n"
    config.write_text(json.dumps(document) if how != "deep" else "[" * 100_000)
    if how == "list":
        config.write_text("[]")
    if how == "text":
        config.write_text("{")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            "weights",
            r"the model folder: the hash of the weights must be [0-9a-f]{64}, got [0-9a-f]{64}\. Copy",
        ),
        ("pickle", r"model\.safetensors must be a safetensors file, got .*, which is a pickle or an archive\."),
        ("torch.save", r"model\.safetensors must be a safetensors file, got .*, which is a pickle or an archive\."),
        ("header", r"a safetensors file with a header of at most \d+ bytes, got .* with one of 10737418240\."),
        ("sizes", r"model\.safetensors must be a safetensors file, got "),
        ("cut", r"model\.safetensors must be a safetensors file, got "),
        ("no weights", r"model\.safetensors must be in the folder, got no such file in "),
        ("a folder for weights", r"model\.safetensors must be a regular file, got "),
        ("labels", r"the hash of labels\.json must be [0-9a-f]{64}, got "),
        ("no labels", r"labels\.json must be in the folder, got no such file in "),
        ("escape", r"the name of a file of the task must be such as labels\.json, got '\.\./labels\.json'"),
        ("newer", r"config\.json's version must be at most 1, got 2\. Install the version of ostinato that wrote it"),
        ("foreign", r"config\.json's format must be 'ostinato model', got None\. Give a folder that `ostinato train`"),
        ("missing", r"config\.json's settings must be there, got none\."),
        ("type", r"config\.json's batch must be int \| None, got '32'\."),
        ("option", r"an option of config\.json must be one of .*, got bach\. Did you mean 'batch'\?"),
        ("no mapping", r"config\.json's options\.fit must be .*Mapping.*, got \[1\]\."),
        ("range", r"the model folder: batch must be a whole number of 1 or more, got 0\."),
        ("layer option", r"config\.json's options of the layers must be known, got .*Did you mean 'zoneout'"),
        ("no part", r"config\.json's options\.run must be .*, got None\."),
        ("cell", r"the cell must be the canonical text of one, got 'evil\.py:cell'"),
        ("code", r"the cell must be the canonical text of one, got "),
        ("deep", r"config\.json must be a file of JSON, got "),
        ("list", r"config\.json must be a mapping, got list\."),
        ("text", r"config\.json must be a file of JSON, got "),
    ],
)
def test_a_malformed_or_foreign_folder_is_refused_in_one_message_and_nothing_in_it_runs(folder, how, message):
    spoil(folder, how)
    with pytest.raises(InputError, match=message):
        load(folder)
    assert not (folder / "executed").exists()


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="the model folder: the folder must be one that exists, got "):
        load(tmp_path / "none")


def test_files_that_are_too_long_are_refused(folder, monkeypatch):
    monkeypatch.setattr("ostinato.program.folder.load.JSON_BYTES", 100)
    with pytest.raises(InputError, match=r"config\.json must be at most 100 bytes, got .* of \d+\."):
        load(folder)


def changed(loaded, network=None, files=None):
    config = replace(loaded.config, options=loaded.config.options.but(**(network or {"hidden": 5})))
    return replace(loaded, config=config, files=files or loaded.files)


@pytest.mark.parametrize(
    ("network", "files", "message"),
    [
        (
            {"hidden": 7},
            None,
            r"the shapes of the weights must be those of the network, \[2, 14\], got \[2, 10\] for head",
        ),
        ({"hidden": 10**8}, None, "the shapes of the weights must be those of the network"),
        (
            {"hidden": 10**18},
            None,
            r"must be those of the task signs, which .*, got labels\.json \(",
        ),
        (
            {},
            {"scaling.json": {}},
            r"those of the task signs, which config\.json names, got scaling\.json, without labels\.json\. Copy",
        ),
        (
            {},
            {"labels.json": {}},
            r"must be those of the task signs, which .*, got labels\.json \(KeyError: ",
        ),
        (
            {},
            {"labels.json": {"classes": 3}},
            r"those of the task signs, which .*, got .*TypeError",
        ),
    ],
)
def test_weights_that_are_not_those_of_the_network_are_refused_before_it_is_allocated(folder, network, files, message):
    with pytest.raises(InputError, match=message):
        restore(changed(load(folder), network, files), Signs)


def test_an_error_of_the_network_itself_is_passed_on(folder):
    class Refusing(Signs):
        def network(self, options):
            raise OstinatoError("no such cell option")

    with pytest.raises(OstinatoError, match="no such cell option"):
        restore(load(folder), Refusing)


def test_files_that_the_training_began_with_are_named_and_not_read(tmp_path):
    options = trained().options.but(vectors=Path("glove.txt"), from_model=Path("old-model"))
    folder = save(tmp_path / "m", trained(options=options))
    config = load(folder).config
    assert config.options.network.vectors is None and config.options.run.from_model is None
    assert config.begun_with == {"vectors": "glove.txt", "weights": "old-model"}
    document = to_json(config)
    document["options"]["network"]["vectors"] = "glove.txt"
    assert from_json(document).options.network.vectors is None and document["format"] == FORMAT
