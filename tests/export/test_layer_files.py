"""A layer's file in ONNX Runtime gives what the layer gives, for other T and B than those it was written with."""

import onnx
import pytest
import torch
from onnx import helper
from onnx.reference import ReferenceEvaluator

import ostinato
from cells.compose import random_cell
from cells.drawn import CELLS, chain, steps_of
from export.runtime import LENGTHS, STEPS, by_reference, call, initial, named, run
from ostinato import export
from ostinato.cells import Cell, catalogue
from tolerance import check

OPERATORS = {
    "elman": ("RNN", {"activations": ["Tanh"]}),
    "elman_sigmoid": ("RNN", {"activations": ["Sigmoid"]}),
    "elman_relu": ("RNN", {"activations": ["Relu"]}),
    "elman_leaky_relu": ("RNN", {"activations": ["LeakyRelu"]}),
    "elman_softplus": ("RNN", {"activations": ["Softplus"]}),
    "gru": ("GRU", {"linear_before_reset": 1}),
    "gru_reset_before": ("GRU", {"linear_before_reset": 0}),
    "lstm": ("LSTM", {}),
    "lstm_peephole": ("LSTM", {}),
    "lstm_coupled": ("LSTM", {"input_forget": 1}),
}
SHAPES = [{"num_layers": 2, "bidirectional": True}, {"batch_first": True}]


def make(cell, dtype=torch.float32, **options):
    torch.manual_seed(1)
    cell = catalogue()[cell] if isinstance(cell, str) else cell
    return ostinato.Recurrent(cell, 4, 6, proj_size=3 if cell.projected else 0, dtype=dtype, **options)


def nodes_of(path):
    """(operator, attributes) of the recurrent nodes."""
    kinds = ("RNN", "GRU", "LSTM", "Scan")
    found = [node for node in onnx.load(path).graph.node if node.op_type in kinds]
    return [(node.op_type, {a.name: helper.get_attribute_value(a) for a in node.attribute}) for node in found]


@pytest.mark.parametrize("options", SHAPES, ids=["deep", "batch first"])
@pytest.mark.parametrize("name", list(catalogue()))
def test_every_cell_in_float32(name, options, tmp_path):
    layer = make(name, **options)
    told = export.onnx(layer, tmp_path / "layer.onnx")
    kind, settings = OPERATORS.get(name, ("Scan", {}))
    found = nodes_of(tmp_path / "layer.onnx")
    directions = 2 if layer.bidirectional else 1
    assert [k for k, _ in found] == [kind] * layer.num_layers * (directions if kind == "Scan" else 1)
    for _, attributes in found:
        for key, value in settings.items():
            assert attributes[key] == ([v.encode() for v in value] * directions if isinstance(value, list) else value)
    assert told.inputs == ("x", "lengths", *initial(layer, layer.cell.states)) and kind in str(told)
    x, states = call(layer)
    state = tuple(states) if len(states) > 1 else states[0]
    expected = named(layer, *layer(x, state, lengths=LENGTHS))
    check("outputs", run(tmp_path / "layer.onnx", x=x, lengths=LENGTHS, **initial(layer, states)), expected)
    for k, s in enumerate(layer.cell.states):  # row 2 has no step: it ends where it starts
        assert torch.equal(expected[f"final_{s}"][:, 2], states[k][:, 2])


@pytest.mark.parametrize("name", ["gru", "lstm_peephole", "elman_leaky_relu", "slstm", "lstm_projected"])
def test_float64_is_a_scan_that_keeps_its_digits(name, tmp_path):
    layer = make(name, torch.float64, num_layers=2, bidirectional=True)
    export.onnx(layer, tmp_path / "layer.onnx")
    assert [k for k, _ in nodes_of(tmp_path / "layer.onnx")] == ["Scan"] * 4
    x, states = call(layer)
    found = run(tmp_path / "layer.onnx", x=x, lengths=LENGTHS, **initial(layer, states))
    check("outputs", found, by_reference(layer, x, states, LENGTHS))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_clamp_after_a_relu(dtype, tmp_path):
    """ONNX Runtime fuses Relu and Clip, and then refuses doubles."""
    layer = make("elman_relu", dtype, clip_state=0.6)
    export.onnx(layer, tmp_path / "layer.onnx")
    x, states = call(layer)
    states = [s.clamp(-0.6, 0.6) for s in states]
    found = run(tmp_path / "layer.onnx", x=x, lengths=LENGTHS, **initial(layer, states))
    check("outputs", found, named(layer, *layer(x, states[0], lengths=LENGTHS)))


