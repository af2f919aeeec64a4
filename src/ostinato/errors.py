"""The exception tree and the one place that phrases messages.

Every message has four parts: where it happened, what was expected, what was received, and what to write instead.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from ._renamed import renamed_names

USE_CONVERT = "ostinato.convert(model) replaces torch.nn's recurrent layers in place."
"""The remedy where a function needs a recurrent layer of this package."""


class OstinatoError(Exception):
    """Base of everything that Ostinato raises by itself."""


class CellError(OstinatoError, TypeError):
    """The equations of a cell are invalid. Raised where the cell is defined, never later."""


class InputError(OstinatoError, ValueError):
    """An argument of a layer, a function or a command has a wrong type or value."""


class ShapeError(OstinatoError, RuntimeError):
    """A tensor has the wrong sizes. A RuntimeError, as in torch.nn's recurrent layers."""


class NoKernelsError(OstinatoError):
    """There are no compiled kernels for this machine or device. The reference runs instead, with one warning."""


class AnomalyError(OstinatoError, FloatingPointError):
    """A value in a recurrent layer is NaN or infinite. `detect_anomaly` raises it; the message says where it began."""


class MissingPackageError(OstinatoError, ImportError):
    """A package that only this call needs is not installed."""


class NotFiniteError(OstinatoError, FloatingPointError):
    """A value in a training run is infinite or NaN; the message says where it began."""


class RankError(OstinatoError, RuntimeError):
    """Another process of a training has ended, or cannot be reached; the message names its rank."""


__getattr__ = renamed_names(
    __name__,
    {
        "NoKernels": ("NoKernelsError", NoKernelsError),
        "MissingPackage": ("MissingPackageError", MissingPackageError),
        "NotFinite": ("NotFiniteError", NotFiniteError),
    },
)


class StorageError(OstinatoError, OSError):
    """A file could not be written: a full disk, a folder without permission. What was saved before is whole."""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """`Did you mean 'zoneout'? ` where a known name is close to the one that was given, else nothing."""
    close = get_close_matches(str(name), list(known), n=1)
    return f"Did you mean {close[0]!r}? " if close else ""


def phrase(where: str, name: str, expected: str, received: object, remedy: str = "") -> str:
    """`{where}: {name} must be {expected}, got {received}. {remedy}`"""
    return f"{where}: {name} must be {expected}, got {received}." + (f" {remedy}" if remedy else "")
