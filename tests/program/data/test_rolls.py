"""Piano rolls in .mat and .npz files: the pieces, their parts, and what is refused in words."""

import numpy as np
import pytest
import scipy.io

from ostinato.errors import InputError
from ostinato.program.data.check import check
from ostinato.program.data.describe import describe
from ostinato.program.data.read import read
from ostinato.program.data.row_keys import row_key
from ostinato.program.data.split import split
from ostinato.program.digest import examples_sha256
from ostinato.program.options import DataOptions
from program.tasks.made import data


def rolls(lengths, keys=88, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.random((length, keys)) < 0.1).astype(np.uint8) for length in lengths]


def cells(pieces):
    made = np.empty((1, len(pieces)), object)
    made[0, :] = pieces
    return made


def music(path, **options):
    return read(DataOptions(paths=(path,), **options))


def refusal(path, content=None, **options):
    if content is not None:
        np.savez(path, **content)
    with pytest.raises(InputError) as error:
        music(path, **{"task": "music", **options})
    return str(error.value)


def same(found, pieces):
    assert len(found) == len(pieces)
    for a, b in zip(found, pieces):
        assert a.dtype == np.uint8 and np.array_equal(a, b)


def test_the_cell_arrays_of_a_mat_file_are_the_parts_of_its_split(tmp_path):
    train, valid, test = rolls([5, 3, 4]), rolls([2], seed=1), rolls([6, 2], seed=2)
    content = {"traindata": cells(train), "validdata": cells(valid), "testdata": cells(test)}
    scipy.io.savemat(tmp_path / "a.mat", content)
    found = music(tmp_path / "a.mat")
    same(found.examples.inputs, [*train, *valid, *test])
    same(found.examples.targets, [*train, *valid, *test])
    assert found.examples.parts == ["train"] * 3 + ["valid"] + ["test"] * 2
    assert (found.examples.kind, found.examples.target_kind, found.task) == ("roll", "frames", "music")
    assert found.examples.channels == tuple(str(key) for key in range(21, 109))
    assert found.because == "The task is music: a.mat holds notes."
    assert found.options.task == "music" and found.sources[0].rows == 6


def test_a_mat_file_of_one_name_is_divided_by_the_program_and_other_variables_are_said(tmp_path):
    pieces = rolls([4, 5, 6, 7, 3, 2])
    scipy.io.savemat(tmp_path / "a.mat", {"chorales": cells(pieces), "composer": "Bach", "tempo": 90.0})
    found = music(tmp_path / "a.mat")
    same(found.examples.inputs, pieces)
    assert found.examples.parts is None
    assert found.notes == ["a.mat: composer, tempo are no piano rolls, and left out."]


@pytest.mark.parametrize(
    "arrays, parts",
    [
        (lambda a, b: {"roll": np.stack([a, b])}, None),
        (lambda a, b: {"one": a, "two": b > 0}, None),
        (lambda a, b: {"train_1": a, "test_1": b.astype(float)}, ["train", "test"]),
        (lambda a, b: {"train": a[None], "valid": b[None]}, ["train", "valid"]),
        (lambda a, b: {"roll": np.stack([a, b]), "split": np.array(["train", "dev"])}, ["train", "valid"]),
    ],
)
def test_an_npz_file_holds_a_piece_in_each_array_or_all_in_one(tmp_path, arrays, parts):
    a, b = rolls([6, 6], keys=5)
    np.savez(tmp_path / "a.npz", **arrays(a, b))
    found = music(tmp_path / "a.npz").examples
    same(found.inputs, [a, b])
    assert found.parts == parts and found.channels == ("key_1", "key_2", "key_3", "key_4", "key_5")


def test_lengths_cut_pieces_and_keys_name_them(tmp_path):
    a, b = rolls([6, 6], keys=3)
    np.savez(tmp_path / "a.npz", roll=np.stack([a, b]), lengths=[4, 6], keys=[60, 64, 67])
    found = music(tmp_path / "a.npz").examples
    same(found.inputs, [a[:4], b])
    assert found.channels == ("60", "64", "67")
    np.savez(tmp_path / "b.npz", train=np.stack([a, b]), train_lengths=[2, 3], test=b[None])
    same(music(tmp_path / "b.npz").examples.inputs, [a[:2], b[:3], b])


def test_an_npz_file_of_other_arrays_goes_to_the_reader_of_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((4, 3)), y=["a", "b", "a", "b"])
    assert music(tmp_path / "a.npz").task == "classify"
    np.savez(tmp_path / "b.npz", walks=np.full((4, 3), 0.5))
    with pytest.raises(InputError) as error:
        music(tmp_path / "b.npz")
    assert str(error.value).startswith("b.npz: an array of inputs must be one array named series or features")


