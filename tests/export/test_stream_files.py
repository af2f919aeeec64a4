"""A stream's file in ONNX Runtime, its states fed back, gives what the stream and the reference give step by step."""

import json
import math

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

import ostinato
from export.networks import NETWORKS, network_of
from export.runtime import session_of
from nodes import Builder
from ostinato import export
from ostinato.cells import catalogue
from ostinato.errors import InputError, MissingPackageError
from ostinato.network import Convolution, Embedding, Linear, Number, Pointwise, Running
from ostinato.network.reference import Reference
from ostinato.streaming import Stream
from streaming.drawn import drawn_network
from tolerance import check

CHUNKS = (1, 1, 4, 2, 1)
TYPES = [torch.float32, torch.float64]


class File:
    """A file that is run in chunks with nothing but ONNX Runtime and what the file says of its states."""

    def __init__(self, path):
        self.session = session_of(path)
        self.described = json.loads(self.session.get_modelmeta().custom_metadata_map["ostinato.states"])

    def start(self, rows):
        return {s["input"]: np.full((rows, s["width"]), s["initial"], s["type"]) for s in self.described}

    def play(self, xs, states=None, chunks=CHUNKS):
        """xs [T, B, ...] → ys [T, B, O] and the states after them, by name."""
        feeds = self.start(xs.shape[1]) if states is None else {k: v.numpy() for k, v in states.items()}
        ys = []
        for part in xs.split(list(chunks)):
            y, *after = self.session.run(None, {"x": part.numpy(), **feeds})
            ys.append(torch.from_numpy(y))
            feeds = dict(zip(feeds, after, strict=True))
        return torch.cat(ys), {name: torch.from_numpy(v) for name, v in feeds.items()}


def comparable(values):
    """Sums with their rests added: what an addition rounded away depends on the last digit of every term."""
    found = {name: value for name, value in values.items() if not name.endswith(".rest")}
    sums = {name: name.removesuffix("sum") + "rest" for name in found if name.endswith(".sum")}
    return {**found, **{name: values[name] + values[rest] for name, rest in sums.items()}}


def written(network, path, rows=1):
    """(the stream, its file, what the export says of it)"""
    stream = Stream(network, rows) if not isinstance(network, torch.nn.Module) else ostinato.stream(network, rows)
    told = export.onnx(stream, path)
    return stream, File(path), told


