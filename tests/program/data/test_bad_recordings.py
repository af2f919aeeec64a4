"""Recordings and folders that cannot be used: one message of four parts each, with the file and the row."""

import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import InputError
from ostinato.program.data.read import read
from ostinato.program.data.sound import signals
from ostinato.program.data.sound.rows import row_of_line
from program.data.made import options, write
from program.data.made_sounds import encoded, tones, write_clips

FOUR = re.compile(r"(?s).+: .+ must be .+, got .+\. ?.*")
WHOLE = encoded(tones(440))


def message(*paths, with_target=True, **named):
    """The message with which files are refused."""
    with pytest.raises(InputError) as caught:
        read(options(*paths, **named), with_target)
    assert FOUR.fullmatch(str(caught.value)), caught.value
    return str(caught.value)


def of_bad(folder, content, name="b.wav", **named):
    """The message about a table whose second recording has this content."""
    write_clips(folder / "clips", ["a.wav"])
    write(folder, f"clips/{name}", content)
    table = write(folder, "clips.csv", f"path,said\nclips/a.wav,a b\nclips/{name},b\n")
    return message(table, audio="path", target="said", **named)


PREFIX = "clips.csv: the recording b.wav at line 3 must be "
AGAIN = "Copy it again, or leave the row out."
RECORD = "Record it again, or leave the row out."


@pytest.mark.parametrize(
    "content, rest",
    [
        (b"", f"a recording, got an empty file. {RECORD}"),
        (
            b"not a sound",
            "in WAV, FLAC, OGG or MP3, got a file that begins with b'not a so'. "
            "Convert it, such as with ffmpeg -i FILE out.wav.",
        ),
        (WHOLE[:-100], f"a whole file, got 1,500 of 1,600 bytes of samples. {AGAIN}"),
        (WHOLE[:30], f"a whole file, got 10 of 16 bytes of a header. {AGAIN}"),
        (WHOLE[:36], f"a whole file, got a header without samples. {AGAIN}"),
        (encoded(np.zeros(0)), f"of at least one sample, got none. {RECORD}"),
        (
            encoded(tones(440, seconds=0.02)),
            "of at least 25 ms, the length of a frame, got 20.0 ms. Leave the row out.",
        ),
        (encoded(np.full(800, 0.25)), f"of sound, got silence: 800 equal samples. {RECORD}"),
        (
            encoded(np.stack([tones(440), -tones(440)], 1), subtype="DOUBLE"),
            f"of sound, got silence: 800 equal samples; the mean of its 2 channels was taken. {RECORD}",
        ),
        (
            encoded(np.where(np.arange(800) == 5, np.nan, tones(440)), subtype="FLOAT"),
            "of finite samples of at most 1,000,000, got 1 sample beyond it or not finite. Write the file again.",
        ),
        (
            encoded(np.where(np.arange(800) < 2, -np.inf, tones(440)), subtype="DOUBLE"),
            "of finite samples of at most 1,000,000, got 2 samples beyond it or not finite. Write the file again.",
        ),
        (
            encoded(tones(440, loud=1e30), subtype="DOUBLE"),
            "of finite samples of at most 1,000,000, got 799 samples beyond it or not finite. Write the file again.",
        ),
        (
            encoded(tones(40), rate=999),
            "of 1,000 to 400,000 samples a second, got 999. Check the header of the file.",
        ),
        (
            encoded(tones(40), rate=400_001),
            "of 1,000 to 400,000 samples a second, got 400,001. Check the header of the file.",
        ),
        (
            encoded(tones(440), form="FLAC")[:-9],
            "a whole FLAC file, got a damaged one (flac decoder lost sync). " + AGAIN,
        ),
        (encoded(tones(440), form="OGG")[:-9], f"a whole file, got a part of a page. {AGAIN}"),
        (encoded(tones(440), form="OGG") + b"more", f"a whole file, got a page without its beginning. {AGAIN}"),
    ],
)
def test_a_recording_that_cannot_be_used_is_refused_with_its_row(tmp_path, content, rest):
    assert of_bad(tmp_path, content) == PREFIX + rest


