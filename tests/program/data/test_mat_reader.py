"""Damaged .mat files: whatever scipy's reader does to its process, the program refuses the file in words."""

import io
import sys

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import InputError
from ostinato.program.data.music import mat, mat_reader
from ostinato.program.data.music.arrays import pieces_of_mat
from program.commands import ostinato

NOT_READ = "made.mat: the file must be a whole .mat file, got one that cannot be read ("


def made(content=None, **options):
    """The bytes of a .mat file."""
    file = io.BytesIO()
    pieces = np.array([[np.eye(3, 5, dtype=np.uint8), np.ones((4, 5), np.uint8)]], object)
    scipy.io.savemat(file, content or {"traindata": pieces, "note": "x"}, **options)
    return file.getvalue()


def refusal(path, content):
    with pytest.raises(InputError) as error:
        pieces_of_mat(bytes(content), path / "made.mat")
    return str(error.value)


@pytest.mark.parametrize("place, value", [(144, 4), (209, 15), (240, 255), (370, 1)])
def test_one_byte_that_crashes_the_reader_makes_a_refusal(tmp_path, place, value):
    """With scipy 1.17 each of these ends the interpreter in `loadmat`."""
    content = bytearray(made())
    content[place] = value
    assert refusal(tmp_path, content).startswith(NOT_READ)


def test_the_command_ends_with_status_2_where_the_reader_crashes(tmp_path):
    content = bytearray(made())
    content[144] = 4
    (tmp_path / "made.mat").write_bytes(content)
    ended = ostinato(tmp_path, "check", "made.mat")
    assert (ended.status, ended.out) == (2, "") and ended.err.endswith("). Write it again.\n")
    assert NOT_READ in ended.err and ended.err.count("\n") == 1


@pytest.mark.parametrize(
    "line, why",
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "scipy's reader ended by SIGSEGV"),
        ("os._exit(77)", "scipy's reader ended by status 77"),
        ("time.sleep(60)", "not read in 1 seconds"),
    ],
)
def test_the_end_of_the_process_is_the_reason(tmp_path, monkeypatch, line, why):
    reader = tmp_path / "reader.py"
    reader.write_text(f"import os, signal, time\n{line}\n")
    monkeypatch.setattr(mat, "READER", reader)
    monkeypatch.setattr(mat, "LEAST_SECONDS", 1 if "sleep" in line else 60)
    assert refusal(tmp_path, made()) == f"{NOT_READ}{why}). Write it again."


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit the address space")
def test_a_file_that_takes_more_memory_than_the_bound_is_refused(tmp_path, monkeypatch):
    content = made({"roll": np.zeros((50_000, 400), np.uint8)}, do_compression=True)
    assert len(content) < 30_000
    assert len(pieces_of_mat(content, tmp_path / "made.mat").rolls) == 1
    monkeypatch.setattr(mat, "LEAST_MEMORY", 1 << 20)
    assert refusal(tmp_path, content).startswith(NOT_READ)


def test_variables_keep_their_order_and_cells_their_number():
    inner, nested = np.empty((1, 1), object), np.empty((1, 2), object)
    inner[0, 0] = np.eye(3)
    nested[0, :] = [np.eye(2), inner]
    none = np.empty((0, 0), object)
    content = {"__header__": b"", "b": nested, "a": np.ones((2, 3)), "none": none, "text": np.array(["x"])}
    found = mat_reader.cells_of(content)
    assert found["names"].tolist() == ["b", "a", "none", "text"] and found["counts"].tolist() == [2, 1, 0, 1]
    assert list(found)[2:] == ["0", "1", "2", "3"] and not any(array.dtype.hasobject for array in found.values())
    np.testing.assert_array_equal(found["0"], np.eye(2))
    assert found["1"].shape == (1, 1) and found["1"].dtype.kind == "U"


def test_an_empty_cell_array_is_said_to_be_left_out(tmp_path):
    content = made({"roll": np.eye(4), "more": np.empty((0, 0), object)})
    pieces = pieces_of_mat(content, tmp_path / "made.mat")
    assert pieces.names == ["roll"] and pieces.left_out == ["more"]


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_changed_bytes_of_a_mat_file_give_pieces_or_one_sentence(tmp_path_factory, data):
    content = bytearray(made(do_compression=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(116, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        path = tmp_path_factory.getbasetemp() / "made.mat"
        pieces = pieces_of_mat(bytes(content[: data.draw(st.integers(100, len(content)))]), path)
    except InputError as error:
        assert str(error).startswith("made.mat: ") and " must be " in str(error) and "\n" not in str(error)
    else:
        assert pieces.rolls
