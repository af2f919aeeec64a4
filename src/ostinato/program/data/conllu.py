"""CoNLL-U treebanks: sentences of words, and one column of each word as its tag."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .decoding import unified
from .examples import Origin
from .findings import many
from .libraries import needed
from .refusals import listed, refused, shown
from .rows import Rows
from .tables import Text

FIELDS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
COLUMNS = ("upos", "xpos", "lemma", "deprel", "feats")
"""Columns that can be the tag; any other name is looked for among the features, such as Number, and then in MISC."""
WIDTH = len(FIELDS)


def read_conllu(file: Text, target: str | None, with_target: bool) -> Rows:
    """The sentences of a treebank; the ranges of multi-word tokens (1-2) and empty nodes (8.1) are left out.

    `target` is a column, a feature or a key of MISC; None: upos.

    Raises InputError with the line where the format is broken, and where no word has the target.
    """
    name = target or "upos"
    parser = needed("conllu", "reading CoNLL-U").parser
    inputs: list[list[str]] = []
    tags: list[list[str]] = []
    origins = []
    ranges = nodes = known = 0
    for start, lines in sentences(file.text):
        words: list[str] = []
        labels: list[str] = []
        for line, text in lines:
            cells, number = cells_of(file, line, text, parser)
            if not isinstance(number, int):
                ranges, nodes = ranges + (number[1] == "-"), nodes + (number[1] == ".")
                continue
            tag = tag_of(cells, name, parser)
            known += tag is not None
            words.append(cells[1])
            labels.append("_" if tag is None else tag)
        if words:
            inputs.append(words)
            tags.append(labels)
            origins.append(Origin(file.path.name, start))
    if not inputs:
        raise refused(file.path, "the file", "a treebank with at least one sentence", "no word", "Check the file.")
    if with_target and not known:
        remedy = f"Use --target {listed(COLUMNS)}, or the name of a feature such as Number."
        raise refused(file.path, "--target", "a column or feature that the words have", shown(name), remedy)
    notes = []
    if ranges or nodes:
        left = [many(ranges, "multi-word token")] * bool(ranges) + [many(nodes, "empty node")] * bool(nodes)
        notes.append(f"{file.path.name}: {' and '.join(left)} left out, their syntactic words are kept.")
    what = f"{file.path.name} is a CoNLL-U treebank"
    return Rows(
        "tokens",
        inputs,
        tags if known else None,
        "tags",
        what,
        origins,
        [file.source(len(inputs))],
        ["form"],
        name,
        notes=notes,
    )


def sentences(text: str) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    """(line of its first word, [(line, text)]) of every block between blank lines, comments left out."""
    block: list[tuple[int, str]] = []
    for line, content in enumerate([*unified(text).split("\n"), ""], 1):
        if content.strip():
            if not content.startswith("#"):
                block.append((line, content))
        elif block:
            yield block[0][0], block
            block = []


def cells_of(file: Text, line: int, text: str, parser: Any) -> tuple[list[str], Any]:
    """The ten cells of a line, and its id: an int, or a tuple with "-" or "." in the middle."""
    cells = text.split("\t")
    if len(cells) != WIDTH:
        remedy = "Columns are divided by tabs, sentences by blank lines."
        raise refused(file.path, f"line {line}", f"{WIDTH} columns", many(len(cells), "column"), remedy)
    try:
        number = parser.parse_id_value(cells[0])
    except (parser.ParseException, ValueError):
        number = None
    if number is None:
        raise refused(
            file.path, f"the id at line {line}", "such as 1, 1-2 or 8.1", shown(cells[0]), "Correct the file."
        )
    return cells, number


def tag_of(cells: list[str], name: str, parser: Any) -> str | None:
    """One word's tag; None where the column or the feature is empty."""
    if name in COLUMNS:
        value = cells[FIELDS.index(name)]
        return None if value in ("_", "") else value
    for place in (FIELDS.index("feats"), FIELDS.index("misc")):
        found = (parser.parse_dict_value(cells[place]) or {}).get(name)
        if found:
            return str(found)
    return None
