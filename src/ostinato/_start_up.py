"""Ctrl-C while the command line still imports: the process ends at once, with status 130 and without a traceback.

The package imports this file first. A program that imports the package by itself keeps its own way with signals.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

_NAMES = ("ostinato", "ostinato.exe", "ostinato-script.py", "ostinato-script.pyw")
"""Of the file that the console script is."""


def is_command(arguments: Sequence[str], original: Sequence[str]) -> bool:
    """Whether this process is the command: its console script, or `python -m ostinato`.

    arguments  sys.argv; while the package of -m is imported, it begins with "-m"
    original   sys.orig_argv, with the options of Python
    """
    if not arguments or arguments[0] != "-m":
        return bool(arguments) and os.path.basename(arguments[0]) in _NAMES
    place = next((k for k, word in enumerate(original) if word.startswith("-m")), len(original))
    return original[place : place + 2] == ["-m", "ostinato"] or original[place : place + 1] == ["-mostinato"]


def _end(number: int, frame: FrameType | None) -> None:
    """Nothing was begun that would have to be finished; an exception could be lost in a half imported package."""
    os._exit(128 + number)


def begin() -> None:
    """From now on SIGINT ends the process, if it is the command and nobody else has asked for the signal."""
    alone = threading.current_thread() is threading.main_thread()  # Python allows handlers there alone
    if alone and is_command(sys.argv, sys.orig_argv) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def over() -> None:
    """From now on SIGINT is a KeyboardInterrupt again, which the command line ends with the same status."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


begin()
