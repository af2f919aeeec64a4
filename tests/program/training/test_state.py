"""The state of a fit as a file: what is refused, and what a failed write leaves."""

import errno
import json
import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save

from ostinato.errors import InputError, OstinatoError, StorageError
from ostinato.program import storage
from ostinato.program.options import FitOptions
from ostinato.program.training.fit import Part
from ostinato.program.training.state import FORMAT
from program.training.made import Signs, fitted, parts
from program.training.test_fit import Heard

OPTIONS = FitOptions(updates=40, seed=3)


def test_the_state_can_be_read_as_text_and_holds_no_nan(tmp_path):
    found, _ = fitted(FitOptions(updates=6), folder=tmp_path)

    def refuse(word):
        raise AssertionError(word)

    written = json.loads((tmp_path / "state.json").read_text(), parse_constant=refuse)
    assert written["update"] == 6 and [e["metric"] for e in written["history"]] == [e.metric for e in found.history]
    assert {p.name for p in tmp_path.iterdir()} == {"state.safetensors", "state.json"}


def test_a_finished_run_that_is_resumed_has_the_same_result(tmp_path):
    found, _ = fitted(OPTIONS, folder=tmp_path)
    again, network = fitted(OPTIONS, folder=tmp_path, resume=True)
    assert again.sha256 == found.sha256 and again.updates == 40
    assert again.settings == found.settings


def test_resuming_uses_the_recorded_number_of_threads(tmp_path):
    fitted(replace(OPTIONS, threads=3), folder=tmp_path)
    assert fitted(OPTIONS, folder=tmp_path, resume=True)[0].settings["threads"] == 3


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": 4}, "options"),
        ({"batch": 16}, "options"),
        ({"updates": 80}, "options"),
        ({"train": True}, "training rows"),
        ({"valid": True}, "validation rows"),
    ],
)
def test_a_state_of_other_options_or_rows_is_refused(tmp_path, change, name):
    fitted(OPTIONS, folder=tmp_path)
    task = Signs()
    data = [parts(task), parts(task)]
    train, valid = data[0]
    for part in ("train", "valid"):
        if change.get(part):
            examples = (train if part == "train" else valid).examples
            examples = replace(examples, targets=[*examples.targets[:-1], "negative", "positive"][: len(examples)])
            examples = replace(examples, inputs=[examples.inputs[0] + 1, *examples.inputs[1:]])
            made = Part(examples, task.encode(examples))
            train, valid = (made, valid) if part == "train" else (train, made)
    options = replace(OPTIONS, **{k: v for k, v in change.items() if k not in ("train", "valid")})
    expected = rf"resume: the state must be of the same .* as this command, got one of another {name}\. Give the same"
    with pytest.raises(InputError, match=expected):
        fitted(options, data=(train, valid), folder=tmp_path, resume=True)


def test_a_state_of_other_test_rows_is_refused_and_one_that_names_none_is_not(tmp_path):
    found, _ = fitted(OPTIONS, folder=tmp_path, test_rows="one")
    with pytest.raises(InputError, match=r"resume: the state must be .*, got one of another test rows\. Give the same"):
        fitted(OPTIONS, folder=tmp_path, resume=True, test_rows="another")
    (tmp_path / "earlier").mkdir()
    fitted(OPTIONS, folder=tmp_path / "earlier")
    assert fitted(OPTIONS, folder=tmp_path / "earlier", resume=True, test_rows="one")[0].sha256 == found.sha256


def test_the_time_and_the_threads_may_be_others(tmp_path):
    found, _ = fitted(OPTIONS, folder=tmp_path)
    assert fitted(replace(OPTIONS, minutes=99, threads=2), folder=tmp_path, resume=True)[0].sha256 == found.sha256