@pytest.mark.parametrize("name", ["gru_reset_before", "mgu"])
def test_the_evaluator_of_onnx_agrees(name, tmp_path):
    """onnx.reference scans forward only, so far."""
    layer = make(name, torch.float64, num_layers=2)
    export.onnx(layer, tmp_path / "layer.onnx")
    x, states = call(layer)
    feeds = {"x": x, "lengths": LENGTHS, **initial(layer, states)}
    evaluator = ReferenceEvaluator(str(tmp_path / "layer.onnx"))
    found = evaluator.run(None, {name: t.numpy() for name, t in feeds.items()})
    expected = by_reference(layer, x, states, LENGTHS)
    check("outputs", dict(zip(expected, map(torch.from_numpy, found), strict=True)), expected)


@pytest.mark.parametrize("seed", range(12))
def test_cells_at_random(seed, tmp_path):
    layer = make(random_cell(seed), torch.float64, bidirectional=bool(seed % 2))
    export.onnx(layer, tmp_path / "layer.onnx")
    x, states = call(layer)
    found = run(tmp_path / "layer.onnx", x=x, lengths=LENGTHS, **initial(layer, states))
    check("outputs", found, by_reference(layer, x, states, LENGTHS), context=layer.cell.text)


EVERYTHING = """
def everything(W, U, b, p, x, h, c, m):
    a = W.a @ x + b.a + U.a @ (h - c)
    k = clamp(a, min=-0.5) * clamp(a, max=0.7) - clamp(a, min=-1.0, max=1.0) + a * clamp(a, min=0.4, max=-0.3)
    q = where(a <= h, exp(-a), sqrt(1 + a * a)) + where(c < a, log(2 + a * a), minimum(a, c))
    r = norm(a) + maximum(h, p.r * c) + leaky_relu(a, 0.2) + where(a >= 0.25, relu(a), softplus(-a))
    c = tanh(k + 0.5 * q) / 2
    return sigmoid(r) + mean(c), tanh(r), c, 0.5
"""


@pytest.mark.parametrize("lengths", [True, False])
def test_every_operation_and_results_that_are_one_number(lengths, tmp_path):
    """mean and 0.5 are the same for all units, and still states and outputs have an entry for each."""
    layer = make(Cell.from_text(EVERYTHING), torch.float64, num_layers=2)
    export.onnx(layer, tmp_path / "layer.onnx", lengths=lengths)
    x, states = call(layer)
    given = LENGTHS if lengths else torch.full((5,), STEPS)
    feeds = {"lengths": given} if lengths else {}
    found = run(tmp_path / "layer.onnx", x=x, **feeds, **initial(layer, states))
    check("outputs", found, by_reference(layer, x, states, given))
    assert (found["final_m"][:, given > 0] == 0.5).all()


@pytest.mark.parametrize("name", ["lstm", "janet"])
def test_any_number_of_steps_and_rows(name, tmp_path):
    layer = make(name, num_layers=2, bidirectional=True)
    export.onnx(layer, tmp_path / "layer.onnx")
    for steps, lengths in ((1, [1]), (1, [0, 1]), (12, [12, 12]), (4, [0, 0, 0])):
        x, states = call(layer, steps, len(lengths), seed=steps)
        lengths = torch.tensor(lengths)
        found = run(tmp_path / "layer.onnx", x=x, lengths=lengths, **initial(layer, states))
        check("outputs", found, by_reference(layer, x, states, lengths))


@pytest.mark.parametrize("name", ["lstm", "janet"])
def test_what_lies_past_a_row_is_not_read(name, tmp_path):
    layer = make(name, num_layers=2, bidirectional=True)
    export.onnx(layer, tmp_path / "layer.onnx")
    x, states = call(layer)
    feeds = {"lengths": LENGTHS, **initial(layer, states)}
    expected = run(tmp_path / "layer.onnx", x=x, **feeds)
    for row, length in enumerate(LENGTHS.tolist()):
        x[length:, row] = float("nan")
    found = run(tmp_path / "layer.onnx", x=x, **feeds)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("name", ["lstm", "janet"])
