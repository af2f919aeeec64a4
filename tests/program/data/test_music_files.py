"""Several MIDI files and folders of them: pieces, parts, what is said once for all, and options that have no place."""

import gzip

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.data.check import check
from ostinato.program.data.describe import describe
from ostinato.program.data.read import read
from ostinato.program.data.split import split
from ostinato.program.options import DataOptions
from program.data.made_midi import melody


def write(folder, **songs):
    folder.mkdir(parents=True, exist_ok=True)
    for name, notes in songs.items():
        (folder / f"{name}.mid").write_bytes(melody(*notes))
    return folder


def refusal(*paths, **options):
    with pytest.raises(InputError) as error:
        read(DataOptions(paths=paths, **options))
    return str(error.value)


def test_each_file_is_a_piece_and_what_was_changed_is_said_once(tmp_path):
    write(tmp_path, a=[(60, 1), (60, 1)], b=[(62, 2), (62, 1), (62, 1)])
    found = read(DataOptions(paths=(tmp_path / "a.mid", tmp_path / "b.mid")))
    assert [len(roll) for roll in found.examples.inputs] == [8, 16]
    assert found.because == "The task is music: a.mid, b.mid hold notes."
    assert found.notes == ["3 notes end one frame early, because the key is struck again in the next frame."]
    assert [origin.file for origin in found.examples.origins] == ["a.mid", "b.mid"]
    assert [source.rows for source in found.sources] == [1, 1] and found.examples.parts is None


def test_the_grid_divides_the_beat(tmp_path):
    write(tmp_path, a=[(60, 1), (62, 1)])
    assert len(read(DataOptions(paths=(tmp_path / "a.mid",), grid=2)).examples.inputs[0]) == 4


def test_without_a_grid_a_beat_has_four_frames_and_one_in_rolls_alone(tmp_path):
    write(tmp_path / "tunes", a=[(60, 1), (62, 1)])
    np.savez(tmp_path / "b.npz", roll=np.ones((3, 88)))
    grids = [
        read(DataOptions(paths=paths, **options)).options.grid
        for paths, options in [
            ((tmp_path / "tunes",), {}),
            ((tmp_path / "b.npz", tmp_path / "tunes" / "a.mid"), {}),
            ((tmp_path / "b.npz",), {}),
            ((tmp_path / "b.npz",), {"grid": 2}),
        ]
    ]
    assert grids == [4, 4, 1, 2]


def test_a_folder_holds_pieces_and_its_folders_may_be_the_parts(tmp_path):
    write(tmp_path / "tunes", a=[(60, 1)], b=[(62, 1)])
    write(tmp_path / "tunes" / "more", c=[(64, 1)])
    (tmp_path / "tunes" / "notes.pdf").write_text("x")
    (tmp_path / "tunes" / ".hidden.mid").write_text("x")
    found = read(DataOptions(paths=(tmp_path / "tunes",)))
    assert [origin.file for origin in found.examples.origins] == ["a.mid", "b.mid", "more/c.mid"]
    assert found.examples.parts is None and len(found.sources) == 1 and found.sources[0].rows == 3
    assert found.notes == ["tunes: 1 file other than .mid left out."]
    for part in ("train", "valid", "test"):
        write(tmp_path / "jsb" / part, a=[(60, 1)], b=[(62, 1)])
    assert read(DataOptions(paths=(tmp_path / "jsb",))).examples.parts == ["test"] * 2 + ["train"] * 2 + ["valid"] * 2
    assert refusal(tmp_path / "jsb", test=tmp_path / "tunes") == (
        "jsb: the split must be given once, got folders of parts and --valid or --test. "
        "Leave out the files, or rename the folders."
    )
    write(tmp_path / "jsb", c=[(60, 1)])
    assert refusal(tmp_path / "jsb") == (
        "jsb: the split must be train, valid or test for every piece, got 1 piece in none. Name the part of each."
    )


def test_a_changed_file_of_a_folder_changes_the_hash_of_the_folder(tmp_path):
    write(tmp_path / "tunes", a=[(60, 1)], b=[(62, 1)])
    first = read(DataOptions(paths=(tmp_path / "tunes",))).sources[0].sha256
    assert read(DataOptions(paths=(tmp_path / "tunes",))).sources[0].sha256 == first
    write(tmp_path / "tunes", b=[(63, 1)])
    assert read(DataOptions(paths=(tmp_path / "tunes",))).sources[0].sha256 != first


