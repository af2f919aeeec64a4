"""A data set, its split and its findings as plain text: what `check` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from .check import labels_of
from .examples import LABELLED, DataSet, Examples, Split
from .findings import Finding, many
from .refusals import listed

MOST_SOURCES = 12
"""Files that have a line each."""
MARKS = {"error": "error  ", "warning": "warning", "note": "note   "}


def rolls_of(examples: Examples) -> str:
    """How many pieces and frames there are, and which keys sound."""
    frames = sum(map(len, examples.inputs))
    sounding = np.sum([roll.sum(axis=0) for roll in examples.inputs], axis=0)
    keys = [name for name, count in zip(examples.channels, sounding) if count]
    range_of = f"{keys[0]} to {keys[-1]}" if keys else "none"
    mean = sounding.sum() / max(1, frames)
    size = f"{many(len(examples), 'piece')} of {many(frames, 'frame')} and {many(len(examples.channels), 'key')}"
    return f"{size}; keys that sound: {range_of}, {mean:.2f} in a frame"


def describe(dataset: DataSet, split: Split, findings: Sequence[Finding]) -> str:
    """Lines of plain text, the inferred task first."""
    examples = dataset.examples
    lines = [dataset.because, ""]
    for source in dataset.sources[:MOST_SOURCES]:
        size = f"{source.lines:,} physical lines" if source.lines else ""
        details = [many(source.rows, "row"), *([size] if size else []), *([source.encoding] if source.encoding else [])]
        lines.append(f"{source.path.name}: {', '.join(details)}")
    if len(dataset.sources) > MOST_SOURCES:
        rest = dataset.sources[MOST_SOURCES:]
        lines.append(f"and {many(len(rest), 'more file')}: {many(sum(source.rows for source in rest), 'row')}")
    parts = (("train", split.train), ("valid", split.valid), ("test", split.test))
    unit = "group" if examples.groups is not None else "source" if examples.target_kind == "translation" else "row"
    how = "given" if split.given else f"by a hash of each {unit}"
    how = ("by time" if examples.kind == "window" else "successive") if examples.successive else how
    lines.append(f"split ({how}): " + ", ".join(f"{name} {len(rows):,}" for name, rows in parts))
    if examples.targets is not None and examples.target_kind in LABELLED:
        counts = Counter(label for target in examples.targets for label in labels_of(target))
        named = [f"{label} {count:,}" for label, count in counts.most_common()]
        lines.append(f"{examples.target_name}: {listed(named)}")
    elif examples.targets is not None and examples.target_kind == "number":
        lines.append(f"{examples.target_name}: from {min(examples.targets):g} to {max(examples.targets):g}")
    elif examples.targets is not None and examples.target_kind == "translation":
        sides = f"{listed(examples.channels)} to {examples.target_name}"
        sources = many(len(set(examples.inputs)), "source")
        lines.append(f"{sides}: {sources} with {many(len(examples), 'translation')}")
    if examples.kind == "roll":
        lines.append(rolls_of(examples))
    if examples.kind in ("series", "features"):
        lines.append(f"{many(len(examples.channels), 'channel')}: {listed(examples.channels)}")
    lines += ["", *dataset.notes, *split.notes] if dataset.notes or split.notes else []
    lines.append("")
    lines += [f"{MARKS[finding.severity]}  {finding.sentence}" for finding in findings] or ["No problem was found."]
    return "\n".join(lines)
