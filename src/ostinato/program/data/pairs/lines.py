"""Two files of texts of which line n of one is the translation of line n of the other.

`train.en train.fr --task translate --test test.en`: the partner of a file of another part is the file whose name has
`fr` where its own has `en`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...options import DataOptions
from .. import bounded
from ..decoding import decode
from ..examples import Origin, Source
from ..findings import many
from ..refusals import refused
from ..rows import Rows

OTHERS = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".conllu", ".conll", ".bio", ".iob",
    ".iob2", ".ts", ".npz", ".mat", ".mid", ".midi", ".wav", ".flac", ".mp3", ".ogg", ".xlsx", ".xls", ".ods", ".zip",
    ".pdf", ".docx")  # fmt: skip
"""Extensions of files that are no texts of one line each; all others may be, such as .txt, .en and .fr."""
_FOREIGN = ("series", "features", "columns", "given", "audio")


@dataclass(frozen=True)
class Pair:
    """The two files of a part of the split; without a target where translations are to be predicted."""

    source: Path
    target: Path | None
    part: str


def are_lines(options: DataOptions) -> bool:
    """Whether the options ask for a translation and every file holds texts line by line, not a table."""
    paths = [Path(path) for path in (*options.paths, options.valid, options.test) if path]
    if options.task != "translate" or any(getattr(options, name) for name in _FOREIGN):
        return False
    return all(
        bounded.ending(path) not in OTHERS and not path.is_dir() and not _has_header(path, options) for path in paths
    )


def pairs_of(options: DataOptions, with_target: bool) -> tuple[list[Pair], tuple[str, str]]:
    """The files of each part, and the names of both sides.

    Raises InputError for other than two training files, and for a file without a partner.
    """
    paths = [Path(path) for path in options.paths]
    named = options.text or "source", options.target or "target"
    if not with_target and len(paths) == 1:
        return [Pair(paths[0], None, "train")], named
    if len(paths) == 1 and options.text and options.target:  # a file to evaluate, as the training has named its sides
        return [Pair(paths[0], _partner(paths[0], named), "train")], named
    if len(paths) != 2:
        remedy = "Give the sources, then their translations: train.en train.fr; of a table of pairs, name the columns: "
        remedy += "--columns en,fr --text en --target fr."
        raise refused("read", "the files of lines", "two", len(paths), remedy)
    sides = _apart(*paths)
    found = [Pair(paths[0], paths[1] if with_target else None, "train")]
    for path, part in ((options.valid, "valid"), (options.test, "test")):
        if path is not None:
            found.append(Pair(Path(path), _partner(Path(path), sides) if with_target else None, part))
    return found, sides if not (options.text and options.target) else named


def read_pair(pair: Pair, sides: tuple[str, str], encoding: str | None) -> Rows:
    """The rows of two files.

    Raises InputError where one has more lines than the other.
    """
    source, texts = _lines(pair.source, encoding)
    sources, targets = [source], None
    what = f"{pair.source.name} holds a text on each line"
    if pair.target is not None:
        target, targets = _lines(pair.target, encoding)
        sources.append(target)
        what = f"{pair.target.name} has a line for each line of {pair.source.name}"
        if len(texts) != len(targets):
            short = min(source, target, key=lambda file: file.rows)
            counts = f"{many(len(texts), 'line')} and {many(len(targets), 'line')}"
            received = f"{counts}: {short.path.name} ends after line {short.rows}"
            remedy = "Line n of one is the translation of line n of the other; look for a line break that one lacks."
            names = f"{pair.source.name} and {pair.target.name}"
            raise refused(names, "the files", "of equally many lines", received, remedy)
    origins = [Origin(pair.source.name, line, line) for line in range(1, len(texts) + 1)]
    return Rows("text", list(texts), targets, "translation", what, origins, sources, (sides[0],), sides[1])


def _lines(path: Path, encoding: str | None) -> tuple[Source, list[str]]:
    """The lines of a file, divided at line feeds alone, as other programs count them."""
    data, digest = bounded.read_bytes(path)
    text, name = decode(data, path, encoding)
    if "\n" not in text:
        text = text.replace("\r", "\n")
    if not text.strip():
        raise refused(path, "the file", "a file with data", "an empty one", "Check that it is the right file.")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    lines = [line.removesuffix("\r").replace("\r", " ") for line in lines]
    return Source(path, digest, len(lines), len(lines), name), lines


def _has_header(path: Path, options: DataOptions) -> bool:
    """Whether the first line has the names of both columns between tabs, commas or the like: it is a table's."""
    if not (options.text and options.target):
        return False
    try:
        data, _ = bounded.read_bytes(path)
    except OSError:
        return False
    try:
        first = data[: 1 << 16].decode(options.encoding or "utf-8", "replace").lstrip("\ufeff").splitlines()[:1]
    except (LookupError, ValueError):
        return False  # the encoding is refused where the lines are read
    return any({options.text, options.target} <= set(first[0].split(mark)) for mark in "\t,;|") if first else False


def _apart(source: Path, target: Path) -> tuple[str, str]:
    """The words in which two paths differ: en and fr of train.en and train.fr."""
    a, b = (str(path).removesuffix(".gz") for path in (source, target))
    begin = next((k for k, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    end = next((k for k, (x, y) in enumerate(zip(reversed(a), reversed(b))) if x != y), min(len(a), len(b)))
    end = min(end, len(a) - begin, len(b) - begin)
    while begin and a[begin - 1].isalnum():
        begin -= 1
    while end and a[len(a) - end].isalnum():
        end -= 1
    sides = a[begin : len(a) - end], b[begin : len(b) - end]
    return sides if all(sides) and sides[0] != sides[1] else ("source", "target")


def _partner(path: Path, sides: Sequence[str]) -> Path:
    """The file with the translations of the lines of another.

    Raises InputError where none is found, with the names that were looked for.
    """
    bounded.local(path)
    text = str(path)
    tried = []
    for place in reversed([m.start() for m in re.finditer(rf"(?<![^\W_]){re.escape(sides[0])}(?![^\W_])", text)]):
        other = text[:place] + sides[1] + text[place + len(sides[0]) :]
        plain = other.removesuffix(".gz")
        for candidate in dict.fromkeys((other, plain, plain + ".gz")):
            if Path(candidate).is_file():
                return Path(candidate)
            tried.append(Path(candidate).name)
    looked = f"no {tried[0]}" if tried else f"a name without {sides[0]}"
    expected = f"one whose name has {sides[1]} where its own has {sides[0]}, as the training files have"
    raise refused(path, "the file of its translations", expected, looked, f"Name both files alike: test.{sides[0]}.")
