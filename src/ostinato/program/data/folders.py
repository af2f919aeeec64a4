"""Folders of texts: a folder for each class, or a file for each class with a row on every line."""

from __future__ import annotations

import hashlib
from pathlib import Path

from . import bounded
from .decoding import count_lines, decode, unified
from .examples import Origin, Source
from .findings import many
from .parts import FOLDER_PARTS
from .refusals import listed, refused
from .rows import Rows

TEXTS = ("*.txt", "*.txt.gz")


def read_folder(folder: Path, encoding: str | None) -> Rows:
    """The texts of a folder; the name of the folder, or of the file, is the class.

    A folder that holds folders train, test (and valid), each of them a folder of classes, gives the split.

    Raises InputError for a folder of no texts, and for one that holds both classes as folders and texts.
    """
    bounded.local(folder)
    folders = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    files, others = texts_in(folder)
    filled = [p for p in folders if any(True for pattern in TEXTS for _ in p.rglob(pattern))]
    if filled and files:
        received = f"folders ({listed(p.name for p in filled)}) and texts ({listed(p.name for p in files)})"
        remedy = "Keep one folder for each class, or one file for each class."
        raise refused(folder, "the folder", "a folder for each class or a file for each class", received, remedy)
    names = {p.name.lower() for p in filled}
    if "train" in names and names <= FOLDER_PARTS.keys():
        return joined_parts(folder, filled, encoding)
    if filled:
        return one_text_a_file(folder, filled, encoding, others)
    if files:
        return one_text_a_line(folder, files, encoding, others)
    expected = "a folder for each class with .txt files in it, or a .txt file for each class"
    raise refused(folder, "the folder", expected, "no .txt file", "Give a table, or move the texts there.")


def files_below(folder: Path) -> list[Path]:
    """Every file of a folder and of those in it that is not hidden, in the order of the names."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def texts_in(folder: Path) -> tuple[list[Path], int]:
    """The .txt files of a folder in the order of their names, and how many other files it has."""
    files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    texts = sorted(p for p in files if p.name.lower().endswith((".txt", ".txt.gz")))
    return texts, len(files) - len(texts)


def joined_parts(folder: Path, folders: list[Path], encoding: str | None) -> Rows:
    """The rows of train, valid and test, each a folder of classes."""
    pieces = [(FOLDER_PARTS[p.name.lower()], read_folder(p, encoding)) for p in folders]
    if any(rows.parts for _, rows in pieces):
        raise refused(folder, "the folder", "classes inside train and test", "train inside train", "Move them.")
    every = [rows for _, rows in pieces]
    return Rows(
        "text",
        [text for rows in every for text in rows.inputs],
        [label for rows in every for label in rows.targets or ()],
        "class",
        f"{folder.name} holds the folders {listed(p.name for p in folders)}, each with the texts of its classes",
        [origin for rows in every for origin in rows.origins],
        [source for rows in every for source in rows.sources],
        ["text"],
        "folder",
        parts=[part for part, rows in pieces for _ in rows.inputs],
        notes=[note for rows in every for note in rows.notes],
    )


def one_text_a_file(folder: Path, classes: list[Path], encoding: str | None, others: int) -> Rows:
    """Rows of a folder whose folders are the classes."""
    inputs, targets, origins, digests = [], [], [], []
    for place in classes:
        files, more = texts_in(place)
        if not files:
            remedy = "Move them up, or move folders of a split beside each other: train, test."
            raise refused(folder, f"the class folder {place.name}", "one with .txt files", "deeper folders", remedy)
        others += more
        for file in files:
            data, digest = bounded.read_bytes(file)
            text, _ = decode(data, file, encoding)
            inputs.append(text.strip())
            targets.append(place.name)
            origins.append(Origin(f"{place.name}/{file.name}", 1))
            digests.append(f"{place.name}/{file.name} {digest}")
    what = f"{folder.name} has a folder of texts for each of {many(len(classes), 'class', 'classes')}"
    source = Source(folder, digest_of(digests), len(inputs), 0, encoding or "utf-8")
    return Rows(
        "text", inputs, targets, "class", what, origins, [source], ["text"], "folder", notes=left_out(folder, others)
    )


def one_text_a_line(folder: Path, files: list[Path], encoding: str | None, others: int) -> Rows:
    """Rows of a folder whose files are the classes."""
    inputs, targets, origins, digests, lines, blank = [], [], [], [], 0, 0
    for file in files:
        data, digest = bounded.read_bytes(file)
        text, _ = decode(data, file, encoding)
        name = file.name[: -len(".txt.gz")] if file.name.lower().endswith(".gz") else file.stem
        digests.append(f"{file.name} {digest}")
        lines += count_lines(text)
        for line, row in enumerate(unified(text).removesuffix("\n").split("\n"), 1):
            blank += not row.strip()
            if row.strip():
                inputs.append(row.strip())
                targets.append(name)
                origins.append(Origin(file.name, line))
    if not inputs:
        raise refused(folder, "the files", "texts, one a line", "no text", "Check that it is the right folder.")
    what = f"{folder.name} has a file of texts, one a line, for each of {many(len(files), 'class', 'classes')}"
    source = Source(folder, digest_of(digests), len(inputs), lines, encoding or "utf-8")
    notes = left_out(folder, others)
    if blank:
        notes.append(f"{folder.name}: {many(blank, 'blank line')} skipped.")
    return Rows("text", inputs, targets, "class", what, origins, [source], ["text"], "file", notes=notes)


def digest_of(digests: list[str]) -> str:
    """One SHA-256 of the names and digests of all files."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def left_out(folder: Path, others: int) -> list[str]:
    """A note about files that are no texts."""
    return [f"{folder.name}: {many(others, 'file')} other than .txt left out."] if others else []
