"""The exception tree and the one place that phrases messages.

Every message has four parts: where it happened, what was expected, what was given, and what to write instead.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class OstinatoError(Exception):
    """Base of everything that Ostinato raises by itself."""


class CellError(OstinatoError, TypeError):
    """A cell's equations cannot be read: raised where the cell is defined, never later."""


class InputError(OstinatoError, ValueError):
    """A layer, a function or a command was given something that it cannot work on."""


class ShapeError(OstinatoError, RuntimeError):
    """A tensor has the wrong sizes. A RuntimeError, as in torch.nn's recurrent layers."""


class NoKernels(OstinatoError):
    """This machine or device has no compiled kernels; the reference runs instead, with one warning."""


class AnomalyError(OstinatoError, FloatingPointError):
    """A value in a recurrent layer is NaN or infinite: raised inside `detect_anomaly`, which says where it began."""


class MissingPackage(OstinatoError, ImportError):
    """A package that only this call needs is not installed."""


class NotFinite(OstinatoError, FloatingPointError):
    """A training run met a value that is inf or NaN; the message says where it began."""


class StorageError(OstinatoError, OSError):
    """A file could not be written: a full disk, a folder without permission. What was saved before is whole."""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """`Did you mean 'zoneout'? ` where a known name is close to the one that was given, else nothing."""
    close = get_close_matches(str(name), list(known), n=1)
    return f"Did you mean {close[0]!r}? " if close else ""


def phrase(where: str, name: str, expected: str, received: object, remedy: str = "") -> str:
    """`{where}: {name} must be {expected}, got {received}. {remedy}`"""
    return f"{where}: {name} must be {expected}, got {received}." + (f" {remedy}" if remedy else "")
