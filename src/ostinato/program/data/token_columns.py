"""Two or more columns with blank lines between sentences: a token and its tags on each line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .decoding import unified
from .examples import Origin
from .findings import many
from .refusals import listed, refused, shown
from .rows import Rows
from .tables import Text

SAMPLE = 400
"""Lines by which such a file is told from a table."""


def looks_like_sentences(text: str) -> bool:
    """Whether lines of equally many columns (two or more) stand in at least two blocks between blank lines."""
    lines = unified(text[: SAMPLE * 200]).split("\n")[:SAMPLE]
    filled = [line for line in lines if line.strip() and not line.startswith("#")]
    blocks = sum(bool(a.strip()) and not b.strip() for a, b in zip(lines, [*lines[1:], ""]))
    tabs = all("\t" in line for line in filled)
    widths = {len(line.split("\t" if tabs else None)) for line in filled}
    return blocks >= 2 and len(widths) == 1 and widths.pop() >= 2 and not tidy_header(filled, tabs)


def tidy_header(filled: list[str], tabs: bool) -> bool:
    """Whether the cells hold several words, as those of a table do and tokens do not."""
    return tabs and any(" " in line.split("\t")[0].strip() for line in filled)


def read_token_columns(file: Text, columns: Sequence[str], target: str | None, with_target: bool) -> Rows:
    """The sentences of a file of columns: the token first, or in the column named token, word, form or text.

    Two columns without names are token and tag. More need `columns` and, beyond two, `target`. With
    `with_target` False a file of tokens alone is read, too.

    Raises InputError with the line for a row of another width, and where the columns have no names.
    """
    rows = list(filled_lines(file.text))
    if not rows:
        raise refused(file.path, "the file", "at least one sentence", "no text", "Check that it is the right file.")
    tabs = all("\t" in text for _, text, _ in rows)
    width = len(columns) or len(cells_of(rows[0][1], tabs))
    names = named(file, columns, width, with_target)
    token = next((names.index(n) for n in ("token", "word", "form", "text") if n in names), 0)
    tag = tag_column(file, names, target, token, with_target)
    inputs: list[list[str]] = []
    tags: list[list[str]] = []
    origins = []
    for line, text, first in rows:
        cells = cells_of(text, tabs)
        if len(cells) != width:
            remedy = "Each line is a token and its tags; a blank line ends a sentence."
            raise refused(file.path, f"line {line}", many(width, "column"), many(len(cells), "column"), remedy)
        if first:
            inputs.append([])
            tags.append([])
            origins.append(Origin(file.path.name, line))
        inputs[-1].append(cells[token])
        if tag is not None:
            tags[-1].append(cells[tag])
    what = f"{file.path.name} has {many(width, 'column')} with blank lines between sentences"
    name = "tag" if tag is None else names[tag]
    found = None if tag is None else tags
    return Rows("tokens", inputs, found, "tags", what, origins, [file.source(len(inputs))], [names[token]], name)


def filled_lines(text: str) -> Iterator[tuple[int, str, bool]]:
    """(line, text, whether a sentence begins here) of every line that holds something; document marks left out."""
    fresh = True
    for line, content in enumerate(unified(text).split("\n"), 1):
        if not content.strip() or content.startswith("-DOCSTART-"):
            fresh = True
        elif not (fresh and content.startswith("# ")):
            yield line, content, fresh
            fresh = False


def cells_of(text: str, tabs: bool) -> list[str]:
    """The cells of a line: between tabs, or between spaces."""
    return [cell.strip() for cell in text.split("\t")] if tabs else text.split()


def named(file: Text, columns: Sequence[str], width: int, with_target: bool) -> list[str]:
    """The names of the columns."""
    if columns:
        return list(columns)
    if width == 2:
        return ["token", "tag"]
    if width == 1 and not with_target:
        return ["token"]
    if width == 1:
        raise refused(file.path, "a line", "a token and its tag", "one column", "Divide them by a tab or a space.")
    remedy = "Name them and choose the tag: --columns token,pos,ner --target ner."
    raise refused(file.path, f"the {width} columns", "named, as more than one could be the tag", "no names", remedy)


def tag_column(file: Text, names: list[str], target: str | None, token: int, with_target: bool) -> int | None:
    """Which column is the tag; None where there is none and none is needed."""
    others = [name for place, name in enumerate(names) if place != token]
    if target is None and len(others) == 1:
        return names.index(others[0])
    if target in others:
        return names.index(target)
    if not with_target:
        return None
    received = "none given" if target is None else shown(target)
    raise refused(file.path, "--target", f"one of {listed(others)}", received, "Name the column of the tags.")
