"""How torchrun has started a command: as which of how many processes, and which commands allow more than one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import InputError, phrase

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""The variables of the environment in which torchrun says which process this is and where the others are."""


@dataclass(frozen=True)
class Launched:
    """This process among those of a command."""

    rank: int
    size: int
    local_rank: int
    """Among the processes of this machine."""
    local_size: int


def launched(environment: Mapping[str, str] = os.environ) -> Launched | None:
    """What torchrun has set; None without torchrun and for a single process.

    Raises InputError where variables of torchrun are missing or contradict each other.
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return None
    values = [environment.get(name, "") for name in NAMES]
    if all(values) and all(value.isdigit() for value in values[:4]):
        found = Launched(*map(int, values[:4]))
        if found.rank < found.size and found.local_rank < found.local_size <= found.size:
            return None if found.size == 1 else found
    received = " ".join(f"{name}={value}" for name, value in zip(NAMES, values, strict=True))
    remedy = "Start the command with torchrun, or unset RANK and WORLD_SIZE."
    raise InputError(phrase("ostinato", "the environment", "as torchrun sets it", received, remedy))


def one_process(where: str) -> None:
    """Refuses torchrun for a command that does not share its work: one message, from rank 0."""
    found = launched()
    if found is None:
        return
    if found.rank:
        raise SystemExit(2)
    remedy = "Run it without torchrun; only `ostinato train` shares its work."
    raise InputError(phrase(where, "the number of processes", "1", found.size, remedy))