def test_without_lengths_and_states_calls_start_where_the_layer_does(name, learned, tmp_path):
    layer = make(name, num_layers=2, bidirectional=True, learn_initial_state=learned)
    with torch.no_grad():
        for p in layer.parameters():
            p.uniform_(-0.5, 0.5)
    told = export.onnx(layer, tmp_path / "layer.onnx", lengths=False, state=False)
    assert told.inputs == ("x",)
    x, _ = call(layer)
    check("outputs", run(tmp_path / "layer.onnx", x=x), named(layer, *layer(x)))
    told = export.onnx(layer, tmp_path / "layer.onnx", state=False)
    assert told.inputs == ("x", "lengths")
    expected = named(layer, *layer(x, lengths=LENGTHS))
    check("outputs", run(tmp_path / "layer.onnx", x=x, lengths=LENGTHS), expected)


PINNED = """
@cell(gates="o g f i")
def mine(W, U, b, d, x, h, c):
    i = sigmoid(W.i @ x + b.i + U.i @ h + d.i)
    f = sigmoid(W.f @ x + b.f + U.f @ h + d.f)
    g = tanh(W.g @ x + b.g + U.g @ h + d.g)
    o = sigmoid(W.o @ x + b.o + U.o @ h + d.o)
    c = f * c + i * g
    h = o * tanh(c)
    return h, c
"""


def test_an_operator_is_chosen_by_equations_and_gates_move_by_name(tmp_path):
    layer = make(Cell.from_text(PINNED))
    assert layer.cell.gates["W"] == tuple("ogfi")
    export.onnx(layer, tmp_path / "layer.onnx")
    assert [k for k, _ in nodes_of(tmp_path / "layer.onnx")] == ["LSTM"]
    x, states = call(layer)
    found = run(tmp_path / "layer.onnx", x=x, lengths=LENGTHS, **initial(layer, states))
    check("outputs", found, by_reference(layer, x, states, LENGTHS))


def test_a_name_alone_chooses_nothing(tmp_path):
    layer = make(Cell.from_text(catalogue()["janet"].text.replace("janet", "gru")))
    export.onnx(layer, tmp_path / "layer.onnx")
    assert [k for k, _ in nodes_of(tmp_path / "layer.onnx")] == ["Scan"]


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "lstm_peephole", "janet"])
def test_without_biases(name, tmp_path):
    layer = make(name, bias=False, bidirectional=True)
    export.onnx(layer, tmp_path / "layer.onnx")
    assert nodes_of(tmp_path / "layer.onnx")[0][0] == OPERATORS.get(name, ("Scan",))[0]
    x, states = call(layer)
    found = run(tmp_path / "layer.onnx", x=x, lengths=LENGTHS, **initial(layer, states))
    check("outputs", found, by_reference(layer, x, states, LENGTHS))


def test_drop_in_layers_without_their_dropout(tmp_path):
    layer = ostinato.GRU(4, 6, num_layers=3, dropout=0.9).train()
    export.onnx(layer, tmp_path / "layer.onnx")
    assert layer.training
    x, states = call(layer)
    found = run(tmp_path / "layer.onnx", x=x, lengths=LENGTHS, **initial(layer, states))
    check("outputs", found, named(layer, *layer.eval()(x, states[0], lengths=LENGTHS)))


def test_a_chain_of_four_hundred_operations(tmp_path):
    layer = make(chain(400), torch.float64)
    export.onnx(layer, tmp_path / "chain.onnx")
    x, states = call(layer)
    found = run(tmp_path / "chain.onnx", x=x, lengths=LENGTHS, **initial(layer, states))
    check("outputs", found, by_reference(layer, x, states, LENGTHS))


@pytest.mark.parametrize("shape", CELLS)
def test_steps_of_an_export_grow_with_the_nodes(shape, tmp_path):
    layers = [make(CELLS[shape](n), torch.float64) for n in (60, 120, 240)]
    a, b, c = (steps_of(lambda layer=layer: export.onnx(layer, tmp_path / "long.onnx")) for layer in layers)
    assert c - b <= 2.5 * (b - a) + 100, (a, b, c)
