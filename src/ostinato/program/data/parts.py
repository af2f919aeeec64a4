"""The names that a user's split may have for its parts."""

from __future__ import annotations

PART_NAMES = {
    "train": "train",
    "training": "train",
    "0": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "1": "valid",
    "test": "test",
    "testing": "test",
    "2": "test",
}
"""What a split column, or the folders of a data set, call a part → the part; 0, 1, 2 as Ludwig has them."""
FOLDER_PARTS = {name: part for name, part in PART_NAMES.items() if not name.isdecimal()}
"""The names of folders, and of arrays, that are parts of a split; 0 and 1 are rather classes."""
