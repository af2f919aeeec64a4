"""Text files without a target → passages of documents, or lines where a file is a list of short ones.

The test part is the last share of all characters, the validation part the share before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median

from ...options import DataOptions
from .. import bounded
from ..examples import PARTS, DataSet, Examples, Origin, Source
from ..findings import Finding, many
from ..infer import Reading, Seen, infer
from ..refusals import listed, refused
from ..time.asked import asked_by, refuse_other_options
from ..token_columns import looks_like_sentences
from .findings import TextCounts
from .passages import SLACK, Document, Passage, divided, passages
from .pieces import PIECE, TextFile

LINES = 100_000
"""Lines from the beginning of the files that say whether they are a list of short ones."""
SHORT, SHARE, LEAST, BLANK = 40, 0.5, 50, 0.01
"""Of a list: the median of its lines is below so many characters, more than this share of them are different, there are
at least so many, and at most this share are blank: blank lines divide the stanzas of a poem and the speeches of a play.
"""


@dataclass(frozen=True)
class TextRead:
    """A file of text that was read."""

    document: Document
    source: Source
    part: str
    counts: TextCounts


def are_texts(options: DataOptions) -> bool:
    """Whether all files are .txt files that no option makes a table and whose lines are no tokens with tags."""
    chosen = (options.target, options.text, options.audio, options.series, options.features, options.columns)
    paths = [Path(path) for path in (*options.paths, options.valid, options.test) if path]
    if (
        any(chosen)
        or options.given
        or options.task in ("classify", "regress", "tag", "transcribe", "translate")
        or asked_by(options, ())
    ):
        return False
    return all(is_text(path) and not looks_like_sentences(_head(path, options.encoding)) for path in paths)


def is_text(path: Path) -> bool:
    """Whether the name ends in .txt or .txt.gz, and is a file's."""
    return bounded.ending(path) == ".txt" and not path.is_dir()


def read_texts(options: DataOptions, with_target: bool = True, piece: int = PIECE) -> DataSet:
    """The passages of all files, or their lines.

    Raises InputError for files that cannot be read as text, that hold nothing, and for options that no text has.
    """
    given = options.valid is not None or options.test is not None
    files = [(Path(path), "train") for path in options.paths]
    files += [(Path(path), part) for path, part in ((options.valid, "valid"), (options.test, "test")) if path]
    names = listed(path.name for path, _ in files)
    if options.group is not None:
        remedy = "The parts of a text follow each other; give files by --valid and --test."
        raise refused(names, "--group", "left out, as a text has no columns", options.group, remedy)
    found = [_read(path, part, options.encoding, piece) for path, part in files]
    lines = list(islice(_lines([text.document for text in found]), LINES))
    task = "fill" if options.task == "fill" else "language-model"
    reading = Reading(task, None, "text", "the rows are read without targets")
    if with_target:
        reading = infer(Seen("text", names, options, short_lines=_short(lines)))
    refuse_other_options(options, reading.task, names)
    named = replace(options, task=reading.task)
    if reading.task == "generate":
        return _of_lines(found, reading, named, given)
    documents = [(text.document, text.part) for text in found]
    pieces = [(passage, part) for passage, part in _divided(documents, options, given if with_target else None)]
    inputs, parts = [passage for passage, _ in pieces], [part for _, part in pieces]
    examples = Examples(
        "passage",
        inputs,
        "text",
        inputs if with_target else None,
        ("text",),
        "text",
        list(_origins(inputs)),
        parts=parts if with_target else None,
        successive=with_target,
    )
    return _data_set(found, examples, reading, named)


def of_strings(texts: Sequence[str], options: DataOptions) -> Examples:
    """The passages of texts that a program gives, each a document, with their part of the split."""
    documents = [(Document.of(f"text {k}", [text] if text else []), "train") for k, text in enumerate(texts, 1)]
    pieces = list(_divided(documents, options, False))
    inputs = [passage for passage, _ in pieces]
    return Examples("passage", inputs, "text", inputs, parts=[part for _, part in pieces], successive=True)


def whole_text(text: str) -> Examples:
    """The passages of one text."""
    document = Document.of("text", [text] if text else [])
    return Examples("passage", list(passages(document, 0, len(document))), "text", None)


def each_text(texts: Sequence[str]) -> Examples:
    """Each text as one passage of a document of its own."""
    documents = [Document.of(f"text {k}", [text] if text else []) for k, text in enumerate(texts, 1)]
    inputs = [Passage(document, 0, len(document), 0) for document in documents]
    return Examples("passage", inputs, "text", inputs)


