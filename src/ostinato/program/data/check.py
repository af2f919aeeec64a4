"""What is wrong with a data set and its split: findings, graver ones first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from .examples import LABELLED, DataSet, Examples, Split
from .findings import Finding, many
from .pairs.findings import pair_findings, shared_targets
from .refusals import listed
from .row_keys import by_target, row_key
from .text.findings import shared_passages

ORDER = ("error", "warning", "note")


def check(dataset: DataSet, split: Split) -> list[Finding]:
    """Every finding about the files, the columns, the rows, the classes and the split."""
    examples = dataset.examples
    found = list(dataset.findings)
    for look in (empty_inputs, missing_numbers, constant_channels, duplicates, targets, pair_findings):
        found += look(examples)
    looks = (empty_parts, leakage, groups_across, labels_outside_train, characters_outside_train)
    for look_at_split in (*looks, shared_passages, shared_targets):
        found += look_at_split(examples, split)
    return sorted(found, key=lambda finding: ORDER.index(finding.severity))


def labels_of(target: Any) -> tuple[str, ...]:
    """The classes in one row's target."""
    return (target,) if isinstance(target, str) else tuple(target)


def empty_inputs(examples: Examples) -> Iterator[Finding]:
    """Texts without a character, sentences without a token, series without a step."""
    if examples.kind not in ("text", "tokens", "series", "roll"):
        return
    noun = {"text": "text", "tokens": "sentence", "series": "series", "roll": "piece"}[examples.kind]
    if examples.kind == "text":
        count = sum(not value.strip() for value in examples.inputs)
    else:
        count = sum(not len(value) for value in examples.inputs)
    if count:
        verb = "is" if count == 1 else "are"
        sentence = f"{many(count, noun, 'series' if noun == 'series' else '')} {verb} empty."
        yield Finding("error" if count == len(examples) else "warning", sentence, count)


def stacked(examples: Examples) -> np.ndarray | None:
    """All steps of all rows [ΣT, C] of numbers; None of texts."""
    if examples.kind not in ("series", "features") or not len(examples):
        return None
    return np.concatenate([np.atleast_2d(x) if examples.kind == "features" else x for x in examples.inputs])


def missing_numbers(examples: Examples) -> Iterator[Finding]:
    """Missing numbers by channel."""
    steps = stacked(examples)
    for channel, count in zip(examples.channels, [] if steps is None else np.isnan(steps).sum(axis=0).tolist()):
        if count and steps is not None and count < len(steps):
            sentence = f"Channel {channel} has {many(count, 'missing number')} in {len(steps):,} steps."
            yield Finding("note", sentence, count)


def constant_channels(examples: Examples) -> Iterator[Finding]:
    """Channels of one value, or of none, in all rows; texts that are all the same."""
    steps = stacked(examples)
    if examples.kind in ("passage", "window"):
        return
    if examples.kind == "given":
        for channel, cells in zip(examples.channels, zip(*examples.inputs)):
            if len(set(cells)) == 1 < len(cells):
                sentence, without = f"{channel} is {cells[0]} in every row.", f"{channel} is the same in every row."
                yield Finding("warning", sentence, len(cells), without)
        return
    if steps is None:
        same = {row_key(examples.kind, x) for x in examples.inputs}
        if len(same) == 1 < len(examples):
            yield Finding("error", "Every row has the same input.", len(examples))
        return
    for channel, values in zip(examples.channels, steps.T):
        filled = values[~np.isnan(values)]
        if not len(filled):
            yield Finding("warning", f"Channel {channel} is empty in every row.", len(examples))
        elif len(values) > 1 and (filled == filled[0]).all():
            sentence = f"Channel {channel} is constant"
            given = f"{sentence}: {filled[0]:g} in all rows that have it."
            yield Finding("warning", given, len(examples), f"{sentence}.")


def duplicates(examples: Examples) -> Iterator[Finding]:
    """Rows equal to an earlier one, and rows of one input with different targets."""
    if examples.successive:
        return
    keys = [row_key(examples.kind, value) for value in examples.inputs]
    own = examples.targets is None or examples.target_kind == "frames"
    targets = [None] * len(keys) if own else [repr(target) for target in examples.targets or ()]
    whole = Counter(zip(keys, targets))
    same = sum(count - 1 for count in whole.values())
    if same:
        verb = "repeats" if same == 1 else "repeat"
        yield Finding("note", f"{many(same, 'row')} {verb} the input and the target of an earlier row.", same)
    if by_target(examples) or examples.target_kind == "translation":
        return
    different = Counter(key for key, _ in whole)
    unclear = sum(count > 1 for count in different.values())
    if unclear:
        verb = "has" if unclear == 1 else "have"
        sentence = (
            f"{many(unclear, 'input')} {verb} several different targets: no model can be right in all of these rows."
        )
        yield Finding("warning", sentence, unclear)


