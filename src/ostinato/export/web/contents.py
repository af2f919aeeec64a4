"""What the JavaScript class knows of a network: its modules, weights, states, and the outputs that Python computed."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ...errors import InputError, NoKernelsError, ShapeError, did_you_mean, phrase
from ...execution import backends
from ...network import Network
from ...streaming.choose import run_whole
from ...streaming.read import read
from ...streaming.runner import ReferenceRunner
from ...streaming.streams import Stream
from .emit import Emitted, emitted
from .fused import Way

Bits = Literal["same", "fast"]
STEPS = 16
"""Of the self-test, unless the caller gives samples."""


@dataclass(frozen=True)
class Contents:
    """A network, emitted, with what its self-test expects.

    stream  None for a network that runs on whole sequences
    xs, ys  inputs [T, C], or tokens [T], and outputs [T, O] in Python, or [1, O] where a sequence has one answer
    """

    network: Network
    emitted: Emitted
    bits: Bits
    stream: Stream | None
    xs: Tensor
    ys: Tensor

    @property
    def portable(self) -> Way:
        """How the module multiplies and adds that every engine runs."""
        return "exact" if self.bits == "same" else "plain"

    def script(self) -> str:
        """The record `NETWORK` of the script, as a line of JavaScript."""
        network, kernel = self.network, self.emitted.kernel
        tokens = network.input.tokens
        given = self.xs.to(torch.int32) if tokens is not None else self.xs
        record: dict[str, Any] = {
            "bits": self.bits,
            "inputs": network.input.width,
            "tokens": tokens or 0,
            "outputs": network.nodes[network.output].width,
            **self._states(),
            "relaxed": _base64(self.emitted.module("relaxed", False).data),
            "portable": _base64(self.emitted.module(self.portable, False).data),
            "weights": _base64(self.emitted.weights),
            "weightsSize": len(self.emitted.weights),
            "weightsCheck": zlib.crc32(self.emitted.weights),
            "initial": _base64(self.emitted.initial),
            "samples": {"x": _base64(given.numpy().tobytes()), "y": _base64(self.ys.numpy().tobytes())},
        }
        if network.whole:
            record |= {"answer": network.last, "workBytes": 4 * kernel.work_size}
        return f"const NETWORK = {embedded(record)};\n"

    def _states(self) -> dict[str, Any]:
        """What the record says of states, which only a stream has."""
        if self.stream is None:
            return {}
        layout, runner = self.emitted.kernel.layout, self.stream._runner
        return {
            "stateSize": layout.state.size,
            "states": [{"name": f.name, "width": f.width, "at": layout.states[f.name]} for f in self.network.states],
            "structure": runner.structure_digest,
            "digest": runner.weights_digest,
        }


def contents(
    where: str,
    model: nn.Module | Network | Stream,
    bits: str,
    samples: Tensor | None,
    probed: bool = False,
    whole: bool = False,
) -> Contents:
    """Reads and emits the model. Raises InputError, ShapeError and NoKernelsError as `wasm` says.

    probed  as in `emitted`
    whole   also a model of two directions, which runs on whole sequences
    """
    if bits not in get_args(Bits):
        hint = did_you_mean(bits, get_args(Bits))
        remedy = f'{hint}"same" has the bits of Python everywhere, "fast" may round products before sums.'
        raise InputError(phrase(where, "bits", '"same" or "fast"', repr(bits), remedy))
    if isinstance(model, Network | Stream):
        network = model if isinstance(model, Network) else model.network
    else:
        network = read(model, whole)
    stream = None if whole and network.whole else Stream(network)
    made = emitted(network, probed)
    if not backends.compiled(torch.empty(0)) if stream is None else isinstance(stream._runner, ReferenceRunner):
        remedy = "Export on x86-64 with AVX2 and FMA, or on aarch64: the self-test holds the bits of compiled kernels."
        raise NoKernelsError(phrase(where, "this machine", "one that compiles kernels", "one without them", remedy))
    xs = _samples(where, network, samples)
    if stream is None:
        ys = run_whole(network, xs)
        ys = ys[-1:] if network.last else ys
    else:
        ys = stream.push(xs)
    return Contents(network, made, "same" if bits == "same" else "fast", stream, xs, ys)


def _samples(where: str, network: Network, samples: Tensor | None) -> Tensor:
    x = network.input
    if samples is None:
        generator = torch.Generator().manual_seed(0)
        if x.tokens is not None:
            return torch.randint(0, x.tokens, (STEPS,), generator=generator)
        return torch.randn(STEPS, x.width, generator=generator)
    shape = "int64 [T]" if x.tokens is not None else f"[T, {x.width}]"
    if not isinstance(samples, Tensor) or samples.is_floating_point() == (x.tokens is not None):
        received = f"{samples.dtype}" if isinstance(samples, Tensor) else type(samples).__name__
        raise InputError(phrase(where, "samples", f"a tensor {shape}", received, "Give what the model reads."))
    if samples.dim() != (1 if x.tokens is not None else 2) or (x.tokens is None and samples.shape[1] != x.width):
        remedy = "Time comes first, and there is one row."
        raise ShapeError(phrase(where, "samples", f"of shape {shape}", list(samples.shape), remedy))
    if network.whole and not len(samples):
        remedy = "A sequence has at least one step."
        raise ShapeError(phrase(where, "samples", f"of shape {shape}, T at least 1", list(samples.shape), remedy))
    return samples.detach().cpu().to(torch.int64 if x.tokens is not None else torch.float32).contiguous()


def embedded(value: object) -> str:
    """JSON that a script element may hold: no text can end the element."""
    return json.dumps(value).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
