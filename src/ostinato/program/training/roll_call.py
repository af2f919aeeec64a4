"""Which rank has ended, and why: every rank that can still do so leaves a word in the store that all share."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from ...errors import RankError, phrase

WAIT = 3.0
"""Seconds in which a rank that has lost another one says so; the losses follow each other within milliseconds."""
STEP = 0.02
"""Seconds between two looks into the store."""
AGAIN = "Start the same torchrun command again."


class RollCall:
    """What the ranks say about their end, through a key-value store of torch.distributed."""

    def __init__(self, store: Any, rank: int, size: int) -> None:
        self.store, self.rank, self.size = store, rank, size
        self.remedy = AGAIN
        self.said: dict[int, str] | None = None
        """What the ranks said about their end when this one had lost another."""
        """What the user does after a rank is lost."""
        self._set("process", f"{socket.gethostname()} {os.getpid()}")

    def lost(self, error: Exception) -> RankError:
        """Says that this rank has lost another one, waits for what the others say, and names the lost one."""
        self._set("end", "")
        self.said = {}
        said = self.said = self._said(range(self.size), WAIT)
        absent = [rank for rank in range(self.size) if rank not in said]
        causes = [(rank, text) for rank, text in said.items() if text]
        if causes:
            return self._error(causes[0][0], _its_error(causes[0][1]))
        if absent:
            received = "no answer: its process has ended, or its machine cannot be reached"
            return self._error(absent[0], received)
        others = "the other ranks" if self.size > 2 else f"rank {1 - self.rank}"
        received = f"an error of the connection ({' '.join(str(error).split())[:200]})"
        return RankError(phrase("ostinato train", others, "reachable", received, self.remedy))

    def at_once(self) -> RankError | None:
        """The error of a rank that is known to have ended; None where none is."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        for rank, text in self._said(others, 0.0).items():
            return self._error(rank, _its_error(text) if text else "its end")
        host = socket.gethostname()
        for rank in others:
            where, _, process = self._get("process", rank).rpartition(" ")
            if where == host and not _runs(int(process)):
                return self._error(rank, "its end: the process is gone")
        return None

    def is_lowest(self, error: str) -> bool:
        """Says that this rank ends, with an error of its own or "" after a loss; whether no lower rank does so, too."""
        self._set("end", error)
        if self.said is not None:
            return not any(rank in self.said for rank in range(self.rank))
        lower = range(self.rank)
        until = time.monotonic() + WAIT
        while lower and time.monotonic() < until:
            if self._said(lower, 0.0):
                return False
            time.sleep(STEP)
        return True

    def _error(self, rank: int, received: str) -> RankError:
        return RankError(phrase("ostinato train", f"rank {rank} of {self.size}", "running", received, self.remedy))

    def _said(self, ranks: range | list[int], seconds: float) -> dict[int, str]:
        """What ranks say about their end: empty where they have lost another rank. Waits for all, but not longer."""
        until = time.monotonic() + seconds
        found: dict[int, str] = {}
        while True:
            for rank in ranks:
                if rank not in found and self._has("end", rank):
                    found[rank] = self._get("end", rank)
            if len(found) == len(ranks) or time.monotonic() >= until:
                return found
            time.sleep(STEP)

    # Rank 0 may hold the store: where it has ended, nothing can be written or read any more.

    def _set(self, kind: str, text: str) -> None:
        if self.store is None:
            return
        try:
            self.store.set(f"{kind}/{self.rank}", text)
        except RuntimeError:
            self.store = None

    def _has(self, kind: str, rank: int) -> bool:
        try:
            return rank == self.rank if self.store is None else bool(self.store.check([f"{kind}/{rank}"]))
        except RuntimeError:
            self.store = None
            return False

    def _get(self, kind: str, rank: int) -> str:
        try:
            return "" if self.store is None or not self._has(kind, rank) else self.store.get(f"{kind}/{rank}").decode()
        except RuntimeError:
            self.store = None
            return ""


def _its_error(text: str) -> str:
    return f"its end with the error {text.rstrip('.')!r}"


def _runs(process: int) -> bool:
    """Whether a process of this machine runs; one that nobody has waited for yet does not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    status = Path(f"/proc/{process}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z" if status.parent.parent.exists() else True
    except OSError:
        return False
