"""Weights to and from Keras, Flax and ONNX: against what these libraries computed, and against them where installed."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import ostinato
from export import libraries
from export.runtime import LENGTHS, call, initial, run
from ostinato import export
from ostinato.errors import InputError, ShapeError
from tolerance import check

KERAS = {
    "simple": ("elman", {}),
    "simple relu without bias": ("elman_relu", {"bias": False}),
    "lstm": ("lstm", {}),
    "gru": ("gru", {}),
    "gru reset before": ("gru_reset_before", {}),
    "deep two-way lstm": ("lstm", {"num_layers": 2, "bidirectional": True}),
}


def flax_cell(name):
    return "lstm" if "lstm" in name else "gru" if "gru" in name else "elman"


def make(cell, **options):
    torch.manual_seed(5)
    return ostinato.Recurrent(cell, libraries.C, libraries.H, **options)


def agrees(layer, case, context=""):
    x, *states = (torch.from_numpy(case[k]) for k in ("x", *(f"state{i}" for i in range(len(layer.cell.states)))))
    output, finals = layer(x, tuple(states) if len(states) > 1 else states[0])
    finals = finals if isinstance(finals, tuple) else (finals,)
    found = {"output": output.detach(), **{f"final{k}": f.detach() for k, f in enumerate(finals)}}
    check("outputs", found, {k: torch.tensor(case[k]) for k in found}, context=context)


@pytest.mark.parametrize("name", list(KERAS))
def test_keras(name):
    cell, options = KERAS[name]
    layer, case = make(cell, **options), libraries.kept(name)
    export.from_keras(layer, libraries.keras_weights(case))
    agrees(layer, case)
    again = make(cell, **options)
    export.from_keras(again, export.to_keras(layer))
    agrees(again, case)


@pytest.mark.parametrize("name", list(libraries.FLAX))
def test_flax(name):
    layer, case = make(flax_cell(name)), libraries.kept(name)
    weights = libraries.flax_weights(case)
    export.from_flax(layer, [weights])
    agrees(layer, case)
    (written,) = export.to_flax(layer, libraries.FLAX[name][0])
    if name != "nnx lstm":  # which nnx's OptimizedLSTMCell stands for in what is written
        shapes = {(p, k): a.shape for p, one in weights.items() for k, a in one.items()}
        assert {(p, k): a.shape for p, one in written.items() for k, a in one.items()} == shapes
    again = make(flax_cell(name))
    export.from_flax(again, [written])
    agrees(again, case)


@pytest.mark.parametrize("name", list(KERAS))
def test_keras_itself(name, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    pytest.importorskip("keras")
    cell, options = KERAS[name]
    layer = make(cell, **options)
    agrees(layer, libraries.keras_case(name, export.to_keras(layer)))


@pytest.mark.parametrize("name", list(libraries.FLAX))
def test_flax_itself(name):
    pytest.importorskip("flax")
    layer = make(flax_cell(name))
    api, kind = libraries.FLAX[name]
    if name == "nnx gru":
        with torch.no_grad():
            layer.bias_hh_l0[-libraries.H :] = 0
    weights = export.to_flax(layer, "linen" if name == "nnx lstm" else api)[0]
    if name == "nnx lstm":
        weights = {"if_" if part == "if" else part: one for part, one in weights.items()}
    agrees(layer, libraries.flax_case(name, weights))


def test_flax_orders_layers_and_directions():
    layer = make("gru", num_layers=2, bidirectional=True)
    cells = export.to_flax(layer)
    assert len(cells) == 4
    ends = ("_l0", "_l0_reverse", "_l1", "_l1_reverse")
    for cell, end in zip(cells, ends, strict=True):
        r, _, n = getattr(layer, f"weight_hh{end}").detach().chunk(3)
        assert np.array_equal(cell["hr"]["kernel"], r.t()) and np.array_equal(cell["hn"]["kernel"], n.t())
    again = make("gru", num_layers=2, bidirectional=True)
    nn.init.zeros_(again.weight_ih_l1_reverse)
    export.from_flax(again, cells)
    x = torch.randn(5, 2, libraries.C)
    check("outputs", {"y": again(x)[0].detach()}, {"y": layer(x)[0].detach()})


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_onnx_files_that_torch_wrote(kind, tmp_path):
    """torch's older exporter writes nn.RNN, nn.GRU and nn.LSTM as ONNX's operators, with weights of its own naming."""
    torch.manual_seed(0)
    theirs = getattr(nn, kind)(4, 6, num_layers=2, bidirectional=True)
    x = torch.randn(5, 3, 4)
    with pytest.warns() as _:
        torch.onnx.export(theirs, (x,), str(tmp_path / "theirs.onnx"), dynamo=False, opset_version=17)
    ours = getattr(ostinato, kind)(4, 6, num_layers=2, bidirectional=True)
    export.from_onnx(ours, tmp_path / "theirs.onnx")
    check("outputs", {"y": ours(x)[0].detach()}, {"y": theirs(x)[0].detach()})
    other = ostinato.Recurrent("gru_reset_before" if kind == "GRU" else "elman_sigmoid", 4, 6, 2, bidirectional=True)
    with pytest.raises(InputError, match=r"export.from_onnx: \w+ of a node must be .* for the cell \w+, got"):
        export.from_onnx(other, tmp_path / "theirs.onnx")


@pytest.mark.parametrize("cell", ["lstm_peephole", "lstm_coupled", "gru_reset_before", "elman_leaky_relu"])
def test_onnx_files_of_ours(cell, tmp_path):
    layer, again = (ostinato.Recurrent(cell, 4, 6, num_layers=2, bidirectional=True) for _ in range(2))
    export.onnx(layer, tmp_path / "layer.onnx")
    export.from_onnx(again, tmp_path / "layer.onnx")
    x, states = call(layer)
    state = tuple(states) if len(states) > 1 else states[0]
    expected = {"output": again(x, state, lengths=LENGTHS)[0].detach()}
    found = run(tmp_path / "layer.onnx", x=x, lengths=LENGTHS, **initial(layer, states))
    check("outputs", {"output": found["output"]}, expected)
    third = ostinato.Recurrent(cell, 4, 6, num_layers=2, bidirectional=True)
    export.from_onnx(third, export.to_onnx(layer))
    check("outputs", {"output": third(x, state, lengths=LENGTHS)[0].detach()}, expected)


def test_what_does_not_fit():
    layer = make("lstm")
    arrays = export.to_keras(layer)
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    refusals = [
        (
            lambda: export.to_keras(nn.LSTM(3, 4)),
            InputError,
            "to_keras: layer must be a layer of this package, got LSTM",
        ),
        (lambda: export.to_keras(make("slstm")), InputError, "vocabulary keras: cell must be one of .*, got slstm"),
        (lambda: export.from_keras(layer, arrays * 2), InputError, "from_keras: layers must be 1, .*, got 2"),
        (lambda: export.from_keras(layer, [arrays[0][:2]]), InputError, "arrays of a layer must be 3, .*, got 2"),
        (
            lambda: export.from_keras(layer, [[arrays[0][0], arrays[0][1], 2 * arrays[0][2][:4]]]),
            ShapeError,
            r"from_keras: bias must be of shape \[16\], got \[4\]. Those are the sizes of lstm with C = 3 and H = 4",
        ),
        (
            lambda: export.from_keras(make("gru"), export.to_keras(make("gru_reset_before"))),
            ShapeError,
            r"bias must be of shape \[2, 12\], got \[12\]",
        ),
        (lambda: export.to_flax(layer, "haiku"), InputError, "to_flax: api must be one of linen, nnx, got 'haiku'"),
        (lambda: export.to_flax(make("gru"), "nnx"), InputError, "to_flax: the bias d.n must be 0, got other numbers"),
        (
            lambda: export.from_flax(layer, export.to_flax(make("gru"))),
            InputError,
            "from_flax: params must be parameters with ii for the gate i, got ir, iz, in",
        ),
        (
            lambda: export.from_onnx(layer, [{"W": export.to_onnx(layer)[0]["W"]}]),
            InputError,
            "from_onnx: R must be given, got only W",
        ),
        (
            lambda: export.from_onnx(make("lstm", bias=False), export.to_onnx(layer)),
            InputError,
            "from_onnx: B must be zero for a layer without biases, got other numbers. Build the layer with bias=True",
        ),
    ]
    for refused, kind, message in refusals:
        with pytest.raises(kind, match=message):
            refused()
    assert all(torch.equal(before[k], v) for k, v in layer.state_dict().items())
    parametrizations.weight_norm(layer, "weight_hh_l0")
    with pytest.raises(InputError, match="from_keras: weight_hh_l0 must be a parameter, got a computed weight"):
        export.from_keras(layer, arrays)


def test_weights_that_a_graph_computes(tmp_path):
    onnx = pytest.importorskip("onnx")
    layer = make("lstm")
    export.onnx(layer, tmp_path / "layer.onnx")
    model = onnx.load(tmp_path / "layer.onnx")
    node = next(n for n in model.graph.node if n.op_type == "LSTM")
    node.input[1] = "computed"
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(InputError, match="the weights of a node must be stored in the file, got computed"):
        export.from_onnx(layer, tmp_path / "other.onnx")
