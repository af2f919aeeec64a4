"""`Cell`, the equations of a recurrent cell and everything that follows from them, and the decorator `@cell`."""

from __future__ import annotations

import inspect
import keyword
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, overload

from torch import Tensor

from ..caching import bounded_cache, graph_bytes
from ..errors import CellError, phrase
from . import text as _text
from .letters import MATRICES, ZeroLetter
from .tensors import TensorLetter
from .tracing import Trace, signature, trace
from .value import is_number

PARAMETER = {"W": "weight_ih", "U": "weight_hh", "V": "weight_hr", "b": "bias_ih", "d": "bias_hh"}
SETTINGS = ("name", "gates", "forget", "input", "init", "source", "differs")


class Cell:
    """A recurrent cell, defined by its equations.

    name       what it is called
    letters    the parameters' letters in the fixed order W U V b d p, those that it has
    gates      letter -> the names used with it, in the order in which torch-style tensors stack them
    states     the states' names, in the order of arguments and results; the output is the first value returned
    roles      "forget" and "input" -> gate names, declared by @cell(forget=..., input=...)
    init       "p.name" -> the value a parameter starts from
    random     (letter, name) of each random number of a step; a cell that has any takes `noise` along (cells.noise)
    trace      the graph of one step
    text       canonical text; `Cell.from_text(cell.text)` is the same cell

    A cell is immutable. It compares, hashes and pickles as its text.
    """

    def __init__(
        self,
        fn: Callable,
        *,
        name: str | None = None,
        gates: str | None = None,
        forget: str | None = None,
        input: str | None = None,
        init: dict[str, float] | None = None,
        source: str = "",
        differs: str = "",
        _zeros: tuple[str, ...] = (),
    ):
        self.name = _name(fn, name)
        for key, given in (("gates", gates), ("forget", forget), ("input", input)):
            if not isinstance(given, str | None):
                raise CellError(
                    phrase(f"cell {self.name}", key, "a str of names", type(given).__name__, _AS.get(key, ""))
                )
        self.fn, self._zeros = fn, _zeros
        self.trace: Trace = trace(fn, self.name, tuple(gates.split()) if gates is not None else (), _zeros)
        self.letters = tuple(k for k in "WUVbdp" if k in self.trace.gates)
        self.gates = {k: self.trace.gates[k] for k in self.letters}
        self.states, self.random = self.trace.states, self.trace.random
        self.roles = {k: v for k, v in (("forget", forget), ("input", input)) if v is not None}
        self.init = {k: float(v) for k, v in sorted(_checked_init(init, self.name, self.gates.get("p", ())).items())}
        self.source, self.differs = source, differs
        self.__doc__ = inspect.getdoc(fn)
        for role, gate in self.roles.items():
            if gate not in self.trace.order and not _zeros:
                known = " ".join(self.trace.order)
                remedy = f"Write one of these, or leave {role}= out."
                raise CellError(
                    phrase(f"cell {self.name}", role, f"a gate of the equations ({known})", repr(gate), remedy)
                )

    def retrace(self) -> Trace:
        """A copy of the graph, to which a caller may add nodes. `trace` must not change: kernels are made from it."""
        return trace(self.fn, self.name, self.trace.order, self._zeros)

    @cached_property
    def place(self) -> dict[tuple[str, str], int]:
        """(letter, name) -> the index of the gate among the stacked gates of the letter."""
        return {(letter, name): k for letter, names in self.gates.items() for k, name in enumerate(names)}

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """The function's own arguments: letters, x, states."""
        letters, states = signature(self.fn, self.name)
        return (*letters, "x", *states)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function of the equations with its own arguments."""
        return self.fn(*args, **kwargs)

    @cached_property
    def state_widths(self) -> tuple[str, ...]:
        """ "H" or "P" of each state."""
        return tuple(self.trace.widths[o.id] for o in self.trace.previous_states)

    @cached_property
    def random_widths(self) -> tuple[str, ...]:
        """ "H" or "P" of each random number."""
        widths = {v.attr: self.trace.widths[v.id] for v in self.trace.graph.nodes if v.op == "random"}
        return tuple(widths[place] for place in self.random)

    @cached_property
    def output_width(self) -> str:
        """ "H" or "P"."""
        w = self.trace.widths[self.trace.output.id]
        return "H" if w == "1" else w

    @cached_property
    def output_state(self) -> int | None:
        """The index of the state that is also the output; None where the output is another value."""
        return next((k for k, v in enumerate(self.trace.next_states) if v is self.trace.output), None)

    @property
    def projected(self) -> bool:
        return "V" in self.letters

    def width(self, symbol: str, input_size: int, hidden_size: int, proj_size: int = 0) -> int:
        """The size for the symbol "C", "H", "P" or "1"."""
        return {"C": input_size, "H": hidden_size, "P": proj_size or hidden_size, "1": 1}[symbol]

    def parameters(self, input_size: int, hidden_size: int, proj_size: int = 0) -> dict[str, tuple[int, ...]]:
        """torch-style parameter name (without the layer's suffix) -> shape, in the order in which kernels take them.

        weight_ih [G·H, C], weight_hh [G·H, H or P], weight_hr [P, H], bias_ih and bias_hh [G·H], each p_NAME [H or P].
        """

        def size(symbol: str) -> int:
            return self.width(symbol, input_size, hidden_size, proj_size)

        rows, columns = {"V": "P"}, {"W": "C", "U": self.operand_width, "V": "H"}
        shapes: dict[str, tuple[int, ...]] = {}
        for k in self.letters:
            if k == "p":
                shapes.update({f"p_{n}": (size(self.vector_widths[n]),) for n in self.gates[k]})
            else:
                stacked = len(self.gates[k]) * size(rows.get(k, "H"))
                shapes[PARAMETER[k]] = (stacked, size(columns[k])) if k in columns else (stacked,)
        return shapes

    @cached_property
    def operand_width(self) -> str:
        """ "H" or "P": what the U products read."""
        widths = self.trace.widths
        nodes = self.trace.graph.nodes
        return next((widths[v.args[0].id] for v in nodes if v.op == "mm" and v.attr[0] == "U" and v.id in widths), "H")

    @cached_property
    def vector_widths(self) -> dict[str, str]:
        """ "H" or "P" of each vector p.NAME."""
        widths = self.trace.widths
        return {
            v.attr[1]: widths[v.id]
            for v in self.trace.graph.nodes
            if v.op == "vec" and v.attr[0] == "p" and v.id in widths
        }

    @cached_property
    def text(self) -> str:
        """The canonical text: a decorator line and a function, read back by `Cell.from_text`."""
        settings = {**self.roles, **({"init": self.init} if self.init else {})}
        if self._explicit_order:
            settings["gates"] = " ".join(self._explicit_order)
        return f"@cell({', '.join(f'{k}={v!r}' for k, v in sorted(settings.items()))})\n{self._definition}"

    @cached_property
    def equations(self) -> str:
        """The canonical body alone. It does not fix the order of gates; compare `text` where the order matters."""
        return _text.body(self.trace)

    @property
    def _definition(self) -> str:
        random = dict.fromkeys(k for k, _ in self.random)
        return f"def {self.name}({', '.join((*self.letters, *random, 'x', *self.states))}):\n{self.equations}\n"

    @cached_property
    def _explicit_order(self) -> tuple[str, ...]:
        """The order of gates where the canonical text must state it, because the equations alone give another one."""
        name, fn, _ = _text.parse(self._definition)
        try:
            return () if trace(fn, name).gates == self.gates else self.trace.order
        except CellError:  # two letters name the gates in different orders, so the text must state one
            return self.trace.order

    @staticmethod
    def from_text(text: str) -> Cell:
        """The cell of a canonical text. Raises CellError for anything that is not the notation."""
        if not isinstance(text, str):
            raise CellError(phrase("Cell.from_text", "text", "a str", type(text).__name__, "Write cell.text."))
        return _from_text(text)

    def without_bias(self) -> Cell:
        """The same equations with b and d read as zero."""
        return _without_bias(self) if {"b", "d"} & set(self.letters) else self

    def split(self, weights: Sequence[Tensor]) -> dict[str, dict[str, Tensor]]:
        """letter -> name -> the gate's part of the weights, as views; `weights` are in the order of `parameters`."""
        parts: dict[str, dict[str, Tensor]] = {}
        rest = list(weights)
        for k in self.letters:
            names = self.gates[k]
            if k == "p":
                parts[k] = dict(zip(names, rest, strict=True))
            else:
                parts[k] = dict(zip(names, rest.pop(0).chunk(len(names)), strict=True))
        return parts

    def step(
        self,
        weights: Sequence[Tensor],
        x: Tensor,
        states: Sequence[Tensor],
        products: dict[tuple[str, str], Tensor] | None = None,
        drawn: Sequence[Tensor] = (),
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One step in plain torch: x [B, C], states [B, H or P] each -> output [B, H or P], new states.

        products  if given, it is filled: (letter, name) -> the product of that weight, [B, ·], with its autograd graph
        drawn     a tensor [B, H or P] for each of `random`
        """
        parts = self.split(weights)
        for (letter, name), numbers in zip(self.random, drawn, strict=True):
            parts.setdefault(letter, {})[name] = numbers
        arguments: dict[str, Any] = {
            k: TensorLetter(v, k in MATRICES, None if products is None else (k, products)) for k, v in parts.items()
        }
        arguments.update({k: ZeroLetter(x.new_zeros(())) for k in self._zeros})
        arguments.update(zip(self.states, states, strict=True), x=x)
        result = self.fn(*[arguments[k] for k in self.arguments])
        values = list(result) if isinstance(result, tuple) else [result]

        def fit(v: Any, size: int) -> Tensor:
            whole = v if isinstance(v, Tensor) else x.new_tensor(v)
            return whole if whole.shape == (*x.shape[:-1], size) else whole.expand(*x.shape[:-1], size)

        new = tuple(fit(v, s.shape[-1]) for v, s in zip(values[-len(states) :], states, strict=True))
        return new[0] if len(values) == len(new) else fit(values[0], self.output_size(weights, states)), new

    def output_size(self, weights: Sequence[Tensor], states: Sequence[Tensor]) -> int:
        """The number of entries of the output, from the tensors of a call."""
        return self.size(self.output_width, weights, states)

    def size(self, width: str, weights: Sequence[Tensor], states: Sequence[Tensor]) -> int:
        """What "H" or "P" is in a call with these tensors."""
        if width in self.state_widths:
            return states[self.state_widths.index(width)].shape[-1]
        projection = weights[self.letters.index("V")]
        return projection.shape[0] // len(self.gates["V"]) if width == "P" else projection.shape[1]

    def __reduce__(self) -> tuple:
        return (_restore, (self.text, self.source, self.differs, self.__doc__))

    def __eq__(self, o: object) -> bool:
        return isinstance(o, Cell) and o.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __copy__(self) -> Cell:
        return self

    def __deepcopy__(self, memo: dict) -> Cell:
        return self

    def __repr__(self) -> str:
        names = " ".join(f"{k}.{n}" for k, v in self.gates.items() for n in v)
        return f"Cell({self.name}: {names or 'no parameters'}; states {' '.join(self.states)})"


_AS = {"gates": 'Write gates="i f g o".', "forget": 'Write forget="f".', "input": 'Write input="i".'}


def _name(fn: Callable, given: str | None) -> str:
    """The cell's name: as given, or the function's own; a function without a name is called cell."""
    own = getattr(fn, "__name__", "cell")
    name = given if given is not None else "cell" if own == "<lambda>" else own
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise CellError(
            phrase("@cell", "name", "a plain word", repr(name), 'Write letters, digits and _, as in name="my_lstm".')
        )
    return name


def _checked_init(init: object, name: str, vectors: tuple[str, ...]) -> dict[str, Any]:
    where, own = f"cell {name}", ", ".join(f"p.{n}" for n in vectors) or "none"
    remedy = f"Its own vectors are: {own}."
    if init is None:
        return {}
    if not isinstance(init, dict):
        raise CellError(phrase(where, "init", "a dict of p.name -> number", type(init).__name__, remedy))
    for key, start in init.items():
        if not isinstance(key, str) or key.removeprefix("p.") not in vectors or not key.startswith("p."):
            raise CellError(phrase(where, "init", "a dict of p.name -> number", repr(key), remedy))
        if not is_number(start) or not math.isfinite(start):
            raise CellError(
                phrase(where, f"init of {key}", "a finite number", repr(start), f'Write init={{"{key}": 0.25}}.')
            )
    return init


def _restore(text: str, source: str, differs: str, doc: str | None) -> Cell:
    name, fn, settings = _text.parse(text)
    restored = Cell(fn, name=name, source=source, differs=differs, **settings)
    restored.__doc__ = doc
    return restored


@bounded_cache(32 << 20, size_of=lambda parsed, text: graph_bytes(parsed) + len(text))
def _from_text(text: str) -> Cell:
    name, fn, settings = _text.parse(text)
    return Cell(fn, name=name, **settings)


@bounded_cache(8 << 20, size_of=graph_bytes)
def _without_bias(c: Cell) -> Cell:
    zeros = tuple(k for k in "bd" if k in c.letters)
    names = {n for k in c.letters if k not in "bdp" for n in c.gates[k]}
    order = " ".join(n for n in c.trace.order if n in names)
    bare = Cell(c.fn, name=c.name, gates=order, source=c.source, differs=c.differs, init=c.init, _zeros=zeros)
    bare.roles = {k: v for k, v in c.roles.items() if v in names}
    bare.__doc__ = c.__doc__
    return bare


@overload
def cell(fn: Callable[..., Any], /) -> Cell: ...
@overload
def cell(
    *,
    name: str | None = None,
    gates: str | None = None,
    forget: str | None = None,
    input: str | None = None,
    init: dict[str, float] | None = None,
    source: str = "",
    differs: str = "",
) -> Callable[[Callable[..., Any]], Cell]: ...
def cell(fn: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
    """Makes a `Cell` of a function that states its equations.

        @ostinato.cell
        def elman(W, U, b, x, h):
            return tanh(W.h @ x + U.h @ h + b.h)

    fn takes letters out of W U V b d p R S, then x, then the states; it returns each state's next value, and before
    them the output where that is not the first state. Settings: gates="i f g o" pins the order in which gates are
    stacked; forget= and input= name the gates that play those roles; init={"p.a": 0.25} gives a vector's start; source=
    and differs= are for the documentation. Raises CellError, with the line and what to write instead.
    """
    if unknown := set(settings) - set(SETTINGS):
        raise CellError(phrase("@cell", "settings", f"out of {', '.join(SETTINGS)}", min(unknown)))
    if fn is None:
        return lambda f: cell(f, **settings)
    return Cell(fn.fn if isinstance(fn, Cell) else fn, **settings)
