"""Standard input as text: bytes that are no UTF-8 become surrogates, which are refused where the text is read."""

from __future__ import annotations

import io
import sys
from typing import TextIO


def typed_in() -> TextIO:
    """Standard input, of which one wrong byte does not end the reading."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    # Python has none where the caller has closed it, as `<&-` does: there are no lines.
    return io.StringIO() if sys.stdin is None else sys.stdin
