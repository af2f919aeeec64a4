"""Other implementations beside ours: torch.compile, and where they are installed JAX's lax.scan and ONNX Runtime.

All get the same numbers and as many threads as torch has, and none is timed before its results are right. They are
timed by themselves, one after another: each has threads of its own, which wait for work by spinning, so turns
within one process would slow down whoever comes next.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from statistics import median
from typing import Any

import torch
from measure import Material, Unequal, check, in_turns, job, material, pair
from shapes import Shape
from torch import Tensor, nn

from ostinato.cells import catalogue, gate_layouts

PEERS = {"jax": "JAX lax.scan", "onnxruntime": "ONNX Runtime", "compile": "torch.compile"}
CELLS = {"LSTM": "lstm", "GRU": "gru", "RNN tanh": "elman", "RNN relu": "elman_relu"}
NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


@dataclass(frozen=True)
class Peer:
    """`call` is timed; `read` turns what it returned into the names and layout of `measure.job`."""

    call: Callable[[], Any]
    read: Callable[[Any], dict[str, Tensor]]


def installed() -> dict[str, str]:
    """Peer → version, of those that can be timed here with torch's number of threads."""
    found = {name: version(name) for name in ("jax", "onnxruntime") if find_spec(name)} | {"compile": torch.__version__}
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    if torch.get_num_threads() != cores:
        # XLA takes one thread for each core of the process and has no dependable option for fewer.
        found.pop("jax", None)
    return found


def time_peers(shape: Shape, seconds: float) -> dict[str, float]:
    """Peer → median seconds of one call; raises Unequal when a peer computes something else."""
    if shape.layers > 1 or shape.directions > 1:
        return {}
    layer, given, found = pair(shape)[1], material(shape), {}
    right = job(layer, shape)()
    for name in installed():
        if name == "onnxruntime" and shape.training:
            continue
        peer = MAKERS[name](shape, layer, given)
        try:
            check(shape, peer.read(peer.call()), right)
        except Unequal as error:
            raise Unequal(f"{PEERS[name]}: {error}") from error
        found[name] = median(in_turns([peer.call], seconds, 3)[0])
    return found


def _jax(shape: Shape, layer: nn.Module, given: Material) -> Peer:
    """lax.scan, jitted, the product with x hoisted out of the loop and biases added ahead where they can be."""
    jax: Any = import_module("jax")
    jnp = jax.numpy
    weights = {name: jnp.asarray(weight.detach().numpy()) for name, weight in layer.named_parameters()}
    x, from_above = (jnp.asarray(tensor.detach().numpy()) for tensor in (given.x, given.from_above))
    states = 2 if shape.kind == "LSTM" else 1
    start = tuple(jnp.asarray(part[0].detach().numpy()) for part in given.start) or tuple(
        jnp.zeros((shape.batch, shape.hidden), jnp.float32) for _ in range(states)
    )

    def forward(weights: Any, x: Any, start: Any) -> Any:
        W, U, b, d = (weights[name] for name in NAMES)
        ahead = x @ W.T + (b if shape.kind == "GRU" else b + d)

        def step(old: Any, a: Any) -> Any:
            h = old[0]
            u = h @ U.T
            if shape.kind == "LSTM":
                i, f, g, o = jnp.split(a + u, 4, -1)
                c = jax.nn.sigmoid(f) * old[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
                return (h, c), h
            if shape.kind == "GRU":
                (ar, az, an), (ur, uz, un) = jnp.split(a, 3, -1), jnp.split(u + d, 3, -1)
                z = jax.nn.sigmoid(az + uz)
                h = (1 - z) * jnp.tanh(an + jax.nn.sigmoid(ar + ur) * un) + z * h
            else:
                h = jnp.tanh(a + u) if shape.kind == "RNN tanh" else jax.nn.relu(a + u)
            return (h,), h

        finals, outputs = jax.lax.scan(step, start, ahead)
        return outputs, finals

    def train(weights: Any, x: Any, start: Any, from_above: Any) -> Any:
        (outputs, finals), pull = jax.vjp(forward, weights, x, start)
        return outputs, finals, pull((from_above, jax.tree.map(jnp.zeros_like, finals)))

    compiled = jax.jit(train if shape.training else forward)
    arguments = (weights, x, start, from_above)[: 4 if shape.training else 3]

    def read(results: Any) -> dict[str, Tensor]:
        outputs, finals, *gradients = jax.device_get(results)
        found = {"output": outputs, **{f"output state {k}": part[None] for k, part in enumerate(finals)}}
        for d_weights, d_x, d_start in gradients:
            found |= {f"gradient {name}": d for name, d in d_weights.items()} | {"gradient x": d_x}
            found |= {f"gradient start {k}": part[None] for k, part in enumerate(d_start)}
        return {name: torch.tensor(value) for name, value in found.items()}

    return Peer(lambda: jax.block_until_ready(compiled(*arguments)), read)


def _onnxruntime(shape: Shape, layer: nn.Module, given: Material) -> Peer:
    """One node LSTM, GRU or RNN."""
    helper, numpy_helper = import_module("onnx.helper"), import_module("onnx.numpy_helper")
    runtime: Any = import_module("onnxruntime")
    cell = catalogue()[CELLS[shape.kind]]
    parameters = dict(layer.named_parameters())
    tensors = gate_layouts.write("onnx", cell, [parameters[name].detach() for name in NAMES])
    family, _, nonlinearity = shape.kind.partition(" ")
    options: dict[str, Any] = {"hidden_size": shape.hidden}
    options |= {"activations": [nonlinearity.capitalize()]} if nonlinearity else {}
    options |= {"linear_before_reset": 1} if family == "GRU" else {}
    outputs = ["Y", "Y_h", "Y_c"][: 3 if family == "LSTM" else 2]
    node = helper.make_node(family, ["X", "W", "R", "B"], outputs, **options)
    number = 1  # TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("X", number, list(given.x.shape))],
        [helper.make_tensor_value_info(name, number, None) for name in outputs],
        [numpy_helper.from_array(tensors[name][None].numpy(), name) for name in ("W", "R", "B")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = torch.get_num_threads(), 1
    session = runtime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    x = given.x.detach().numpy()

    def read(results: Any) -> dict[str, Tensor]:
        output, *finals = (torch.tensor(value) for value in results)
        return {"output": output[:, 0], **{f"output state {k}": part for k, part in enumerate(finals)}}

    return Peer(lambda: session.run(None, {"X": x}), read)


def _compiled(shape: Shape, layer: nn.Module, given: Material) -> Peer:
    """torch.nn's layer under torch.compile with its defaults.

    Dynamo 2.13 does not trace RNN, GRU and LSTM by default and calls the layer's own kernels from a compiled frame.
    With its experimental `allow_rnn` it unrolls the steps: compiling a training call of 20 steps takes minutes.
    """
    own = pair(shape)[1]
    own.compile()
    return Peer(job(own, shape), lambda results: results)


MAKERS = {"jax": _jax, "onnxruntime": _onnxruntime, "compile": _compiled}
