"""RNN, GRU and LSTM of ONNX as an independent truth: its own node tests, its evaluator, and onnxruntime.

Weights are converted by gate names (`ostinato.cells.gate_layouts`). An implementation is a function
(cell, x, states, weights, sizes, reverse) -> (output, finals); adding one to IMPLEMENTATIONS puts it under every test.

Where onnx 1.23 is silent: its node tests have equal numbers in all weights, so they cannot see an exchanged gate, and
none has a row shorter than the others; its evaluator (onnx.reference) ignores sequence_lens, input_forget and clip, and
of activations knows Tanh and Affine only. Those are tested against onnxruntime, which does all of it for float32 and
refuses layout=1.
"""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from onnx.backend.test.case.node import gru as gru_cases
from onnx.backend.test.case.node import lstm as lstm_cases
from onnx.backend.test.case.node import rnn as rnn_cases
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from ostinato.cells import Cell, catalogue
from ostinato.cells.gate_layouts import read
from ostinato.cells.reference import sequence
from ostinato.execution import dispatch
from ostinato.sequence import SequenceCall
from tolerance import check

try:
    import onnxruntime
except ImportError:
    onnxruntime = None

needs_runtime = pytest.mark.skipif(
    onnxruntime is None, reason="onnxruntime is not installed: lengths, coupled gates and activations are not compared"
)

Implementation = Callable[..., tuple[Tensor, list[Tensor]]]


def by_reference(cell: Cell, x, states, weights, sizes, reverse):
    output, finals, _ = sequence(cell, x, states, weights, sizes, reverse)
    return output, finals


def by_operator(cell: Cell, x, states, weights, sizes, reverse):
    """What layers call: the compiled kernels where the machine has them."""
    sizes = None if sizes is None else torch.tensor(sizes)
    result = dispatch.run(SequenceCall(cell, x, states, weights, sizes, reverse))
    output, finals = result.output, result.final_states
    return output, finals


IMPLEMENTATIONS: dict[str, Implementation] = {"reference": by_reference, "operator": by_operator}


@pytest.fixture(params=list(IMPLEMENTATIONS))
def implementation(request) -> Implementation:
    return IMPLEMENTATIONS[request.param]


# An ONNX node run by an implementation

ACTIVATIONS = {"Tanh": "elman", "Sigmoid": "elman_sigmoid", "Relu": "elman_relu", "Softplus": "elman_softplus"}


def cell_of(kind: str, attributes: dict, inputs: dict) -> Cell:
    if kind == "RNN":
        name = attributes.get("activations", ["Tanh"])[0]
        return catalogue()["elman_leaky_relu" if name == "LeakyRelu" else ACTIVATIONS[name]]
    if kind == "GRU":
        return catalogue()["gru" if attributes.get("linear_before_reset", 0) else "gru_reset_before"]
    if attributes.get("input_forget", 0):
        assert "P" not in inputs, "coupled gates with peepholes are a cell of their own; see PEEPHOLE_COUPLED"
        return catalogue()["lstm_coupled"]
    return catalogue()["lstm_peephole" if "P" in inputs else "lstm"]


def run_node(
    kind: str, attributes: dict, inputs: dict[str, Tensor], implementation: Implementation
) -> dict[str, Tensor]:
    """Y, Y_h and for an LSTM Y_c of a node: its directions, lengths, initial states and layout."""
    assert attributes.get("clip") is None
    cell = cell_of(kind, attributes, inputs)
    batch_first = bool(attributes.get("layout", 0))
    x = inputs["X"].transpose(0, 1) if batch_first else inputs["X"]
    steps, rows = x.shape[:2]
    lengths = inputs["sequence_lens"].tolist() if "sequence_lens" in inputs else [steps] * rows
    by_length = sorted(range(rows), key=lambda row: -lengths[row])
    sizes = [sum(n > t for n in lengths) for t in range(max(lengths))]
    packed = torch.cat([x[t, by_length[:n]] for t, n in enumerate(sizes)])
    directions = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    outputs, finals = [], []
    for k, reverse in enumerate(directions[attributes.get("direction", "forward")]):
        weights = read("onnx", cell, {n: inputs[n][k] for n in ("W", "R", "B", "P") if n in inputs})
        states = []
        for name in ("initial_h", "initial_c")[: len(cell.states)]:
            given = inputs.get(name)
            start = x.new_zeros(rows, attributes["hidden_size"]) if given is None else given.select(int(batch_first), k)
            states.append(start[by_length])
        whole = all(n == steps for n in lengths)
        if whole:
            output, final = implementation(cell, x[:, by_length], states, weights, None, reverse)
        else:
            data, final = implementation(cell, packed, states, weights, sizes, reverse)
            output = x.new_zeros(steps, rows, data.shape[-1])
            for t, part in enumerate(data.split(sizes)):
                output[t, : len(part)] = part
        back = torch.tensor(by_length).argsort()
        outputs.append(output[:, back])
        finals.append([f[back] for f in final])
    results = {"Y": torch.stack(outputs, 1)}
    results.update({n: torch.stack([f[k] for f in finals]) for k, n in enumerate(("Y_h", "Y_c")[: len(finals[0])])})
    if batch_first:
        results = {n: t.permute(2, 0, 1, 3) if n == "Y" else t.transpose(0, 1) for n, t in results.items()}
    return results


