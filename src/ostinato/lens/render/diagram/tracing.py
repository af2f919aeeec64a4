"""Which module of a model reads which, found by one run on an example.

Each module's output is detached. A later input of another module then has a gradient in exactly the outputs that it
was computed from, whatever functions lie between, and the steps where this gradient is not 0 are the steps that are
read.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ....errors import InputError, phrase
from ....layers.hooks import hooked
from ....layers.modes import eval_mode
from .axis_letters import Letters, steps_read
from .flow import Block, Edge, Flow, block_of, is_recurrent


@dataclass(frozen=True)
class _Source:
    """An output of a block, detached."""

    block: int
    """Number of the block."""
    given: Tensor
    """The tensor that its readers get."""
    leaf: Tensor | None
    """The leaf that it is a clone of, where its gradients end; None for integers."""
    state: bool = False
    """Whether it is a final state."""


@dataclass(frozen=True)
class _Read:
    """An input of a block."""

    arrived: Tensor
    """The tensor."""
    made_from: tuple[tuple[_Source, Tensor | None], ...]
    """The outputs that it was computed from, with its gradient in each; None for integers."""
    state: bool
    """Whether a recurrent layer takes it as its initial state."""


def trace(model: nn.Module, example: tuple[Any, ...], keywords: Mapping[str, Any], where: str) -> Flow:
    """The flow of a model on an example: one run in eval mode, of which nothing stays."""
    tracer = _Tracer(model)
    with eval_mode(model), torch.random.fork_rng(devices=[]), torch.enable_grad(), tracer.hooks():
        result = model(*tracer.inputs(example), **tracer.named_inputs(keywords))
    tracer.outputs(result)
    if not tracer.letters.recurrent:
        remedy = "Give an example that reaches the layer; layer.step is not seen, only calls of modules are."
        raise InputError(phrase(where, "model", "one that calls a recurrent layer", type(model).__name__, remedy))
    return tracer.flow()


class _Tracer:
    """The blocks, their outputs and what they read, recorded while the model runs."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.names = {id(module): name for name, module in model.named_modules()}
        self.parameters = list(inspect.signature(model.forward).parameters.values())
        self.letters = Letters()
        self.blocks: list[Block] = []
        self.numbers: dict[int, int] = {}
        self.sources: list[_Source] = []
        self.reads: list[tuple[int, _Read]] = []
        self.calls: list[tuple[int, list[_Read]]] = []  # those under way: calls finished when it began, what it reads
        self.finished = 0
        self.random = torch.Generator().manual_seed(0)

    @contextmanager
    def hooks(self) -> Iterator[None]:
        with ExitStack() as stack:
            for module in self.model.modules():
                stack.enter_context(hooked(module, self.enter, self.leave))
            yield

    def inputs(self, example: tuple[Any, ...]) -> list[Any]:
        """The example with a block for each tensor in it, under the name of its argument."""
        names = [p.name for p in self.parameters if p.kind is not p.VAR_POSITIONAL]
        names += [f"input {k + 1}" for k in range(len(names), len(example))]
        return [self.one_input(name, value) for name, value in zip(names, example)]

    def named_inputs(self, keywords: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self.one_input(name, value) for name, value in keywords.items()}

    def one_input(self, name: str, value: Any) -> Any:
        if not list(_tensors(value)):
            return value
        self.blocks.append(Block(name, "input"))
        return self.cut(len(self.blocks) - 1, value)

    def enter(self, module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        reads = []
        for place, value in [*enumerate(arguments), *keywords.items()]:
            state = is_recurrent(module) and place in (1, "state", "hx")
            reads += [self.read(t, state) for t in _tensors(value)]
        self.calls.append((self.finished, reads))

    def leave(self, module: nn.Module, arguments: Any, keywords: Any, output: Any) -> Any:
        before, reads = self.calls.pop()
        if self.finished > before:  # others ran within it: it is a container, and they are the blocks
            return None
        self.finished += 1
        x = next((r.arrived for r in reads), None)
        if id(module) not in self.numbers:
            self.numbers[id(module)] = len(self.blocks)
            batched = x is None or x.dim() > 2
            given = any(r.state for r in reads)
            self.blocks.append(block_of(module, self.names[id(module)], batched=batched, given=given))
            calls = 1
        else:
            calls = self.blocks[self.numbers[id(module)]].calls + 1
        number = self.numbers[id(module)]
        self.blocks[number] = replace(self.blocks[number], calls=calls)
        self.reads += [(number, r) for r in reads]
        if is_recurrent(module) and x is not None:
            self.letters.see(module, arguments[0] if arguments else x, x)
        if is_recurrent(module) and isinstance(output, tuple):
            return (self.cut(number, output[0]), self.cut(number, output[1], state=True), *output[2:])
        return self.cut(number, output)

    def cut(self, number: int, value: Any, *, state: bool = False) -> Any:
        """`value` with detached tensors, each a source of the block."""

        def one(t: Tensor) -> Tensor:
            leaf = t.detach().requires_grad_() if t.is_floating_point() else None
            # A clone may be changed in place by what reads it, which a leaf may not.
            given = t if leaf is None else leaf.clone()
            self.sources.append(_Source(number, given, leaf, state))
            return given

        return _replaced(value, one)

    def read(self, t: Tensor, state: bool) -> _Read:
        """The sources in which a tensor has a gradient; of an integer tensor the one that it is a view of."""
        if t.grad_fn is not None:
            able = [s for s in self.sources if s.leaf is not None]
            direction = torch.randn(t.shape, generator=self.random, dtype=t.dtype, device="cpu").to(t.device)
            leaves = [s.leaf for s in able if s.leaf is not None]
            gradients = torch.autograd.grad(t, leaves, direction, retain_graph=True, allow_unused=True)
            made_from = [(s, g) for s, g in zip(able, gradients) if g is not None]
            return _Read(t, tuple(made_from), state)
        same = [s for s in self.sources if s.given.untyped_storage().data_ptr() == t.untyped_storage().data_ptr()]
        return _Read(t, tuple((s, None) for s in same[-1:]), state)

    def outputs(self, result: Any) -> None:
        """A block for each tensor that the model returns; a layer's last state, handed on as it is, has none."""
        states = {id(s.given) for s in self.sources if s.state}
        tensors = [t for t in _tensors(result) if id(t) not in states]
        for k, t in enumerate(tensors):
            name = "output" if len(tensors) == 1 else f"output {k + 1}"
            self.blocks.append(Block(name, "output"))
            with torch.enable_grad():
                self.reads.append((len(self.blocks) - 1, self.read(t, False)))

    def flow(self) -> Flow:
        """Blocks and edges with their sizes in letters; an edge found in several calls of a module is one."""
        letters = self.letters
        edges: dict[Any, Edge] = {}
        over: dict[int, bool] = {}
        looped: set[int] = set()
        for number, r in self.reads:
            for source, gradient in r.made_from:
                if source.block == number:
                    looped.add(number)
                    continue
                given, arrived = tuple(source.given.shape), tuple(r.arrived.shape)
                timed = letters.over_time(arrived, source.given) or self.blocks[number].calls > 1
                over.setdefault(number, timed)
                key = (source.block, number, source.state, r.state)
                if key not in edges:
                    shapes = letters.write(given, True, source.state), letters.write(arrived, timed, r.state)
                    same = letters.steps_of(given) == letters.steps_of(arrived)
                    several = max(self.blocks[k].calls for k in (source.block, number)) > 1
                    steps = "each" if timed and (same or several) else steps_read(letters, gradient)
                    edges[key] = Edge(*key[:2], *shapes, steps, source.state, r.state)
        self._in_order_of_calls(edges, over)
        for number, block in enumerate(self.blocks):
            timed = over.get(number, True) or block.recurrence is not None
            self.blocks[number] = replace(block, over_time=timed, looped=number in looped)
        for source in self.sources:
            if self.blocks[source.block].kind == "input":
                timed = letters.over_time(tuple(source.given.shape), source.given)
                self.blocks[source.block] = replace(self.blocks[source.block], over_time=timed)
        return Flow(tuple(self.blocks), tuple(edges.values()), letters.sizes())

    def _in_order_of_calls(self, edges: dict[Any, Edge], over: dict[int, bool]) -> None:
        """Adds an edge, not proved, from the block before to each block whose inputs no gradient shows."""
        for number, r in self.reads:
            if any(target == number for _, target, *_ in edges) or number == 0:
                continue
            alike = [s.block for s in self.sources if s.given.shape == r.arrived.shape and s.leaf is None]
            source = alike[-1] if alike and alike[-1] < number else number - 1
            given = next(s.given for s in reversed(self.sources) if s.block == source and not s.state)
            timed = self.letters.over_time(tuple(r.arrived.shape), r.arrived)
            over[number] = timed
            shapes = self.letters.write(tuple(given.shape), True), self.letters.write(tuple(r.arrived.shape), timed)
            edges[source, number] = Edge(source, number, *shapes, "each" if timed else "all", proved=False)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in tuples, lists, dicts and packed sequences, whose data is the tensor."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, PackedSequence):
        yield value.data
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _replaced(value: Any, one: Callable[[Tensor], Tensor]) -> Any:
    """The same structure with other tensors."""
    if isinstance(value, Tensor):
        return one(value)
    if isinstance(value, PackedSequence):
        return value._replace(data=one(value.data))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_replaced(part, one) for part in value))
    if isinstance(value, list | tuple):
        return type(value)(_replaced(part, one) for part in value)
    if isinstance(value, dict):
        return {key: _replaced(part, one) for key, part in value.items()}
    return value
