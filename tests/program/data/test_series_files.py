""".ts files and .npz arrays: values, missing ones, unequal lengths, and what is refused."""

import io
import zipfile

import numpy as np
import pytest

from ostinato.program.data import bounded
from ostinato.program.data.read import read
from program.data.made import options, read_made, real, refusal

CASES = """#a comment
@problemName made
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength false
@classLabel true up down
@data
1,2,3:4,5,6:up
1.5,?:NaN,-2e1:down
"""


def test_a_ts_file_gives_series_of_unequal_lengths(tmp_path):
    found = read_made(tmp_path, "a.ts", CASES)
    assert found.because == "The task is classify: a.ts declares @classLabel true."
    assert found.examples.inputs[0].tolist() == [[1, 4], [2, 5], [3, 6]]
    np.testing.assert_array_equal(found.examples.inputs[1], [[1.5, np.nan], [np.nan, -20]])
    assert found.examples.targets == ["up", "down"]
    assert [origin.line for origin in found.examples.origins] == [10, 11]


def test_a_ts_file_of_numbers_is_for_regression(tmp_path):
    content = (
        CASES.replace("@classLabel true up down", "@targetLabel true").replace(":up", ":0.5").replace(":down", ":?")
    )
    found = read_made(tmp_path, "a.ts", content)
    assert (found.task, found.examples.targets) == ("regress", [0.5])
    assert "1 row without a target left out." in found.notes


@pytest.mark.parametrize(
    "old, new, message",
    [
        (":up", ":left", "the label at line 10 must be one of the header's classes (up, down), got 'left'"),
        ("4,5,6:up", "4,5,6:7:up", "line 10 must be 2 channels, got 3 channels"),
        ("4,5,6", "4,5", "line 10 must be channels of one length, got 2, 3 steps"),
        ("4,5,6", "4,five,6", "a value at line 10 must be a finite number or ?, got 'five'"),
        ("4,5,6", "4,1e999,6", "a value at line 10 must be a finite number"),
        ("@data", "", "line 10 must be a header line that begins with @"),
        ("@timeStamps false", "@timeStamps true", "line 10 must be values without time stamps"),
        ("@dimensions 2", "@dimensions two", "line 6 must be @dimensions and a count"),
        ("@classLabel true up down", "@classLabel false", "got 3 channels"),
    ],
)
def test_a_broken_ts_file_is_refused_with_its_line(tmp_path, old, new, message):
    assert message in refusal(tmp_path, "a.ts", CASES.replace(old, new, 1))


def test_a_ts_file_without_cases_or_data_or_labels_is_refused(tmp_path):
    assert "at least one case after @data" in refusal(tmp_path, "a.ts", CASES[: CASES.index("1,2,3")])
    assert "a header that ends in @data" in refusal(tmp_path, "b.ts", "@problemName x\n")
    bare = "@classLabel false\n@data\n1,2\n"
    assert "the rows must be with targets" in refusal(tmp_path, "c.ts", bare)
    (tmp_path / "d.ts").write_text(bare)
    found = read(options(tmp_path / "d.ts", task="classify"), with_target=False)
    assert found.examples.inputs[0].tolist() == [[1.0], [2.0]]


def test_files_of_other_channels_are_refused(tmp_path):
    first = tmp_path / "a.ts"
    first.write_text(CASES)
    second = tmp_path / "b.ts"
    second.write_text("@classLabel true up down\n@data\n1,2:up\n")
    with pytest.raises(
        ValueError, match="b.ts: the rows must be like those before .*2 channels.*, got series with 1 channel"
    ):
        read(options(first, test=second))


@pytest.mark.parametrize(
    "name, train, test, channels, classes, longest",
    [
        ("JapaneseVowels", 270, 370, 12, 9, 29),
        ("GunPoint", 50, 150, 1, 2, 150),
        ("BasicMotions", 40, 40, 6, 4, 100),
        ("ItalyPowerDemand", 67, 1029, 1, 2, 24),
    ],
)
def test_real_ts_files_have_the_counts_of_their_description(name, train, test, channels, classes, longest):
    paths = [real(f"classification/{name}_{part}.ts.gz") for part in ("TRAIN", "TEST")]
    found = read(options(paths[0], test=paths[1])).examples
    assert (found.parts.count("train"), found.parts.count("test")) == (train, test)
    assert {x.shape[1] for x in found.inputs} == {channels}
    assert max(len(x) for x in found.inputs) == longest
    assert len(set(found.targets)) == classes
    assert not any(np.isnan(x).any() for x in found.inputs)


def npz(**arrays):
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def test_arrays_of_three_axes_are_series_and_of_two_are_features(tmp_path):
    x = np.arange(24.0).reshape(4, 3, 2)
    y = np.array(["a", "b", "a", "b"])
    found = read_made(tmp_path, "a.npz", npz(X=x, y=y, lengths=np.array([3, 2, 0, 1])))
    assert (found.task, found.examples.kind) == ("classify", "series")
    assert [len(row) for row in found.examples.inputs] == [3, 2, 0, 1]
    np.testing.assert_array_equal(found.examples.inputs[1], x[1, :2])
    found = read_made(tmp_path, "b.npz", npz(X=x[:, 0], y=np.array([0.5, 1, 2, 3])))
    assert (found.task, found.examples.kind, found.examples.targets) == ("regress", "features", [0.5, 1, 2, 3])
    found = read_made(tmp_path, "c.npz", npz(series=x[:, 0], y=y))
    assert found.examples.inputs[0].shape == (2, 1)


