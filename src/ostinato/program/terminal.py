"""Text of the user's for a terminal: control characters, which would move its cursor or colour it, are written out."""

from __future__ import annotations

import re

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def without_controls(text: str) -> str:
    r"""The same with `\x1b`, say, in place of each control character but line feed and tab."""
    return _CONTROLS.sub(lambda found: repr(found.group())[1:-1], text)
