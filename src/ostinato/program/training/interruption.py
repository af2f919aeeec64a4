"""Ctrl-C: the first asks the fit to end with what it has, the second ends the program at once.

Of several processes SIGTERM does the same: their launcher sends it where one of them is to end, or has ended.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Self


class Interruption:
    """A context in which the first signal sets `requested`, and the second raises KeyboardInterrupt.

    told     called at the first one, to say that the program goes on until the step is done
    signals  those that it receives; SIGINT is Ctrl-C

    Only the main thread of a program receives signals; in another one the context does nothing.
    """

    def __init__(self, told: Callable[[], None] | None = None, signals: Sequence[int] = (signal.SIGINT,)) -> None:
        self.requested = False
        self._told, self._signals = told, signals
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._received) for number in self._signals}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if self._told is not None:
            self._told()