def test_files_of_parts_are_given_beside_each_other(tmp_path):
    write(tmp_path, a=[(60, 1)], b=[(62, 1)], c=[(64, 1)])
    paths = {"paths": (tmp_path / "a.mid",), "valid": tmp_path / "b.mid", "test": tmp_path / "c.mid"}
    assert read(DataOptions(**paths)).examples.parts == ["train", "valid", "test"]


def test_rolls_and_midi_files_are_one_data_set_where_their_keys_are_the_same(tmp_path):
    write(tmp_path, a=[(60, 1)])
    np.savez(tmp_path / "b.npz", roll=np.ones((3, 88)))
    assert len(read(DataOptions(paths=(tmp_path / "a.mid", tmp_path / "b.npz"))).examples) == 2
    np.savez(tmp_path / "b.npz", roll=np.ones((3, 12)))
    assert refusal(tmp_path / "a.mid", tmp_path / "b.npz") == (
        "b.npz: the rolls must be of 88 keys from 21 to 108, as those before, got 12 keys from key_1 to key_12. "
        "Give every piece the same keys."
    )


def test_a_compressed_file_is_read_and_another_task_is_refused(tmp_path):
    (tmp_path / "a.mid.gz").write_bytes(gzip.compress(melody((60, 1))))
    assert len(read(DataOptions(paths=(tmp_path / "a.mid.gz",))).examples) == 1
    assert refusal(tmp_path / "a.mid.gz", task="classify").startswith("a.mid.gz: the data must be for classify, got ")


def test_a_list_of_many_files_is_cut_where_it_is_printed(tmp_path):
    songs = {f"song{k:02d}": [(50 + k, 1), (60, 1 + k % 3)] for k in range(20)}
    write(tmp_path, **songs)
    found = read(DataOptions(paths=tuple(tmp_path / f"{name}.mid" for name in songs)))
    parts = split(found, found.options)
    said = describe(found, parts, check(found, parts))
    assert "song11.mid: 1 row\nand 8 more files: 8 rows\n" in said and "song12.mid: " not in said


def test_rows_without_targets_are_read_for_predictions(tmp_path):
    write(tmp_path, a=[(60, 1)])
    found = read(DataOptions(paths=(tmp_path / "a.mid",), task="music"), with_target=False).examples
    assert found.targets is None and found.parts is None and len(found) == 1


def test_a_folder_of_midi_files_and_texts_needs_the_task(tmp_path):
    write(tmp_path / "mixed", a=[(60, 1)], b=[(62, 1)])
    (tmp_path / "mixed" / "README.txt").write_text("Old songs.\n")
    assert refusal(tmp_path / "mixed") == (
        "mixed: the folder must be of music or of texts, got MIDI files and 1 text. Add --task music, or --task "
        "classify for the texts."
    )
    found = read(DataOptions(paths=(tmp_path / "mixed",), task="music"))
    assert len(found.examples) == 2 and found.notes == ["mixed: 1 file other than .mid left out."]
    assert read(DataOptions(paths=(tmp_path / "mixed",), task="classify")).task == "classify"


@pytest.mark.parametrize(
    "named, flag", [({"rate": 100}, "--rate"), ({"mels": 9}, "--mels"), ({"audio": "x"}, "--audio")]
)
def test_options_of_recordings_are_refused_beside_music(tmp_path, named, flag):
    write(tmp_path, a=[(60, 1)])
    assert refusal(tmp_path / "a.mid", **named) == (
        f"a.mid: {flag} must be left out, as no recordings are read, got it. Give recordings, or a table with a "
        "column of their paths (--audio)."
    )


def test_columns_of_given_values_are_refused_beside_music(tmp_path):
    write(tmp_path, a=[(60, 1)])
    assert refusal(tmp_path / "a.mid", given=("key",)) == (
        "a.mid: --given must be left out, as a piece has no columns, got it. Leave --given out."
    )


def test_a_file_without_arrays_is_refused_in_words(tmp_path):
    np.savez(tmp_path / "a.npz")
    assert refusal(tmp_path / "a.npz").startswith("a.npz: an array of inputs must be one array named series or ")
    assert ", got none among no arrays. Rename the arrays." in refusal(tmp_path / "a.npz")
