"""`Cell`, the equations with all that is derived from them once, and `@cell`, which makes one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any

import torch

from ..errors import CellError, InputError, phrase
from . import text as _text
from .notation import MATRICES, TensorLetter, Trace, ZeroLetter, signature, trace

PARAMETER = {"W": "weight_ih", "U": "weight_hh", "V": "weight_hr", "b": "bias_ih", "d": "bias_hh"}


class Cell:
    """A recurrent cell: its equations, typed once.

    name       what it is called
    letters    the parameters' letters in the fixed order W U V b d p, those that it has
    gates      letter -> the names used with it, in the order in which torch-style tensors stack them
    states     the states' names, in the order of arguments and results; the output is the first value returned
    roles      "forget" and "input" -> gate names, declared by @cell(forget=..., input=...)
    init       "p.name" -> the value a parameter starts from
    trace      the graph of one step
    text       canonical text; `Cell.from_text(cell.text)` is the same cell

    A cell is immutable, compares, hashes and pickles as its text.
    """

    def __init__(self, fn: Callable, *, name: str | None = None, gates: str | None = None, forget: str | None = None,
                 input: str | None = None, init: dict[str, float] | None = None, source: str = "", differs: str = "",
                 _zeros: tuple[str, ...] = ()):
        self.name = name or getattr(fn, "__name__", "cell")
        self.fn, self._zeros = fn, _zeros
        self.trace: Trace = trace(fn, self.name, tuple(gates.split()) if gates is not None else (), _zeros)
        self.letters = tuple(k for k in "WUVbdp" if k in self.trace.gates)
        self.gates = {k: self.trace.gates[k] for k in self.letters}
        self.states = self.trace.states
        self.roles = {k: v for k, v in (("forget", forget), ("input", input)) if v}
        self.init = dict(init or {})
        self.source, self.differs = source, differs
        self.__doc__ = inspect.getdoc(fn)
        names = {n for v in self.gates.values() for n in v}
        for role, gate in self.roles.items():
            if gate not in names:
                raise CellError(phrase(f"cell {self.name}", role, f"a gate of the equations ({', '.join(sorted(names))})", gate))
        for key in self.init:
            if not key.startswith("p.") or key[2:] not in self.gates.get("p", ()):
                raise CellError(phrase(f"cell {self.name}", "init", "a dict of p.name -> number", repr(key),
                                       f"Its own vectors are: {', '.join('p.' + n for n in self.gates.get('p', ())) or 'none'}."))

    @property
    def arguments(self) -> tuple[str, ...]:
        letters, states = signature(self.fn, self.name)
        return (*letters, "x", *states)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The equations themselves, on whatever they are given."""
        return self.fn(*args, **kwargs)

    @property
    def state_widths(self) -> tuple[str, ...]:
        """ "H" or "P" of each state."""
        return tuple(self.trace.widths[o.id] for o in self.trace.old)

    @property
    def output_width(self) -> str:
        w = self.trace.widths[self.trace.output.id]
        return "H" if w == "1" else w

    @property
    def output_state(self) -> int | None:
        """Which state the output is; None where it is a value of its own."""
        return next((k for k, v in enumerate(self.trace.new) if v is self.trace.output), None)

    @property
    def projected(self) -> bool:
        return "V" in self.letters

    def width(self, symbol: str, input_size: int, hidden_size: int, proj_size: int = 0) -> int:
        return {"C": input_size, "H": hidden_size, "P": proj_size or hidden_size, "1": 1}[symbol]

    def parameters(self, input_size: int, hidden_size: int, proj_size: int = 0) -> dict[str, tuple[int, ...]]:
        """torch-style parameter name (without the layer's suffix) -> shape, in the order in which kernels take them."""
        w = {"C": input_size, "H": hidden_size, "P": proj_size or hidden_size}
        shapes: dict[str, tuple[int, ...]] = {}
        for k in self.letters:
            g = self.gates[k]
            if k == "p":
                shapes.update({f"p_{n}": (w.get(self._vector_width(n), hidden_size),) for n in g})
            elif k == "W":
                shapes[PARAMETER[k]] = (len(g) * hidden_size, input_size)
            elif k == "U":
                shapes[PARAMETER[k]] = (len(g) * hidden_size, w[self.operand_width])
            elif k == "V":
                shapes[PARAMETER[k]] = (len(g) * w["P"], hidden_size)
            else:
                shapes[PARAMETER[k]] = (len(g) * hidden_size,)
        return shapes

    @property
    def operand_width(self) -> str:
        """ "H" or "P": what the U products read."""
        return next((self.trace.widths[v.args[0].id] for v in self.trace.graph.nodes
                     if v.op == "mm" and v.attr[0] == "U" and v.id in self.trace.widths), "H").replace("1", "H")

    def _vector_width(self, name: str) -> str:
        return next(self.trace.widths[v.id] for v in self.trace.graph.nodes if v.attr == ("p", name) and v.id in self.trace.widths)

    @cached_property
    def text(self) -> str:
        """The canonical text: a decorator line and a function, read back by `Cell.from_text`."""
        settings = {**self.roles, **({"init": self.init} if self.init else {})}
        if self._pinned:
            settings["gates"] = " ".join(self._pinned)
        head = f"@cell({', '.join(f'{k}={v!r}' for k, v in sorted(settings.items()))})\n"
        return f"{head}def {self.name}({', '.join((*self.letters, 'x', *self.states))}):\n{self.equations}\n"

    @cached_property
    def equations(self) -> str:
        """The canonical body, without the name: what kernels are cached by."""
        return _text.body(self.trace)

    @cached_property
    def _pinned(self) -> tuple[str, ...]:
        """The order of gates, when reading the canonical text would not give it by itself."""
        name, fn, _ = _text.parse(f"def {self.name}({', '.join((*self.letters, 'x', *self.states))}):\n{self.equations}\n")
        try:
            if trace(fn, name).gates == self.gates:
                return ()
        except CellError:  # the names come in two orders, which only a pinned order settles
            pass
        order: list[str] = []
        for k in self.letters:
            if k != "p":
                order += [n for n in self.gates[k] if n not in order]
        return tuple(order)

    @staticmethod
    def from_text(text: str) -> Cell:
        """The cell of a canonical text. Raises CellError for anything that is not the notation."""
        return _from_text(text)

    def without_bias(self) -> Cell:
        """The same equations with b and d read as zero."""
        return _without_bias(self) if {"b", "d"} & set(self.letters) else self

    def split(self, weights: Sequence[torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
        """letter -> name -> the gate's own tensor, views of the stacked weights in the order of `parameters`."""
        parts: dict[str, dict[str, torch.Tensor]] = {}
        rest = list(weights)
        for k in self.letters:
            if k == "p":
                parts[k] = dict(zip(self.gates[k], rest))
            else:
                stacked = rest.pop(0)
                parts[k] = dict(zip(self.gates[k], stacked.chunk(len(self.gates[k]))))
        return parts

    def step(self, weights: Sequence[torch.Tensor], x: torch.Tensor, states: Sequence[torch.Tensor]
             ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """One step in plain torch: x [B, C], states [B, H or P] each -> output [B, H or P], new states."""
        parts = self.split(weights)
        letters: dict[str, Any] = {k: TensorLetter(v, k in MATRICES) for k, v in parts.items()}
        letters.update({k: ZeroLetter(x) for k in self._zeros})
        result = self.fn(**letters, x=x, **dict(zip(self.states, states)))
        values = list(result) if isinstance(result, tuple) else [result]
        shape = {s: old.shape for s, old in zip(self.states, states)}
        new = [v if isinstance(v, torch.Tensor) and v.shape == shape[s] else _expand(v, states[k], shape[s])
               for k, (s, v) in enumerate(zip(self.states, values[-len(self.states) :]))]
        output = new[0] if len(values) == len(new) else values[0]
        if output is not new[0] and output.shape[-1] == 1:
            output = output.expand(*output.shape[:-1], states[0].shape[-1] if self.output_width == self.state_widths[0] else
                                   next(s.shape[-1] for s, w in zip(states, self.state_widths) if w == self.output_width))
        return output, tuple(new)

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
        return f"Cell({self.name}: {' '.join(f'{k}.{n}' for k, v in self.gates.items() for n in v)}; states {' '.join(self.states)})"


def _expand(v: Any, like: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    return (v if isinstance(v, torch.Tensor) else like.new_tensor(v)).expand(shape)


def _restore(text: str, source: str, differs: str, doc: str | None) -> Cell:
    c = _from_text(text)
    if (c.source, c.differs, c.__doc__) == (source, differs, doc):
        return c
    name, fn, settings = _text.parse(text)
    restored = Cell(fn, name=name, source=source, differs=differs, **settings)
    restored.__doc__ = doc
    return restored


@lru_cache(maxsize=1024)
def _from_text(text: str) -> Cell:
    name, fn, settings = _text.parse(text)
    unknown = set(settings) - {"forget", "input", "init", "gates"}
    if unknown:
        raise CellError(f"a cell's text knows gates, forget, input and init, got {min(unknown)}.")
    return Cell(fn, name=name, **settings)


@lru_cache(maxsize=256)
def _without_bias(c: Cell) -> Cell:
    zeros = tuple(k for k in "bd" if k in c.letters)
    order = " ".join(dict.fromkeys(n for k in c.letters if k not in "bdp" for n in c.gates[k]))
    bare = Cell(c.fn, name=c.name, gates=order or None, source=c.source, differs=c.differs, init=c.init, _zeros=zeros)
    names = {n for v in bare.gates.values() for n in v}
    bare.roles = {k: v for k, v in c.roles.items() if v in names}
    bare.__doc__ = c.__doc__
    return bare


def cell(fn: Callable | None = None, /, **settings: Any) -> Any:
    """Makes a `Cell` of a function that states its equations.

        @ostinato.cell
        def elman(W, U, b, x, h):
            return tanh(W.h @ x + U.h @ h + b.h)

    fn takes letters out of W U V b d p, then x, then the states; it returns each state's next value, and before them the
    output where that is not the first state. Settings: gates="i f g o" pins the order in which gates are stacked;
    forget= and input= name the gates that play those roles; init={"p.a": 0.25} gives a vector's start; source= and
    differs= are for the documentation. Raises CellError, with the line and what to write instead.
    """
    if fn is None:
        return lambda f: cell(f, **settings)
    known = {"name", "gates", "forget", "input", "init", "source", "differs"}
    if unknown := set(settings) - known:
        raise CellError(phrase("cell", "settings", f"out of {', '.join(sorted(known))}", min(unknown)))
    return Cell(fn, **settings)


def as_cell(c: object, where: str) -> Cell:
    """A `Cell`, from a cell, a catalogue name or a function that @cell would take."""
    if isinstance(c, Cell):
        return c
    if isinstance(c, str):
        from .catalogue import catalogue

        known = catalogue()
        if c in known:
            return known[c]
        raise InputError(phrase(where, "cell", f"a cell or one of {', '.join(known)}", repr(c)))
    if callable(c):
        return Cell(c)
    raise InputError(phrase(where, "cell", "a cell", type(c).__name__, "Write @ostinato.cell above the equations."))


