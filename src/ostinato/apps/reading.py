"""Texts to learn from: a file of the user's, or one that every Python carries."""

from pathlib import Path
from pydoc_data.topics import topics

from ostinato.errors import InputError, phrase

SHORTEST = 5_000
"""Characters. Below this the held-out part is too short to fill one batch of streams."""


def read_text(path: Path | None, where: str = "ostinato demo", shortest: int = SHORTEST) -> tuple[str, str]:
    """(name, text) of a UTF-8 file, or of Python's own language reference without one; refused if it cannot serve."""
    if path is None:
        return "the Python language reference (pydoc_data.topics)", language_reference()
    remedy = "Name a plain text file, or leave --text out to use Python's language reference."
    if not path.exists():
        raise InputError(phrase(where, "--text", "an existing file", path, remedy))
    if not path.is_file():
        raise InputError(phrase(where, "--text", "a file", f"the folder {path}", remedy))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        received = f"{path}, whose byte {error.start} is not"
        raise InputError(phrase(where, "--text", "UTF-8", received, "Save the file as UTF-8 first.")) from None
    except OSError as error:
        raise InputError(phrase(where, "--text", "readable", f"{path} ({error.strerror})", remedy)) from None
    if len(text) < shortest:
        remedy = "Name a longer text; several files can be joined into one."
        raise InputError(phrase(where, "--text", f"at least {shortest} characters long", len(text), remedy))
    if len(set(text)) < 2:
        raise InputError(phrase(where, "--text", "a text of two different characters or more", repr(text[0]), remedy))
    return str(path), text


def language_reference() -> str:
    """Python's language reference as every CPython carries it, each paragraph once.

    Its topics repeat each other's paragraphs. Left in, a fifth of the text would occur twice and part of the
    held-out end would have been read in training.
    """
    paragraphs: dict[str, str] = {}
    for topic in topics.values():
        for paragraph in topic.split("\n\n"):
            paragraphs.setdefault(paragraph.strip(), paragraph)
    return "\n\n".join(paragraphs.values())
