"""MIDI files written byte by byte for tests, and a reader of them that shares no code with the program."""

from __future__ import annotations

import struct


def number(value):
    """A number as MIDI writes it: 7 bits a byte, the last byte below 128."""
    found = [value & 0x7F]
    while value := value >> 7:
        found.append(value & 0x7F | 0x80)
    return bytes(reversed(found))


def track(*events, end=0):
    """(ticks after the event before, bytes), then the end of the track."""
    body = b"".join(number(delta) + bytes(content) for delta, content in events)
    body += number(end) + b"\xff\x2f\x00"
    return b"MTrk" + struct.pack(">I", len(body)) + body


def midi(*tracks, ticks=480, form=1):
    return b"MThd" + struct.pack(">IHHH", 6, form, len(tracks), ticks) + b"".join(tracks)


def on(key, channel=0, velocity=64):
    return bytes([0x90 | channel, key, velocity])


def off(key, channel=0):
    return bytes([0x80 | channel, key, 0])


def melody(*notes, ticks=480):
    """(key, beats) one after another."""
    events = [event for key, beats in notes for event in ((0, on(key)), (round(beats * ticks), off(key)))]
    return midi(track(*events), ticks=ticks, form=0)


def notes_of(data):
    """(form, ticks of a beat, tempos, {(channel, key): [(start, end) in ticks]}) of a file that is whole."""
    name, size, form, count, ticks = struct.unpack_from(">4sIHHH", data)
    assert (name, size) == (b"MThd", 6)
    place, found, tempos = 14, {}, []
    for _ in range(count):
        name, size = struct.unpack_from(">4sI", data, place)
        assert name == b"MTrk"
        place, stop = place + 8, place + 8 + size
        now, status, sounding = 0, 0, {}
        while place < stop:
            delta, place = _number(data, place)
            now += delta
            if data[place] & 0x80:
                status, place = data[place], place + 1
            if status == 0xFF:
                kind, place = data[place], place + 1
                length, place = _number(data, place)
                if kind == 0x51:
                    tempos.append(int.from_bytes(data[place : place + length], "big"))
                place += length
                continue
            length = 1 if status >> 4 in (0xC, 0xD) else 2
            content, place = data[place : place + length], place + length
            if status >> 4 == 9 and content[1]:
                assert sounding.setdefault((status & 15, content[0]), now) == now
            elif status >> 4 in (8, 9):
                start = sounding.pop((status & 15, content[0]))
                found.setdefault((status & 15, content[0]), []).append((start, now))
        assert place == stop and not sounding
    assert place == len(data)
    return form, ticks, tempos, found


def _number(data, place):
    value = 0
    while True:
        value, place = value << 7 | data[place] & 0x7F, place + 1
        if data[place - 1] < 0x80:
            return value, place
