"""Which column of a table is the target, which are the inputs, which the group, and which gives the split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ...errors import did_you_mean
from ..options import DataOptions
from .columns import Column, is_row_number, is_time
from .infer import FEW, Inputs
from .libraries import polars as pl
from .parts import PART_NAMES
from .refusals import listed, refused, shown
from .tables import Table

USUAL = ("label", "target", "class", "y", "sentiment", "tag", "tags", "labels")
"""Names under which a target is accepted without --target, in any case of letters, and said."""


def refuse_two_roles(options: DataOptions, file: str) -> None:
    """Raises InputError for a column that two options name: a target among the inputs would be learned by heart.

    A group may be the text itself; it is neither the target nor a channel of a series.
    """
    single = [name for name in (options.target, options.text, options.audio) if name is not None]
    names = [*single, *options.series, *options.features, *options.given]
    apart = [name for name in (options.target, options.audio, *options.series) if name is not None]
    twice = [name for name, count in Counter(names).items() if count > 1]
    twice += [options.group] if options.group in apart else []
    if twice:
        remedy = "Name each column once among --target, --text, --audio, --series, --features, --given and --group."
        raise refused(file, f"the column {twice[0]}", "in one role", "two", remedy)


def named_columns(options: DataOptions, with_target: bool) -> list[str]:
    """Every column that an option names."""
    single = [options.text, options.audio, options.target if with_target else None, options.group]
    return [name for name in (*single, *options.series, *options.features, *options.given) if name is not None]


def require(name: str, columns: Mapping[str, Column], file: str) -> None:
    """Raises InputError where the table has no such column."""
    if name not in columns:
        remedy = did_you_mean(name, columns) + "If the file has no header, name its columns: --columns a,b,c."
        received = f"a file with the columns {listed(columns)}"
        raise refused(file, f"the column {shown(name)}", "in the file", received, remedy)


def find_target(columns: Mapping[str, Column], options: DataOptions, file: str) -> tuple[Column, str]:
    """The target, and how it was found where the user did not name it."""
    if options.target is not None:
        return columns[options.target], ""
    taken = {options.text, options.audio, options.group, *options.series, *options.features, *options.given}
    usual = [name for name in columns if name.lower() in USUAL and name not in taken]
    if len(usual) != 1:
        received = f"{listed(usual)}, any of which could be it" if usual else f"columns {listed(columns)}"
        remedy = "A target is never guessed by its position."
        raise refused(file, "--target", "the column to be predicted", received, remedy)
    return columns[usual[0]], f"the target is {usual[0]}, by its name"


def split_parts(columns: Mapping[str, Column], options: DataOptions, reserved: set[str], file: str) -> list[str] | None:
    """[N] train, valid or test from a column named split; None where there is none."""
    taken = reserved | {options.text, options.audio, *options.series, *options.features, *options.given}
    if "split" not in columns or "split" in taken:
        return None
    names = columns["split"].labels()
    unknown = {name for name in names if str(name).lower() not in PART_NAMES}
    if unknown:
        expected = "train, valid or test (or 0, 1, 2) in every row"
        remedy = "Correct it, or rename the column if it is none."
        raise refused(file, "the column split", expected, listed(sorted(map(shown, unknown)), 4), remedy)
    if options.valid is not None or options.test is not None:
        remedy = "Leave out the files, or rename the column."
        raise refused(file, "the split", "given once", "a column split and --valid or --test", remedy)
    return [PART_NAMES[str(name).lower()] for name in names]


def input_choices(rest: Mapping[str, Column], options: DataOptions, file: str) -> list[Inputs]:
    """Every choice of input columns; one, where the user names them."""
    given = [
        flag
        for flag, value in (
            ("--text", options.text),
            ("--audio", options.audio),
            ("--series", options.series),
            ("--features", options.features),
            ("--given", options.given),
        )
        if value
    ]
    if len(given) > 1:
        raise refused("read", "the inputs", "chosen by one option", " and ".join(given), "Leave out the others.")
    if options.text is not None:
        kind = rest[options.text].kind if options.text in rest else "other"
        return [Inputs("tokens" if kind == "tokens" else "text", [options.text], f"--text {options.text}")]
    if options.audio is not None:
        return [Inputs("series", [options.audio], f"--audio {options.audio}")]
    if options.series:
        return [Inputs("series", list(options.series), f"--series {','.join(options.series)}")]
    if options.features:
        return [Inputs("features", list(options.features), f"--features {','.join(options.features)}")]
    if options.given or options.task == "generate":
        return [given_columns(rest, options.given, file)]
    found: list[Inputs] = []
    for name, column in rest.items():
        if column.kind in ("string", "tokens"):
            found.append(Inputs("tokens" if column.kind == "tokens" else "text", [name], f"--text {name}"))
    series = [name for name, column in rest.items() if column.kind == "series"]
    if series:
        found.append(Inputs("series", series, f"--series {','.join(series)}"))
    numbers = [n for n, c in rest.items() if c.kind in ("number", "truth") and not is_row_number(c) and not is_time(c)]
    if numbers:
        found.append(Inputs("features", numbers, f"--features {','.join(numbers)}"))
    return found


def given_columns(rest: Mapping[str, Column], names: Sequence[str], file: str) -> Inputs:
    """The columns of --given: numbers where all of them are and one has many values, else values that are names."""
    flag = f"--given {','.join(names)}" if names else "--task generate"
    taken = [name for name in names if name not in rest]
    if taken:
        remedy = "Name each column once among --target, --given and --group."
        raise refused(file, f"the column {taken[0]}", "in one role", "two", remedy)
    many = [n for n in names if rest[n].kind == "number" and not (rest[n].whole and rest[n].distinct <= FEW)]
    others = [n for n in names if rest[n].kind not in ("number", "truth")]
    if many and others:
        expected = "all numbers, or all names and whole numbers of few values"
        received = f"{many[0]} with {rest[many[0]].distinct} different numbers beside {others[0]}"
        raise refused(file, "the columns of --given", expected, received, "Leave one of them out.")
    return Inputs("features" if many else "given", list(names), flag)


def group_values(column: Column, file: str, table: Table, option: str = "--group") -> list[str]:
    """[N] groups, or names of series; a row without one is refused. `option` says which column it is."""
    if column.kind in ("tokens", "series", "other") and column.values.dtype != pl.String:
        raise refused(file, option, "a column of names or numbers", f"one of {column.kind}", "Choose another.")
    names = column.labels()
    if None in names:
        row = names.index(None)
        where = f"line {table.lines[row]}" if table.lines[row] else f"row {row + 1}"
        remedy = "Fill it, or leave the row out."
        raise refused(
            file, f"the column {column.name} of {option} at {where}", "filled in every row", "an empty cell", remedy
        )
    return [str(name) for name in names]