def _read(path: Path, part: str, encoding: str | None, piece: int) -> TextRead:
    file, counts = TextFile(path, encoding), TextCounts()
    document = Document.of(path.name, counts.counted(file.pieces(piece)))
    if not counts.visible:
        raise refused(path, "the file", "a file with data", "an empty one", "Check that it is the right file.")
    counts.carriage_returns = file.carriage_returns
    lines = file.lines + counts.unended
    return TextRead(document, Source(path, file.sha256, 1, lines, file.encoding), part, counts)


def _head(path: Path, encoding: str | None) -> str:
    return next(TextFile(path, encoding).pieces(1 << 16), "")


def _lines(documents: Sequence[Document]) -> Iterator[str]:
    """The lines of the documents, without their ends."""
    for document in documents:
        half = ""
        for text in document.texts():
            *lines, half = (half + text).split("\n")
            yield from lines
        if half:
            yield half


def _short(lines: Sequence[str]) -> str:
    """Why lines are a list of items, as the end of a sentence; empty where they are a text."""
    filled = [line for line in lines if line.strip()]
    few = len(filled) < LEAST or len(lines) - len(filled) > max(1, BLANK * len(lines))
    if few or len(set(filled)) <= SHARE * len(filled) or median(map(len, filled)) >= SHORT:
        return ""
    return f"{len(filled):,} lines have a median of {median(map(len, filled)):g} characters, and most are different"


def _divided(
    documents: Sequence[tuple[Document, str]], options: DataOptions, given: bool | None
) -> Iterator[tuple[Passage, str]]:
    """The passages of every part with its name; given: whether some documents are a part; None: there are no parts."""
    if given is None:
        for document, part in documents:
            yield from ((passage, part) for passage in passages(document, 0, len(document)))
        return
    present = {part for _, part in documents}
    shares = {"valid": options.valid_share, "test": options.test_share}
    test, valid = (0.0 if name in present else shares[name] for name in ("test", "valid"))
    whole = sum(len(document) for document, part in documents if part == "train")
    ends = [int(whole * (1 - test - valid)), int(whole * (1 - test)), whole]
    before = 0
    for document, part in documents:
        if part != "train":
            yield from ((passage, part) for passage in passages(document, 0, len(document)))
            continue
        start = 0
        for name, end in zip(PARTS, ends):
            stop = min(max(end - before, 0), len(document))
            if stop < len(document):
                stop = divided(document, stop, min(stop + SLACK, len(document)), first=True)
            if stop > start:
                yield from ((passage, name) for passage in passages(document, start, stop))
                start = stop
        before += len(document)


def _origins(inputs: Sequence[Passage]) -> Iterator[Origin]:
    """The line at which each passage begins."""
    line = 1
    for k, passage in enumerate(inputs):
        if k == 0 or passage.document is not inputs[k - 1].document:
            line = 1
        yield Origin(passage.document.name, line, k + 1)
        line += int((passage.document.codes[passage.start : passage.stop] == ord("\n")).sum())


def _of_lines(found: Sequence[TextRead], reading: Reading, options: DataOptions, given: bool) -> DataSet:
    """Each line that is not blank is an item, generated from nothing."""
    lines, origins, parts, blank = [], [], [], 0
    for text in found:
        whole = "".join(text.document.texts())
        for number, line in enumerate(whole.split("\n"), 1):
            if line.strip():
                lines.append(line)
                origins.append(Origin(text.document.name, number))
                parts.append(text.part)
            elif number <= whole.count("\n"):
                blank += 1
    examples = Examples("given", [()] * len(lines), "text", lines, (), "line", origins, parts=parts if given else None)
    made = _data_set(found, examples, reading, options)
    notes = [*made.notes, f"{many(blank, 'blank line')} left out."] if blank else made.notes
    sources = [replace(s, rows=sum(o.file == s.path.name for o in origins)) for s in made.sources]
    return replace(made, notes=notes, sources=sources)


def _data_set(found: Sequence[TextRead], examples: Examples, reading: Reading, options: DataOptions) -> DataSet:
    findings: list[Finding] = [finding for text in found for finding in text.counts.findings(text.document.name)]
    notes = [note for text in found for note in text.counts.notes(text.document.name)]
    refuse_other_options(options, reading.task, listed(text.document.name for text in found))
    joints = len(found) - 1
    if examples.kind == "passage" and joints:
        notes.append(
            f"{many(len(found), 'file')} are documents of their own: no state crosses their {many(joints, 'joint')}."
        )
    because = f"The task is {reading.task}: {reading.because}."
    return DataSet(examples, reading.task, because, [text.source for text in found], notes, findings, options)