def test_a_cut_mp3_file_is_refused_by_its_own_count(tmp_path):
    found = of_bad(tmp_path, encoded(tones(440, seconds=1), form="MP3")[:-300])
    assert re.search(r"must be a whole file, got [\d,]+ of 8,000 samples\. " + AGAIN, found)


def test_a_page_that_is_not_the_last_of_its_stream_is_a_part_of_a_file(tmp_path):
    whole = encoded(tones(*range(300, 900, 10)), form="OGG")
    cut = whole[: whole.rindex(b"OggS")]
    assert len(cut) > 100
    assert of_bad(tmp_path, cut) == f"{PREFIX}a whole file, got a stream without its last page. {AGAIN}"


def test_a_recording_that_is_longer_than_the_limit_is_refused_before_all_of_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(signals, "MOST", 700)
    found = of_bad(tmp_path, encoded(tones(440), form="FLAC"), name="a.wav")
    assert found == (
        "clips.csv: the recording a.wav at line 2 must be of at most 700 samples, got more. Divide it into sentences."
    )


def test_a_file_of_more_bytes_than_a_recording_has_is_refused_before_it_is_read(tmp_path):
    write_clips(tmp_path / "clips", ["a.wav"])
    with open(tmp_path / "clips" / "b.wav", "wb") as file:
        file.truncate(2_000_000_000)  # holds no block of a disk
    table = write(tmp_path, "clips.csv", "path,said\nclips/a.wav,a b\nclips/b.wav,b\n")
    expected = f"{PREFIX}a file of at most 1,073,741,824 bytes, got 2,000,000,000. Divide it into sentences."
    assert message(table, audio="path", target="said") == expected


def with_size(data, size):
    """A WAV file whose header declares another size of samples."""
    place = data.index(b"data") + 4
    return data[:place] + struct.pack("<I", size) + data[place + 4 :]


def test_a_declared_length_is_held_against_the_file_and_an_unknown_one_is_read_to_its_end(tmp_path):
    expected = f"{PREFIX}a whole file, got 1,600 of 4,000,000,000 bytes of samples. {AGAIN}"
    assert of_bad(tmp_path, with_size(WHOLE, 4_000_000_000)) == expected
    write(tmp_path, "pipe.wav", with_size(WHOLE, 0xFFFFFFFF))
    assert row_of_line(f"{tmp_path}/pipe.wav", options()).inputs[0].shape == (8, 40)


@pytest.mark.parametrize(
    "cell, expected",
    [
        ("", "the recording at line 3 must be named by a path, got an empty cell. Fill it, or leave the row out."),
        (
            "clips/none.wav",
            "the recording at line 3 must be an existing file, got 'clips/none.wav', which is none. Paths are relative "
            "to the folder of clips.csv; patterns are not expanded.",
        ),
        (
            "clips/*.wav",
            "the recording at line 3 must be an existing file, got 'clips/*.wav', which is none. Paths are relative "
            "to the folder of clips.csv; patterns are not expanded.",
        ),
        (
            "https://example.org/a.wav",
            "the recording at line 3 must be a file of this machine, got 'https://example.org/a.wav'. "
            "Download the file first.",
        ),
        (
            "clips",
            "the recording at line 3 must be an existing file, got 'clips', which is none. Paths are relative "
            "to the folder of clips.csv; patterns are not expanded.",
        ),
        (
            "clips/" + 300 * "x",
            "the recording at line 3 must be a readable file, got "
            f"'clips/{52 * 'x'}… (File name too long). Correct the path.",
        ),
    ],
)
def test_a_cell_that_names_no_recording_is_refused_with_its_line(tmp_path, cell, expected):
    write_clips(tmp_path / "clips", ["a.wav"])
    table = write(tmp_path, "clips.csv", f"path,said\nclips/a.wav,a b\n{cell},b\n")
    assert message(table, audio="path", target="said") == f"clips.csv: {expected}"


def test_a_column_of_numbers_names_no_recordings(tmp_path):
    table = write(tmp_path, "a.jsonl", '{"n": 1, "said": "a"}\n{"n": 2, "said": "b"}\n')
    assert message(table, audio="n", target="said") == (
        "a.jsonl: the column n must be of paths of recordings, got Int64. Name the column that holds paths by --audio."
    )


