"""One step from Python, B = 1, in every way that `streaming_steps.py` compares: ours, ONNX Runtime's and torch.nn's.

Letters: T steps, C input numbers, H units; C = H. Every way keeps a state of its own and carries it from call to call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import repeat
from typing import Any, Literal

import numpy as np
import torch
from measure import OUTPUT_BOUND, Unequal, error
from streaming_loop import many_steps
from torch import Tensor, nn

import ostinato
from ostinato.cells import catalogue, gate_layouts

Kind = Literal["LSTM", "GRU"]
CHECKED = 50
"""Steps that every way computes before it is timed."""
OURS = {
    "bound": "bound buffers",
    "out": "tensor, out=",
    "fresh": "tensor, new result",
    "numpy": "NumPy array, new result",
}
"""Ways to call `Stream.step`."""
PEERS = {
    "binding": "ONNX Runtime, io-binding",
    "run": "ONNX Runtime, run",
    "cell": "torch.nn cell",
    "layer": "torch.nn layer, T = 1",
    "own": "ostinato layer.step",
}


@dataclass(frozen=True)
class Way:
    """One way to compute a step.

    many     runs that many steps on the same x, its loop inside so that no wrapper of a call is timed
    outputs  xs [T, C] → ys [T, H], one step after the other from zeros
    one      a single step, for those that are timed one by one
    """

    many: Callable[[int], None]
    outputs: Callable[[Tensor], Tensor]
    one: Callable[[], object] | None = None


def pair(kind: Kind, hidden: int) -> tuple[Any, nn.Module]:
    """Our layer and torch.nn's with the same random weights, C = H."""
    torch.manual_seed(0)
    ours, theirs = getattr(ostinato, kind)(hidden, hidden), getattr(nn, kind)(hidden, hidden)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def ways(kind: Kind, hidden: int) -> dict[str, Way]:
    """All ways by name: those of OURS, "compiled", those of PEERS."""
    ours, theirs = pair(kind, hidden)
    x = torch.randn(1, hidden)
    return {
        **_ours(ours, x),
        "compiled": compiled(kind, hidden),
        **_onnxruntime(kind, theirs, x),
        "cell": _cell(kind, theirs, x),
        "layer": _layer(theirs, x),
        "own": _own(ours, x),
    }


def compiled(kind: Kind, hidden: int) -> Way:
    """The compiled step by itself, in a loop of compiled code."""
    stream = ostinato.stream(pair(kind, hidden)[0])
    stream.input.copy_(torch.randn(1, hidden))
    many = many_steps(stream)

    def outputs(xs: Tensor) -> Tensor:
        stream.reset()
        found = []
        for x in xs:
            stream.input.copy_(x)
            many(1)
            found.append(stream.output.clone())
        return torch.cat(found)

    return Way(many, outputs)


def check(kind: Kind, hidden: int, found: dict[str, Way]) -> None:
    """Raises Unequal unless ours have the bits of the layer's own call, and all are right within the tolerance."""
    ours, theirs = pair(kind, hidden)
    xs = torch.randn(CHECKED, hidden)
    with torch.inference_mode():
        bits, right = ours(xs[:, None])[0][:, 0], theirs.double()(xs[:, None].double())[0][:, 0]
    for name, way in found.items():
        ys = way.outputs(xs)
        off = error(ys.double(), right, 0.0)
        if not off <= OUTPUT_BOUND:
            raise Unequal(f"{kind} {hidden}, {name}: differs from torch.nn in float64 by {off:.1e}.")
        if name not in PEERS and not torch.equal(ys, bits):
            raise Unequal(f"{kind} {hidden}, {name}: has other bits than the layer's own call.")