def attributes_of(node: onnx.NodeProto) -> dict:
    def plain(value):
        if isinstance(value, bytes):
            return value.decode()
        return [plain(v) for v in value] if isinstance(value, list) else value

    return {a.name: plain(helper.get_attribute_value(a)) for a in node.attribute}


# ONNX's own node tests


def node_tests() -> list:
    """(name, node, inputs, outputs) of every case: the modules hand them to `expect`, which is listened to here."""
    found = []
    for module in (rnn_cases, gru_cases, lstm_cases):
        original = module.expect
        module.expect = lambda node, inputs, outputs, name, **more: found.append((name, node, inputs, outputs))
        try:
            case = next(
                c for c in vars(module).values() if isinstance(c, type) and c.__name__ in ("RNN", "GRU", "LSTM")
            )
            for export in [f for f in vars(case) if f.startswith("export")]:
                getattr(case, export)()
        finally:
            module.expect = original
    return found


NODE_TESTS = node_tests()


def test_all_node_tests_are_found():
    kinds = [node.op_type for _, node, _, _ in NODE_TESTS]
    assert {kind: kinds.count(kind) >= 5 for kind in ("RNN", "GRU", "LSTM")} == dict.fromkeys(
        ("RNN", "GRU", "LSTM"), True
    )


@pytest.mark.parametrize(("name", "node", "inputs", "outputs"), NODE_TESTS, ids=[case[0] for case in NODE_TESTS])
def test_node(implementation, name, node, inputs, outputs):
    given = {n: torch.from_numpy(np.array(v)) for n, v in zip(node.input, inputs, strict=True) if n}
    found = run_node(node.op_type, attributes_of(node), given, implementation)
    names = [n for n in node.output if n]
    expected = {n: torch.from_numpy(np.array(v)) for n, v in zip(names, outputs, strict=True)}
    check("outputs", {n: found[n] for n in names}, expected, context=name)


# Larger random nodes

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def random_node(kind: str, dtype=torch.float64, peepholes=False, lengths=None, **attributes):
    """(attributes, inputs by name), with numbers of its own in every gate."""
    generator = torch.Generator().manual_seed(11)
    steps, rows, features, hidden = 7, 5, 4, 6
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    attributes["hidden_size"] = hidden

    def tensor(*shape, scale=0.6):
        return (torch.randn(shape, generator=generator, dtype=torch.float64) * scale).to(dtype)

    inputs = {
        "X": tensor(steps, rows, features, scale=1.0),
        "W": tensor(directions, GATES[kind] * hidden, features),
        "R": tensor(directions, GATES[kind] * hidden, hidden),
        "B": tensor(directions, 2 * GATES[kind] * hidden),
        "initial_h": tensor(directions, rows, hidden),
    }
    if lengths is not None:
        inputs["sequence_lens"] = torch.tensor(lengths, dtype=torch.int32)
    if kind == "LSTM":
        inputs["initial_c"] = tensor(directions, rows, hidden)
        if peepholes:
            inputs["P"] = tensor(directions, 3 * hidden)
    if attributes.get("layout"):
        for name in ("X", "initial_h", "initial_c"):
            if name in inputs:
                inputs[name] = inputs[name].transpose(0, 1).contiguous()
    return attributes, inputs


