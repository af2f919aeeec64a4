"""A table → rows: which columns are the target, the inputs, the group and the split, and their values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...errors import did_you_mean
from ..options import DataOptions
from .column_findings import column_findings
from .columns import Column, columns_of, is_row_number, is_time
from .findings import Finding, many
from .infer import Inputs, Reading, Seen, infer
from .input_values import input_values, target_values
from .libraries import polars as pl
from .parts import PART_NAMES
from .refusals import listed, refused, shown
from .rows import Rows
from .tables import Table

USUAL = ("label", "target", "class", "y", "sentiment", "tag", "tags", "labels")
"""Names under which a target is accepted without --target, in any case of letters, and said."""


@dataclass(frozen=True)
class Read:
    """A table as rows, what was inferred, and the options with every column named."""

    rows: Rows
    reading: Reading
    options: DataOptions


def rows_from_table(
    table: Table, options: DataOptions, with_target: bool, file_parts: Sequence[str] | None = None
) -> Read:
    """The rows of a table; `file_parts` says of each of its sources which part of the split it is, where files do.

    Raises InputError for a column that is not there, for values that the task cannot take, and where the task
    is not clear.
    """
    file = listed(source.path.name for source in table.sources)
    asked = options
    refuse_two_roles(options, file)
    findings = line_findings(table, bool(options.columns))
    if options.series and options.group:
        table, options = whole_series(table, options, file, with_target)
    columns = columns_of(table.frame, table.typed)
    for name in named_columns(options, with_target):
        require(name, columns, file)
    target, usual = find_target(columns, options, file) if with_target else (None, "")
    reserved = {name for name in (options.group, target.name if target else options.target) if name}
    parts = split_parts(columns, options, reserved, file)
    reserved |= {"split"} if parts is not None else set()
    rest = {name: column for name, column in columns.items() if name not in reserved}
    inputs = input_choices(rest, options, file)
    if target is not None:
        reading = infer(Seen("table", file, options, "", inputs, columns, target))
    else:
        reading = known_reading(inputs, options, file)
    if reading.inputs is None:
        raise refused(file, "the inputs", "columns of the table", "none", "Name them: --text, --series or --features.")
    named = replace(options, target=target.name if target else options.target)
    found = assembled(table, named, reading, columns, parts)
    if file_parts is not None:
        found = replace(found, rows=replace(found.rows, parts=[file_parts[f] for f in table.files.tolist()]))
    rows = replace(found.rows, findings=[*findings, *found.rows.findings])
    because = f"{found.reading.because}; {usual}" if usual else found.reading.because
    return Read(rows, replace(found.reading, because=because), replace(found.options, group=asked.group))


def line_findings(table: Table, named: bool) -> list[Finding]:
    """Files of delimited text whose physical lines are more than their rows and their header."""
    found = []
    for source in table.sources if not table.typed else ():
        extra = source.lines - source.rows - (not named)
        if extra:
            sentence = f"{source.path.name} has {many(source.lines, 'physical line')} and {many(source.rows, 'row')}: "
            sentence += f"{extra:,} more, apart from a header, by line breaks inside quotes and by blank lines."
            found.append(Finding("note", sentence, extra))
    return found


def assembled(
    table: Table, options: DataOptions, reading: Reading, columns: Mapping[str, Column], parts: list[str] | None
) -> Read:
    """The values of the chosen columns, as rows."""
    assert reading.inputs is not None
    file = listed(source.path.name for source in table.sources)
    origins = table.origins()
    values = input_values([columns[name] for name in reading.inputs.columns], reading.inputs.kind, file, origins)
    target = columns[options.target] if reading.target_kind and options.target else None
    targets = target_values(target, reading.target_kind, options.label_separator) if target is not None else None
    groups = None if options.group is None else group_values(columns[options.group], file, table)
    used = {*reading.inputs.columns, options.target, options.group} | ({"split"} if parts is not None else set())
    left = [name for name in columns if name not in used]
    notes = [*table.notes, *values.notes]
    if left:
        notes.append(f"{many(len(left), 'column')} left out: {listed(left)}.")
    kind, chosen = reading.inputs.kind, reading.inputs.columns
    because = f"{reading.because}, and {listed(chosen)} {'is' if len(chosen) == 1 else 'are'} read as {kind}"
    resolved = replace(
        options,
        task=reading.task,
        text=chosen[0] if kind in ("text", "tokens") else None,
        series=tuple(chosen) if kind == "series" else (),
        features=tuple(chosen) if kind == "features" else (),
    )
    rows = Rows(
        kind,
        values.inputs,
        targets,
        reading.target_kind,
        "",
        origins,
        table.sources,
        values.channels,
        options.target or "target",
        groups,
        parts,
        notes,
        column_findings(columns, origins),
    )
    return Read(rows, replace(reading, because=because), resolved)


def named_columns(options: DataOptions, with_target: bool) -> list[str]:
    """Every column that an option names."""
    single = [options.text, options.target if with_target else None, options.group]
    return [name for name in (*single, *options.series, *options.features) if name is not None]


def refuse_two_roles(options: DataOptions, file: str) -> None:
    """Raises InputError for a column that two options name: a target among the inputs would be learned by heart.

    A group may be the text itself; it is neither the target nor a channel of a series.
    """
    single = [name for name in (options.target, options.text) if name is not None]
    names = [*single, *options.series, *options.features]
    apart = [name for name in (options.target, *options.series) if name is not None]
    twice = [name for name, count in Counter(names).items() if count > 1]
    twice += [options.group] if options.group in apart else []
    if twice:
        remedy = "Name each column once among --target, --text, --series, --features and --group."
        raise refused(file, f"the column {twice[0]}", "in one role", "two", remedy)


def require(name: str, columns: Mapping[str, Column], file: str) -> None:
    """Raises InputError where the table has no such column."""
    if name not in columns:
        remedy = did_you_mean(name, columns) + "If the file has no header, name its columns: --columns a,b,c."
        raise refused(file, "a column", f"one of {listed(columns)}", shown(name), remedy)


def find_target(columns: Mapping[str, Column], options: DataOptions, file: str) -> tuple[Column, str]:
    """The target, and how it was found where the user did not name it."""
    if options.target is not None:
        return columns[options.target], ""
    taken = {options.text, options.group, *options.series, *options.features}
    usual = [name for name in columns if name.lower() in USUAL and name not in taken]
    if len(usual) != 1:
        received = f"{listed(usual)}, any of which could be it" if usual else f"columns {listed(columns)}"
        remedy = "A target is never guessed by its position."
        raise refused(file, "--target", "the column to be predicted", received, remedy)
    return columns[usual[0]], f"the target is {usual[0]} by its name"


def split_parts(columns: Mapping[str, Column], options: DataOptions, reserved: set[str], file: str) -> list[str] | None:
    """[N] train, valid or test from a column named split; None where there is none."""
    taken = reserved | {options.text, *options.series, *options.features}
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
        for flag, value in (("--text", options.text), ("--series", options.series), ("--features", options.features))
        if value
    ]
    if len(given) > 1:
        raise refused("read", "the inputs", "chosen by one option", " and ".join(given), "Leave out the others.")
    if options.text is not None:
        kind = rest[options.text].kind if options.text in rest else "other"
        return [Inputs("tokens" if kind == "tokens" else "text", [options.text], f"--text {options.text}")]
    if options.series:
        return [Inputs("series", list(options.series), f"--series {','.join(options.series)}")]
    if options.features:
        return [Inputs("features", list(options.features), f"--features {','.join(options.features)}")]
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


def known_reading(inputs: Sequence[Inputs], options: DataOptions, file: str) -> Reading:
    """The reading of rows without targets: what an earlier training has recorded in the options."""
    if options.task is None or len(inputs) != 1:
        received = f"--task {options.task} and {many(len(inputs), 'choice')} of columns"
        remedy = "Give --task and one of --text, --series, --features."
        raise refused(file, "rows without targets", "read as a training has read them", received, remedy)
    chosen = inputs[0]
    if options.task == "tag":
        chosen = replace(chosen, kind="tokens")
    return Reading(options.task, chosen, None, "the rows are read without targets")


def group_values(column: Column, file: str, table: Table) -> list[str]:
    """[N] groups; a row without one is refused."""
    if column.kind in ("tokens", "series", "other") and column.values.dtype != pl.String:
        raise refused(file, "--group", "a column of names or numbers", f"one of {column.kind}", "Choose another.")
    names = column.labels()
    if None in names:
        row = names.index(None)
        where = f"line {table.lines[row]}" if table.lines[row] else f"row {row + 1}"
        remedy = "Fill it, or leave out --group."
        raise refused(file, f"the group {column.name} at {where}", "filled in every row", "an empty cell", remedy)
    return [str(name) for name in names]


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
