"""Tables of series over time, and their readings, for the tests of forecasts' data."""

import datetime

import numpy as np

from ostinato.program.data.found import read_data
from program.data.made import options, write


def days(count, start="2020-01-01", step=1):
    """Dates as text, `step` days apart."""
    first = datetime.date.fromisoformat(start)
    return [str(first + datetime.timedelta(days=step * n)) for n in range(count)]


def months(count, year=2000):
    """Months as text: 2000-01, …"""
    return [f"{year + n // 12}-{n % 12 + 1:02}" for n in range(count)]


def hours(count, start="2020-01-01T00:00:00", minutes=60):
    """Times as text, `minutes` apart."""
    first = datetime.datetime.fromisoformat(start)
    return [str(first + datetime.timedelta(minutes=minutes * n)) for n in range(count)]


def csv(**columns):
    """A CSV text of equally long columns; None: an empty cell."""
    rows = zip(*columns.values())
    lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
    return ",".join(columns) + "\n" + "".join(line + "\n" for line in lines)


def ramp(count):
    """Numbers that differ: 0.5, 1.5, …"""
    return [n + 0.5 for n in range(count)]


def wave(count, period, trend=0.0, noise=0.0, seed=0):
    """A series of a known period."""
    places = np.arange(count)
    rest = np.random.default_rng(seed).normal(size=count) * noise
    return 10 + trend * places + 3 * np.sin(2 * np.pi * places / period) + rest


def data_of(folder, content, name="a.csv", **named):
    """The data set, split and findings of one made file."""
    return read_data(options(write(folder, name, content), **named))


def one_series(folder, content, **named):
    """The only series of a made file."""
    found = {w.series.name: w.series for w in data_of(folder, content, **named).dataset.examples.inputs}
    (series,) = found.values()
    return series


def sentences(data):
    """The sentences of all findings: severity and count."""
    return {finding.sentence: (finding.severity, finding.count) for finding in data.findings}
