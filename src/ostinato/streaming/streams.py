"""`Stream`: a network that runs step by step, its weights packed once and its memory allocated once.

Letters: T steps, B rows, C numbers of an input, O of an output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, NoReturn, ParamSpec, Self, TypeVar, overload

import numpy as np
from numpy import ndarray
from torch import Tensor, from_numpy

from ..errors import InputError, OstinatoError, phrase
from ..network import Network
from .arguments import apart, check_fingerprint, check_memory, check_states, input_tensor, output_tensor, wrong_shape
from .choose import runner_of
from .rows import checked_rows, row_count
from .runner import Runner, X, Y, plain_tensors
from .state import State

Array = Tensor | np.ndarray
_WHERE = "Stream"
P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Stream")


def _alone(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """A method that runs while no other call of the same stream does.

    Python runs signal handlers, which may raise KeyboardInterrupt, after calls and at the start of functions. Neither
    is between `del` and `try`, so that the ticket always comes back. A stream that is closed inside keeps no ticket.
    """

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        tickets = self._tickets
        try:
            del tickets[0]
        except IndexError:
            raise self._refusal(method.__name__.strip("_")) from None
        try:
            return method(self, *args, **kwargs)
        finally:
            if not self._closed:
                tickets.append(None)

    return call


class Stream:
    """A model that runs step by step on `rows` rows; made by `ostinato.stream`, which says what it is.

    input   [B, C], or int64 [B] for tokens: the bound input, which `step()` without an argument reads
    output  [B, O]: the bound output, which `step()` without an argument writes
    rows    B, the rows at present
    network the nodes, parameters and states by name

    The bound buffers belong to the stream: `join` and `leave` replace them, every other call keeps them. One thread at
    a time may call a stream; a second one is refused. Streams of one model are independent of each other.
    """

    def __init__(self, network: Network, rows: int = 1):
        count = row_count("stream", "rows", rows)
        if network.whole:
            remedy = "run_whole runs it on a whole sequence."
            raise InputError(phrase("stream", "network", "of one direction", "one that reads from the end too", remedy))
        self.network = network
        with plain_tensors():
            runner = runner_of(network, count)
            runner.reset(None)
            self._begin(runner)

    @property
    def rows(self) -> int:
        """B, the rows at present."""
        return self._runner.rows

    @property
    def input(self) -> Tensor:
        """[B, C], or int64 [B] for tokens: what `step()` without an argument reads."""
        if self._input.data_ptr() != self._runner.input.data_ptr():
            self._not_replaced("input")
        return self._input

    @input.setter
    def input(self, value: Any) -> None:
        if value is not self._input:  # stream.input += 1 sets it to itself
            self._not_replaced("input")

    @property
    def output(self) -> Tensor:
        """[B, O]: what `step()` without an argument writes."""
        return self._output

    @output.setter
    def output(self, value: Any) -> None:
        if value is not self._output:
            self._not_replaced("output")

    def _not_replaced(self, name: str) -> NoReturn:
        remedy = f"Copy into it, stream.{name}[:] = value; it is the memory that the compiled code uses."
        raise InputError(phrase(_WHERE, name, "the stream's own tensor", "another one in its place", remedy))

    def _begin(self, runner: Runner) -> None:
        self._closed = False
        self._tickets = [None]
        """One ticket, taken by the call that runs: `del` and `append` are atomic, and cheaper than a lock."""
        self._bind(runner)

    def _bind(self, runner: Runner) -> None:
        """Goes on with this runner, its buffers and sizes."""
        # Callers get other tensors of the same memory: one whose memory they replace leaves that of the runner alone.
        x, y, fast = runner.input.detach(), runner.output.detach(), runner.fast()
        shape_x, shape_y = tuple(x.shape), tuple(y.shape)
        # No calls from here on, so that KeyboardInterrupt comes before or after all of it.
        self._runner, self._fast = runner, fast
        self._input, self._output, self._step_input, self._step_output = x, y, shape_x, shape_y

    # Steps.

    @overload
    def step(self, x: Tensor | None = None, *, out: Tensor | None = None) -> Tensor: ...
    @overload
    def step(self, x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray: ...
    def step(self, x: Array | None = None, *, out: Any = None) -> Any:
        """One step of all rows: x [B, C] → y [B, O], or [C] → [O] for one row; tokens int64 [B], or [] for one row.

        x is a torch tensor on the CPU or a NumPy array, and y is of the same kind. y is fresh memory, or `out`, which
        is written to. Without x the bound `input` is read and the bound `output` written and returned: nothing is
        allocated. No gradient is computed.
        """
        # A step of a small network takes less than a microsecond, so every line here counts: what tensors and arrays of
        # the right size need is written out, all else goes to `_any_step`.
        tickets = self._tickets
        try:
            del tickets[0]  # see `_alone`
        except IndexError:
            raise self._refusal("step") from None
        try:
            fast = self._fast
            if fast is not None:
                entries = fast.entries
                if x is None:
                    entries[X], entries[Y] = fast.bound_x, fast.bound_y
                    fast.call(fast.block)
                    if fast.tokens:
                        self._runner.check_tokens(self._runner.input)
                    return self._output
                kind = type(x)
                if kind is not Tensor and kind is not ndarray:
                    return self._any_step(x, out)
                if x.shape != fast.shape:
                    if fast.one is None or x.shape != fast.one.shape:
                        return self._any_step(x, out)
                    fast = fast.one
                if kind is Tensor:
                    if x.dtype is fast.dtype and x.is_cpu and x.is_contiguous() and not x.is_neg():
                        if out is None:
                            entries[X], entries[Y] = x.data_ptr(), fast.fresh_y
                            fast.call(fast.block)
                            if fast.tokens:
                                self._runner.check_tokens(x)
                            return from_numpy(fast.fresh.copy())
                        if (
                            type(out) is Tensor
                            and out.shape == fast.output_shape
                            and out.dtype is fast.output_dtype
                            and out.is_cpu
                            and out.is_contiguous()
                            and not out.is_neg()
                            and not out.requires_grad
                        ):
                            entries[X], entries[Y] = x.data_ptr(), out.data_ptr()
                            fast.call(fast.block)
                            if fast.tokens:
                                self._runner.check_tokens(x)
                            return out
                elif x.dtype == fast.array_dtype and (
                    out is None
                    or type(out) is ndarray
                    and out.shape == fast.output_shape
                    and out.dtype == fast.fresh.dtype
                    and out.flags.carray
                ):
                    fast.given[...] = x
                    entries[X], entries[Y] = fast.given_x, fast.fresh_y
                    fast.call(fast.block)
                    if fast.tokens:
                        self._runner.check_tokens(fast.given)
                    if out is None:
                        return fast.fresh.copy()
                    out[...] = fast.fresh
                    return out
            elif x is None:
                self._runner.run_bound()
                return self._output
            return self._any_step(x, out)
        except OstinatoError:
            raise
        except RuntimeError as error:  # torch's, for tensors without memory of their own
            raise self._no_numbers("step", x, out, error) from error
        finally:
            tickets.append(None)

    def _any_step(self, x: Any, out: Any) -> Any:
        given, shape = input_tensor(f"{_WHERE}.step", x, self.network), self._step_input
        single = self.rows == 1 and given.shape == shape[1:]
        if not single and given.shape != shape:
            raise wrong_shape(f"{_WHERE}.step", "x", shape, given)
        y = output_tensor("step", x, out, self._step_output[single:], self.network.dtype)
        self._runner.run(apart(given, y), y, 1)
        return out if out is not None else y if isinstance(x, Tensor) else y.numpy()

    @_alone
    def push(self, xs: Array, *, out: Any = None) -> Any:
        """T steps: xs [T, B, C] → ys [T, B, O], or [T, C] → [T, O] for one row; tokens int64 [T, B] or [T].

        The same bits as T calls of `step`, in one call. Time comes first, also for a model with batch_first.
        """
        given, inner = input_tensor(f"{_WHERE}.push", xs, self.network), self._step_input
        single = self.rows == 1 and given.dim() == len(inner) and given.shape[1:] == inner[1:]
        if not single and (given.dim() != len(inner) + 1 or given.shape[1:] != inner):
            raise wrong_shape(f"{_WHERE}.push", "xs", ("T", *inner), given)
        steps = given.shape[0]
        y = output_tensor("push", xs, out, (steps, *self._step_output[single:]), self.network.dtype)
        if steps:
            self._runner.run(apart(given, y), y, steps)
        return out if out is not None else y if isinstance(xs, Tensor) else y.numpy()

    # States.

    @_alone
    def state(self, rows: Sequence[int] | None = None) -> State:
        """A copy of the states of all rows, or of `rows` in that order, by name: [B, width] each."""
        index = None if rows is None else checked_rows("state", rows, self.rows)
        values = self._runner.read_states(index)
        return State(values, self._runner.structure_digest, self._runner.weights_digest)

    @_alone
    def load(
        self, state: State | Mapping[str, Tensor], rows: Sequence[int] | None = None, *, weights: str = "same"
    ) -> None:
        """Sets the states of all rows, or of `rows`, to those of `state`, which has as many rows, or one for all.

        state    what `state()` returned; or a dict of all states by name, [B, width] each, as an encoder gives them
        weights  "any" allows a State of other weights of the same equations and sizes, as after more training

        Raises InputError where a State belongs to a network of other equations, sizes or weights, and where a dict has
        other names or sizes.
        """
        where, runner = f"{_WHERE}.load", self._runner
        if weights not in ("same", "any"):
            raise InputError(phrase(where, "weights", '"same" or "any"', repr(weights)))
        index = list(range(self.rows)) if rows is None else checked_rows("load", rows, self.rows, distinct=True)
        if isinstance(state, State):
            digest = runner.weights_digest if weights == "same" else state.weights
            check_fingerprint(state, self.network, runner.structure_digest, digest)
        check_states(state, self.network, len(index))
        with plain_tensors():
            runner.write_states(state, index)

    @_alone
    def reset(self, rows: Sequence[int] | None = None) -> None:
        """Sets the states of all rows, or of `rows`, to zeros or the learned initial states."""
        self._runner.reset(None if rows is None else checked_rows("reset", rows, self.rows))

    @_alone
    def refresh(self) -> None:
        """Packs the present weights of the model. A stream does not notice that they change; states stay.

        They are those of the modules that the model had when the stream was made; where a module has been replaced, as
        in model.head = nn.Linear(…), make another stream. Raises InputError where a weight has other sizes than before.
        """
        with plain_tensors():
            self._runner.refresh()

    # Rows.

    @_alone
    def fork(self, rows: Sequence[int] | None = None) -> Self:
        """A new stream whose row k begins as a copy of row rows[k] of this one; all rows by default.

        The two share the packed weights and nothing else. So do copies of the module `copy`.
        """
        index = list(range(self.rows)) if rows is None else checked_rows("fork", rows, self.rows)
        other = type(self).__new__(type(self))
        other.network = self.network
        with plain_tensors():
            other._begin(self._runner.resized(index, 0))
        return other

    def __copy__(self) -> Self:
        return self.fork()

    def __deepcopy__(self, memo: object) -> Self:
        return self.fork()

    def __reduce__(self) -> NoReturn:
        remedy = "Save stream.state().to_bytes() and the model, and load the state into a stream of the model there."
        raise InputError(phrase(_WHERE, "a stream", "kept in its process", "one to pickle", remedy))

    @_alone
    def take(self, rows: Sequence[int]) -> None:
        """Row k becomes a copy of row rows[k], for a search that keeps B rows: as many indices as there are rows."""
        index = checked_rows("take", rows, self.rows)
        if len(index) != self.rows:
            remedy = "fork makes a stream with another number of rows; leave and join change this one."
            raise InputError(phrase(f"{_WHERE}.take", "rows", f"{self.rows} indices", f"{len(index)}", remedy))
        self._runner.take(index)

    @_alone
    def join(self, count: int = 1) -> list[int]:
        """Adds `count` rows at the end, from zeros or the learned initial states; returns their indices."""
        before, count = self.rows, row_count(f"{_WHERE}.join", "count", count)
        with plain_tensors():
            self._bind(self._runner.resized([*range(before)], count))
        return [*range(before, before + count)]

    @_alone
    def leave(self, rows: Sequence[int]) -> None:
        """Removes rows; those that stay keep their order, and their indices close up."""
        gone = set(checked_rows("leave", rows, self.rows, distinct=True))
        with plain_tensors():
            self._bind(self._runner.resized([k for k in range(self.rows) if k not in gone], 0))

    def close(self) -> None:
        """Frees the memory; every later call is refused. A stream that nothing refers to needs no close."""
        if self._closed:
            return
        self._close()

    @_alone
    def _close(self) -> None:
        self._closed = True
        with plain_tensors():
            runner = self._runner.resized([], 0)
            runner.free()
            self._bind(runner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        states = ", ".join(f"{f.name} [{f.width}]" for f in self.network.states) or "none"
        sizes = f"input {list(self._step_input)}, output {list(self._step_output)}"
        return f"Stream(rows={self.rows}, {sizes}, states {states})"

    # Refusals.

    def _no_numbers(self, call: str, x: Any, out: Any, error: RuntimeError) -> Exception:
        """The error for a tensor that has no memory, as a sparse one; torch's own error where x and out have some."""
        for name, value in (("x", x), ("out", out)):
            if isinstance(value, Tensor):
                check_memory(f"{_WHERE}.{call}", name, value)
        return error

    def _refusal(self, call: str) -> OstinatoError:
        """The error of a call that finds no ticket."""
        if self._closed:
            remedy = "Make another one with ostinato.stream(model)."
            return InputError(phrase(f"{_WHERE}.{call}", "the stream", "open", "one that was closed", remedy))
        remedy = "Give every thread a stream of its own, stream.fork() or ostinato.stream(model), or hold a lock."
        received = "a call while another thread is in one"
        return InputError(phrase(f"{_WHERE}.{call}", "the stream", "called by one thread at a time", received, remedy))
