"""The bytes of a recording → one signal at its own sampling rate, and the signal at another rate."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np

from ..findings import many
from ..libraries import needed
from ..refusals import shown
from .containers import container_of, declares_length, missing_bytes
from .log_mel import WINDOW

WHERE = "reading a recording"
LOWEST, HIGHEST = 1_000, 400_000
"""Samples a second that a recording may have."""
MOST = 30_000_000
"""Samples of one recording: 31 minutes at 16,000 a second. Its frames, and the network's states, are all in memory."""
MOST_BYTES = 1 << 30
"""Of one file: 30 million samples of 8 channels of 32 bits."""
LOUDEST = 1e6
"""Full scale is 1; floating-point files may exceed it."""
BLOCK = 1 << 18
"""Numbers that are read at once, over all channels."""

Refuse = Callable[..., Exception]
"""(expected, received, remedy) → the error to raise, which names the file and the row."""


@dataclass(frozen=True)
class Signal:
    """A recording as one signal."""

    samples: np.ndarray
    """[S] float64: the mean of the channels."""
    rate: int
    """Samples a second."""
    channels: int


def refuse_large(size: int, refuse: Refuse) -> None:
    """Raises what `refuse` makes for a file of more bytes than a recording has, before it is in memory."""
    if size > MOST_BYTES:
        raise refuse(f"a file of at most {MOST_BYTES:,} bytes", f"{size:,}", "Divide it into sentences.")


def signal_of(data: bytes, refuse: Refuse) -> Signal:
    """The signal of a WAV, FLAC, OGG or MP3 file.

    Raises what `refuse` makes for bytes that are no such file, for a part of one, for silence, for samples that are
    not finite, and for recordings that are shorter than a frame or longer than `MOST` samples.
    """
    container = container_of(data)
    if not data:
        raise refuse("a recording", "an empty file", "Record it again, or leave the row out.")
    if not container:
        remedy = "Convert it, such as with ffmpeg -i FILE out.wav."
        raise refuse("in WAV, FLAC, OGG or MP3", f"a file that begins with {shown(data[:8])}", remedy)
    missing = missing_bytes(data, container)
    if missing:
        raise refuse("a whole file", missing, "Copy it again, or leave the row out.")
    found = _decoded(data, container, refuse)
    _refuse_useless(found, refuse)
    return found


def at_rate(signal: Signal, rate: int) -> np.ndarray:
    """[S'] float64: the samples at another rate, by scipy's polyphase filter, S' = ⌈S · rate / signal.rate⌉."""
    if rate == signal.rate:
        return signal.samples
    resample = needed("scipy.signal", WHERE).resample_poly
    common = gcd(rate, signal.rate)
    return resample(signal.samples, rate // common, signal.rate // common)


def _decoded(data: bytes, container: str, refuse: Refuse) -> Signal:
    library: Any = needed("soundfile", WHERE)
    pieces: list[np.ndarray] = []
    count = 0
    try:
        with library.SoundFile(io.BytesIO(data)) as file:
            rate, channels, declared = file.samplerate, file.channels, file.frames
            if not LOWEST <= rate <= HIGHEST:
                expected = f"of {LOWEST:,} to {HIGHEST:,} samples a second"
                raise refuse(expected, f"{rate:,}", "Check the header of the file.")
            while len(block := file.read(max(1, BLOCK // channels), dtype="float64", always_2d=True)):
                count += len(block)
                if count > MOST:
                    raise refuse(f"of at most {MOST:,} samples", "more", "Divide it into sentences.")
                pieces.append(block.mean(1))
    except library.LibsndfileError as error:
        said = str(error.error_string).strip().removeprefix("Error : ").rstrip(".")
        received = f"a damaged one ({said[:80]})"
        raise refuse(f"a whole {container} file", received, "Copy it again, or leave the row out.") from error
    if declares_length(data, container) and count < declared < 1 << 40:
        raise refuse("a whole file", f"{count:,} of {declared:,} samples", "Copy it again, or leave the row out.")
    return Signal(np.concatenate(pieces) if pieces else np.empty(0), rate, channels)


def _refuse_useless(signal: Signal, refuse: Refuse) -> None:
    samples, least = signal.samples, round(WINDOW * signal.rate)
    if not len(samples):
        raise refuse("of at least one sample", "none", "Record it again, or leave the row out.")
    size = np.abs(samples)
    if not (size <= LOUDEST).all():
        count = int((~(size <= LOUDEST)).sum())
        received = f"{many(count, 'sample')} beyond it or not finite"
        raise refuse(f"of finite samples of at most {LOUDEST:,.0f}", received, "Write the file again.")
    if len(samples) < least:
        expected = f"of at least {1000 * WINDOW:g} ms, the length of a frame"
        raise refuse(expected, f"{1000 * len(samples) / signal.rate:.1f} ms", "Leave the row out.")
    if (samples == samples[0]).all():
        mean = f"; the mean of its {signal.channels} channels was taken" if signal.channels > 1 else ""
        remedy = "Record it again, or leave the row out."
        raise refuse("of sound", f"silence: {many(len(samples), 'equal sample')}{mean}", remedy)