def _ours(layer: nn.Module, x: Tensor) -> dict[str, Way]:
    """`Stream.step` in the four ways; a stream for each, which share the packed weights."""
    first = ostinato.stream(layer)
    bound, given, fresh, array = first, first.fork(), first.fork(), first.fork()
    bound.input.copy_(x)
    out, x_array = torch.empty_like(x), x.numpy()

    def many_bound(count: int) -> None:
        step = bound.step
        for _ in repeat(None, count):
            step()

    def many_out(count: int) -> None:
        step = given.step
        for _ in repeat(None, count):
            step(x, out=out)

    def many_fresh(count: int) -> None:
        step = fresh.step
        for _ in repeat(None, count):
            step(x)

    def many_numpy(count: int) -> None:
        step = array.step
        for _ in repeat(None, count):
            step(x_array)

    def one_bound(x: Tensor) -> Tensor:
        bound.input.copy_(x)
        return bound.step()

    def one_out(x: Tensor) -> Tensor:
        return given.step(x, out=out)

    def one_numpy(x: Tensor) -> Tensor:
        return torch.from_numpy(array.step(x.numpy()))

    def outputs(stream: ostinato.Stream, one: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def run(xs: Tensor) -> Tensor:
            stream.reset()
            return torch.cat([one(x[None]).clone() for x in xs])

        return run

    return {
        "bound": Way(many_bound, outputs(bound, one_bound), partial(bound.step)),
        "out": Way(many_out, outputs(given, one_out)),
        "fresh": Way(many_fresh, outputs(fresh, fresh.step)),
        "numpy": Way(many_numpy, outputs(array, one_numpy)),
    }


def _session(kind: Kind, layer: nn.Module, names: list[str]) -> Any:
    """One node LSTM or GRU with the states as inputs and outputs and nothing beside it, on one thread."""
    helper, numpy_helper = import_module("onnx.helper"), import_module("onnx.numpy_helper")
    runtime: Any = import_module("onnxruntime")
    weights = [layer.get_parameter(f"{name}_l0").detach() for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    tensors = gate_layouts.write("onnx", catalogue()[kind.lower()], weights)
    hidden = weights[1].shape[1]
    options = {"hidden_size": hidden} | ({"linear_before_reset": 1} if kind == "GRU" else {})
    # Y is left out: at T = 1 its numbers are those of Y_h.
    inputs = ["X", "W", "R", "B", "", *(f"initial_{name}" for name in names)]
    node = helper.make_node(kind, inputs, ["", *(f"Y_{name}" for name in names)], **options)

    def described(name: str) -> Any:
        return helper.make_tensor_value_info(name, 1, [1, 1, hidden])  # 1: TensorProto.FLOAT

    graph = helper.make_graph(
        [node],
        "step",
        [described("X"), *(described(f"initial_{name}") for name in names)],
        [described(f"Y_{name}") for name in names],
        [numpy_helper.from_array(tensors[name][None].numpy(), name) for name in ("W", "R", "B")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    return runtime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])


def _onnxruntime(kind: Kind, layer: nn.Module, x: Tensor) -> dict[str, Way]:
    """With io-binding two bindings take turns, each of which reads what the other writes; and plain `run`."""
    names = ["h", "c"][: 2 if kind == "LSTM" else 1]
    session, hidden = _session(kind, layer, names), x.shape[1]
    memory = [{name: np.zeros((1, 1, hidden), np.float32) for name in names} for _ in range(2)]
    x_array = np.ascontiguousarray(x.numpy()[None])

    def bind(read: dict[str, np.ndarray], written: dict[str, np.ndarray]) -> Any:
        binding = session.io_binding()
        places = {"X": x_array} | {f"initial_{name}": place for name, place in read.items()}
        for name, place in places.items():
            binding.bind_input(name, "cpu", 0, np.float32, place.shape, place.ctypes.data)
        for name, place in written.items():
            binding.bind_output(f"Y_{name}", "cpu", 0, np.float32, place.shape, place.ctypes.data)
        return binding

    there, back = bind(memory[0], memory[1]), bind(memory[1], memory[0])

    def many_binding(count: int) -> None:
        run = session.run_with_iobinding
        for _ in repeat(None, count // 2):
            run(there)
            run(back)

    def outputs_binding(xs: Tensor) -> Tensor:
        for place in memory[0].values():
            place.fill(0)
        found = []
        for k, x in enumerate(xs.numpy()):
            x_array[0, 0] = x
            session.run_with_iobinding((there, back)[k % 2])
            found.append(torch.tensor(memory[1 - k % 2]["h"][0]))
        return torch.cat(found)

    def feeds() -> dict[str, np.ndarray]:
        return {"X": x_array} | {f"initial_{name}": np.zeros((1, 1, hidden), np.float32) for name in names}

    given, fetched = feeds(), [f"Y_{name}" for name in names]

    def many_run(count: int) -> None:
        run = session.run
        for _ in repeat(None, count):
            after = run(fetched, given)
            for name, value in zip(names, after):
                given[f"initial_{name}"] = value

    def outputs_run(xs: Tensor) -> Tensor:
        states, found = feeds(), []
        for x in xs.numpy():
            after = session.run(fetched, states | {"X": x[None, None]})
            states |= {f"initial_{name}": value for name, value in zip(names, after)}
            found.append(torch.tensor(after[0][0]))
        return torch.cat(found)

    # A step that does not turn to the other binding takes as long, and needs no more of Python than ours.
    one = partial(session.run_with_iobinding, there)
    return {"binding": Way(many_binding, outputs_binding, one), "run": Way(many_run, outputs_run)}


def _cell(kind: Kind, layer: nn.Module, x: Tensor) -> Way:
    """nn.LSTMCell or nn.GRUCell in inference mode."""
    hidden = x.shape[1]
    cell = (nn.LSTMCell if kind == "LSTM" else nn.GRUCell)(hidden, hidden)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    state: Any = None

    @torch.inference_mode()
    def many(count: int) -> None:
        nonlocal state
        for _ in repeat(None, count):
            state = cell(x, state)

    def steps(xs: Tensor) -> Iterator[Tensor]:
        now: Any = None
        for x in xs:
            now = cell(x[None], now)
            yield now[0] if kind == "LSTM" else now

    return Way(many, torch.inference_mode()(lambda xs: torch.cat(list(steps(xs)))))


def _layer(layer: nn.Module, x: Tensor) -> Way:
    """nn.LSTM or nn.GRU on sequences of one step in inference mode."""
    sequence, state = x[None], None

    @torch.inference_mode()
    def many(count: int) -> None:
        nonlocal state
        for _ in repeat(None, count):
            _, state = layer(sequence, state)

    def steps(xs: Tensor) -> Iterator[Tensor]:
        now = None
        for x in xs:
            y, now = layer(x[None, None], now)
            yield y[0]

    return Way(many, torch.inference_mode()(lambda xs: torch.cat(list(steps(xs)))))


def _own(layer: Any, x: Tensor) -> Way:
    """`step` of our own layer, which takes and returns the state, in inference mode."""
    state: Any = None

    @torch.inference_mode()
    def many(count: int) -> None:
        nonlocal state
        for _ in repeat(None, count):
            _, state = layer.step(x, state)

    def steps(xs: Tensor) -> Iterator[Tensor]:
        now: Any = None
        for x in xs:
            y, now = layer.step(x[None], now)
            yield y

    return Way(many, torch.inference_mode()(lambda xs: torch.cat(list(steps(xs)))))
