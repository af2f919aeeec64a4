"""Several processes as torchrun starts them: what they agree on, gather and sum, over torch.distributed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from ...errors import RankError, phrase
from .nested import packed, unpacked
from .roll_call import RollCall

ANSWER = timedelta(minutes=10)
"""The longest wait for an operation in which all ranks take part at about the same time."""
PATIENCE = timedelta(days=7)
"""The longest wait for rank 0 while it fits baselines."""
MESSAGE = 256
"""Bytes of the first message of an agreement; a longer value needs a second one."""


class Processes:
    """The process group of a training: gloo for tensors on the CPU, NCCL for those on a GPU."""

    def __init__(self, rank: int, size: int, local_rank: int, local_size: int) -> None:
        self.rank, self.size, self.local_size = rank, size, local_size
        backend = "gloo"
        if torch.cuda.is_available() and distributed.is_nccl_available():
            torch.cuda.set_device(local_rank % torch.cuda.device_count())
            backend = "cpu:gloo,cuda:nccl"
        try:
            store, _, _ = next(iter(distributed.rendezvous("env://", rank, size, timeout=ANSWER)))
            store = distributed.PrefixStore("ostinato", store)
            distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=ANSWER)
            self._patient = distributed.new_group(timeout=PATIENCE, backend="gloo")
        except RuntimeError as error:
            received = f"no answer from all of them ({' '.join(str(error).split())[:200]})"
            remedy = "Look at what the other ranks print, and start torchrun on every machine."
            raise RankError(phrase("ostinato train", "the other ranks", "started", received, remedy)) from None
        self.roll_call = RollCall(store, rank, size)
        self.open = True

    def agree(self, value: Any, patient: bool = False) -> Any:
        group = self._patient if patient else None
        content = packed(value) if self.rank == 0 else b""
        head = torch.zeros(MESSAGE, dtype=torch.uint8)
        if self.rank == 0:
            first = len(content).to_bytes(8, "little") + content[: MESSAGE - 8]
            head[: len(first)] = _tensor(first)
        with self._others_answer():
            distributed.broadcast(head, 0, group)
        length = int.from_bytes(_bytes(head[:8]), "little")
        if length <= MESSAGE - 8:
            return unpacked(_bytes(head[8 : 8 + length]))
        rest = _tensor(content) if self.rank == 0 else torch.zeros(length, dtype=torch.uint8)
        with self._others_answer():
            distributed.broadcast(rest, 0, group)
        return unpacked(_bytes(rest))

    def gather(self, value: Any) -> list[Any] | None:
        own = _tensor(packed(value))
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        with self._others_answer():
            distributed.all_gather(lengths, torch.tensor([len(own)]))
        longest = max(int(length) for length in lengths)
        sent = torch.zeros(longest, dtype=torch.uint8)
        sent[: len(own)] = own
        received = [torch.zeros_like(sent) for _ in lengths] if self.rank == 0 else None
        with self._others_answer():
            distributed.gather(sent, received, 0)
        if received is None:
            return None
        return [unpacked(_bytes(content[: int(n)])) for content, n in zip(received, lengths, strict=True)]

    def sum(self, flat: Tensor) -> None:
        with self._others_answer():
            distributed.all_reduce(flat)

    def threads(self) -> int:
        """The cores of this machine divided among its processes, or what OMP_NUM_THREADS says.

        torchrun sets that variable to 1 where the user has not set it, so 1 does not count.
        """
        if os.environ.get("OMP_NUM_THREADS", "1") != "1":
            return torch.get_num_threads()
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        return max(1, cores // self.local_size)

    def name_folder(self, folder: str) -> None:
        self.roll_call.remedy = f"Go on with the same torchrun and `-m ostinato train --resume {folder}`."

    def all_run(self) -> bool:
        error = self.roll_call.at_once() if self.open else None
        if error is not None:
            raise error
        return self.roll_call.said is None

    def speaks(self, error: str) -> bool:
        """Whether this rank is the one that prints an error: the lowest that is left. Ends the communication."""
        self.close()
        return self.roll_call.is_lowest(error)

    def close(self) -> None:
        if self.open:
            self.open = False
            with suppress(RuntimeError):  # of a connection that another rank has closed before
                distributed.destroy_process_group()

    @contextmanager
    def _others_answer(self) -> Iterator[None]:
        """Turns an error of the communication into a sentence about the rank that is not there."""
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, RankError):
                raise
            self.close()
            raise self.roll_call.lost(error) from None


def _tensor(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.numpy().tobytes()
