"""A table → rows: which columns are the target, the inputs, the group and the split, and their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..options import DataOptions
from .column_findings import column_findings, steps_in_rows
from .columns import Column, columns_of
from .findings import Finding, many
from .infer import Inputs, Reading, Seen, infer
from .input_values import input_values, target_values
from .long_tables import whole_series
from .refusals import listed, refused
from .roles import find_target, group_values, input_choices, named_columns, refuse_two_roles, require, split_parts
from .rows import Read, Rows
from .sound.rows import values_of_column
from .tables import Table
from .time.asked import asked_by
from .time.from_times import windows_from_table

NOUNS = {"given": "given values"}
"""Kinds of inputs whose name is no noun."""


def rows_from_table(
    table: Table, options: DataOptions, with_target: bool, file_parts: Sequence[str] | None = None
) -> Read:
    """The rows of a table; `file_parts` says of each of its sources which part of the split it is, where files do.

    Raises InputError for a column that is not there, for values that the task cannot take, and where the task
    is not clear.
    """
    file = listed(source.path.name for source in table.sources)
    asked = options
    findings = line_findings(table, bool(options.columns))
    because = asked_by(options, table.frame.columns)
    if because:
        columns = columns_of(table.frame, table.typed)
        return with_findings(windows_from_table(table, columns, options, because, file_parts, with_target), findings)
    refuse_two_roles(options, file)
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
        if reading.task == "forecast":
            return with_findings(windows_from_table(table, columns, options, reading.because, file_parts), findings)
    else:
        reading = known_reading(inputs, options, file)
    named = replace(options, target=target.name if target else options.target)
    found = assembled(table, named, reading, columns, parts)
    if file_parts is not None:
        found = replace(found, rows=replace(found.rows, parts=[file_parts[f] for f in table.files.tolist()]))
    because = f"{found.reading.because}; {usual}" if usual else found.reading.because
    found = replace(found, reading=replace(found.reading, because=because))
    return with_findings(replace(found, options=replace(found.options, group=asked.group)), findings)


def with_findings(found: Read, findings: list[Finding]) -> Read:
    """The same with findings about the file in front."""
    return replace(found, rows=replace(found.rows, findings=[*findings, *found.rows.findings]))


def line_findings(table: Table, named: bool) -> list[Finding]:
    """Files of delimited text whose physical lines are more than their rows and their header."""
    found = []
    for source in table.sources if not table.typed else ():
        extra = source.lines - source.rows - (not named)
        if extra:
            sentence = f"{source.path.name} has {many(source.lines, 'physical line')} and {many(source.rows, 'row')}: "
            sentence += f"beside a header, line breaks inside quotes and blank lines make the difference of {extra:,}."
            found.append(Finding("note", sentence, extra))
    return found


def assembled(
    table: Table, options: DataOptions, reading: Reading, columns: Mapping[str, Column], parts: list[str] | None
) -> Read:
    """The values of the chosen columns, as rows."""
    assert reading.inputs is not None  # every rule that a table can be trained by chooses columns
    file = listed(source.path.name for source in table.sources)
    origins = table.origins()
    chosen_columns = [columns[name] for name in reading.inputs.columns]
    if options.audio is None:
        values, sources = input_values(chosen_columns, reading.inputs.kind, file, origins), list(table.sources)
    else:
        values, recordings, options = values_of_column(chosen_columns[0], table, file, options)
        sources = [*table.sources, recordings]
    target = columns[options.target] if reading.target_kind and options.target else None
    targets = target_values(target, reading.target_kind, options.label_separator) if target is not None else None
    groups = None if options.group is None else group_values(columns[options.group], file, table)
    used = {*reading.inputs.columns, options.target, options.group} | ({"split"} if parts is not None else set())
    left = [name for name in columns if name not in used]
    notes = [*table.notes, *values.notes]
    if left:
        notes.append(f"{many(len(left), 'column')} left out: {listed(left)}.")
    kind, chosen = reading.inputs.kind, reading.inputs.columns
    because = reading.because
    if chosen:
        noun = "recordings" if options.audio else NOUNS.get(kind, kind)
        because += f", and {listed(chosen)} {'is' if len(chosen) == 1 else 'are'} read as {noun}"
    resolved = replace(
        options,
        task=reading.task,
        text=chosen[0] if kind in ("text", "tokens") else None,
        series=tuple(chosen) if kind == "series" and not options.audio else (),
        features=tuple(chosen) if kind == "features" else (),
        given=tuple(chosen) if kind == "given" else (),
    )
    rows = Rows(
        kind,
        values.inputs,
        targets,
        reading.target_kind,
        "",
        origins,
        sources,
        values.channels,
        options.target or "target",
        groups,
        parts,
        notes,
        [*column_findings(columns, origins), *steps_in_rows(columns, resolved)],
    )
    return Read(rows, replace(reading, because=because), resolved)


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
