"""Folders of texts: a folder for each class, a file for each class, and a split by folders."""

import gzip

import pytest

from ostinato.errors import InputError
from ostinato.program.data.examples import Origin
from ostinato.program.data.read import read
from program.data.made import options, write


def test_a_folder_for_each_class(tmp_path):
    for place, text in [("pos/1.txt", "fine\n"), ("pos/2.txt", "a joy"), ("neg/1.txt", "dull"), ("neg/b.md", "x")]:
        write(tmp_path, place, text)
    write(tmp_path, "neg/2.txt.gz", gzip.compress(b"bad", mtime=0))
    found = read(options(tmp_path))
    assert found.examples.inputs == ["dull", "bad", "fine", "a joy"]
    assert found.examples.targets == ["neg", "neg", "pos", "pos"]
    assert found.examples.origins[2] == Origin("pos/1.txt", 1)
    assert found.because == f"The task is classify: {tmp_path.name} has a folder of texts for each of 2 classes."
    assert found.notes == [f"{tmp_path.name}: 1 file other than .txt left out."]


def test_a_file_for_each_class_has_a_row_on_each_line(tmp_path):
    write(tmp_path, "Russian.txt", "Ivanov\r\nPetrov\r\n")
    write(tmp_path, "Greek.txt.gz", gzip.compress("Παπάς\n\nLouka".encode(), mtime=0))
    found = read(options(tmp_path))
    assert found.examples.inputs == ["Παπάς", "Louka", "Ivanov", "Petrov"]
    assert found.examples.targets == ["Greek", "Greek", "Russian", "Russian"]
    assert found.examples.origins[1] == Origin("Greek.txt.gz", 3)
    assert f"{tmp_path.name}: 1 blank line skipped." in found.notes
    assert (found.sources[0].rows, found.sources[0].lines) == (4, 5)


def test_folders_train_and_test_are_the_split(tmp_path):
    for part in ("train", "test"):
        for name in ("pos", "neg"):
            write(tmp_path, f"{part}/{name}/1.txt", f"{part} {name}")
    found = read(options(tmp_path))
    assert found.examples.inputs == ["test neg", "test pos", "train neg", "train pos"]
    assert found.examples.parts == ["test", "test", "train", "train"]
    assert found.examples.targets == ["neg", "pos", "neg", "pos"]
    with pytest.raises(InputError, match="the split must be given once"):
        read(options(tmp_path, test=tmp_path / "test"))


def test_folders_that_are_no_data_are_refused(tmp_path):
    with pytest.raises(InputError, match="a .txt file for each class, got no .txt file"):
        read(options(tmp_path))
    write(tmp_path, "pos/1.txt", "fine")
    write(tmp_path, "neg.txt", "dull")
    with pytest.raises(InputError, match=r"got folders \(pos\) and texts \(neg.txt\)"):
        read(options(tmp_path))


def test_a_split_inside_a_split_and_empty_files_are_refused(tmp_path):
    write(tmp_path, "train/train/pos/1.txt", "fine")
    write(tmp_path, "train/test/pos/1.txt", "fine")
    write(tmp_path, "test/pos/1.txt", "fine")
    with pytest.raises(InputError, match="got train inside train"):
        read(options(tmp_path))
    write(tmp_path, "c/pos/old/1.txt", "fine")
    write(tmp_path, "c/neg/1.txt", "fine")
    with pytest.raises(InputError, match="the class folder pos must be one with .txt files, got deeper folders"):
        read(options(tmp_path / "c"))
    write(tmp_path / "b", "a.txt", "\n")
    with pytest.raises(InputError, match="texts, one a line, got no text"):
        read(options(tmp_path / "b"))


def test_a_folder_and_a_table_together_are_refused(tmp_path):
    write(tmp_path, "d/pos/1.txt", "fine")
    table = write(tmp_path, "a.csv", "text,label\nx,a\n")
    with pytest.raises(InputError, match="the files must be of one format"):
        read(options(tmp_path / "d", table))
    with pytest.raises(InputError, match="--group must be left out"):
        read(options(tmp_path / "d", group="who"))
