"""The split into train, valid and test: as the user gave it, or by a hash of each row's input.

The hash of a row depends on nothing else, so that rows added to the file move no old row to another part. Equal
inputs have equal hashes and fall into one part. Every class is divided in the expected shares, exactly only on
average: an exact stratification would have to count the other rows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..options import DataOptions
from .examples import PARTS, DataSet, Examples, Split
from .findings import many
from .refusals import refused
from .row_keys import by_target, row_keys


def split(dataset: DataSet, options: DataOptions) -> Split:
    """The rows of each part.

    Successive parts of a text or of time stay as they are. A part that the user did not give is taken from the
    training rows; rows of it that are also in train are removed, and counted in `notes`. A part that the user gave is
    never altered: rows of it that are also among the training rows as the user gave them are in `leaked`.

    Raises InputError for shares that leave no training row, and for fewer different rows than parts.
    """
    examples = dataset.examples
    if examples.successive:
        train, valid, test = (_rows_of(examples, name) for name in PARTS)
        return Split(train, valid, test, given=False, leaked=np.array([], np.int64))
    shares = {"valid": options.valid_share, "test": options.test_share}
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise refused("split", f"{name}_share", "at least 0 and below 1", share, "Such as 0.1.")
    if sum(shares.values()) >= 1:
        received = f"{sum(shares.values()):g} together"
        raise refused("split", "valid_share and test_share", "below 1 together", received, "Leave rows to train on.")
    keys = row_keys(examples)
    parts = np.array(examples.parts if examples.parts is not None else ["train"] * len(examples), object)
    given_train = {key for key, part in zip(keys, parts) if part == "train"}
    made = [name for name in ("test", "valid") if name not in parts]
    wanted = {name: shares[name] for name in made if shares[name] > 0}
    notes = assign(parts, unit_keys(examples, keys), wanted, options.split_seed)
    seen = {keys[row] for row in np.flatnonzero(parts == "train")}
    outside = np.flatnonzero(parts != "train").tolist()
    removed = [row for row in outside if parts[row] in made and keys[row] in seen]
    leaked = [row for row in outside if parts[row] not in made and keys[row] in given_train]
    for name in made:
        count = sum(parts[row] == name for row in removed)
        if count:
            same = "target" if by_target(examples) else "input"
            notes.append(f"{many(count, 'row')} removed from {name}, because train has the same {same}.")
    parts[removed] = ""
    rows = {name: np.flatnonzero(parts == name).astype(np.int64) for name in PARTS}
    given = examples.parts is not None
    return Split(rows["train"], rows["valid"], rows["test"], given, np.array(leaked, np.int64), notes)


def _rows_of(examples: Examples, part: str) -> np.ndarray:
    return np.array([row for row, name in enumerate(examples.parts or ()) if name == part], np.int64)


def unit_keys(examples: Examples, keys: Sequence[bytes]) -> list[bytes]:
    """[N] keys of what is kept together: the group of a row, or its input."""
    if examples.groups is None:
        return list(keys)
    return [hashlib.sha256(f"group\0{group}".encode()).digest() for group in examples.groups]


def position(key: bytes, seed: int) -> float:
    """A number in [0, 1) that depends on the key and the seed alone."""
    digest = hashlib.sha256(f"{seed}\0".encode() + key).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def assign(parts: np.ndarray, units: Sequence[bytes], wanted: dict[str, float], seed: int) -> list[str]:
    """Moves training rows into the wanted parts, in place; says where a part had to be filled by hand.

    In a small file the hash can leave a part without rows: then the unit nearest to that part's range moves.
    """
    train = np.flatnonzero(parts == "train").tolist()
    places = {units[row]: position(units[row], seed) for row in train}
    if len(places) <= len(wanted):
        remedy = "Give more rows, or the parts as files (--valid, --test)."
        expected = f"at least {len(wanted) + 1} different rows or groups, one for each part"
        raise refused("split", "the data", expected, len(places), remedy)
    ranges: dict[str, tuple[float, float]] = {}
    low = 0.0
    for name, share in [*wanted.items(), ("train", 1.0)]:
        ranges[name] = (low, min(1.0, low + share))
        low += share
    chosen = {unit: next(n for n, (a, b) in ranges.items() if a <= place < b) for unit, place in places.items()}
    notes = []
    for name, (start, end) in ranges.items():
        if name not in chosen.values():
            sizes = Counter(chosen.values())
            largest = max(sizes, key=lambda part: (sizes[part], part))
            free = [unit for unit, part in chosen.items() if part == largest]
            moved = min(free, key=lambda unit: (max(start - places[unit], places[unit] - end), unit))
            chosen[moved] = name
            notes.append(f"The data are so few that the hash left {name} empty; one row or group was moved there.")
    for row in train:
        parts[row] = chosen[units[row]]
    return notes
