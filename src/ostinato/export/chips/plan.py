"""`Plan`: everything that the files of one export are written from, and the inputs and bits of the self-test.

Letters: T steps, C numbers of an input, O of an output, S columns of the states, W of the packed weights.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import InputError, ShapeError, phrase
from ...kernels.network.pack import pack, pack_initial
from ...kernels.network.portable import PortableKernel, Shape
from ...kernels.system.target import host
from ...network import Network
from ...streaming.choose import run_whole
from ...streaming.read import read
from ...streaming.streams import Stream
from .chip import WHERE, Chip

VERSION = 1
"""Of the layout of blobs and saved states."""
BLOB_HEADER = 128
BLOB_MAGIC, STATE_MAGIC = b"OSTBLOB\0", b"OSTROW\0\0"
SAVED_HEADER = 48
STEPS = 16
"""Steps of the self-test without samples, at most."""


@dataclass(frozen=True)
class Plan:
    """One network for one machine. The model's parameters are read where they are needed first, after all refusals.

    blob       whether the weights are a file of their own
    source     whether the code is C, which has no vectors
    samples    inputs of the self-test as the caller gave them, or None
    max_steps  the longest sequence of a network that runs on whole sequences; None for one that runs step by step
    """

    network: Network
    chip: Chip
    name: str
    blob: bool
    source: bool = False
    samples: Any = None
    max_steps: int | None = None

    @cached_property
    def x(self) -> Tensor:
        """Inputs [T, C] or int64 [T] of the self-test."""
        if self.samples is None:
            return _default_samples(self.network, min(STEPS, self.max_steps or STEPS))
        x = _given_samples(self.network, self.samples)
        if self.max_steps is not None and len(x) > self.max_steps:
            remedy = "Give fewer, or a larger max_steps."
            raise ShapeError(phrase(WHERE, "samples", f"of at most {self.max_steps} steps", len(x), remedy))
        return x

    @cached_property
    def y(self) -> Tensor:
        """The outputs [T, O] in Python for them, whose bits the self-test expects; [1, O] for a run's only answer."""
        y: Tensor = run_whole(self.network, self.x) if self.network.whole else Stream(self.network).push(self.x)
        y = y[-1:] if self.one_answer else y
        if not bool(torch.isfinite(y).all()):
            remedy = "The sign of a NaN differs between machines; give samples whose outputs are numbers."
            raise InputError(phrase(WHERE, "the outputs for samples", "finite", "inf or NaN", remedy))
        return y

    @cached_property
    def values(self) -> dict[str, Tensor]:
        """Parameter's name → its value."""
        return {p.name: p.read().clone() for p in self.network.parameters}

    @cached_property
    def kernel(self) -> PortableKernel:
        chip, scalar = self.chip, str(self.network.dtype).removeprefix("torch.")
        lanes, registers = (1, 32) if self.source else (chip.lanes_of(scalar), chip.registers)
        if self.network.whole and lanes == 1:
            registers = 1  # Tiles of several steps read weights less often, but code would be up to twice as long.
        return PortableKernel(self.network, Shape(lanes, registers, chip.bits))

    @cached_property
    def packed(self) -> Tensor:
        """The packed weights [W]."""
        return pack(self.kernel.layout, self.values)

    @cached_property
    def first(self) -> Tensor:
        """The initial states [S]."""
        return pack_initial(self.kernel.layout, self.values)

    @property
    def one_answer(self) -> bool:
        """Whether a run of a whole sequence has one output [O] and not one for each step."""
        return self.network.whole and self.network.last

    @property
    def itemsize(self) -> int:
        return self.network.dtype.itemsize

    @property
    def width(self) -> int:
        """Numbers of an input, or 1 for a token."""
        return self.network.input.width

    @property
    def outputs(self) -> int:
        """Numbers of an output."""
        return self.network.nodes[self.network.output].width

    @property
    def state_bytes(self) -> int:
        return max(self.kernel.state_size, 1) * self.itemsize

    @property
    def work_bytes(self) -> int:
        return max(self.kernel.work_of(self.max_steps or 1), 1) * self.itemsize

    @property
    def saved_bytes(self) -> int:
        return SAVED_HEADER + sum(field.width for field in self.network.states) * self.itemsize

    @property
    def weight_bytes(self) -> int:
        return self.kernel.layout.weights.size * self.itemsize

    @property
    def structure(self) -> bytes:
        """The network's fingerprint: networks with the same one can exchange states."""
        return self.network.fingerprint

    @cached_property
    def placed(self) -> bytes:
        """SHA-256 of the structure and of where this machine's code has its weights: what a blob must agree with."""
        return hashlib.sha256(self.structure + struct.pack("<I", self.kernel.layout.lanes)).digest()

    @cached_property
    def identity(self) -> bytes:
        """SHA-256 of the structure and the values of all parameters: what a saved state must agree with."""
        digest = hashlib.sha256(self.structure)
        for value in self.values.values():
            digest.update(value.numpy().astype(f"<f{self.itemsize}").tobytes())
        return digest.digest()

    def blob_bytes(self) -> bytes:
        """The file of weights, little endian.

        128 bytes: OSTBLOB and a zero; uint32 version; uint32 CRC-32 of all behind the 128 bytes; uint64 number of
        these bytes; `placed`; `identity`; zeros. Then the initial states [S] and the packed weights [W].
        """
        numbers = torch.cat([self.first, self.packed]).numpy().astype(f"<f{self.itemsize}").tobytes()
        head = BLOB_MAGIC + struct.pack("<IIQ", VERSION, zlib.crc32(numbers), len(numbers))
        return (head + self.placed + self.identity).ljust(BLOB_HEADER, b"\0") + numbers