def model_of(kind: str, attributes: dict, inputs: dict[str, Tensor]) -> onnx.ModelProto:
    order = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
    last = max(k for k, n in enumerate(order) if n in inputs)
    outputs = ["Y", "Y_h", "Y_c"][: 3 if kind == "LSTM" else 2]
    node = helper.make_node(kind, [n if n in inputs else "" for n in order[: last + 1]], outputs, **attributes)
    kinds = {n: helper.np_dtype_to_tensor_dtype(t.numpy().dtype) for n, t in inputs.items()}
    graph = helper.make_graph(
        [node],
        kind,
        [helper.make_tensor_value_info(n, kinds[n], t.shape) for n, t in inputs.items()],
        [helper.make_tensor_value_info(n, kinds["X"], None) for n in outputs],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def named(outputs: Sequence, inputs: Sequence[str] = ("Y", "Y_h", "Y_c")) -> dict[str, Tensor]:
    return {n: torch.from_numpy(np.array(v)) for n, v in zip(inputs, outputs, strict=False)}


EVALUATED = [
    ("RNN", {}),
    ("RNN", {"direction": "reverse"}),
    ("RNN", {"direction": "bidirectional"}),
    ("RNN", {"direction": "bidirectional", "layout": 1}),
    ("GRU", {}),
    ("GRU", {"linear_before_reset": 1}),
    ("GRU", {"direction": "reverse", "linear_before_reset": 1}),
    ("GRU", {"direction": "bidirectional", "linear_before_reset": 0}),
    ("GRU", {"direction": "bidirectional", "linear_before_reset": 1, "layout": 1}),
    ("LSTM", {}),
    ("LSTM", {"peepholes": True}),
    ("LSTM", {"peepholes": True, "direction": "reverse"}),
    ("LSTM", {"direction": "bidirectional"}),
    ("LSTM", {"peepholes": True, "direction": "bidirectional", "layout": 1}),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("kind", "options"), EVALUATED, ids=str)
def test_against_the_evaluator(implementation, kind, options, dtype):
    attributes, inputs = random_node(kind, dtype, **options)
    evaluator = ReferenceEvaluator(model_of(kind, attributes, inputs))
    expected = named(evaluator.run(None, {n: t.numpy() for n, t in inputs.items()}))
    check("outputs", run_node(kind, attributes, inputs, implementation), expected)


def test_the_evaluator_ignores_lengths_and_coupled_gates():
    """Why these two are compared with onnxruntime; when this fails, they can join the evaluator's cases."""
    for kind, options in (("GRU", {"lengths": [7, 1, 3, 2, 5]}), ("LSTM", {"input_forget": 1})):
        attributes, inputs = random_node(kind, **options)
        plain = {n: t for n, t in inputs.items() if n != "sequence_lens"}
        without = {n: v for n, v in attributes.items() if n != "input_forget"}
        runs = [
            named(ReferenceEvaluator(model_of(kind, a, i)).run(None, {n: t.numpy() for n, t in i.items()}))
            for a, i in ((attributes, inputs), (without, plain))
        ]
        assert torch.equal(runs[0]["Y"], runs[1]["Y"]), f"onnx {onnx.__version__} now obeys {options}"


RUNTIME = [
    ("RNN", {"activations": ["Relu"]}),
    ("RNN", {"activations": ["Sigmoid"]}),
    ("RNN", {"activations": ["Softplus"], "direction": "reverse"}),
    ("RNN", {"activations": ["LeakyRelu"], "activation_alpha": [0.01]}),
    ("RNN", {"lengths": [7, 1, 3, 2, 5], "direction": "bidirectional", "activations": ["Tanh", "Tanh"]}),
    ("GRU", {"lengths": [7, 1, 3, 2, 5], "linear_before_reset": 1}),
    ("GRU", {"lengths": [2, 1, 6, 2, 5], "linear_before_reset": 0, "direction": "reverse"}),
    ("GRU", {"lengths": [7, 1, 3, 2, 5], "linear_before_reset": 1, "direction": "bidirectional"}),
    ("LSTM", {"lengths": [7, 1, 3, 2, 5]}),
    ("LSTM", {"lengths": [7, 1, 3, 2, 5], "peepholes": True, "direction": "reverse"}),
    ("LSTM", {"lengths": [3, 4, 4, 1, 2], "peepholes": True, "direction": "bidirectional"}),
    ("LSTM", {"input_forget": 1}),
    ("LSTM", {"input_forget": 1, "lengths": [7, 1, 3, 2, 5], "direction": "bidirectional"}),
]


def run_runtime(kind: str, attributes: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    model = model_of(kind, attributes, inputs).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return named(session.run(None, {n: t.numpy() for n, t in inputs.items()}))


@needs_runtime
@pytest.mark.parametrize(("kind", "options"), RUNTIME, ids=str)
def test_against_the_runtime(implementation, kind, options):
    attributes, inputs = random_node(kind, torch.float32, **options)
    check("outputs", run_node(kind, attributes, inputs, implementation), run_runtime(kind, attributes, inputs))


PEEPHOLE_COUPLED = """
def lstm_peephole_coupled(W, U, b, p, x, h, c):
    i = sigmoid(W.i @ x + b.i + U.i @ h + p.i * c)
    g = tanh(W.g @ x + b.g + U.g @ h)
    c = (1 - i) * c + i * g
    o = sigmoid(W.o @ x + b.o + U.o @ h + p.o * c)
    return o * tanh(c), c
"""


@needs_runtime
def test_coupled_gates_with_peepholes(implementation):
    """A cell that no catalogue has, from its equations: ONNX's LSTM with input_forget=1 and P."""
    cell = Cell.from_text(PEEPHOLE_COUPLED)
    attributes, inputs = random_node("LSTM", torch.float32, peepholes=True, input_forget=1)
    expected = run_runtime("LSTM", attributes, inputs)
    i, o, _, g = zip(*(inputs[n][0].chunk(4) for n in ("W", "R")), strict=True)
    bi, bo, _, bg = inputs["B"][0].view(2, 4, -1).sum(0)
    pi, po, _ = inputs["P"][0].chunk(3)
    assert cell.gates == {"W": tuple("igo"), "U": tuple("igo"), "b": tuple("igo"), "p": tuple("io")}
    weights = [*(torch.cat(parts) for parts in zip(i, g, o, strict=True)), torch.cat([bi, bg, bo]), pi, po]
    output, (h, c) = implementation(
        cell, inputs["X"], [inputs["initial_h"][0], inputs["initial_c"][0]], weights, None, False
    )
    check("outputs", {"Y": output[:, None], "Y_h": h[None], "Y_c": c[None]}, expected)
