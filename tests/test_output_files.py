"""Files that functions of the library write: the errors of their paths, and that an earlier file is never half gone."""

import os
import stat
from pathlib import Path

import pytest
import torch

import ostinato
from ostinato import export, lens
from ostinato.errors import InputError, StorageError
from ostinato.output_files import file_path, write_file, written_beside


def onnx(path):
    pytest.importorskip("onnx")
    export.onnx(ostinato.GRU(2, 3), path)


WRITERS = {
    "export.onnx: path": (onnx, ".onnx"),
    "export.wasm: file": (lambda path: export.wasm(ostinato.GRU(2, 3), path), ".wasm"),
    "export.page: file": (lambda path: export.page(ostinato.GRU(2, 3), path), ".html"),
    "Diagram.save: path": (lambda path: lens.fold(ostinato.GRU(2, 3)).save(path), ".svg"),
}


@pytest.mark.parametrize("where", WRITERS)
def test_a_path_that_cannot_be_written_is_named(where, tmp_path):
    write, ending = WRITERS[where]
    for wrong, got in ((3, "a path, got int"), (b"a" + ending.encode(), "a path, got bytes"), (None, "got NoneType")):
        with pytest.raises(InputError, match=f"{where} must be {got}" if "a path" in got else got):
            write(wrong)
    for wrong, got in (("", "got an empty name"), (str(tmp_path), f"got the folder '{tmp_path}'")):
        with pytest.raises(InputError, match=f'{where} must be the name of a file, {got}. Write "model.*", say'):
            write(wrong)
    with pytest.raises(
        StorageError, match=f"{where} must be a file that can be written, got .*No such file or directory"
    ):
        write(tmp_path / "absent" / f"a{ending}")
    kept = tmp_path / f"a{ending}"
    write(kept)
    assert kept.stat().st_size > 100
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".mjs"] == [kept.name]


def test_another_ending_is_refused_with_the_right_one():
    assert file_path("f", "path", "a.HTML", (".html", ".htm")).name == "a.HTML"
    with pytest.raises(
        InputError, match=r"f: path must be a name ending in .html or .htm, got 'b/a.txt'. Write 'b/a.html'."
    ):
        file_path("f", "path", "b/a.txt", (".html", ".htm"))


def test_an_earlier_file_stays_whole_where_writing_ends_early(tmp_path):
    path = tmp_path / "a.txt"
    write_file("f", "path", path, "first")
    with pytest.raises(StorageError, match="No space left"), written_beside("f", "path", path) as aside:
        aside.write_text("half")
        raise OSError(28, "No space left on device")
    with pytest.raises(KeyboardInterrupt), written_beside("f", "path", path) as aside:
        aside.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]
    write_file("f", "path", path, "sécond")
    assert path.read_bytes() == "sécond".encode()


@pytest.mark.skipif(os.name != "posix", reason="permissions, links and devices of POSIX")
def test_permissions_links_and_devices(tmp_path):
    before = os.umask(0o027)
    try:
        write_file("f", "path", tmp_path / "a", b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    (tmp_path / "link").symlink_to("a")
    write_file("f", "path", tmp_path / "link", b"2")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "a").read_bytes() == b"2"
    write_file("f", "path", tmp_path / ".." / tmp_path.name / "b", b"3")
    assert (tmp_path / "b").read_bytes() == b"3"
    reading, writing = os.pipe()
    write_file("f", "path", Path(f"/dev/fd/{writing}"), b"4")
    assert os.read(reading, 9) == b"4"
    os.close(reading), os.close(writing)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_device_is_named():
    with pytest.raises(
        StorageError, match=r"f: path must be a file that can be written, got /dev/full \(No space left"
    ):
        write_file("f", "path", Path("/dev/full"), b"4")


def test_a_report_is_written_whole(tmp_path):
    layer = ostinato.GRU(2, 3)
    with lens.watch(layer) as watched:
        layer(torch.randn(4, 2, 2))[0].sum().backward()
    report = watched.report()
    with pytest.raises(StorageError, match="report.save: path must be a file that can be written"):
        report.save(tmp_path / "absent" / "a.json")
    assert report.save(tmp_path / "a.json").read_text() == report.to_json()
