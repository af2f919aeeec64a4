"""The log-mel spectrum against an independent computation, against published values, and its sizes."""

import numpy as np
import pytest
import torch

from ostinato.program.data.sound.log_mel import (
    GRID,
    Frames,
    channel_names,
    edges,
    filters,
    hertz_of,
    log_mel,
    mel_of,
    most_mels,
)
from program.data.made_sounds import tones


def by_definition(signal, rate, mels):
    """The formula of the module, one frame and one band at a time, with a direct Fourier sum."""
    window, hop = round(0.025 * rate), round(0.010 * rate)
    points = 512
    while points < window:
        points *= 2
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(points // 2 + 1), np.arange(window)) / points)

    def mel(hz):
        return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)

    def hertz(m):
        return m * 200 / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27)

    places = [hertz(mel(rate / 2) * k / (mels + 1)) for k in range(mels + 2)]
    rows = []
    for start in range(0, len(signal) - window + 1, hop):
        power = np.abs(turns @ (signal[start : start + window] * hann)) ** 2
        row = []
        for a, b, c in zip(places, places[1:], places[2:]):
            total = 0.0
            for k, p in enumerate(power):
                hz = k * rate / points
                weight = (hz - a) / (b - a) if hz <= b else (c - hz) / (c - b)
                total += max(0.0, weight) * 2 / (c - a) * p
            row.append(np.log(1e-6 + total))
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("rate, mels", [(8000, 12), (16000, 40), (11025, 7), (44100, 5), (1000, 8)])
def test_the_frames_are_those_of_the_formula(rate, mels):
    signal = tones(120, 333, rate=rate, seconds=0.03) + 0.01 * np.random.default_rng(0).standard_normal(
        2 * round(0.03 * rate)
    )
    found, expected = log_mel(signal, rate, mels), by_definition(signal, rate, mels)
    assert found.dtype == np.float32 and found.shape == expected.shape
    assert np.abs(found - expected).max() <= 0.51 / GRID
    assert (found * GRID == np.round(found * GRID)).all()


def test_the_scale_has_the_published_values_of_slaney():
    """Of the documentation of librosa: hz_to_mel, mel_to_hz and mel_frequencies(n_mels=40)."""
    np.testing.assert_allclose(mel_of([60, 110, 220, 440]), [0.9, 1.65, 3.3, 6.6])
    np.testing.assert_allclose(hertz_of([1, 2, 3, 4, 5]), [66.667, 133.333, 200.0, 266.667, 333.333], atol=5e-4)
    known = "0 85.317 170.635 255.952 341.269 426.586 511.904 597.221 682.538 767.855 853.173 938.49 1024.856 "
    known += "1119.114 1222.042 1334.436 1457.167 1591.187 1737.532 1897.337 2071.84 2262.393 2470.47 2697.686 "
    known += "2945.799 3216.731 3512.582 3835.643 4188.417 4573.636 4994.285 5453.621 5955.205 6502.92 7101.009 "
    known += "7754.107 8467.272 9246.028 10096.408 11025"
    np.testing.assert_allclose(edges(22050, 38), [float(word) for word in known.split()], atol=5.1e-4)


def test_the_filters_have_the_published_values_of_librosa():
    """Of librosa.filters.mel(sr=22050, n_fft=2048), as the tests of other implementations quote them."""
    first = [0, 0.016182853208219942, 0.032365706416439884, 0.028990088037379964, 0.012807234829160026, 0]
    second = [0, 0, 0, 0.009779235793639925, 0.025962089001859864, 0.035393705451959974, 0.01921085224374004]
    found = filters(22050, 128, 2048)
    assert found.shape == (128, 1025)
    np.testing.assert_allclose(found[0, :6], first, atol=1e-9)
    np.testing.assert_allclose(found[1, :9], [*second, 0.003027999035520103, 0], atol=1e-9)


def test_a_filter_has_unit_area_and_its_largest_weight_at_its_centre():
    found = filters(16000, 20, 1 << 16)
    np.testing.assert_allclose(found.sum(1) * (16000 / (1 << 16)), 1, rtol=1e-3)
    peaks = found.argmax(1) * (16000 / (1 << 16))
    np.testing.assert_allclose(peaks, edges(16000, 20)[1:-1], atol=0.3)


def test_a_tone_is_loudest_in_the_band_of_its_frequency():
    names = channel_names(8000, 40)
    for hertz in (300, 1000, 3000):
        loudest = log_mel(tones(hertz, seconds=0.05), 8000, 40).mean(0).argmax()
        centres = np.array([float(name.removesuffix(" Hz")) for name in names])
        assert loudest == np.abs(centres - hertz).argmin()


def test_frames_are_whole_and_every_ten_milliseconds():
    assert [len(log_mel(np.ones(n), 8000, 4)) for n in (200, 279, 280, 360)] == [1, 1, 2, 3]
    assert Frames.at(8000) == Frames(200, 80, 512) and Frames.at(44100) == Frames(1102, 441, 2048)


def test_the_bits_are_the_same_on_one_and_two_threads():
    signal = np.random.default_rng(1).standard_normal(40_000)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(log_mel(signal, 16000, 40).tobytes())
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert found[0] == found[1]


def test_names_differ_where_bands_lie_close_together():
    assert channel_names(16000, 40)[:2] == ["74 Hz", "147 Hz"]
    assert len(set(channel_names(1000, 200))) == 200


def test_the_most_bands_are_those_of_which_each_holds_a_frequency():
    assert most_mels(16000, 40) == 40
    most = most_mels(16000, 200)
    sums = [(filters(16000, mels, 512).sum(1) > 0).all() for mels in (most, most + 1)]
    assert sums == [True, False]
