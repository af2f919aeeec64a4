"""Recordings in tables, folders and lines: what is read of them, and what is counted and said."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ostinato.errors import InputError
from ostinato.program.data.found import changed_source
from ostinato.program.data.read import read
from ostinato.program.data.sound.log_mel import log_mel
from ostinato.program.data.sound.rows import row_of_line
from program.data.made import options, write
from program.data.made_sounds import encoded, tones, write_clips

TEXTS = ["a bb", "b", "c a", "a", "ba"]


def table_of(folder, names, texts=TEXTS, **how):
    """A table of clips in the folder `clips`, which are written; the path of the table."""
    write_clips(folder / "clips", [name for name in names if not (folder / "clips" / name).exists()], **how)
    rows = "".join(f"clips/{name},{text}\n" for name, text in zip(names, texts))
    return write(folder, "clips.csv", f"path,said\n{rows}")


NAMES = ["e.wav", "d.wav", "c.wav", "b.wav", "a.wav"]


def test_a_column_of_paths_is_read_as_log_mel_frames(tmp_path):
    table = table_of(tmp_path, NAMES)
    found = read(options(table, audio="path", target="said", mels=12))
    examples = found.examples
    assert (found.task, examples.kind, examples.target_kind) == ("transcribe", "series", "transcript")
    assert examples.targets == TEXTS and len(examples.channels) == 12 and examples.channels[0].endswith(" Hz")
    samples, rate = soundfile.read(tmp_path / "clips" / "e.wav")
    assert examples.inputs[0].dtype == np.float32
    np.testing.assert_array_equal(examples.inputs[0], log_mel(samples, rate, 12))
    assert found.because == (
        "The task is transcribe: said is the text of --audio path, and path is read as recordings."
    )
    assert list(found.notes) == ["Recordings are read at 8,000 samples a second, the rate of the first."]
    resolved = found.options
    assert (resolved.audio, resolved.rate, resolved.mels, resolved.series) == ("path", 8000, 12, ())
    assert [o.line for o in examples.origins] == [2, 3, 4, 5, 6]
    assert [(s.path.name, s.rows) for s in found.sources] == [("clips.csv", 5), ("clips", 5)]


def test_a_training_reads_new_recordings_at_its_own_rate_and_bands(tmp_path):
    found = read(options(table_of(tmp_path, NAMES), audio="path", target="said", mels=7))
    (tmp_path / "new").mkdir()
    table = table_of(tmp_path / "new", ["x.wav"], rate=16000)
    again = read(options(table, audio="path", target="said", task="transcribe", rate=8000, mels=7), False)
    assert again.examples.targets is None and again.examples.channels == found.examples.channels
    assert again.notes[0] == "1 recording of 16,000 samples a second is resampled to 8,000."
    alone = row_of_line(f"{tmp_path}/new/clips/x.wav\n", found.options)
    np.testing.assert_array_equal(alone.inputs[0], again.examples.inputs[0])


def test_a_resampled_tone_is_the_tone_at_the_other_rate(tmp_path):
    for name, rate in (("low.wav", 8000), ("high.wav", 44100)):
        write(tmp_path, name, encoded(tones(440, rate=rate, seconds=0.3), rate=rate))
    low, high = (row_of_line(f"{tmp_path}/{name}", options(rate=8000)).inputs[0] for name in ("low.wav", "high.wav"))
    assert low.shape == high.shape and np.abs(low - high)[5:-5, :20].max() < 0.05


def test_several_channels_are_averaged_and_counted(tmp_path):
    left, right = tones(500), tones(900)
    stereo, mono = np.stack([left, right], 1), (left + right) / 2
    write(tmp_path, "clips/e.wav", encoded(stereo, subtype="DOUBLE"))
    write(tmp_path, "mono.wav", encoded(mono, subtype="DOUBLE"))
    found = read(options(table_of(tmp_path, NAMES), audio="path", target="said"))
    assert "1 recording of several channels: their mean is read." in found.notes
    np.testing.assert_array_equal(
        found.examples.inputs[0], row_of_line(f"{tmp_path}/mono.wav", found.options).inputs[0]
    )


@pytest.mark.parametrize(
    "form, subtype, near",
    [
        ("WAV", "PCM_U8", 1e-2),
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "PCM_32", 1e-8),
        ("WAV", "FLOAT", 1e-6),
        ("WAV", "DOUBLE", 1e-12),
        ("WAVEX", "PCM_16", 1e-4),
        ("FLAC", "PCM_16", 1e-4),
        ("FLAC", "PCM_24", 1e-6),
        ("OGG", "VORBIS", 0.1),
        ("MP3", "MPEG_LAYER_III", 0.2),
    ],
)
def test_every_format_gives_the_samples(form, subtype, near):
    from ostinato.program.data.sound.signals import signal_of

    samples = tones(440, 660, rate=16000)
    signal = signal_of(encoded(samples, 16000, form, subtype), InputError)
    assert (signal.rate, signal.channels) == (16000, 1)
    assert abs(len(signal.samples) - len(samples)) <= (0 if form != "MP3" else 1)
    assert np.abs(signal.samples[: len(samples)] - samples[: len(signal.samples)]).max() < near


def test_absolute_paths_are_read_and_said(tmp_path):
    write_clips(tmp_path / "clips", NAMES)
    rows = "".join(f"{tmp_path}/clips/{name},{text}\n" for name, text in zip(NAMES, TEXTS))
    (tmp_path / "elsewhere").mkdir()
    table = write(tmp_path, "elsewhere/clips.csv", f"path,said\n{rows}")
    found = read(options(table, audio="path", target="said"))
    expected = "5 recordings are named by their absolute paths: the table cannot be moved with them."
    assert expected in found.notes


def test_a_file_that_several_rows_name_is_read_once(tmp_path):
    table = table_of(tmp_path, ["a.wav", "b.wav", "a.wav"])
    found = read(options(table, audio="path", target="said"))
    assert found.examples.inputs[0] is found.examples.inputs[2]


def test_json_lines_and_other_files_of_the_split_name_recordings_relative_to_themselves(tmp_path):
    write_clips(tmp_path / "one", ["a.wav", "b.wav"])
    write_clips(tmp_path / "two", ["a.wav"], rate=16000)
    train = write(
        tmp_path,
        "one/t.jsonl",
        '{"audio": "a.wav", "text": "x y"}\n{"audio": "b.wav", "text": "y"}\n{"audio": "a.wav", "text": "z"}\n',
    )
    test = write(tmp_path, "two/t.jsonl", '{"audio": "a.wav", "text": "x"}\n')
    found = read(options(train, audio="audio", target="text", test=test))
    assert list(found.examples.parts) == ["train", "train", "train", "test"]
    assert "1 recording of 16,000 samples a second is resampled to 8,000." in found.notes


def test_labels_of_recordings_are_classes_where_they_are_few_and_asked_for(tmp_path):
    names = [f"{n}.wav" for n in range(8)]
    table = table_of(tmp_path, names, ["yes", "no"] * 4)
    assert read(options(table, audio="path", target="said", task="classify")).task == "classify"
    with pytest.raises(InputError, match="Choose by --task classify or --task transcribe"):
        read(options(table, audio="path", target="said"))


def test_a_changed_recording_is_noticed_and_a_moved_folder_is_not(tmp_path):
    table = table_of(tmp_path, NAMES)
    named = {"audio": "path", "target": "said"}
    before = [{"sha256": source.sha256} for source in read(options(table, **named)).sources]
    tmp_path.joinpath("moved").mkdir()
    for name in ("clips", "clips.csv"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    table = tmp_path / "moved" / "clips.csv"
    assert changed_source(read(options(table, **named)).sources, before) is None
    write(tmp_path, "moved/clips/c.wav", encoded(tones(777)))
    changed = changed_source(read(options(table, **named)).sources, before)
    assert changed.path == tmp_path / "moved" / "clips"


def folder_of(folder, names, texts=TEXTS):
    """A folder of clips, each with its text beside it."""
    write_clips(folder, names)
    for name, text in zip(names, texts):
        (folder / name).with_suffix(".txt").write_text(text + "\n", encoding="utf-8")
    return folder


def test_a_folder_of_recordings_with_texts_is_a_data_set(tmp_path):
    folder = folder_of(tmp_path / "clips", NAMES)
    (folder / "left.txt").write_text("no recording", encoding="utf-8")
    write_clips(folder, ["without.wav"])
    found = read(options(folder))
    assert (found.task, found.examples.targets) == ("transcribe", list(reversed(TEXTS)))
    assert found.because == "The task is transcribe: clips holds 5 recordings, each with its text."
    assert [o.file for o in found.examples.origins] == sorted(NAMES)
    assert list(found.notes) == [
        "clips: 1 recording without a text left out.",
        "clips: 1 text without a recording left out.",
        "Recordings are read at 8,000 samples a second, the rate of the first.",
    ]
    assert (found.options.audio, found.options.target, found.options.rate) == ("path", "transcript", 8000)
    again = read(options(folder, task="transcribe", audio="path", target="transcript", rate=8000), with_target=False)
    assert len(again.examples) == 6 and again.examples.targets is None
    table = write(tmp_path, "new.csv", "path\nclips/a.wav\n")
    other = read(options(table, task="transcribe", audio="path", target="transcript", rate=8000), with_target=False)
    np.testing.assert_array_equal(other.examples.inputs[0], found.examples.inputs[0])


def test_the_texts_beside_recordings_belong_to_the_hash_of_a_folder(tmp_path):
    folder = folder_of(tmp_path / "clips", NAMES)
    before = [{"sha256": source.sha256} for source in read(options(folder)).sources]
    assert changed_source(read(options(folder)).sources, before) is None
    (folder / "a.txt").write_text("other words", encoding="utf-8")
    assert changed_source(read(options(folder)).sources, before).path == folder


def test_folders_named_train_and_test_give_the_split(tmp_path):
    for part, names in (("train", ["a.wav", "b.wav", "c.wav"]), ("test", ["d.wav"])):
        folder_of(tmp_path / "clips" / part, names)
    found = read(options(tmp_path / "clips"))
    assert list(found.examples.parts) == ["test", "train", "train", "train"]


def test_a_file_of_texts_as_of_librispeech_names_recordings_without_their_ends(tmp_path):
    folder = tmp_path / "84" / "121"
    write_clips(folder, ["84-121-0.flac", "84-121-1.flac"], form="FLAC")
    write(folder, "84-121.trans.txt", "84-121-0 GO DO YOU HEAR\n84-121-1  BUT IN LESS\n")
    found = read(options(tmp_path))
    assert found.examples.targets == ["GO DO YOU HEAR", "BUT IN LESS"]


def test_recordings_that_the_command_names_have_their_texts_beside_them(tmp_path):
    folder = folder_of(tmp_path, NAMES)
    found = read(options(*(folder / name for name in NAMES)))
    assert found.examples.targets == TEXTS and len(found.sources) == 5
    again = read(options(folder / "a.wav", task="transcribe", rate=8000), with_target=False)
    np.testing.assert_array_equal(again.examples.inputs[0], found.examples.inputs[4])


def test_two_folders_are_read_at_the_rate_of_the_first(tmp_path):
    folder_of(tmp_path / "train", ["a.wav", "b.wav"])
    write_clips(tmp_path / "test", ["a.wav"], rate=16000)
    (tmp_path / "test" / "a.txt").write_text("a", encoding="utf-8")
    found = read(options(tmp_path / "train", test=tmp_path / "test"))
    assert list(found.examples.parts) == ["train", "train", "test"]
    assert len({x.shape for x in found.examples.inputs}) == 2 and found.options.rate == 8000


def test_a_folder_of_texts_with_a_stray_recording_stays_one_of_texts(tmp_path):
    for name in ("good", "bad"):
        write(tmp_path, f"{name}.txt", "one\ntwo\nthree\n")
    write_clips(tmp_path, ["jingle.wav"])
    found = read(options(tmp_path))
    assert found.task == "classify" and "1 file other than .txt left out" in found.notes[0]


def test_relative_paths_of_lines_are_relative_to_where_the_command_runs(tmp_path, monkeypatch):
    write_clips(tmp_path / "clips", ["a.wav"])
    monkeypatch.chdir(tmp_path)
    assert row_of_line("clips/a.wav\n", options(rate=8000)).inputs[0].shape == (8, 40)
    assert Path("clips/a.wav").exists()
