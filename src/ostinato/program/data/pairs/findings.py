"""What is odd about pairs of texts: equal sides, several translations of a source, and sides of unlike lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from ..examples import Examples, Split
from ..findings import Finding, many

FACTOR, LEAST = 4.0, 20
"""How many times longer than usual one side has to be to be reported, and characters that it has at least."""
TOGETHER, ENOUGH = 0.3, 100
"""The correlation of the lengths of both sides below which files may be shifted, and rows that show it."""


def pair_findings(examples: Examples) -> Iterator[Finding]:
    """Findings about the rows of a translation, of whatever part."""
    if examples.target_kind != "translation" or examples.targets is None:
        return
    pairs = list(zip(examples.inputs, examples.targets))
    same = sum(source == target for source, target in pairs)
    if same:
        verb = "has" if same == 1 else "have"
        sentence = f"{many(same, 'row')} {verb} the same text on both sides."
        yield Finding("warning" if 2 * same > len(pairs) else "note", sentence, same)
    counts = Counter(source for source, _ in dict.fromkeys(pairs))
    several = sum(count > 1 for count in counts.values())
    if several:
        verb = "has" if several == 1 else "have"
        most = max(counts.values())
        sentence = f"{many(several, 'source')} {verb} several translations, up to {most}: all of them are references "
        yield Finding("note", f"{sentence}where the source is held out.", several)
    yield from _lengths(examples)


def shared_targets(examples: Examples, split: Split) -> Iterator[Finding]:
    """Held-out rows of which a training row of another source has the translation."""
    if examples.target_kind != "translation" or examples.targets is None:
        return
    known = {examples.targets[row] for row in split.train}
    for name, rows in (("valid", split.valid), ("test", split.test)):
        count = sum(examples.targets[row] in known for row in rows)
        if count:
            verb = "has" if count == 1 else "have"
            share = f"{100 * count / len(rows):.1f} %"
            sentence = f"{many(count, 'row')} of {name} ({share}) {verb} a translation that a row of train has, too."
            yield Finding("note", sentence, count)


def _lengths(examples: Examples) -> Iterator[Finding]:
    """Rows of which one side is far longer than usual, and sides whose lengths do not go together."""
    lengths = np.array([(len(a), len(b)) for a, b in zip(examples.inputs, examples.targets or ())], np.float64)
    if len(lengths) < 2:
        return
    logs = np.log(np.maximum(lengths, 1))
    more = logs[:, 1] - logs[:, 0]
    odd = (np.abs(more - np.median(more)) > np.log(FACTOR)) & (lengths.max(1) >= LEAST)
    count = int(odd.sum())
    if count:
        row = int(np.flatnonzero(odd)[0])
        first = f", the first at {examples.origins[row].place}" if len(examples.origins) else ""
        verb = "has" if count == 1 else "have"
        sentence = f"{many(count, 'row')} {verb} one side more than {FACTOR:g} times as long as usual"
        yield Finding("warning", f"{sentence}{first}: they may be no translations of each other.", count)
    if len(lengths) < ENOUGH or min(logs.std(0)) < 0.2:
        return
    together = float(np.corrcoef(logs.T)[0, 1])
    if together < TOGETHER:
        sentence = f"The lengths of sources and translations hardly correlate ({together:.2f}): the lines of one side "
        yield Finding("warning", f"{sentence}may be shifted against those of the other.", len(lengths))
