"""Files that are whole or not there, and hashes of values."""

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from ostinato.errors import InputError, StorageError
from ostinato.program import storage
from ostinato.program.data.examples import Examples
from ostinato.program.digest import examples_sha256, json_sha256, weights_sha256
from ostinato.program.storage import read_bytes, write_bytes


def test_a_write_that_fails_leaves_the_earlier_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_bytes(path, b"old", "save")

    def replace(*_):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(storage.os, "replace", replace)
    with pytest.raises(StorageError, match=r"save: the file must be writable, got .*a\.json \(.*quota.*\)\. What was"):
        write_bytes(path, b"new", "save")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(StorageError, match=r"b\.json \(.*quota.*\)\. Make room, or name another place\.$"):
        write_bytes(tmp_path / "b.json", b"new", "save")
    with pytest.raises(StorageError, match=r"\(No such file or directory\)\. Name a place in a folder that is there"):
        write_bytes(tmp_path / "none" / "b.json", b"new", "save")


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_kill_inside_a_write_leaves_the_earlier_file_and_the_next_write_succeeds(tmp_path, call):
    path = tmp_path / "a.json"
    write_bytes(path, b"old", "save")
    code = (
        "import os, signal; from pathlib import Path; from ostinato.program import storage; "
        f"storage.os.{call} = lambda *_: os.kill(os.getpid(), signal.SIGKILL); "
        f"storage.write_bytes(Path({str(path)!r}), b'new', 'save')"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert path.read_bytes() == b"old"
    write_bytes(path, b"newer", "save")
    assert path.read_bytes() == b"newer" and len(list(tmp_path.iterdir())) == 1


def test_a_path_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"load: x must be readable, got .* \(Not a directory\)\. Look at its permiss"):
        read_bytes(tmp_path / "file" / "x", 10, "load")


def test_weights_have_one_hash_whatever_their_order_and_strides_and_another_for_any_change():
    t = torch.arange(6.0).view(2, 3)
    base = weights_sha256({"a": t, "b": t[0]})
    assert weights_sha256({"b": t[0].clone(), "a": t.t().contiguous().t()}) == base
    different = [{"a": t.view(3, 2), "b": t[0]}, {"a": t.double(), "b": t[0]}, {"a": t, "c": t[0]}, {"a": t}]
    assert len({base, *map(weights_sha256, different)}) == 5
    assert weights_sha256({"n": torch.tensor(3)}) != weights_sha256({"n": torch.tensor([3])})


def test_examples_of_other_inputs_targets_or_order_have_another_hash():
    def of(inputs, targets=("a", "b"), kind="text"):
        return examples_sha256(Examples(kind, inputs, "class", targets))

    found = [
        of(["x", "yz"]),
        of(["xy", "z"]),
        of(["yz", "x"]),
        of(["x", "yz"], ("b", "a")),
        of(["x", "yz"], None),
        of([["x"], ["y", "z"]], kind="tokens"),
        of([["x", "y"], ["z"]], kind="tokens"),
        of([np.zeros((2, 1)), np.zeros((1, 1))], kind="series"),
        of([np.zeros((1, 2)), np.zeros((1, 1))], kind="series"),
    ]
    assert len(set(found)) == len(found)
    assert of(["x", "yz"]) == found[0] == of(("x", "yz"), ["a", "b"])


def test_the_order_of_the_keys_of_json_does_not_matter():
    assert json_sha256({"a": 1, "b": [1.5, None]}) == json_sha256({"b": [1.5, None], "a": 1}) != json_sha256({"a": 1})
