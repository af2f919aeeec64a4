"""Output to terminals and pipes that cannot encode every character: ASCII substitutes instead of an error."""

import codecs
import io
import unicodedata
from typing import TextIO

_STAND_INS = {
    "→": "->", "←": "<-", "↑": "^", "↓": "v", "↵": "\\n", "␣": "_", "…": "...", "⋯": "...", "–": "-", "—": "-",
    "−": "-", "·": "*", "⊙": "*", "×": "x", "⊗": "(x)", "±": "+-", "≤": "<=", "≥": ">=", "≠": "!=", "∞": "inf",
    "√": "sqrt ", "∂": "d", "‖": "||", "∠": "angle ", "⟨": "<", "⟩": ">", "′": "'", "⁄": "/", "⁻": "^-", "ᵀ": "^T",
    "‘": "'", "’": "'", "“": '"', "”": '"', "•": "*", "□": "#", "○": "o",
}  # fmt: skip


def stand_in(character: str) -> str:
    """The ASCII substitute for a character that cannot be encoded, "?" where there is none."""
    if character in _STAND_INS:
        return _STAND_INS[character]
    kind, name = unicodedata.decomposition(character), unicodedata.name(character, "")
    if name.startswith("GREEK ") and " LETTER " in name:
        word = name.split(" LETTER ")[1].split(" ")[0]
        return word.capitalize() if "CAPITAL" in name else word.lower()
    plain = unicodedata.normalize("NFKD", character)
    if plain == character:
        return "" if unicodedata.combining(character) else "?"
    mark = "^" if kind.startswith("<super>") else "_" if kind.startswith("<sub>") else ""
    return mark + "".join(c if c.isascii() else stand_in(c) for c in plain)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(stand_in, error.object[error.start : error.end])), error.end


codecs.register_error("ostinato.printable", _replaced)


def make_printable(stream: TextIO) -> None:
    """Makes `stream` substitute, by `stand_in`, what it cannot encode. Other text streams do not change."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="ostinato.printable")