def test_a_recording_alone_is_refused_with_what_to_give(tmp_path):
    write_clips(tmp_path, ["a.wav"])
    assert message(tmp_path / "a.wav") == (
        "a.wav: the data must be recordings with what they say, got a recording alone. Write what it says into a.txt "
        "beside it, or give a table with --audio and --target."
    )


def test_a_folder_of_recordings_without_texts_is_refused_with_what_to_give(tmp_path):
    write_clips(tmp_path / "clips", ["a.wav", "b.wav"])
    assert message(tmp_path / "clips") == (
        "clips: the folder must be of recordings with their texts, got 2 recordings and no text of theirs. Write what "
        "each says into a .txt file of its name, or give a table with --audio and --target."
    )


def test_a_bad_recording_of_a_folder_is_named(tmp_path):
    write_clips(tmp_path / "clips" / "one", ["a.wav"])
    write(tmp_path, "clips/one/a.txt", "a")
    write(tmp_path, "clips/two/b.flac", b"fLaC")
    write(tmp_path, "clips/two/b.txt", "b")
    found = message(tmp_path / "clips")
    assert found.startswith("clips: the recording two/b.flac must be a whole FLAC file, got a damaged one (")


@pytest.mark.parametrize(
    "named, expected",
    [
        (
            {"rate": 999},
            "read: --rate must be from 1,000 to 400,000 samples a second, got 999. Speech needs 8000 to 16000.",
        ),
        (
            {"mels": 100_000},
            "read: --mels must be at most 299 at 8,000 samples a second, so that every band holds a frequency, "
            "got 100000. Speech needs about 40.",
        ),
    ],
)
def test_a_rate_or_number_of_bands_that_no_recording_is_read_with_is_refused(tmp_path, named, expected):
    write_clips(tmp_path, ["a.wav"])
    write(tmp_path, "a.txt", "a")
    assert message(tmp_path / "a.wav", **named) == expected


@pytest.mark.parametrize(
    "named, flags",
    [({"rate": 8000}, "--rate"), ({"mels": 20, "rate": 8000}, "--rate, --mels"), ({"mels": 20}, "--mels")],
)
def test_options_of_recordings_are_refused_where_no_recordings_are_read(tmp_path, named, flags):
    table = write(tmp_path, "a.csv", "t,label\nx,a\ny,b\n" * 3)
    refused = f"{flags} must be left out, as no recordings are read, got {'them' if len(named) > 1 else 'it'}."
    rest = "Give recordings, or a table with a column of their paths (--audio)."
    assert message(table, **named) == f"a.csv: {refused} {rest}"
    text = write(tmp_path, "a.txt", "some text")
    assert message(text, **named).startswith(f"a.txt: {refused}")


def test_the_grid_of_music_is_refused_where_no_music_is_read(tmp_path):
    write_clips(tmp_path, ["a.wav"])
    write(tmp_path, "a.txt", "a")
    table = write(tmp_path, "a.csv", "t,label\nx,a\ny,b\n" * 3)
    text = write(tmp_path, "b.txt", "some text")
    for path in (tmp_path / "a.wav", table, text):
        assert message(path, grid=3) == (
            f"{path.name}: --grid must be left out, as no music is read, got it. Give MIDI files (.mid)."
        )


def test_a_recording_that_is_shorter_than_a_frame_at_another_rate_is_refused(tmp_path):
    short = encoded(tones(440, rate=1018)[:25], rate=1018)  # 24.6 ms, which round to a frame at its own rate
    assert of_bad(tmp_path, short, rate=16000) == (
        f"{PREFIX}of at least 400 samples at 16,000 a second, the length of a frame, got 393. Leave the row out."
    )


