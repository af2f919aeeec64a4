"""MIDI files: the frames of notes, what is counted and said, what is refused, and that no bytes end in a traceback."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import InputError
from ostinato.program.data.music.midi import piece_of
from ostinato.program.data.music.rolls import PIANO
from ostinato.program.data.music.write import midi_of
from program.data.made_midi import melody, midi, notes_of, off, on, track

PATH = Path("a.mid")
FEW = settings(max_examples=60, deadline=None)


def heard(data, grid=4):
    return piece_of(data, PATH, grid)


def runs(roll):
    """{MIDI key: [(first frame, frame after the last)]}"""
    found = {}
    for column in range(roll.shape[1]):
        padded = np.r_[0, roll[:, column], 0]
        edges = np.flatnonzero(np.diff(padded.astype(int)))
        if len(edges):
            found[column + 21] = list(zip(edges[::2].tolist(), edges[1::2].tolist()))
    return found


def sentences(data, grid=4):
    return heard(data, grid).counts.sentences(grid)


def test_a_note_sounds_from_its_beginning_to_its_end_in_steps_of_a_beat():
    data = melody((60, 1), (64, 0.5), (67, 2))
    assert runs(heard(data).roll) == {60: [(0, 4)], 64: [(4, 6)], 67: [(6, 14)]}
    assert runs(heard(data, grid=2).roll) == {60: [(0, 2)], 64: [(2, 3)], 67: [(3, 7)]}
    assert heard(data).roll.dtype == np.uint8 and heard(data).roll.shape == (14, 88)
    assert sentences(data) == []


@pytest.mark.parametrize("ticks", [1, 24, 96, 480, 960, 32767])
def test_the_ticks_of_a_beat_change_nothing(ticks):
    data = melody((60, 1), (64, 2), ticks=ticks)
    assert runs(heard(data, grid=1).roll) == {60: [(0, 1)], 64: [(1, 3)]}


def test_the_tempo_changes_no_frame_and_the_first_one_is_kept():
    slow = [(0, b"\xff\x51\x03" + (900_000).to_bytes(3, "big")), (480, b"\xff\x51\x03\x01\x00\x00")]
    notes = track((0, on(60)), (480, off(60)))
    assert runs(heard(midi(track(*slow), notes)).roll) == runs(heard(midi(notes)).roll) == {60: [(0, 4)]}
    assert heard(midi(track(*slow), notes)).tempo == 900_000 and heard(midi(notes)).tempo == 500_000


def test_several_tracks_and_channels_sound_together():
    first = track((0, on(60)), (480, on(62, 3)), (480, off(62, 3)), (0, off(60)))
    second = track((480, on(48)), (480, off(48)))
    assert runs(heard(midi(first, second)).roll) == {48: [(4, 8)], 60: [(0, 8)], 62: [(4, 8)]}


def test_running_status_and_velocity_0_are_read():
    body = track((0, b"\x90\x3c\x40"), (480, b"\x3c\x00"), (0, b"\x3e\x40"), (480, b"\x3e\x00"))
    assert runs(heard(midi(body)).roll) == {60: [(0, 4)], 62: [(4, 8)]}


def test_a_short_note_lasts_one_frame_and_notes_off_the_grid_are_counted():
    data = midi(track((0, on(60)), (5, off(60)), (100, on(64)), (120, off(64))))
    assert runs(heard(data).roll) == {60: [(0, 1)], 64: [(1, 2)]}
    assert sentences(data) == [
        "1 of 2 notes begins between two steps of the grid of 4 steps a beat, and is moved to the nearer one."
    ]


def test_a_key_struck_again_has_a_silent_frame_before():
    data = melody((60, 1), (60, 1), (62, 1))
    assert runs(heard(data).roll) == {60: [(0, 3), (4, 8)], 62: [(8, 12)]}
    assert sentences(data) == ["1 note ends one frame early, because the key is struck again in the next frame."]


def test_notes_of_one_frame_that_follow_each_other_are_joined_and_a_larger_grid_keeps_them_apart():
    data = melody((60, 0.25), (60, 0.25), (60, 0.25))
    assert runs(heard(data).roll) == {60: [(0, 3)]}
    assert sentences(data) == [
        "2 notes are joined with one that began a frame before on the same key; a larger --grid keeps them apart."
    ]
    assert runs(heard(data, grid=8).roll) == {60: [(0, 1), (2, 3), (4, 6)]}


def test_two_voices_on_one_key_are_heard_together_and_apart():
    together = midi(track((0, on(60)), (960, off(60))), track((0, on(60)), (480, off(60))))
    assert runs(heard(together).roll) == {60: [(0, 8)]}
    later = midi(track((0, on(60)), (960, off(60))), track((480, on(60, 1)), (240, off(60, 1))))
    assert runs(heard(later).roll) == {60: [(0, 3), (4, 8)]}


def test_of_notes_that_overlap_on_one_key_the_first_ends_first():
    data = midi(track((0, on(60)), (480, on(60)), (240, off(60)), (240, off(60)), (0, on(62)), (480, off(62))))
    assert runs(heard(data).roll) == {60: [(0, 3), (4, 8)], 62: [(8, 12)]}
    assert "without an end" not in " ".join(sentences(data))


def test_a_note_without_an_end_lasts_until_the_end_of_its_track():
    data = midi(track((0, on(60)), (480, on(62)), (480, off(62)), end=480))
    assert runs(heard(data).roll) == {60: [(0, 12)], 62: [(4, 8)]}
    assert sentences(data) == ["1 note without an end lasts until the end of the track."]


def test_drums_and_the_pedal_are_left_out_and_said():
    pedal = bytes([0xB0, 64, 127])
    data = midi(
        track((0, on(36, 9)), (0, on(60)), (0, pedal), (0, pedal), (480, off(60)), (0, off(36, 9)), (0, off(61)))
    )
    assert runs(heard(data).roll) == {60: [(0, 4)]}
    assert sentences(data) == [
        "1 note of channel 10, which is for drums, is left out.",
        "1 press of the sustain pedal is ignored: a note ends where its key is released.",
    ]


@pytest.mark.parametrize("key, place", [(0, 24), (20, 32), (21, 21), (108, 108), (109, 97), (127, 103)])
def test_keys_that_a_piano_lacks_are_moved_by_octaves(key, place):
    data = melody((key, 1))
    assert runs(heard(data).roll) == {place: [(0, 4)]} and (place - key) % 12 == 0
    said = "1 note is moved by octaves into the keys 21 to 108."
    assert sentences(data) == ([said] if key != place else [])


def test_silence_before_the_first_note_is_read_and_after_the_last_counted():
    data = midi(track((960, on(60)), (480, off(60)), end=960))
    assert runs(heard(data).roll) == {60: [(8, 12)]} and len(heard(data).roll) == 12
    assert sentences(data) == ["8 silent frames after the last note of a file are left out."]


NOTE = track((0, on(60)), (480, off(60)))


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "a.mid: the file must be a MIDI file, got an empty file. Check that it is the right file."),
        (
            b"RIFF\x00\x00\x00\x00WAVE",
            "a.mid: the file must be a MIDI file, which begins with MThd, got b'RIFF\\x00\\x00\\x00\\x00'. "
            "Check that it is the right file.",
        ),
        (
            midi(NOTE, ticks=0),
            "a.mid: the ticks of a beat must be 1 or more, got 0. Write the file again.",
        ),
        (
            midi(NOTE, ticks=0xE728),
            "a.mid: the times must be in ticks of a beat, got in frames of film (SMPTE). "
            "Write the file with ticks of a beat.",
        ),
        (
            midi(NOTE, form=2),
            "a.mid: the MIDI format must be 0 or 1, whose tracks sound together, got 2. "
            "Write each of its tracks to a file.",
        ),
        (midi(track()), "a.mid: the file must be with notes, got none. Leave it out."),
        (midi(), "a.mid: the file must be with notes, got none. Leave it out."),
        (
            midi(track((0, on(36, 9)), (9, off(36, 9)))),
            "a.mid: the file must be with notes, got none but 1 of channel 10, which is for drums. Leave it out.",
        ),
        (
            midi(track((0, on(60)), (480, off(60)), ((1 << 28) - 1, on(62)), (1, off(62)))),
            "a.mid: the last note must be within 100,000 steps of the grid, got at step 2,236,966. "
            "Correct the times of the file, or give a smaller --grid.",
        ),
        (
            midi(track((0, on(60)), (480, off(60)), end=(1 << 28) - 1)),
            "a.mid: the end must be within 100,000 steps of the grid, got at step 2,236,966. "
            "Correct the times of the file, or give a smaller --grid.",
        ),
        (
            midi(NOTE)[:-5],
            "a.mid: the file must be a whole MIDI file, got one that ends within a track. Copy it again.",
        ),
        (
            midi(track((0, b"\xf4"))),
            "a.mid: the file must be a whole MIDI file, got one that cannot be read (undefined status byte 0xf4). "
            "Write it again.",
        ),
        (
            midi(b"MTrk\x00\x10\x00\x00" + b"\xff" * 1_000_000),
            "a.mid: the file must be a whole MIDI file, got one that cannot be read (a number without an end). "
            "Write it again.",
        ),
    ],
)
def test_what_is_no_midi_file_is_refused_in_four_parts(data, message):
    with pytest.raises(InputError) as error:
        heard(data)
    assert str(error.value) == message


def test_a_file_of_more_than_8_mib_is_refused_unread():
    with pytest.raises(InputError) as error:
        heard(midi(NOTE) + bytes(8 << 20))
    assert str(error.value) == ("a.mid: the file must be of at most 8,388,608 bytes, got 8,388,643. Divide the piece.")


@FEW
@given(st.binary(max_size=300))
def test_any_bytes_after_the_header_give_frames_or_one_sentence(content):
    for data in (midi(content), midi(track((0, on(60)), (480, off(60)), (0, content)))):
        try:
            found = heard(data)
        except InputError as error:
            assert str(error).startswith("a.mid: ") and " must be " in str(error) and "\n" not in str(error)
        else:
            assert 0 < len(found.roll) <= 100_000


def test_a_file_that_is_cut_anywhere_gives_one_sentence():
    data = midi(
        track((0, b"\xff\x51\x03\x07\xa1\x20")), track((0, on(60)), (480, on(64)), (480, off(64)), (0, off(60)))
    )
    for size in range(len(data)):
        with pytest.raises(InputError, match="a.mid: .* must be .*, got "):
            heard(data[:size])


rolls = st.integers(1, 40).flatmap(
    lambda frames: st.lists(st.tuples(st.integers(0, frames - 1), st.integers(0, 87)), min_size=1, max_size=60).map(
        lambda places: (frames, places)
    )
)


def made(frames_and_places):
    frames, places = frames_and_places
    roll = np.zeros((frames, 88), np.uint8)
    for frame, key in places:
        roll[frame, key] = 1
    return roll


@FEW
@given(rolls.map(made), st.sampled_from([1, 2, 3, 4, 7, 12, 500]))
def test_frames_that_are_written_and_read_are_the_same(roll, grid):
    data = midi_of(roll, PIANO, grid, "test", tempo=600_000)
    found = heard(data, grid)
    last = np.flatnonzero(roll.any(axis=1)).max() + 1
    assert np.array_equal(found.roll, roll[:last]) and found.tempo == 600_000
    assert found.counts.silent == len(roll) - last and len(found.counts.sentences(grid)) == (last < len(roll))


@FEW
@given(rolls.map(made), st.sampled_from([1, 4, 7]))
def test_another_reader_finds_the_notes_that_were_written(roll, grid):
    form, ticks, tempos, found = notes_of(midi_of(roll, PIANO, grid, "test"))
    assert form == 1 and tempos == [500_000] and ticks % grid == 0
    step = ticks // grid
    expected = {(0, key): [(a * step, b * step) for a, b in spans] for key, spans in runs(roll).items()}
    assert found == expected


def test_keys_without_numbers_and_a_grid_that_no_file_has_are_refused():
    roll = np.ones((2, 1), np.uint8)
    with pytest.raises(InputError) as error:
        midi_of(roll, ["key_1"], 4, "test")
    assert str(error.value) == (
        "test: the keys of the model must be whole numbers below 128 to write a MIDI file, got key_1. "
        "Give the rolls of the training an array `keys` with their MIDI numbers."
    )
    with pytest.raises(InputError) as error:
        midi_of(roll, ["60"], 40_000, "test")
    assert str(error.value) == ("test: --grid must be at most 32,767 to write a MIDI file, got 40,000. Train anew.")
