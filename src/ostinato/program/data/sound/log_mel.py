"""The log-mel spectrum of a signal: frames of 25 ms every 10 ms, in bands that are evenly spaced in mel.

Letters: S samples, T frames, F frequencies of the Fourier transform, M bands.

    frame_t[s] = x[10 ms · t + s] · (½ − ½ cos(2π s / W)),  0 ≤ s < W = 25 ms        (a periodic Hann window)
    power_t[f] = |DFT of frame_t, padded with zeros to N|²,  N the least power of 2 of at least W and LEAST
    band_t[m]  = Σ_f filter[m, f] · power_t[f]
    out_t[m]   = ln(10⁻⁶ + band_t[m])

The filters are triangles of unit area in hertz over M + 2 edges that are evenly spaced on Slaney's mel scale from 0 Hz
to half the sampling rate: mel = hz · 3/200 below 1,000 Hz, 15 + 27 · ln(hz / 1,000) / ln 6.4 above. Source: M. Slaney,
Auditory Toolbox, Interval Research TR 1998-010, whose filters are the default of librosa.filters.mel. A frame is
whole: T = 1 + (S − W) // hop, and nothing is padded at the ends of a recording.

The numbers are rounded to multiples of 1/1024, far below what a recording holds: the last bits of a Fourier transform
differ between machines, and rows are put into parts by a hash of their numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from ....caching import bounded_cache
from ...one_thread import one_thread

WINDOW, HOP = 0.025, 0.010
"""Seconds of a frame, and from one frame to the next."""
FLOOR = 1e-6
"""Added to a band's power before the logarithm; a sine of full scale has about 10² at 16,000 samples a second."""
LEAST = 512
"""Points of the Fourier transform at least, so that 40 bands have a frequency each at low sampling rates, too."""
GRID = 1024
"""The numbers are multiples of 1 / GRID."""
BREAK, LINEAR, LOGARITHMIC = 1000.0, 200.0 / 3.0, math.log(6.4) / 27.0
"""Of Slaney's scale: hertz up to which it is linear, hertz of a mel there, and the logarithm of a mel's ratio above."""


@dataclass(frozen=True)
class Frames:
    """Sizes at one sampling rate, in samples."""

    window: int
    hop: int
    points: int
    """N of the Fourier transform."""

    @classmethod
    def at(cls, rate: int) -> Frames:
        """Of a rate in samples a second."""
        window, hop = round(WINDOW * rate), max(1, round(HOP * rate))
        return cls(window, hop, max(LEAST, 1 << (window - 1).bit_length()))


def mel_of(hertz: np.ndarray) -> np.ndarray:
    """Mel on Slaney's scale."""
    hertz = np.asarray(hertz, np.float64)
    above = BREAK / LINEAR + np.log(np.maximum(hertz, BREAK) / BREAK) / LOGARITHMIC
    return np.where(hertz < BREAK, hertz / LINEAR, above)


def hertz_of(mel: np.ndarray) -> np.ndarray:
    """Hertz of Slaney's scale."""
    mel = np.asarray(mel, np.float64)
    above = BREAK * np.exp(LOGARITHMIC * (np.maximum(mel, BREAK / LINEAR) - BREAK / LINEAR))
    return np.where(mel < BREAK / LINEAR, mel * LINEAR, above)


def edges(rate: int, mels: int) -> np.ndarray:
    """[M + 2] float64 in hertz: a band rises from its edge to the next, its centre, and falls to the one after."""
    return hertz_of(np.linspace(0.0, float(mel_of(np.array(rate / 2))), mels + 2))


@bounded_cache(8 << 20, size_of=lambda found, rate, mels, points: found.nbytes)
def filters(rate: int, mels: int, points: int) -> np.ndarray:
    """[M, F] float64, F = points // 2 + 1: triangles of unit area, 0 in a row whose band holds no frequency."""
    places = np.arange(points // 2 + 1) * (rate / points)
    low, centre, high = (edges(rate, mels)[k : k + mels, None] for k in (0, 1, 2))
    rising, falling = (places - low) / (centre - low), (high - places) / (high - centre)
    return np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (high - low))


def most_mels(rate: int, wanted: int) -> int:
    """The most bands, up to `wanted`, of which each holds a frequency of the Fourier transform."""
    points = Frames.at(rate).points
    for mels in range(min(wanted, points + 2), 0, -1):  # two bands have each frequency between them
        if (filters(rate, mels, points).sum(1) > 0).all():
            return mels
    return 0


def channel_names(rate: int, mels: int) -> list[str]:
    """[M]: the centre of each band, in hertz."""
    centres = edges(rate, mels)[1:-1]
    digits = next(d for d in range(12) if len({f"{c:.{d}f}" for c in centres}) == mels)
    return [f"{centre:.{digits}f} Hz" for centre in centres]


def log_mel(signal: np.ndarray, rate: int, mels: int) -> np.ndarray:
    """[T, M] float32 of a signal [S] of at least one window, at `rate` samples a second: the formula above."""
    sizes = Frames.at(rate)
    left = (sizes.points - sizes.window) // 2  # torch centres a window that is shorter than the transform
    whole = np.pad(np.asarray(signal, np.float64), (left, sizes.points - sizes.window - left))
    with one_thread():
        spectrum = torch.stft(
            torch.from_numpy(whole),
            sizes.points,
            sizes.hop,
            sizes.window,
            torch.hann_window(sizes.window, dtype=torch.float64),
            center=False,
            return_complex=True,
        )
        power = spectrum.real**2 + spectrum.imag**2
        bands = torch.from_numpy(filters(rate, mels, sizes.points)) @ power
        found = torch.log(FLOOR + bands)
        return (torch.round(found * GRID) / GRID).T.contiguous().to(torch.float32).numpy()