def spoil(content, how):
    if how == "cut":
        return content[: len(content) // 2]
    if how == "pickle":
        return b"\x80\x04\x95" + bytes(30) + b"."
    if how == "zip":
        return b"PK\x03\x04" + bytes(100)
    if how == "header":
        return (10 << 30).to_bytes(8, "little") + content[8:]
    if how == "empty":
        return b""
    if how == "foreign":
        return save({"a": torch.zeros(2)})
    if how == "newer":
        return save({"weights/a": torch.zeros(2)}, {"state": json.dumps({"format": FORMAT + 1})})
    if how == "list":
        return save({"weights/a": torch.zeros(2)}, {"state": "[1]"})
    return save({"other/a": torch.zeros(2)}, {"state": json.dumps({"format": FORMAT})})


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("cut", r"resume: state\.safetensors must be a safetensors file with a header of at most \d+ bytes"),
        ("pickle", r"state\.safetensors must be a safetensors file, got .*, which is a pickle or an archive\."),
        ("zip", r"which is a pickle or an archive\. Weights are read from safetensors files alone"),
        ("header", r"a safetensors file with a header of at most \d+ bytes, got .* with one of 10737418240\."),
        ("empty", r"resume: state\.safetensors must be a safetensors file"),
        ("foreign", r"resume: the state must be one that `ostinato train` wrote, got .*KeyError: 'state'"),
        ("newer", r"resume: the state's format must be at most 1, got 2\. Install the version"),
        ("list", r"resume: the state must be one that `ostinato train` wrote"),
        ("groups", r"resume: the state must be one that `ostinato train` wrote"),
    ],
)
def test_a_damaged_or_foreign_state_is_refused_in_one_message(tmp_path, how, message):
    fitted(FitOptions(updates=1), folder=tmp_path)
    path = tmp_path / "state.safetensors"
    path.write_bytes(spoil(path.read_bytes(), how))
    with pytest.raises(InputError, match=message):
        fitted(FitOptions(updates=1), folder=tmp_path, resume=True)


def test_a_folder_without_a_state_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"resume: the folder must be one with state\.safetensors, got "):
        fitted(OPTIONS, folder=tmp_path, resume=True)


@pytest.fixture
def full_disk(monkeypatch):
    """From the call with this number on, fsync says that the disk is full."""
    calls, plain = [0], os.fsync

    def begin(number):
        def fsync(handle):
            calls[0] += 1
            if calls[0] >= number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            plain(handle)

        monkeypatch.setattr(storage.os, "fsync", fsync)

    return begin


def test_a_disk_that_is_full_at_the_beginning_ends_the_fit_before_any_update(tmp_path, full_disk):
    full_disk(1)
    heard = Heard()
    message = (
        r"train: the file must be writable, got .*state\.safetensors \(No space left on device\)\. Make room, or name"
    )
    with pytest.raises(StorageError, match=message) as caught:
        fitted(OPTIONS, folder=tmp_path, listener=heard)
    assert isinstance(caught.value, OSError) and isinstance(caught.value, OstinatoError)
    assert heard.updates == [] and list(tmp_path.iterdir()) == []


def test_a_disk_that_becomes_full_loses_neither_the_state_before_nor_the_fit(tmp_path, full_disk):
    expected, _ = fitted(OPTIONS)
    full_disk(4 * 5 + 1)  # after five states: two files each, with the folder's own
    heard = Heard()
    found, _ = fitted(OPTIONS, folder=tmp_path, listener=heard)
    assert found.sha256 == expected.sha256
    assert len(heard.notes) == 1 and "The state after update 10 was not written, the fit goes on" in heard.notes[0]
    assert len(found.notes) == 1 and "update 40" in found.notes[0] and "No space left" in found.notes[0]
    assert json.loads((tmp_path / "state.json").read_text())["update"] == 8
    assert {p.name for p in tmp_path.iterdir()} == {"state.safetensors", "state.json"}


def test_what_was_saved_before_the_disk_was_full_can_be_resumed(tmp_path, full_disk, monkeypatch):
    expected, _ = fitted(OPTIONS)
    full_disk(4 * 5 + 1)
    fitted(OPTIONS, folder=tmp_path)
    monkeypatch.undo()
    assert fitted(OPTIONS, folder=tmp_path, resume=True)[0].sha256 == expected.sha256


def test_a_folder_that_does_not_exist_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match=r"train: the file must be writable, got .* \(No such file or directory\)"):
        fitted(OPTIONS, folder=tmp_path / "none")