def plan(
    model: nn.Module | Stream | Network,
    chip: Chip,
    name: str,
    *,
    blob: bool,
    source: bool,
    samples: Any,
    max_steps: int | None,
) -> Plan:
    """Reads the model. Raises InputError where it cannot be exported, or not run on the machine."""
    if isinstance(model, Stream | Network):
        network = model.network if isinstance(model, Stream) else model
    else:
        network = read(model, whole=True)
    host()  # raises NoKernelsError: without kernels this machine does not know the bits
    if network.dtype is torch.float64 and not chip.float64:
        remedy = "Convert the model with model.float(), or choose a machine that has one."
        received = f"float64 for {chip.name}, which has no fused multiply-add of this type"
        raise InputError(phrase(WHERE, "the model's type", "float32", received, remedy))
    _check_steps(network, max_steps)
    return Plan(network, chip, name, blob, source, samples, max_steps)


def _check_steps(network: Network, max_steps: int | None) -> None:
    """Refuses a limit of steps where there is none, and a network of two directions without one."""
    if not network.whole:
        if max_steps is not None:
            remedy = "Leave it out: this network runs step by step, any number of them."
            raise InputError(phrase(WHERE, "max_steps", "None", repr(max_steps), remedy))
    elif not isinstance(max_steps, int) or isinstance(max_steps, bool) or max_steps < 1:
        received = f"{max_steps!r} for a network that reads from the end too"
        remedy = "Write max_steps=100: the workspace has room for so many steps."
        raise InputError(phrase(WHERE, "max_steps", "a whole number of at least 1", received, remedy))


def _default_samples(network: Network, steps: int) -> Tensor:
    """Drawn inputs: normal numbers, or tokens."""
    generator = torch.Generator().manual_seed(0)
    if network.input.tokens is not None:
        return torch.randint(0, network.input.tokens, (steps,), generator=generator)
    return torch.randn(steps, network.input.width, generator=generator, dtype=torch.float64).to(network.dtype)


def _given_samples(network: Network, samples: Any) -> Tensor:
    """samples as [T, C] or int64 [T]; the stream refuses wrong types and tokens itself."""
    x = torch.from_numpy(np.ascontiguousarray(samples)) if isinstance(samples, np.ndarray) else samples
    tokens = network.input.tokens is not None
    shape = ("T",) if tokens else ("T", network.input.width)
    good = isinstance(x, Tensor) and x.dim() == len(shape) and len(x) > 0
    if not good or (not tokens and x.shape[1] != network.input.width):
        received = str(list(x.shape)) if isinstance(x, Tensor) else type(samples).__name__
        remedy = "Time comes first, there is one row, and T is at least 1."
        raise ShapeError(phrase(WHERE, "samples", f"of the sizes [{', '.join(map(str, shape))}]", received, remedy))
    return x.detach().to(torch.int64 if tokens else network.dtype).contiguous() if _right_kind(x, tokens) else x


def _right_kind(x: Tensor, tokens: bool) -> bool:
    return x.dtype.is_floating_point != tokens