def test_audio_beside_other_options_and_formats_is_refused(tmp_path):
    write_clips(tmp_path / "clips", ["a.wav"])
    table = write(tmp_path, "clips.csv", "path,said\nclips/a.wav,a b\nclips/a.wav,b\n")
    assert message(table, audio="path", text="said", target="said").startswith(
        "clips.csv: the column said must be in one role, got two. Name each column once among --target, --text, --audio"
    )
    assert message(table, audio="path", text="path2", target="said").startswith(
        "clips.csv: the column 'path2' must be in"
    )
    wrong = message(table, audio="paht", target="said")
    assert "the column 'paht' must be" in wrong and "Did you mean 'path'?" in wrong
    arrays = tmp_path / "a.npz"
    np.savez(arrays, X=np.zeros((6, 2)), y=np.arange(6) % 2)
    assert message(arrays, audio="path").startswith("a.npz: --audio must be left out, as no recordings are read")
    assert message(table, arrays, audio="path") == (
        "read: the files must be of one format, got clips.csv, a.npz. Give files of one format."
    )


def test_a_line_that_names_no_recording_is_refused(tmp_path):
    for line in ("none.wav", "*.wav", "https://example.org/a.wav", str(tmp_path)):
        with pytest.raises(InputError) as caught:
            row_of_line(f"{line}\n", options(rate=8000))
        assert FOUR.fullmatch(str(caught.value))
    with pytest.raises(InputError) as caught:
        row_of_line(" \n", options(rate=8000))
    assert str(caught.value) == "ostinato predict: a line must be the path of a recording, got an empty line."


def read_or_refuse(data):
    """The frames of a file's bytes, or the message of its refusal; anything else is an error."""
    from ostinato.program.data.refusals import refused

    def refuse(expected, received, remedy):
        return refused("clips.csv", "the recording", expected, received, remedy)

    try:
        signal = signals.signal_of(data, refuse)
    except InputError as error:
        assert FOUR.fullmatch(str(error)), error
        assert "\n" not in str(error)
        return str(error)
    assert np.isfinite(signal.samples).all() and len(signal.samples) <= signals.MOST
    return signal


MADE = [encoded(tones(440, 600, seconds=0.3), form=form, subtype=subtype) for form, subtype in (
    ("WAV", "PCM_U8"), ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "PCM_32"), ("WAV", "FLOAT"), ("WAVEX", "DOUBLE"),
    ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("WAV", "ULAW"), ("WAV", "IMA_ADPCM"),
)]  # fmt: skip
MADE.append(encoded(tones(440, 600, seconds=0.3), form="MP3"))
MADE.append(encoded(np.stack([tones(100 * c) for c in range(1, 7)], 1)))
MADE.append(encoded(np.stack([tones(100 * c) for c in range(1, 7)], 1), form="FLAC"))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", b"RIFF\x24\x08\0\0WAVE", b"fLaC", b"OggS"]))
def test_any_bytes_are_read_or_refused_in_one_message(data, start):
    read_or_refuse(start + data)


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(MADE), st.integers(min_value=0, max_value=1 << 30))
def test_a_file_that_is_cut_anywhere_is_refused_in_one_message(whole, cut):
    assert isinstance(read_or_refuse(whole), signals.Signal)
    assert isinstance(read_or_refuse(whole[: cut % len(whole)]), str)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(MADE), st.lists(st.tuples(st.integers(0, 127), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_file_with_other_bytes_in_its_header_is_read_or_refused_in_one_message(whole, changes):
    data = bytearray(whole)
    for place, value in changes:
        data[place] = value
    read_or_refuse(bytes(data))


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"]),
    st.integers(1, 500_000),
    st.integers(0, 900),
    st.integers(1, 6),
    st.integers(1, 60_000),
)
def test_any_rate_length_and_number_of_channels_gives_frames_or_one_message(subtype, rate, length, channels, wanted):
    samples = np.random.default_rng(length).standard_normal((length, channels)) / 8
    found = read_or_refuse(encoded(samples, rate, subtype=subtype))
    good = signals.LOWEST <= rate <= signals.HIGHEST and length >= max(1, round(0.025 * rate))
    assert isinstance(found, signals.Signal) == good
    if good:
        other = signals.at_rate(found, max(1000, wanted))
        assert np.isfinite(other).all() and len(other) == -(-length * max(1000, wanted) // rate)
