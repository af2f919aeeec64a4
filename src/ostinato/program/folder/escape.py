"""Strings of the user's in HTML, Markdown, scripts and tables: always shown, never read as markup, code or formula."""

from __future__ import annotations

import html as library
import json
import re
from typing import Any

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Control characters, and marks that reverse the direction of what follows; tab and line break are no such thing."""
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$!])|(?<=:)(?=//)|^(?=[#+\-=>])|(?<=^\d)(?=[.)])|(?<=\w)(?=@\w)")
"""Where Markdown needs a backslash: markup anywhere; `://` and `@` of links without brackets; heads of lines."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z")


def shown(text: object) -> str:
    """The text with every control character replaced by a visible mark."""
    return _CONTROLS.sub("\ufffd", str(text))


def html(text: object) -> str:
    """For the content of an element and for a quoted attribute."""
    return library.escape(shown(text), quote=True)


def markdown(text: object) -> str:
    """For a line or a table's cell of Markdown, in which HTML is possible too: one line, no markup, no link."""
    line = " ".join(shown(text).split())
    line = _MARKDOWN.sub(lambda m: "\\" + m[0], line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def yaml(text: object) -> str:
    """A quoted scalar: JSON's strings are YAML's."""
    return json.dumps(shown(text))


def script(value: Any) -> str:
    """JSON for the inside of a <script> element: no `</script>`, `<!--` or line separator can end it."""
    written = json.dumps(value, allow_nan=False)
    for character in "<>&\u2028\u2029":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return written


def table_cell(text: object) -> str:
    """For a CSV file that a spreadsheet opens: what it would run as a formula has an apostrophe in front."""
    cell = str(text)
    return f"'{cell}" if cell.startswith(_FORMULA) and not _NUMBER.match(cell) else cell
