"""Paths are local and literal, and what a file decompresses to is bounded."""

import gzip
import os
from pathlib import Path

import pytest

from ostinato.errors import InputError
from ostinato.program.data import bounded
from ostinato.program.data.read import read
from program.data.made import options, refusal, reviews, write


@pytest.mark.parametrize(
    "address", ["https://example.org/a.csv", "s3://bucket/a.parquet", "hf://datasets/x.csv", "file:///a.csv"]
)
def test_an_address_is_refused(address):
    with pytest.raises(InputError, match="a path must be a file or folder of this machine"):
        read(options(Path(address)))


def test_an_address_is_refused_even_where_such_a_folder_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "https:/a.csv", reviews())
    with pytest.raises(InputError, match="of this machine"):
        read(options(Path("https://a.csv")))


def test_a_pattern_is_a_name(tmp_path):
    write(tmp_path, "a.csv", reviews())
    with pytest.raises(InputError, match="expanded by the shell"):
        read(options(tmp_path / "*.csv"))
    write(tmp_path, "[a]*.csv", reviews())
    assert len(read(options(tmp_path / "[a]*.csv", target="label")).examples) == 6


def test_a_pattern_is_a_name_in_a_parquet_file_too(tmp_path):
    write(tmp_path, "a.parquet", b"x")
    with pytest.raises(InputError, match="an existing file"):
        read(options(tmp_path / "*.parquet"))


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(InputError, match="a device or a pipe"):
        read(options(tmp_path / "a.csv"))


def test_no_path_is_refused():
    with pytest.raises(InputError, match="at least one file or folder"):
        read(options())


def test_a_name_that_no_file_can_have_is_refused():
    with pytest.raises(InputError, match="a path must be"):
        read(options(Path("a" * 5000 + ".csv")))
    with pytest.raises(InputError, match="a path must be"):
        read(options(Path("a\0b.csv")))


def test_a_file_that_expands_past_the_limit_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(bounded, "LIMIT", 1000)
    monkeypatch.setattr(bounded, "CHUNK", 100)
    message = refusal(tmp_path, "a.csv.gz", gzip.compress(b"text,label\n" + b"0" * 100_000, mtime=0))
    assert "the decompressed size must be at most 1,000 bytes" in message
    assert "decompress it yourself" in message


def test_a_damaged_gzip_file_is_refused(tmp_path):
    whole = gzip.compress(reviews().encode() * 50, mtime=0)
    assert "a damaged one" in refusal(tmp_path, "a.csv.gz", whole[:-20])
    assert "a damaged one" in refusal(tmp_path, "b.csv.gz", whole[:30] + b"xx" + whole[32:])


def test_name_and_content_have_to_agree_about_compression(tmp_path):
    assert "must be gzip" in refusal(tmp_path, "a.csv.gz", reviews())
    assert "ends in .gz" in refusal(tmp_path, "a.csv", gzip.compress(b"x", mtime=0))


def test_an_unreadable_file_is_refused(tmp_path, monkeypatch):
    def fail(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert "must be readable, got Permission denied" in refusal_of_existing(tmp_path)


def refusal_of_existing(folder):
    path = folder / "a.csv"
    with path.open("w") as file:
        file.write(reviews())
    with pytest.raises(InputError) as caught:
        read(options(path))
    return str(caught.value)


def test_an_unreadable_folder_is_refused(tmp_path, monkeypatch):
    def fail(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", fail)
    with pytest.raises(InputError, match="a file or folder must be readable"):
        read(options(tmp_path))


def test_unknown_extensions_are_refused_and_spreadsheets_get_a_remedy(tmp_path):
    assert "Save a spreadsheet as CSV" in refusal(tmp_path, "a.xlsx", b"x")
    assert "the extension must be one of .csv" in refusal(tmp_path, "a.pkl", b"x")
    assert "got none" in refusal(tmp_path, "data", b"x")


def test_a_missing_file_is_said_once():
    with pytest.raises(InputError) as error:
        bounded.local(Path("no such file.csv"))
    expected = "read: a path must be an existing file or folder, got 'no such file.csv', which is none. Check its name."
    assert str(error.value) == expected