def test_arrays_can_give_groups_and_the_split(tmp_path):
    split = np.array([0, 0, 1, 2])
    found = read_made(
        tmp_path,
        "a.npz",
        npz(X=np.zeros((4, 2)), label=np.array(list("abab")), who=np.array([1, 1, 2, 3]), split=split),
        group="who",
    )
    assert found.examples.groups == ["1", "1", "2", "3"]
    assert found.examples.parts == ["train", "train", "valid", "test"]


def test_whole_numbers_of_few_values_ask_for_the_task(tmp_path):
    content = npz(X=np.zeros((4, 2)), y=np.array([1, 2, 1, 2]))
    assert "--task classify or --task regress" in refusal(tmp_path, "a.npz", content)
    assert read_made(tmp_path, "a.npz", content, task="classify").examples.targets == ["1", "2", "1", "2"]
    assert read_made(tmp_path, "a.npz", content, task="regress").examples.targets == [1.0, 2.0, 1.0, 2.0]


def test_arrays_of_labels_divided_by_a_separator(tmp_path):
    content = npz(X=np.zeros((3, 2)), y=np.array(["a|b", "", "b"]))
    assert read_made(tmp_path, "a.npz", content, label_separator="|").examples.targets == [("a", "b"), (), ("b",)]


LABELS = np.array(["a", "b"])


@pytest.mark.parametrize(
    "arrays, message",
    [
        (
            {"X": np.array([[1], [2, 3]], object), "y": LABELS},
            "the array X must be of numbers or strings, got Python objects",
        ),
        ({"X": np.zeros((2, 1)), "y": np.array(["a", None], object)}, "the array y must be of numbers or strings"),
        ({"X": np.zeros((2, 1))}, "an array of targets must be one array named y or target or label, got none among X"),
        ({"Z": np.zeros((2, 1)), "y": LABELS}, "an array of inputs must be one array named"),
        ({"X": np.zeros((2, 1)), "series": np.zeros((2, 1)), "y": LABELS}, "got series, X together"),
        ({"X": np.zeros(2), "y": LABELS}, "must be of shape [N, C] with N at least 1, got [2]"),
        ({"series": np.zeros((0, 1)), "y": LABELS}, "must be of shape [N, T, C] or [N, T] with N at least 1"),
        ({"X": LABELS[:, None], "y": LABELS}, "the array X must be of numbers, got <U1"),
        ({"X": np.full((2, 1), np.inf), "y": LABELS}, "must be finite, or NaN where missing, got 2 infinite values"),
        (
            {"X": np.zeros((2, 1)), "y": np.zeros((2, 2))},
            "the array y must be [2] of numbers or strings, got float64 [2, 2]",
        ),
        ({"series": np.zeros((2, 3)), "y": LABELS, "lengths": np.array([4, 1])}, "whole numbers from 0 to T = 3"),
        ({"X": np.zeros((2, 1)), "y": LABELS, "split": np.array(["train", "later"])}, "got later"),
    ],
)
def test_other_arrays_are_refused(tmp_path, arrays, message):
    assert message in refusal(tmp_path, "a.npz", npz(**arrays))


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (exec, ("raise SystemExit('executed')",))

    assert "Python objects" in refusal(tmp_path, "a.npz", npz(X=np.array([Trap()], object), y=np.array(["a"])))


def test_a_zip_file_of_something_else_or_of_false_sizes_is_refused(tmp_path, monkeypatch):
    assert "a whole .npz file" in refusal(tmp_path, "a.npz", b"PK\3\4 no zip")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("X.npy", b"no array")
    assert "a whole .npz file" in refusal(tmp_path, "b.npz", out.getvalue())
    with zipfile.ZipFile(io.BytesIO(npz(X=np.zeros((2, 1)), y=LABELS))) as whole:
        unclosed = whole.read("X.npy").replace(b"(2, 1), }", b"(2, 1, }  ")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("X.npy", unclosed)
    assert "one that cannot be read (('EOF in multi-line statement'" in refusal(tmp_path, "d.npz", out.getvalue())
    lzma = bytearray(npz(X=np.zeros((2, 1)), y=LABELS))
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        lzma[lzma.index(mark) + place] = zipfile.ZIP_LZMA
    assert "a whole .npz file" in refusal(tmp_path, "f.npz", bytes(lzma))
    encrypted = bytearray(npz(X=np.zeros((2, 1)), y=LABELS))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(mark) + flags] |= 1
    assert "one of another kind" in refusal(tmp_path, "e.npz", bytes(encrypted))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("X.npy", header.getvalue())
    assert "as large as its header says" in refusal(tmp_path, "c.npz", out.getvalue())
    monkeypatch.setattr(bounded, "LIMIT", 1000)
    assert "the decompressed size must be at most 1,000 bytes" in refusal(tmp_path, "d.npz", npz(X=np.zeros((500, 1))))
