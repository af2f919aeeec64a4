"""The processes of a training, from the environment of torchrun to the one message with which they end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import OstinatoError, RankError
from ..training.processes import Processes
from ..training.world import Alone, World
from .launched import launched


@contextmanager
def ranks() -> Iterator[World]:
    """The processes that torchrun has started, or this one alone. Of their errors one rank's is raised.

    The other ranks end with status 2, and without a message.
    """
    found = launched()
    if found is None:
        yield Alone()
        return
    world = Processes(found.rank, found.size, found.local_rank, found.local_size)
    try:
        yield world
    except OstinatoError as error:
        if world.speaks("" if isinstance(error, RankError) else str(error)):
            raise
        raise SystemExit(2) from None
    finally:
        world.close()
