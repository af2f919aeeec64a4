"""Long tables, whose rows are the steps of series: one row for each series instead."""

from __future__ import annotations

from dataclasses import replace

from ..options import DataOptions
from .columns import columns_of
from .findings import many
from .libraries import polars as pl
from .refusals import listed, refused
from .roles import USUAL, group_values, named_columns, require
from .tables import Table


def whole_series(table: Table, options: DataOptions, file: str, with_target: bool) -> tuple[Table, DataOptions]:
    """One row for each series of a long table, whose rows are steps: --series x,y --group id.

    A table whose --series columns already hold whole series is returned as it is.
    """
    columns = columns_of(table.frame, table.typed)
    for name in named_columns(options, with_target):
        require(name, columns, file)
    if any(columns[name].kind not in ("number", "truth", "empty") for name in options.series):
        return table, options
    group = str(options.group)
    group_values(columns[group], file, table)
    steps = [pl.Series(name, columns[name].numbers) for name in options.series]
    others = [n for n in table.frame.columns if n not in options.series and n != group]
    frame = table.frame.with_columns(steps).with_columns(
        pl.Series(" line", table.lines), pl.Series(" file", table.files)
    )
    grouped = frame.group_by([group, " file"], maintain_order=True).agg(
        *[pl.col(name) for name in options.series],
        *[pl.col(name).first() for name in (*others, " line")],
        *[pl.col(name).n_unique().alias(f" {name} count") for name in others],
    )
    target = [name for name in others if name == options.target or (not options.target and name.lower() in USUAL)]
    for name in [*target, *(["split"] if "split" in others else [])]:
        wrong = grouped.filter(pl.col(f" {name} count") > 1)
        if wrong.height:
            found = f"{many(wrong.height, 'group')} with several values, such as {wrong[group][0]}"
            remedy = "A row of the table is one step of a series; its target has to be the same in all steps."
            raise refused(file, f"the column {name}", f"the same in all rows of one {group}", found, remedy)
    lines, files = grouped[" line"].to_numpy(), grouped[" file"].to_numpy()
    varying = [n for n in others if n not in target and (grouped[f" {n} count"] > 1).any()]
    kept = [*options.series, *[n for n in others if n not in varying]]
    count = many(grouped.height, "series", "series")
    note = f"{table.frame.height:,} rows are the steps of {count}, one for each {group}."
    notes = [*table.notes, note]
    if varying:
        notes.append(f"{many(len(varying), 'column')} left out: {listed(varying)}.")
    whole = Table(grouped.select(kept), lines, files, table.sources, table.typed, notes)
    return whole, replace(options, group=None)
