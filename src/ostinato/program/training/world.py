"""The processes of a fit, each with a rank: what they have in common, and the fit of one process alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from ...errors import InputError, phrase


class World(Protocol):
    """The processes that make a fit together; `processes.Processes` is one, over torch.distributed.

    Every rank calls the methods that communicate in the same order.
    """

    rank: int
    """From 0. Rank 0 writes files and decides what depends on the clock."""
    size: int
    """How many processes there are."""

    def agree(self, value: Any, patient: bool = False) -> Any:
        """Rank 0's value, on every rank: nested lists, tuples and mappings of tensors, arrays and plain values.

        patient  whether rank 0 may take hours until it has it
        """

    def gather(self, value: Any) -> list[Any] | None:
        """The values of all ranks in their order, on rank 0; None on others."""

    def sum(self, flat: Tensor) -> None:
        """Replaces the tensor by the sum over all ranks, the same bits on each."""

    def threads(self) -> int:
        """The most threads that each rank runs the kernels on."""

    def name_folder(self, folder: str) -> None:
        """Says which folder the user resumes after a rank is lost."""

    def all_run(self) -> bool:
        """Whether no rank is lost, as far as this one knows without waiting.

        Raises RankError where one is that was not known to be.
        """

    def close(self) -> None:
        """Ends the communication; a rank that waits for this one gets an error at once."""


class Alone:
    """One process, which has nobody to agree with."""

    rank, size = 0, 1

    def agree(self, value: Any, patient: bool = False) -> Any:
        return value

    def gather(self, value: Any) -> list[Any] | None:
        return [value]

    def sum(self, flat: Tensor) -> None:
        pass

    def threads(self) -> int:
        return torch.get_num_threads()

    def name_folder(self, folder: str) -> None:
        pass

    def all_run(self) -> bool:
        return True

    def close(self) -> None:
        pass


def share(world: World) -> slice:
    """Which of the rows or streams of an update a rank reads: every size-th, from its rank on."""
    return slice(world.rank, None, world.size)


def check_same(world: World, hashes: Mapping[str, str]) -> None:
    """Raises InputError on every rank where a hash differs between ranks; the message names both."""
    if world.size == 1:
        return
    gathered = world.gather(dict(hashes))
    differing = None
    if gathered is not None:
        found = [(n, r) for n in hashes for r, other in enumerate(gathered) if other[n] != hashes[n]]
        differing = found[0] if found else None
    differing = world.agree(differing)
    if differing is not None:
        name, rank = differing
        remedy = "Give every machine the same files, options, versions and kind of processor."
        raise InputError(phrase("fit", f"the {name}", "the same on all ranks", f"others on rank {rank}", remedy))


def check_size(where: str, recorded: Mapping[str, Any], size: int) -> None:
    """Refuses to go on with, or to repeat, a run of another number of processes.

    recorded  what was written of the run; it has `processes` where there were several
    """
    processes = recorded.get("processes", 1)
    if processes != size:
        launcher = f"Start it with torchrun --nproc-per-node {processes} (on one machine)."
        remedy = launcher if isinstance(processes, int) and processes > 1 else "Start it without torchrun."
        raise InputError(phrase(where, "the number of processes", f"{processes}, as in that run", size, remedy))