@pytest.mark.parametrize(
    "content, message",
    [
        (
            {"roll": np.full((3, 88), 64)},
            "a.npz: the array roll must be of the numbers 0 and 1, got other values of int64. "
            "Write 1 where a key sounds, at whatever velocity, and 0 elsewhere.",
        ),
        (
            {"roll": np.zeros(3)},
            "a.npz: the array roll must be [T, K], K keys of T frames, got an array of shape [3]. "
            "Give one array for each piece.",
        ),
        (
            {"a": np.zeros((3, 88)), "b": np.zeros((3, 12))},
            "a.npz: the array b must be of 88 keys, as those before, got 12. Give every piece the same keys.",
        ),
        (
            {"train_1": np.zeros((3, 4)), "more": np.zeros((3, 4))},
            "a.npz: the arrays must be named by their part, as train_1, got more. "
            "Name them such as train_1, or all without a part.",
        ),
        (
            {"roll": np.zeros((2, 3, 4)), "lengths": [3, 4]},
            "a.npz: the array lengths must be whole numbers from 0 to T = 3, got [3, 4]. "
            "Count the frames of each piece.",
        ),
        (
            {"roll": np.zeros((3, 4)), "keys": [60, 61, 62, 62]},
            "a.npz: the array keys must be 4 different numbers from 0 to 127, got int64 [4]. Number the keys.",
        ),
        (
            {"roll": np.zeros((100_001, 2), np.uint8)},
            "a.npz: the array roll must be of at most 100,000 frames, got 100,001. "
            "Divide the piece, or take longer frames.",
        ),
        (
            {"roll": np.zeros((2, 3, 4)), "split": ["train", "other"]},
            "a.npz: the split must be train, valid or test for every piece, got 1 piece in other. "
            "Name the part of each.",
        ),
        (
            {"lengths": [3]},
            "a.npz: the file must be with a piano roll, got no array. Save each piece as an array [T, K] of 0 and 1.",
        ),
    ],
)
def test_what_is_no_roll_is_refused_in_four_parts(tmp_path, content, message):
    assert refusal(tmp_path / "a.npz", content) == message


def test_mat_files_without_a_roll_and_of_other_formats_are_refused(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"composer": "Bach"})
    assert refusal(path) == (
        "a.mat: the file must be with a piano roll, got the arrays composer. "
        "Save each piece as an array [T, K] of 0 and 1."
    )
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(64))
    assert refusal(path) == (
        "a.mat: the file must be of MATLAB 4 to 7.2, got one of MATLAB 7.3. "
        "Save it by save('-v7', ...) in MATLAB, or as .npz."
    )
    path.write_bytes(b"x" * 300)
    assert refusal(path).startswith("a.mat: the file must be a whole .mat file, got one that cannot be read (")


@pytest.mark.parametrize("cut", [130, 200, 400, 700])
def test_a_truncated_mat_file_is_refused(tmp_path, cut):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"traindata": cells(rolls([5, 6, 7]))})
    path.write_bytes(path.read_bytes()[:cut])
    assert refusal(path).startswith("a.mat: the file must be ")


def test_options_of_columns_and_of_other_tasks_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", roll=np.zeros((3, 4)))
    assert refusal(tmp_path / "a.npz", target="x") == (
        "a.npz: --target must be left out, as a piece has no columns, got it. Leave --target out."
    )
    assert refusal(tmp_path / "a.npz", horizon=3) == (
        "a.npz: --horizon must be left out, as the task is music, got it. Leave out --task, or give --task forecast."
    )


def test_parts_by_file_and_inside_a_file_are_not_given_together(tmp_path):
    a, b = rolls([6, 6], keys=5)
    np.savez(tmp_path / "a.npz", roll=a)
    np.savez(tmp_path / "b.npz", roll=b)
    assert music(tmp_path / "a.npz", test=tmp_path / "b.npz").examples.parts == ["train", "test"]
    np.savez(tmp_path / "b.npz", train=a, test=b)
    assert refusal(tmp_path / "b.npz", test=tmp_path / "a.npz") == (
        "b.npz: the split must be given once, got a split inside the data and --valid or --test. "
        "Leave out the files, or name the arrays anew."
    )


def test_music_beside_other_files_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.zeros((4, 3)), y=["a", "b", "a", "b"])
    (tmp_path / "b.mid").write_bytes(b"x")
    with pytest.raises(InputError) as error:
        read(DataOptions(paths=(tmp_path / "a.npz", tmp_path / "b.mid")))
    assert str(error.value) == (
        "b.mid: the files must be of one format, got music beside others. Give files of music alone."
    )


def test_equal_pieces_are_one_in_the_split_and_are_counted_with_silent_ones(tmp_path):
    pieces = rolls([6, 7, 8, 9, 5, 4, 3, 6], keys=5)
    np.savez(tmp_path / "a.npz", **{f"p{k}": p for k, p in enumerate([*pieces, pieces[0]])}, empty=pieces[0][:0])
    found = music(tmp_path / "a.npz")
    parts = split(found, found.options)
    sentences = [finding.sentence for finding in check(found, parts)]
    assert "1 row repeats the input and the target of an earlier row." in sentences and "1 piece is empty." in sentences
    said = describe(found, parts, check(found, parts))
    assert "10 pieces of 54 frames and 5 keys; keys that sound: key_1 to key_5, " in said
    assert row_key("roll", pieces[0]) == row_key("roll", pieces[0].copy()) != row_key("roll", pieces[0][:5])
    assert examples_sha256(found.examples) != examples_sha256(found.examples.take([1, 0]))


def test_the_chorales_have_the_published_numbers_of_pieces_and_frames():
    found = music(data("music/JSB_Chorales.mat")).examples
    frames = {name: sum(len(x) for x, part in zip(found.inputs, found.parts) if part == name) for name in found.parts}
    assert frames == {"train": 13807, "valid": 4602, "test": 4725}
    assert {name: found.parts.count(name) for name in frames} == {"train": 229, "valid": 76, "test": 77}
