"""Small recordings that are made in the test: tones, in any format that libsndfile writes."""

import io

import numpy as np
import soundfile


def tones(*hertz, rate=8000, seconds=0.1, loud=0.5):
    """float64 [S]: one tone after the other."""
    times = np.arange(round(seconds * rate)) / rate
    return np.concatenate([loud * np.sin(2 * np.pi * h * times) for h in hertz])


def encoded(samples, rate=8000, form="WAV", subtype=None):
    """The bytes of a file of samples [S] or [S, channels]."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def write_clips(folder, names, **how):
    """A recording of another tone for each name; returns the bytes of the last."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        (folder / name).write_bytes(encoded(tones(300 + 40 * k), **how))
    return (folder / names[-1]).read_bytes()
