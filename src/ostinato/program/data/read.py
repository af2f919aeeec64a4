"""`read`: the files of a command → one data set, its task and what there is to say about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..options import DataOptions
from . import bounded
from .arrays import read_arrays
from .columns import Column
from .conllu import read_conllu
from .decoding import count_lines, decode
from .delimited import read_delimited
from .examples import DataSet, Examples, InputKind
from .findings import Finding, many
from .folders import read_folder
from .from_table import rows_from_table
from .infer import Inputs, Reading, Seen, infer
from .input_values import labels_of
from .json_lines import read_json, read_json_lines
from .libraries import polars as pl
from .music.files import are_music, read_music
from .pairs.lines import are_lines, pairs_of, read_pair
from .pairs.rows import tidied
from .parquet import read_parquet
from .parts import PART_NAMES
from .refusals import listed, refused, those
from .rows import Read, Rows
from .sound.clips import AUDIO, Clips
from .sound.folders import clips_of_folder, holds_recordings, one_clip
from .sound.rows import rows_of_clips
from .tables import Table, Text, joined
from .text.files import are_texts, read_texts
from .time.asked import asked_by, refuse_other_options
from .token_columns import looks_like_sentences, read_token_columns
from .ts import read_ts

TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", ".pq")
SENTENCES = (".conll", ".bio", ".iob", ".iob2")
ROWS = (".conllu", ".ts", ".npz")
MUSIC = (".mid", ".midi", ".mat")
FORMS = {
    "recordings": (
        ("audio", "rate", "mels"),
        "are",
        "Give recordings, or a table with a column of their paths (--audio).",
    ),
    "music": (("grid",), "is", "Give MIDI files (.mid)."),
}
"""Form → options that only it has, the verb that fits it, and what to do where they are given to another."""
READ = (*TABLES, ".txt", *SENTENCES, *ROWS, *AUDIO)


def read(options: DataOptions, with_target: bool = True) -> DataSet:
    """All rows of `options.paths`, `options.valid` and `options.test`, and the task that they are for.

    Without targets (`with_target` False), rows are read for predictions, as the options that an earlier `read`
    has resolved say: no row is dropped, and a file needs no target.

    Raises InputError, in one sentence each, for every file, option or cell that cannot be used.
    """
    if not options.paths:
        raise refused("read", "the data", "at least one file or folder", "none", "Such as: reviews.csv")
    for path in (*options.paths, options.valid, options.test):
        if path is not None:
            bounded.local(Path(path))
    try:
        if are_texts(options):
            names = listed(Path(path).name for path in options.paths)
            refuse_options_of("recordings", options, names)
            refuse_options_of("music", options, names)
            return read_texts(options, with_target)
    except OSError as error:
        raise _unreadable(error) from error
    if are_lines(options):
        return read_line_pairs(options, with_target)
    try:
        if are_music(options):
            refuse_options_of("recordings", options, listed(Path(path).name for path in options.paths))
            return read_music(options, with_target)
    except OSError as error:
        raise _unreadable(error) from error
    files = [(Path(path), "train") for path in options.paths]
    files += [(Path(path), part) for path, part in ((options.valid, "valid"), (options.test, "test")) if path]
    try:
        pieces = [read_one(path, options, with_target) for path, _ in files]
    except OSError as error:
        raise _unreadable(error) from error
    tables = [piece for piece in pieces if isinstance(piece, Table)]
    others = [piece for piece in pieces if isinstance(piece, Rows)]
    clips = [piece for piece in pieces if isinstance(piece, Clips)]
    if bool(tables) + bool(others) + bool(clips) > 1:
        names = listed(path.name for path, _ in files)
        raise refused("read", "the files", "of one format", names, "Give files of one format.")
    given = [part for _, part in files] if options.valid is not None or options.test is not None else None
    if clips:
        others, options = rows_of_clips(clips, options)
    elif not (tables and options.audio):
        refuse_options_of("recordings", options, listed(path.name for path, _ in files))
    refuse_options_of("music", options, listed(path.name for path, _ in files))
    if tables:
        found = rows_from_table(joined(tables), options, with_target, given)
    else:
        found = read_rows(others, options, with_target, given)
    return data_set(found, with_target)


def read_line_pairs(options: DataOptions, with_target: bool) -> DataSet:
    """Pairs of files line by line."""
    names = listed(Path(path).name for path in options.paths)
    for form in FORMS:
        refuse_options_of(form, options, names)
    files, sides = pairs_of(options, with_target)
    try:
        pieces = [read_pair(pair, sides, options.encoding) for pair in files]
    except OSError as error:
        raise _unreadable(error) from error
    given = [pair.part for pair in files] if options.valid is not None or options.test is not None else None
    found = read_rows(pieces, replace(options, text=sides[0]), with_target, given)
    return data_set(found, with_target)


def _unreadable(error: OSError) -> Exception:
    return refused("read", "a file or folder", "readable", error, "Check its permissions.")


def refuse_options_of(form: str, options: DataOptions, file: str) -> None:
    """Raises InputError for options of recordings, or of music, where there are none: they would change nothing."""
    usual, (names, verb, remedy) = DataOptions(), FORMS[form]
    given = [name for name in names if getattr(options, name) != getattr(usual, name)]
    if given:
        flags = listed(f"--{name}" for name in given)
        raise refused(file, flags, f"left out, as no {form} {verb} read", those(given), remedy)


def read_one(path: Path, options: DataOptions, with_target: bool) -> Table | Rows | Clips:
    """One file or folder.

    Raises InputError for an extension that no reader takes.
    """
    bounded.local(path)
    if path.is_dir() and holds_recordings(path, with_target):
        return clips_of_folder(path, options.encoding, with_target)
    if path.is_dir():
        return read_folder(path, options.encoding)
    end = bounded.ending(path)
    if end in AUDIO:
        return one_clip(path, options.encoding, with_target)
    if end in MUSIC:
        raise refused(path, "the files", "of one format", "music beside others", "Give files of music alone.")
    if end not in READ:
        remedy = "Save a spreadsheet as CSV." if end in (".xlsx", ".xls", ".ods") else "Convert the file."
        if options.task == "translate":
            remedy += " Translations line by line are two files of plain lines, such as train.en train.fr."
        elif len(options.paths) == 2:
            remedy += " If the two files are translations line by line, add --task translate."
        raise refused(path, "the extension", f"one of {listed(READ, 20)}, or these with .gz", end or "none", remedy)
    if end in (".parquet", ".pq"):
        return read_parquet(path)
    if end == ".npz":
        return read_arrays(path, options.target, options.group, with_target)
    return read_text(text_of(path, options.encoding), end, options, with_target)


def text_of(path: Path, encoding: str | None) -> Text:
    """The text of a file."""
    data, digest = bounded.read_bytes(path)
    text, name = decode(data, path, encoding)
    return Text(path, text, digest, name, count_lines(text))


def read_text(file: Text, end: str, options: DataOptions, with_target: bool) -> Table | Rows:
    """One file of text, by its extension and, of .txt and .tsv, by its lines."""
    if not file.text.strip():
        raise refused(file.path, "the file", "a file with data", "an empty one", "Check that it is the right file.")
    if end in (".jsonl", ".ndjson"):
        return read_json_lines(file)
    if end == ".json":
        return read_json(file)
    if end == ".conllu":
        return read_conllu(file, options.target, with_target)
    if end == ".ts":
        return read_ts(file)
    chosen = options.text or options.audio or options.series or options.features
    blocks = end in (".txt", ".tsv", ".tab") and not chosen and looks_like_sentences(file.text)
    if end in SENTENCES or blocks:
        return read_token_columns(file, options.columns, options.target, with_target)
    if end == ".txt" and not (
        options.columns or options.target or options.text or options.audio or asked_by(options, ())
    ):
        infer(Seen("text", file.path.name, options))
        raise refused(file.path, "the files", "of one format", "texts and tables", "Give files of one format.")
    return read_delimited(file, options.columns, tabs=end in (".tsv", ".tab"))


def read_rows(
    pieces: Sequence[Rows], options: DataOptions, with_target: bool, file_parts: Sequence[str] | None
) -> Read:
    """The rows of formats that give their own inputs, joined and with their task."""
    rows = pieces[0]
    for other in pieces[1:]:
        same = (other.kind, other.declared, len(other.channels)) == (rows.kind, rows.declared, len(rows.channels))
        if not same or (other.targets is None) != (rows.targets is None):
            received = f"{other.kind} with {many(len(other.channels), 'channel')} and {other.declared or 'no'} targets"
            expected = f"{rows.kind} with {many(len(rows.channels), 'channel')} and {rows.declared or 'no'} targets"
            raise refused(other.sources[0].path, "the rows", f"like those before ({expected})", received, "Correct it.")
    joint = replace(
        rows,
        inputs=[x for piece in pieces for x in piece.inputs],
        targets=None if rows.targets is None or not with_target else [y for p in pieces for y in p.targets or ()],
        origins=[o for piece in pieces for o in piece.origins],
        sources=[s for piece in pieces for s in piece.sources],
        groups=None if rows.groups is None else [g for piece in pieces for g in piece.groups or ()],
        parts=known_parts(pieces, file_parts),
        notes=[n for piece in pieces for n in piece.notes],
    )
    file = listed(source.path.name for source in joint.sources)
    if options.group is not None and joint.groups is None:
        remedy = "Leave it out, or give a table with such a column."
        raise refused(file, "--group", "left out, as the format has no groups", options.group, remedy)
    if not with_target:
        reading = Reading(str(options.task), None, None, "the rows are read without targets")
    elif joint.targets is None:
        raise refused(file, "the rows", "with targets", "none", "Give a file whose header declares labels.")
    else:
        column = (
            None if joint.declared else Column(joint.target_name, pl.Series(joint.target_name, joint.targets), True)
        )
        options = with_given_array(options, joint.kind, file)
        own = [Inputs(joint.kind, joint.channels, "")]
        reading = infer(Seen("rows", file, options, joint.what, own, target=column, declared=joint.declared))
        joint = replace(joint, targets=settled(joint.targets, reading, column, options), declared=reading.target_kind)
    text = options.text or (joint.channels[0] if joint.kind == "text" else None)
    named = replace(options, task=reading.task, target=options.target or joint.target_name, text=text)
    return Read(joint, reading, named)


def with_given_array(options: DataOptions, kind: InputKind, file: str) -> DataOptions:
    """The options where --given names the array of features that a text is generated from."""
    if not options.given:
        return options
    if kind != "features" or tuple(options.given) not in (("features",), ("X",), ("x",)):
        received = f"{listed(options.given)} of a file of {kind}"
        raise refused(file, "--given", "the array features", received, "Give a table, or an .npz file with features.")
    return replace(options, given=(), task=options.task or "generate")


def settled(targets: list[Any], reading: Reading, column: Column | None, options: DataOptions) -> list[Any]:
    """The targets of arrays as the inferred task takes them."""
    if column is None:
        return targets
    if reading.target_kind == "number":
        return column.numbers.tolist()
    if reading.target_kind == "labels":
        return [labels_of(text or "", str(options.label_separator)) for text in column.labels()]
    return column.labels()


def known_parts(pieces: Sequence[Rows], file_parts: Sequence[str] | None) -> list[str] | None:
    """[N] parts of a split inside the data, or by files; None where there is none."""
    inside = any(piece.parts is not None for piece in pieces)
    if inside and file_parts is not None:
        received = "a split inside the data and --valid or --test"
        raise refused("read", "the split", "given once", received, "Leave out the files or the split.")
    if not inside:
        by_file = zip(pieces, file_parts or ())
        return None if file_parts is None else [part for piece, part in by_file for _ in range(len(piece))]
    names = [str(part).lower() for piece in pieces for part in piece.parts or [""] * len(piece)]
    unknown = sorted({name for name in names if name not in PART_NAMES})
    if unknown:
        remedy = "Correct the array split, or rename it."
        raise refused(pieces[0].sources[0].path, "split", "train, valid or test (or 0, 1, 2)", listed(unknown), remedy)
    return [PART_NAMES[name] for name in names]


def data_set(found: Read, with_target: bool) -> DataSet:
    """The data set of all rows that have a target."""
    rows = tidied(found.rows) if found.reading.task == "translate" else found.rows
    if found.reading.task != "forecast":
        file = listed(source.path.name for source in rows.sources)
        refuse_other_options(found.options, found.reading.task, file)
    notes, findings = list(rows.notes), list(rows.findings)
    examples = Examples(
        rows.kind,
        rows.inputs,
        rows.declared or ("translation" if found.reading.task == "translate" else "class"),
        rows.targets if with_target else None,
        tuple(rows.channels),
        rows.target_name,
        rows.origins,
        rows.groups,
        rows.parts,
        rows.successive,
    )
    if with_target and not rows.successive and rows.targets is not None:
        kept = [row for row, y in enumerate(rows.targets) if not (y is None or y == "" or y != y)]
        dropped = len(rows) - len(kept)
        if not kept:
            file = listed(source.path.name for source in rows.sources)
            raise refused(file, "the target", "given in at least one row", "no target", "Check --target.")
        if dropped:
            examples = examples.take(kept)
            sentence = f"{many(dropped, 'row')} without a target left out."
            notes.append(sentence)
            findings.append(Finding("warning", sentence, dropped))
    sentence = f"The task is {found.reading.task}: {found.reading.because}."
    return DataSet(examples, found.reading.task, sentence, rows.sources, notes, findings, found.options)
