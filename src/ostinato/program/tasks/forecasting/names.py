"""Names of series, which are values of the user's rows: a private folder has the scales of a forecast without them.

Where the rows of the training are read again, the scales by name are found again from them, with the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...data.time.windows import Window
from .fitting import reached_by
from .reference import TrainReference, reference_of
from .scaling import ForecastScaling, scale_of

ONLY = "series"
"""What the only series of a training is called where its name is left out."""
NOTE = (
    "The folder is private and has no names of series, so of another file than the training's every series is scaled "
    "by its own values before the forecast."
)
"""For the model card of a private folder of several series."""


def without_names(scaling: ForecastScaling, reference: TrainReference) -> tuple[ForecastScaling, TrainReference]:
    """The same without the scales of each series; that of an only series stays, as it needs no name to be found."""
    kept = {ONLY: next(iter(scaling.scales.values()))} if len(scaling.scales) == 1 else {}
    return replace(scaling, scales=kept), replace(reference, scales={})


def with_names(
    scaling: ForecastScaling, reference: TrainReference, windows: Sequence[Window]
) -> tuple[ForecastScaling, TrainReference]:
    """The same with the scales of each series, as its training windows gave them."""
    rows = [replace(window, length=scaling.shape.length) for window in windows]
    scales = {name: scale_of(scaling.logged(one.values[:end])) for name, (one, end) in reached_by(rows).items()}
    return replace(scaling, scales=scales), reference_of(rows, reference.season, reference.quantiles)
