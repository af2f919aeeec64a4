"""The program on a small real file: the images of digits that scikit-learn ships, each as a series of 8 rows."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ostinato.program.packages import EXTRA, missing_packages

from .experiment import Clock

SHARE, LEAST = 0.1, 10.0
"""The share of the main job's time for this training, and the seconds below which it is left out."""
FILE, MODEL = "digits.npz", "digits-model"


@dataclass(frozen=True)
class Trained:
    """What `ostinato train digits.npz` found, or why it was not run."""

    sentences: tuple[str, ...]
    headings: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    """The table of baselines and network."""
    page: str = ""
    """The report page, from the demo's folder on; "" where nothing was trained."""


def seconds_for(seconds: float) -> float:
    """Of the whole time, what is kept for this training: 0 where it could not do anything."""
    return SHARE * seconds if SHARE * seconds >= LEAST and not missing_packages() else 0.0


def train_digits(folder: Path, seconds: float, clock: Clock) -> Trained:
    """Writes digits.npz and trains on it for so many seconds, as a user would from the shell."""
    if missing_packages():
        names = ", ".join(missing_packages())
        return Trained((f"Not run, because these packages are not installed: {names}. Install them: {EXTRA}.",))
    if seconds < LEAST:
        return Trained((f"Not run, because it would have less than {LEAST:.0f} seconds: give more --seconds.",))
    # The libraries of the program are an extra, and take seconds to import.
    from sklearn.datasets import load_digits

    from ostinato.program.options import TrainOptions
    from ostinato.program.running.outcome import table_of
    from ostinato.program.running.train import Beginning, train

    began = clock()
    digits = load_digits()
    np.savez_compressed(folder / FILE, series=digits.images, y=digits.target)
    given = {"paths": (folder / FILE,), "task": "classify", "out": folder / MODEL, "minutes": seconds / 60}
    run = train(TrainOptions.of("ostinato demo", given), Beginning(clock=lambda: clock() - began))
    assert run.outcome is not None  # the file has test rows
    headings, rows = table_of(run.outcome)
    # The first metric is enough on a page of everything; the report has the others.
    kept = (0, 1, len(headings) - 1)
    return Trained(
        (run.prepared.data.dataset.because, run.outcome.sentence(), run.fitted.advice),
        tuple(headings[k] for k in kept),
        tuple(tuple(row[k] for k in kept) for row in rows),
        f"{run.folder.name}/report.html",
    )