def targets(examples: Examples) -> Iterator[Finding]:
    """Targets of one value, classes of one row, rows without any label."""
    if examples.targets is None:
        return
    if examples.target_kind == "number":
        if len(set(examples.targets)) == 1:
            yield Finding("error", f"{examples.target_name} is {examples.targets[0]:g} in every row.", len(examples))
        return
    if examples.target_kind in ("transcript", "translation") and len(set(examples.targets)) == 1 < len(examples):
        yield Finding("error", f"{examples.target_name} is the same text in every row.", len(examples))
    if examples.target_kind not in LABELLED:
        return
    counts = Counter(label for target in examples.targets for label in labels_of(target))
    if len(counts) == 1 and examples.target_kind != "labels":
        yield Finding("error", f"{examples.target_name} is {next(iter(counts))} in every row.", len(examples))
    if not counts:
        yield Finding("error", f"{examples.target_name} has no label in any row.", len(examples))
    noun = "tag" if examples.target_kind == "tags" else "class"
    single = sorted(label for label, count in counts.items() if count == 1)
    if single:
        unit = "token" if noun == "tag" else "row"
        plural = "tags" if noun == "tag" else "classes"
        verb = "has" if len(single) == 1 else "have"
        yield Finding(
            "warning", f"{many(len(single), noun, plural)} {verb} one {unit}: {listed(single, 5)}.", len(single)
        )
    bare = sum(target == () for target in examples.targets)
    if bare:
        yield Finding("note", f"{many(bare, 'row')} {'has' if bare == 1 else 'have'} no label.", bare)


def empty_parts(examples: Examples, split: Split) -> Iterator[Finding]:
    """Parts without rows."""
    for name, rows in (("train", split.train), ("valid", split.valid), ("test", split.test)):
        if not len(rows):
            yield Finding("error" if name != "test" else "warning", f"The part {name} has no rows.", 0)


def leakage(examples: Examples, split: Split) -> Iterator[Finding]:
    """Rows of a given part that are also training rows."""
    for name, rows in (("valid", split.valid), ("test", split.test)):
        count = len(np.intersect1d(rows, split.leaked))
        if count:
            share = f"{100 * count / len(rows):.1f} %"
            verb = "has" if count == 1 else "have"
            same = "a target" if by_target(examples) else "an input"
            sentence = f"{many(count, 'row')} of {name} ({share}) {verb} {same} that train has, too."
            yield Finding("warning", sentence, count)


def groups_across(examples: Examples, split: Split) -> Iterator[Finding]:
    """Groups of which a given split has rows in train and in another part."""
    if examples.groups is None:
        return
    inside = {examples.groups[row] for row in split.train}
    outside = {examples.groups[row] for row in (*split.valid, *split.test)}
    both = sorted(inside & outside)
    if both:
        verb = "has" if len(both) == 1 else "have"
        sentence = f"{many(len(both), 'group')} {verb} rows in train and in another part"
        yield Finding("warning", f"{sentence}: {listed(both, 5)}.", len(both), f"{sentence}.")


def labels_outside_train(examples: Examples, split: Split) -> Iterator[Finding]:
    """Labels that no training row has."""
    if examples.targets is None or examples.target_kind not in LABELLED:
        return
    counted = {
        name: Counter(label for row in rows for label in labels_of(examples.targets[row]))
        for name, rows in (("train", split.train), ("valid", split.valid), ("test", split.test))
    }
    for name in ("valid", "test"):
        only = sorted(counted[name].keys() - counted["train"].keys())
        if only:
            are = "is" if len(only) == 1 else "are"
            sentence = f"{many(len(only), 'label')} of {name} {are} not in train"
            rest = "No model can predict a label without training rows."
            count = sum(counted[name][label] for label in only)
            yield Finding("warning", f"{sentence}: {listed(only, 5)}. {rest}", count, f"{sentence}. {rest}")


def characters_outside_train(examples: Examples, split: Split) -> Iterator[Finding]:
    """Characters of transcripts that no training row has."""
    if examples.targets is None or examples.target_kind != "transcript":
        return
    known = {character for row in split.train for character in examples.targets[row]}
    for name, rows in (("valid", split.valid), ("test", split.test)):
        counts = Counter(c for row in rows for c in examples.targets[row] if c not in known)
        if counts:
            are = "is" if len(counts) == 1 else "are"
            sentence = f"{many(len(counts), 'character')} of {name} {are} not in train"
            rest = "No model can write a character without training rows."
            seen = listed(sorted(map(repr, counts)), 5)
            yield Finding("warning", f"{sentence}: {seen}. {rest}", sum(counts.values()), f"{sentence}. {rest}")
