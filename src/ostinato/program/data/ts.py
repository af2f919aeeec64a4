"""The .ts format of the time-series archives: a header of @ lines, then one case a line.

`v,v,v:v,v,v:label`: channels divided by colons, steps by commas, the label last; ? and NaN are missing.
Source: the format as the archives at timeseriesclassification.com and tseregression write it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from .decoding import unified
from .examples import Origin, TargetKind
from .findings import many
from .refusals import listed, refused, shown
from .rows import Rows
from .tables import Text

MISSING = ("?", "nan", "")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass
class Header:
    """What the @ lines say."""

    kind: TargetKind | None = None
    """class or number; None where a case has no label."""
    labels: list[str] = field(default_factory=list)
    timestamps: bool = False
    dimensions: int | None = None


def read_ts(file: Text) -> Rows:
    """The cases of a .ts file as series [T, C], of unequal lengths where the file has them.

    Raises InputError with the line for what is no case of the header.
    """
    header, start, lines = read_header(file)
    inputs, targets, origins = [], [], []
    for line, text in enumerate(lines[start:], start + 1):
        content = text.strip()
        if not content or content.startswith(("#", "%")):
            continue
        series, label = case(file, line, content, header)
        header.dimensions = header.dimensions or series.shape[1]
        inputs.append(series)
        targets.append(label)
        origins.append(Origin(file.path.name, line))
    if not inputs:
        raise refused(file.path, "the file", "at least one case after @data", "none", "Check that it is whole.")
    channels = [f"channel_{c}" for c in range(1, (header.dimensions or 1) + 1)]
    tag = {"class": "@classLabel true", "number": "@targetLabel true"}.get(str(header.kind), "no label")
    what = f"{file.path.name} declares {tag}"
    found = None if header.kind is None else targets
    name = "class" if header.kind == "class" else "target"
    return Rows("series", inputs, found, header.kind, what, origins, [file.source(len(inputs))], channels, name)


def read_header(file: Text) -> tuple[Header, int, list[str]]:
    """The header, the index of the first line after @data, and all lines."""
    header = Header()
    lines = unified(file.text).split("\n")
    for place, text in enumerate(lines):
        words = text.split()
        if not words or words[0].startswith(("#", "%")):
            continue
        key, values = words[0].lower(), words[1:]
        if not key.startswith("@"):
            remedy = "A .ts file begins with lines such as @classLabel true a b, then @data."
            raise refused(file.path, f"line {place + 1}", "a header line that begins with @", shown(text), remedy)
        if key == "@data":
            return header, place + 1, lines
        yes = bool(values) and values[0].lower() == "true"
        if key == "@classlabel" and yes:
            header.kind, header.labels = "class", values[1:]
        elif key == "@targetlabel" and yes:
            header.kind = "number"
        elif key == "@timestamps":
            header.timestamps = yes
        elif key in ("@dimensions", "@dimension"):
            if not values or not values[0].isdecimal() or int(values[0]) < 1:
                raise refused(file.path, f"line {place + 1}", "@dimensions and a count", shown(text), "Correct it.")
            header.dimensions = int(values[0])
    raise refused(file.path, "the file", "a header that ends in @data", "no @data line", "Check that it is whole.")


def case(file: Text, line: int, content: str, header: Header) -> tuple[np.ndarray, str | float | None]:
    """One line's series [T, C] and its label."""
    if header.timestamps:
        remedy = "Resample the series to equal steps and write @timeStamps false."
        raise refused(file.path, f"line {line}", "values without time stamps", "@timeStamps true", remedy)
    cells = content.split(":")
    label = None if header.kind is None else label_of(file, line, cells.pop().strip(), header)
    if header.dimensions is not None and len(cells) != header.dimensions:
        received = many(len(cells), "channel")
        remedy = "Channels are divided by colons; the label comes last."
        raise refused(file.path, f"line {line}", many(header.dimensions, "channel"), received, remedy)
    channels = [numbers(file, line, cell) for cell in cells]
    lengths = sorted({len(channel) for channel in channels})
    if len(lengths) != 1:
        remedy = "Write ? for the missing steps of the shorter channels."
        received = f"{listed(lengths)} steps" if lengths else "no channel"
        raise refused(file.path, f"line {line}", "channels of one length", received, remedy)
    return np.stack(channels, axis=1), label


def label_of(file: Text, line: int, text: str, header: Header) -> str | float:
    """The label of a case: a class of the header, or a number."""
    if header.kind == "class":
        if header.labels and text not in header.labels:
            expected = f"one of the header's classes ({listed(header.labels)})"
            remedy = "Correct the line or the header."
            raise refused(file.path, f"the label at line {line}", expected, shown(text), remedy)
        return text
    if text.lower() in MISSING:
        return float("nan")
    return float(numbers(file, line, text)[0])


def numbers(file: Text, line: int, text: str) -> np.ndarray:
    """float64 [T] of one channel; no step where the channel is empty."""
    if not text.strip():
        return np.empty(0)
    values = []
    for cell in text.split(","):
        word = cell.strip()
        if word.lower() in MISSING:
            values.append(np.nan)
        elif NUMBER.fullmatch(word) and np.isfinite(float(word)):
            values.append(float(word))
        else:
            raise refused(
                file.path, f"a value at line {line}", "a finite number or ?", shown(word), "Correct the file."
            )
    return np.array(values)
