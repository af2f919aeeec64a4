"""What a forecast chose from its training rows, in sentences."""

from __future__ import annotations

from .linear import Linear
from .scaling import ForecastScaling

_GUESSES = {
    "last": "the last value",
    "mean": "the mean of what it reads",
    "season": "the value one season before",
    "level": "the value one season before, with the growth over the last quarter of a season",
    "drift": "the value one season before, with the growth over the last season",
}


def notes_of(scaling: ForecastScaling, linear: Linear, scale: str) -> list[str]:
    """The guess and the linear map; the logarithm where the user left the choice."""
    map_ = " and a linear map of the past" if linear.weight.any() else ""
    found = [f"The network learns the difference from {_GUESSES[scaling.guess]}{map_}, for each step ahead."]
    if scale == "auto" and scaling.log:
        found.append(
            "The logarithms of the values are forecast, because larger values vary more (--scale none forecasts the "
            "values themselves)."
        )
    return found
