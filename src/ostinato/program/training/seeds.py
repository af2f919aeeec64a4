"""Seeds of single draws, derived from the one seed of a fit: what is drawn depends on no generator's earlier use."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from ...errors import InputError, phrase
from ..options import NetworkOptions
from ..tasks.task import Task
from .threads import torch_on_one_thread


def derived(seed: int, purpose: str, number: int = 0) -> int:
    """A seed below 2**63 for the draw `number` of a purpose, such as the dropout masks of an update."""
    return int.from_bytes(hashlib.sha256(f"{seed} {purpose} {number}".encode()).digest()[:8], "little") >> 1


def new_network(task: Task, options: NetworkOptions, seed: int) -> nn.Module:
    """The task's untrained network: the same seed gives the same weights. The caller's generators are left alone.

    Raises InputError for weights that the memory does not hold.
    """
    with torch.random.fork_rng(devices=[]), torch_on_one_thread(torch.get_num_threads()):
        torch.manual_seed(derived(seed, "network"))
        try:
            return task.network(options)
        except RuntimeError as error:
            if not any(word in str(error) for word in ("allocate", "overflow")):
                raise
            remedy = "Give fewer --hidden, --layers or --embedding."
            received = f"larger ones ({str(error).splitlines()[0].rstrip('.')})"
            message = phrase("the network", "the weights", "small enough for the memory", received, remedy)
            raise InputError(message) from None