def drawn(network, steps, rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if network.input.tokens is not None:
        return torch.randint(network.input.tokens, (steps, rows), generator=generator)
    return torch.randn(steps, rows, network.input.width, generator=generator, dtype=network.dtype)


def check_against_reference(network, file, rows, states=None, chunks=CHUNKS):
    xs, results = drawn(network, sum(chunks), rows, rows), []
    for dtype in (network.dtype, torch.float64):
        reference = Reference(network, dtype)
        first = reference.initial(rows) if states is None else {k: v.to(dtype) for k, v in states.items()}
        y, after = reference.run(xs if xs.dtype is torch.int64 else xs.to(dtype), first)
        results.append({"y": y, **after})
    y, after = file.play(xs, states, chunks)
    check("outputs", comparable({"y": y, **after}), comparable(results[0]), exact=comparable(results[1]))


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("kind", list(NETWORKS))
def test_every_node_in_chunks_with_its_states_fed_back(kind, dtype, tmp_path):
    network = network_of(kind, dtype)
    stream, file, told = written(network, tmp_path / "net.onnx")
    names = [field.name for field in network.states]
    assert told.inputs == ("x", *names) and told.outputs == ("y", *(f"{name}.next" for name in names))
    for rows in (1, 3):
        check_against_reference(network, file, rows)
    check_against_reference(network, file, 2, chunks=(5,))


@pytest.mark.parametrize("seed", range(12))
def test_networks_at_random(seed, tmp_path):
    network = drawn_network(seed, TYPES[seed % 2], tokens=seed % 5 == 0)
    _, file, _ = written(network, tmp_path / "net.onnx")
    check_against_reference(network, file, 3)


def test_every_node_of_networks_has_a_file():
    """The networks of this test hold every class of node that there is."""
    there = {*ostinato.network.__all__} - {"Network", "Node", "Parameter", "StateField"}
    used = {type(node).__name__ for kind in NETWORKS for node in network_of(kind, torch.float32).nodes}
    assert used == there


@pytest.mark.parametrize("name", list(catalogue()))
def test_every_cell_begins_at_its_learned_states(name, tmp_path):
    cell = catalogue()[name]
    torch.manual_seed(2)
    options = {"proj_size": 3 if cell.projected else 0, "learn_initial_state": True}
    layer = ostinato.Recurrent(cell, 4, 6, num_layers=2, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(0.02, 0.15)
    stream, file, told = written(layer, tmp_path / "net.onnx", rows=3)
    assert list(told.layers) == ["0", "1"] and told.layers["0"].startswith(f"{name}: 1 ")
    start = file.start(3)
    for field_name, value in stream.state().items():
        assert np.array_equal(start[field_name], value.numpy()) and value.abs().min() > 0
    xs = drawn(stream.network, sum(CHUNKS), 3)
    y, after = file.play(xs)
    expected = {"y": torch.stack([stream.step(x) for x in xs]), **stream.state()}
    check("outputs", comparable({"y": y, **after}), comparable(expected))


def test_float64_cells_keep_their_digits_and_begin_at_any_state(tmp_path):
    layer = ostinato.Recurrent("lstm_peephole", 4, 6, num_layers=2, dtype=torch.float64)
    stream, file, told = written(layer, tmp_path / "net.onnx", rows=2)
    assert told.layers == {"0": "lstm_peephole: 1 Scan", "1": "lstm_peephole: 1 Scan"}
    stream.push(drawn(stream.network, 3, 2))
    check_against_reference(stream.network, file, 2, states=stream.state())


def test_the_evaluator_of_onnx_agrees(tmp_path):
    network = network_of("whole", torch.float64)
    _, file, _ = written(network, tmp_path / "net.onnx")
    evaluator = ReferenceEvaluator(str(tmp_path / "net.onnx"))
    xs = drawn(network, 6, 2)
    expected, _ = file.play(xs, chunks=(6,))
    feeds, ys = file.start(2), []
    for part in (xs[:1], xs[1:4], xs[4:]):
        y, *after = evaluator.run(None, {"x": part.numpy(), **feeds})
        ys.append(torch.from_numpy(y))
        feeds = dict(zip(feeds, after, strict=True))
    check("outputs", {"y": torch.cat(ys)}, {"y": expected})


def test_the_file_says_how_each_state_is_called_how_wide_it_is_and_where_it_begins(tmp_path):
    b = Builder(torch.float32, 2)
    first = torch.tensor([0.1, -2.0, math.inf])
    b.recurrent("elman", 0, 3, "rnn.0", initial=(b.parameter("rnn.initial_h_l0", first),))
    b.add(Running, 1, place="pool", width=3, kind="maximum")
    b.add(Running, 2, place="mean", width=3, kind="mean")
    _, file, told = written(b.network(), tmp_path / "net.onnx")
    assert file.described == [
        {
            "input": "rnn.0.h",
            "output": "rnn.0.h.next",
            "width": 3,
            "type": "float32",
            "initial": [float(first[0]), -2.0, "Infinity"],
        },
        {"input": "pool.maximum", "output": "pool.maximum.next", "width": 3, "type": "float32", "initial": "-Infinity"},
        {"input": "mean.sum", "output": "mean.sum.next", "width": 3, "type": "float32", "initial": 0.0},
        {"input": "mean.rest", "output": "mean.rest.next", "width": 3, "type": "float32", "initial": 0.0},
        {"input": "mean.count", "output": "mean.count.next", "width": 2, "type": "float32", "initial": 0.0},
    ]
    start = file.start(2)
    assert torch.equal(torch.from_numpy(start["rnn.0.h"]), first.expand(2, 3)) and (start["pool.maximum"] < -1e38).all()
    sizes = {v.name: (v.shape, v.type) for v in file.session.get_inputs()}
    assert sizes["x"] == (["T", "B", 2], "tensor(float)") and sizes["rnn.0.h"] == (["B", 3], "tensor(float)")
    assert {v.name: v.shape for v in file.session.get_outputs()}["y"] == ["T", "B", 3]
    assert str(told).endswith("rnn.0: elman: 1 RNN")


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_a_mean_and_a_maximum_have_the_same_bits_in_any_chunks_and_a_nan_stays(dtype, tmp_path):
    b = Builder(dtype, 3)
    b.add(Running, 0, place="mean", width=3, kind="mean")
    b.add(Running, 0, place="maximum", width=3, kind="maximum")
    b.concatenate(1, 2)
    network = b.network()
    _, file, _ = written(network, tmp_path / "net.onnx")
    xs = drawn(network, 9, 2)
    xs[0, 0, 0], xs[5, 1, 2], xs[:, 1, 0], xs[7, 0, 1] = math.nan, math.nan, -math.inf, math.inf
    reference = Reference(network)
    expected, after = reference.run(xs, reference.initial(2))
    assert (
        expected[:, 0, 3].isnan().all() and expected[5:, 1, 5].isnan().all() and not expected[:5, 1].isnan()[:, 5].any()
    )
    for chunks in ((9,), (1,) * 9, (4, 5)):
        y, states = file.play(xs, chunks=chunks)
        assert torch.equal(y.nan_to_num(77.0), expected.nan_to_num(77.0))
        assert all(torch.equal(states[k].nan_to_num(77.0), v.nan_to_num(77.0)) for k, v in after.items())


def test_convolutions_are_one_operator_in_float32_and_products_in_float64(tmp_path):
    for dtype, kind in ((torch.float32, "Conv"), (torch.float64, "MatMul")):
        written(network_of("convolution", dtype), tmp_path / "net.onnx")
        kinds = [node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node]
        assert [k for k in kinds if k in ("Conv", "MatMul")] == [kind]


@pytest.mark.parametrize("kind", ["lstm", "scan", "convolutions", "mean", "maximum"])
def test_a_call_without_steps_is_an_error_not_another_state(kind, tmp_path):
    """ONNX Runtime's LSTM of no step returns zeros as its states; those must not go unnoticed into the next call."""
    network = network_of(kind, torch.float32)
    _, file, _ = written(network, tmp_path / "net.onnx")
    xs = drawn(network, 3, 2)
    _, before = file.play(xs, chunks=(3,))
    with pytest.raises(Exception, match=r"Non-zero status code returned while running (Scan|Gather|Conv) node"):
        file.play(xs[:0], before, chunks=(0,))


def test_a_call_without_steps_of_convolutions_in_float64_leaves_the_history_as_it_is(tmp_path):
    network = network_of("convolutions", torch.float64)
    _, file, _ = written(network, tmp_path / "net.onnx")
    xs = drawn(network, 3, 2)
    _, before = file.play(xs, chunks=(3,))
    y, after = file.play(xs[:0], before, chunks=(0,))
    assert y.shape == (0, 2, network.nodes[network.output].width)
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)


def test_a_table_that_is_the_head_too_is_stored_once(tmp_path):
    b = Builder(torch.float32, 1, tokens=50)
    table = b.parameter("embedding.weight", torch.randn(50, 8))
    b.add(Embedding, 0, place="embedding", width=8, table=table)
    b.add(Linear, 1, place="head", width=50, weight=table)
    b.add(Linear, 1, place="other", width=50, weight=table)
    b.add(Pointwise, 2, 3, place="sum", width=50, operation="add")
    network = b.network()
    _, file, _ = written(network, tmp_path / "net.onnx")
    check_against_reference(network, file, 2)
    stored = onnx.load(tmp_path / "net.onnx").graph.initializer
    assert [list(t.dims) for t in stored] == [[50, 8]]


def test_a_value_that_no_step_changes_has_a_line_for_every_step_and_row(tmp_path):
    b = Builder(torch.float32, 2)
    b.add(Number, place="two", value=2.0, width=1)
    b.add(Pointwise, 1, 1, place="four", width=1, operation="add")
    network = b.network()
    _, file, _ = written(network, tmp_path / "net.onnx")
    y, _ = file.play(torch.zeros(3, 5, 2), chunks=(3,))
    assert y.shape == (3, 5, 1) and (y == 4).all()


def test_the_weights_are_those_of_the_stream(tmp_path):
    torch.manual_seed(0)
    layer, xs = ostinato.GRU(3, 4), torch.randn(5, 1, 3)
    stream, file, _ = written(layer, tmp_path / "net.onnx")
    old, _ = file.play(xs, chunks=(5,))
    with torch.no_grad():
        layer.weight_hh_l0.mul_(-1)
    message = (
        "export.onnx: the model's weights must be those that the stream runs with, got others, as the model has "
        r"changed since. Write stream.refresh\(\) before the export."
    )
    with pytest.raises(InputError, match=message):
        export.onnx(stream, tmp_path / "net.onnx")
    stream.refresh()
    export.onnx(stream, tmp_path / "net.onnx")  # a file that exists is replaced
    new, _ = File(tmp_path / "net.onnx").play(xs, chunks=(5,))
    check("outputs", {"y": new}, {"y": layer(xs)[0].detach()})
    assert not torch.allclose(new, old)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"args": torch.zeros(1)},
            r"export.onnx: args must be None for a stream, got Tensor. Leave it out: a stream is",
        ),
        ({"kwargs": {}}, r"export.onnx: kwargs must be None for a stream, got dict. Leave it out"),
        ({"dynamic_shapes": {}}, r"export.onnx: dynamic_shapes must be None for a stream, got dict. Leave it out"),
        ({"input_names": ["x"]}, r"export.onnx: input_names must be None for a stream, got list. Leave it out"),
        ({"output_names": ["y"]}, r"export.onnx: output_names must be None for a stream, got list. Leave it out"),
        ({"lengths": False}, r"export.onnx: lengths must be True for a stream, got False. Leave it out: the file of a"),
        (
            {"state": False},
            r"export.onnx: state must be True for a stream, got False. Leave it out: .* has every state",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_arguments_that_a_stream_has_no_use_for(given, message, tmp_path):
    with pytest.raises(InputError, match=message):
        export.onnx(ostinato.stream(ostinato.GRU(3, 4)), tmp_path / "net.onnx", **given)
    assert not (tmp_path / "net.onnx").exists()


@pytest.mark.filterwarnings("ignore:ostinato. no compiled kernels")
def test_what_is_no_stream_or_is_closed_or_in_another_type(tmp_path):
    with pytest.raises(InputError, match=r"model must be a torch.nn.Module or a Stream, got State. Give the model"):
        export.onnx(ostinato.stream(ostinato.GRU(3, 4)).state(), tmp_path / "net.onnx")
    stream = ostinato.stream(ostinato.GRU(3, 4))
    stream.close()
    with pytest.raises(InputError, match=r"the stream must be open, got one that was closed"):
        export.onnx(stream, tmp_path / "net.onnx")
    b = Builder(torch.bfloat16, 2)
    b.add(Linear, 0, place="head", width=3, weight=b.parameter("weight", torch.zeros(3, 2)))
    message = (
        r"export.onnx: the stream's number type must be float32 or float64, got torch.bfloat16. Export a stream of"
    )
    with pytest.raises(InputError, match=message):
        export.onnx(Stream(b.network()), tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_a_package_that_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingPackageError, match=r"export.onnx: the package onnx must be installed, got none"):
        export.onnx(ostinato.stream(ostinato.GRU(3, 4)), tmp_path / "net.onnx")


def test_a_convolution_of_one_step_has_no_state(tmp_path):
    b = Builder(torch.float32, 2)
    weight = b.parameter("conv.weight", torch.randn(3, 2, 1))
    b.add(Convolution, 0, place="conv", width=3, weight=weight)
    network = b.network()
    _, file, told = written(network, tmp_path / "net.onnx")
    assert told.inputs == ("x",) and file.described == []
    check_against_reference(network, file, 2)
