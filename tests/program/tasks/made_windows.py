"""Made series over time and windows of them, with known answers."""

import numpy as np

from ostinato.program.data.examples import Examples
from ostinato.program.data.time.windows import Series, Window
from ostinato.program.tasks.task import Predictions


def series(values, name="made"):
    """A series [N] or [N, K] with integers as times."""
    values = np.asarray(values, np.float64)
    values = values.reshape(len(values), -1)
    none = np.zeros((len(values), 0))
    return Series(name, np.arange(len(values)), values, none, none)


def windows(of, first, last, length, horizon):
    """Windows whose origins are first … last."""
    return [Window(of, origin, length, horizon) for origin in range(first, last + 1)]


def examples(rows):
    """Windows with their truth, as a reader gives them."""
    channels = tuple(f"y{k}" for k in range(rows[0].series.values.shape[1])) if rows else ()
    return Examples("window", rows, "future", [w.future for w in rows], channels, "y", successive=True)


def seasonal(n=240, season=12, noise=0.3, seed=0, trend=0.05, channels=1):
    """A sine of a season over a straight line, with noise."""
    draw = np.random.default_rng(seed)
    t = np.arange(n)[:, None]
    wave = np.sin(2 * np.pi * (t / season + np.arange(channels) / 4))
    return 10 + trend * t + 3 * wave + noise * draw.normal(size=(n, channels))


def noisy(rows, spread=0.5, shift=0.0, seed=0):
    """Predictions that are the truth with an error, and quantiles around them."""
    draw = np.random.default_rng(seed)
    truth = np.stack([np.nan_to_num(w.future) for w in rows])
    points = truth + shift + spread * draw.normal(size=truth.shape)
    steps = spread * np.array([-1.96, -1.28, 0, 1.28, 1.96])
    return Predictions(list(points), None, points[..., None] + steps)
