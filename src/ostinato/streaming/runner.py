"""What runs a stream's steps: the memory of its rows and the code of its network.

Letters: T steps, B rows, C numbers of an input, O of an output, S columns of the state matrix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from .. import _torch_private
from ..errors import InputError, phrase
from ..network import Network, Parameter
from ..network.reference import Reference

X, Y = 0, 1
"""Places of the addresses of x and y in `Fast.entries`."""


@contextmanager
def plain_tensors() -> Iterator[None]:
    """New tensors are without a gradient and may be changed later, also where the caller is in inference mode or under
    torch.func."""
    with _torch_private.untransformed(), torch.no_grad():
        yield


@dataclass(slots=True)
class Fast:
    """What `Stream.step` calls the kernel with.

    call, block  the function, and the address of its argument block
    entries      the argument block, one step from the address at X to that at Y
    shape, dtype of x, and array_dtype, NumPy's; output_shape, output_dtype of y
    tokens       whether x holds tokens, of which the kernel may refuse one
    given        private memory for x of a NumPy array, at given_x; fresh for y, at fresh_y
    """

    call: Callable[[Any], None]
    block: Any
    entries: Any
    shape: tuple[int, ...]
    dtype: torch.dtype
    array_dtype: np.dtype
    output_shape: tuple[int, ...]
    output_dtype: torch.dtype
    tokens: bool
    bound_x: int
    bound_y: int
    given: np.ndarray
    given_x: int
    fresh: np.ndarray
    fresh_y: int
    one: Fast | None = None
    """The same memory without the dimension of rows, for x [C] of a stream of one row."""


class Runner:
    """The memory of B rows; a subclass runs steps on it.

    input, output  bound buffers [B, C] and [B, O]
    state          [B, S], every row's states side by side
    """

    rows: int
    input: Tensor
    output: Tensor
    state: Tensor

    def __init__(self, network: Network, rows: int):
        self.network = network
        self.places, self.columns = self._place_states()
        self._allocate(rows)
        self.refresh()

    def _place_states(self) -> tuple[dict[str, slice], int]:
        """(state's name → its columns of the state matrix, S)."""
        places, at = {}, 0
        for field in self.network.states:
            places[field.name] = slice(at, at + field.width)
            at += field.width
        return places, at

    @_torch_private.untransformed()
    def _allocate(self, rows: int) -> None:
        """Memory for `rows` rows on the CPU, whatever torch's default device; its content is undefined."""
        network, x = self.network, self.network.input
        self.rows = rows
        shape, dtype = ((rows,), torch.int64) if x.tokens is not None else ((rows, x.width), network.dtype)
        self.input = torch.zeros(shape, dtype=dtype, device="cpu")
        width = network.nodes[network.output].width
        self.output = torch.zeros(rows, width, dtype=network.dtype, device="cpu")
        self.state = torch.zeros(rows, self.columns, dtype=network.dtype, device="cpu")

    # Steps.

    def run(self, x: Tensor, y: Tensor, steps: int) -> None:
        """`steps` steps: x [T, B, C] and y [T, B, O] contiguous, or without T or B where these are 1."""
        raise NotImplementedError

    def run_bound(self) -> None:
        """One step from `input` to `output`."""
        self.run(self.input, self.output, 1)

    def fast(self) -> Fast | None:
        """What a step calls directly; None where steps go through `run`."""
        return None

    def check_tokens(self, x: Tensor | np.ndarray) -> None:
        """Raises InputError where the last call has refused a token of x."""

    # Weights.

    def refresh(self) -> None:
        """Takes the present values of the parameters."""
        values = {p.name: _present(p) for p in self.network.parameters}
        first = torch.zeros(self.columns, dtype=self.network.dtype, device="cpu")
        for field in self.network.states:
            place = self.places[field.name]
            first[place] = field.fill if field.initial is None else values[field.initial.name]
        # Copies, because the model may change its values before the digest is asked for.
        copies = {name: value.clone() for name, value in values.items()}
        self._pack(values)
        self._first, self._values = first, copies
        self.__dict__.pop("weights_digest", None)

    def _pack(self, values: Mapping[str, Tensor]) -> None:
        """Lays the values of the parameters out as the code reads them."""
        raise NotImplementedError

    @property
    def structure_digest(self) -> str:
        """The network's fingerprint, as hexadecimal digits."""
        return self.network.fingerprint.hex()

    @cached_property
    def weights_digest(self) -> str:
        """SHA-256 of the packed values of the parameters, in the order of the network."""
        # Stored before the copies are let go: after KeyboardInterrupt between the two either is there.
        self.__dict__["weights_digest"] = digest = digest_of(self._values)
        self._values = {}
        return digest

    # States.

    def reset(self, rows: Sequence[int] | None) -> None:
        """Sets rows to the initial states."""
        if rows is None:
            self.state[:] = self._first
        else:
            self.state[list(rows)] = self._first

    def read_states(self, rows: Sequence[int] | None) -> dict[str, Tensor]:
        """Copies of the states, [B, width] each."""
        lines = self.state if rows is None else self.state[list(rows)]
        return {name: lines[:, place].clone() for name, place in self.places.items()}

    def write_states(self, values: Mapping[str, Tensor], rows: Sequence[int]) -> None:
        """Sets the states of rows, from as many rows or from one for all."""
        lines = self.state[list(rows)]
        for name, place in self.places.items():
            lines[:, place] = values[name].detach().to(lines.dtype)
        self.state[list(rows)] = lines  # at once, so that KeyboardInterrupt leaves no state half set

    # Rows.

    def resized(self, rows: Sequence[int], more: int) -> Self:
        """Another runner of the same code and packed weights: copies of rows, then `more` in their first states."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        count = len(rows)
        other._allocate(count + more)
        other.state[:count] = self.state[list(rows)]
        other.state[count:] = self._first
        return other

    def take(self, rows: Sequence[int]) -> None:
        """Row k becomes a copy of row rows[k]."""
        self.state.copy_(self.state[list(rows)])

    def free(self) -> None:
        """Frees the memory of the rows and of the weights; the runner is of no use after it."""
        self._allocate(0)
        self._values = {}


class ReferenceRunner(Runner):
    """Runs the reference, in plain torch, where this machine has no kernels."""

    def _pack(self, values: Mapping[str, Tensor]) -> None:
        self.reference = Reference(self.network)
        self.reference.values = {name: value.clone() for name, value in values.items()}  # the model may change its own

    def free(self) -> None:
        super().free()
        self.reference.values = {}

    def run(self, x: Tensor, y: Tensor, steps: int) -> None:
        tokens = self.network.input.tokens
        if tokens is not None:
            for token in x.reshape(-1)[(x.reshape(-1) < 0) | (x.reshape(-1) >= tokens)].tolist():
                raise no_such_token(token, tokens)
        xs = x.reshape(steps, *self.input.shape)
        with torch.no_grad():
            ys, states = self.reference.run(xs, self.read_states(None))
            y.copy_(ys.reshape(y.shape))
        self.write_states(states, range(self.rows))


def digest_of(values: Mapping[str, Tensor]) -> str:
    """SHA-256 of the values of parameters, in their order."""
    digest = hashlib.sha256()
    for value in values.values():
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)  # NumPy has no bfloat16
    return digest.hexdigest()


def no_such_token(token: int, tokens: int) -> InputError:
    """The error for a token that the table does not have, before any state has changed."""
    remedy = "The embedding has no row for it; the states are as before."
    return InputError(phrase("Stream", "x", f"tokens from 0 to {tokens - 1}", token, remedy))


def _present(p: Parameter) -> Tensor:
    """The present value of a parameter. Raises InputError where it is gone or has other sizes than the network's."""
    remedy = "Make another stream of the model, ostinato.stream(model)."
    try:
        value = p.read()
    except (AttributeError, NotImplementedError) as error:  # it is None now, or on the device meta
        raise InputError(phrase("Stream.refresh", p.name, "a tensor with values", "none", remedy)) from error
    if tuple(value.shape) != p.shape:
        received = str(list(value.shape))
        raise InputError(phrase("Stream.refresh", p.name, f"of the sizes {list(p.shape)}", received, remedy))
    return value
