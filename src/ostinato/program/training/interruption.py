"""Ctrl-C: the first asks the fit to end with what it has, the second ends the program at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self


class Interruption:
    """A context in which the first SIGINT sets `requested`, and the second raises KeyboardInterrupt.

    told    called at the first one, to say that the program goes on until the step is done

    Only the main thread of a program receives signals; in another one the context does nothing.
    """

    def __init__(self, told: Callable[[], None] | None = None) -> None:
        self.requested = False
        self._told = told
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._received)
        return self

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if self._told is not None:
            self._told()
