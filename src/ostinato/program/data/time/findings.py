"""What is odd about series: missing and constant values, series too short for a window, parts without a window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..findings import Finding, many
from ..refusals import listed
from .roles import TimeRoles
from .windows import Series
from .years import past_the_last_year


def series_findings(
    series: Sequence[Series], codes: Sequence[np.ndarray], roles: TimeRoles, horizon: int
) -> Iterator[Finding]:
    """Findings about the series of a file; `codes` as the split has them."""
    yield from missing_values(series, roles)
    yield from constant_values(series, codes, roles)
    yield from past_the_last_year(series, horizon)
    short = [one.name for one in series if len(one.values) <= horizon]
    if short:
        verb = "has" if len(short) == 1 else "have"
        sentence = f"{many(len(short), 'series', 'series')} {verb} no more steps than the {horizon} to forecast and no "
        yield Finding("warning", f"{sentence}window: {listed(short, 5)}.", len(short), f"{sentence}window.")
    ends = {int(one.times[len(one.values) - 1].astype(np.int64)) for one in series}
    early = [one.name for one in series if int(one.times[len(one.values) - 1].astype(np.int64)) < max(ends)]
    if early:
        verb = "ends" if len(early) == 1 else "end"
        sentence = f"{many(len(early), 'series', 'series')} {verb} before the last time of the file"
        yield Finding("note", f"{sentence}: {listed(early, 5)}.", len(early), f"{sentence}.")


def missing_values(series: Sequence[Series], roles: TimeRoles) -> Iterator[Finding]:
    """Missing values by column, the gaps included."""
    for kind, names in (("values", roles.targets), ("past", roles.past), ("known", roles.known)):
        for place, name in enumerate(names):
            columns = [getattr(one, kind)[:, place] for one in series]
            count = sum(int(np.isnan(column).sum()) for column in columns)
            if count:
                steps = sum(len(column) for column in columns)
                yield Finding("note", f"{name} has {many(count, 'missing value')} in {steps:,} steps.", count)


def constant_values(series: Sequence[Series], codes: Sequence[np.ndarray], roles: TimeRoles) -> Iterator[Finding]:
    """Targets of one value in all training steps: no error can be scaled by their changes."""
    for place, name in enumerate(roles.targets):
        same = []
        for one, own in zip(series, codes):
            values = one.values[own == 0, place]
            values = values[np.isfinite(values)]
            if len(values) and (values == values[0]).all():
                same.append(one.name)
        if same and len(same) == len(series):
            yield Finding("error", f"{name} is constant in all training steps.", len(same))
        elif same:
            sentence = f"{name} is constant in the training steps of {many(len(same), 'series', 'series')}"
            yield Finding("warning", f"{sentence}: {listed(same, 5)}.", len(same), f"{sentence}.")
