"""Whole models: torch.onnx writes what is around our layers, and the file gives what the model gives."""

import warnings

import onnx
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence

import ostinato
from export.runtime import run
from ostinato import export
from ostinato.errors import InputError, MissingPackageError
from tolerance import check

pytestmark = pytest.mark.slow


class Tagger(nn.Module):
    """Embeddings, a deep two-way LSTM, a cell of its own with a computed weight, a layer called twice, a head."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 5)
        self.lstm = ostinato.LSTM(5, 6, 2, bidirectional=True, batch_first=True, dropout=0.5)
        self.mgu = ostinato.Recurrent("mgu", 12, 7, batch_first=True, learn_initial_state=True)
        self.twice = ostinato.GRU(7, 7, batch_first=True)
        self.head = nn.Linear(7, 3)
        parametrizations.weight_norm(self.mgu, "weight_hh_l0")
        nn.init.uniform_(self.mgu.initial_h_l0)

    def forward(self, tokens, lengths=None, state=None):
        y, (h, c) = self.lstm(self.embedding(tokens), state, lengths=lengths)
        y, last = self.mgu(y, lengths=lengths)
        y, last = self.twice(y, last, lengths=lengths)
        y, last = self.twice(y, last, lengths=lengths)
        return self.head(y).log_softmax(-1), h[-1], c, last


def expected(model, *args, **kwargs):
    with torch.no_grad():
        return dict(enumerate(model.eval()(*args, **kwargs)))


def test_a_model_with_lengths(tmp_path):
    torch.manual_seed(0)
    model = Tagger().train()
    tokens, lengths = torch.randint(0, 20, (3, 5)), torch.tensor([5, 2, 0])
    told = export.onnx(model, tmp_path / "model.onnx", (tokens,), {"lengths": lengths})
    assert model.training and model.lstm.training
    assert told.layers == {"lstm": "lstm: 2 LSTM", "mgu": "mgu: 1 Scan", "twice": "gru: 1 GRU"}
    assert str(told).splitlines()[1] == "lstm: lstm: 2 LSTM"
    kinds = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert {k: kinds.count(k) for k in ("LSTM", "Scan", "GRU")} == {"LSTM": 2, "Scan": 1, "GRU": 2}
    tokens, lengths = torch.randint(0, 20, (6, 9)), torch.tensor([1, 9, 0, 4, 4, 2])
    found = run(tmp_path / "model.onnx", tokens=tokens, lengths=lengths)
    check("outputs", dict(enumerate(found.values())), expected(model, tokens, lengths))


def test_a_model_without_lengths_with_states(tmp_path):
    torch.manual_seed(0)
    model, state = Tagger(), (torch.randn(4, 3, 6), torch.randn(4, 3, 6))
    tokens = torch.randint(0, 20, (3, 5))
    names = ["tokens", "h", "c"]
    told = export.onnx(model, tmp_path / "model.onnx", (tokens,), {"state": state}, input_names=names)
    assert list(told.inputs) == names
    tokens, (h, c) = torch.randint(0, 20, (2, 8)), (torch.randn(4, 2, 6), torch.randn(4, 2, 6))
    found = run(tmp_path / "model.onnx", tokens=tokens, h=h, c=c)
    check("outputs", dict(enumerate(found.values())), expected(model, tokens, state=(h, c)))


class OneStep(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = ostinato.Recurrent("gru_reset_before", 4, 6, num_layers=2)

    def forward(self, x, state):
        return self.rnn.step(x, state)


class OneSequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = ostinato.Recurrent("lstm_1997", 4, 6, bidirectional=True)

    def forward(self, x, h, c):
        output, (h, c) = self.rnn(x, (h, c))
        return output, h, c


def test_single_steps_and_single_sequences(tmp_path):
    torch.manual_seed(0)
    path, model = tmp_path / "model.onnx", OneStep()
    export.onnx(model, path, (torch.randn(3, 4), torch.randn(2, 3, 6)))
    x, state = torch.randn(5, 4), torch.randn(2, 5, 6)
    check("outputs", dict(enumerate(run(path, x=x, state=state).values())), expected(model, x, state))
    model = OneSequence()
    export.onnx(model, path, (torch.randn(7, 4), torch.randn(2, 6), torch.randn(2, 6)))
    x, h, c = torch.randn(4, 4), torch.randn(2, 6), torch.randn(2, 6)
    check("outputs", dict(enumerate(run(path, x=x, h=h, c=c).values())), expected(model, x, h, c))


class Doubled(ostinato.GRU):
    """A layer with a forward of its own is a model, not a layer as it is."""

    def forward(self, x):
        output, state = super().forward(2 * x)
        return output + 1, state


def test_a_layer_that_does_more_than_ours_is_traced(tmp_path):
    torch.manual_seed(0)
    hooked = ostinato.GRU(4, 6)
    hooked.register_forward_hook(lambda module, args, result: (result[0] - 1, result[1]))
    for model in (Doubled(4, 6), hooked):
        with pytest.raises(InputError, match=r"export.onnx: args must be example arguments .*, got none"):
            export.onnx(model, tmp_path / "model.onnx")
        export.onnx(model, tmp_path / "model.onnx", torch.randn(5, 3, 4))
        x = torch.randn(7, 2, 4)
        found = list(run(tmp_path / "model.onnx", **{"x" if model is not hooked else "input": x}).values())
        check("outputs", dict(enumerate(found)), expected(model, x))


class Calling(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.rnn, self.how = ostinato.GRU(4, 6), how

    def forward(self, x):
        return self.how(self.rnn, x)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda rnn, x: rnn(x, return_states=True)[2], "export.onnx: rnn: return_states must be False, got True"),
        (
            lambda rnn, x: rnn(x, resets=torch.zeros(5, 3, dtype=torch.bool))[0],
            "export.onnx: rnn: resets must be None, got .*Tensor",
        ),
        (
            lambda rnn, x: rnn(pack_padded_sequence(x, [5, 3, 2]))[0].data,
            "export.onnx: rnn: x must be a tensor, got a PackedSequence. Give the padded batch and lengths=",
        ),
        (lambda rnn, x: rnn(x[..., :3])[0], "GRU: x must be of input_size = 4 features"),
    ],
    ids=["states", "resets", "packed", "features"],
)
def test_what_a_model_may_not_ask_of_a_layer(how, message, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about the ways in which it tried
        with pytest.raises((InputError, ostinato.errors.ShapeError), match=message):
            export.onnx(Calling(how), tmp_path / "model.onnx", torch.randn(5, 3, 4))
    assert not (tmp_path / "model.onnx").exists()
    assert Calling(how).rnn(torch.randn(5, 3, 4))[0].shape == (5, 3, 6)  # layers answer by themselves again


def test_what_is_no_model(tmp_path):
    with pytest.raises(
        InputError, match=r"export.onnx: model must be a torch.nn.Module or a Stream, got dict. Give the model"
    ):
        export.onnx({}, tmp_path / "model.onnx")
    with pytest.raises(InputError, match=r"export.onnx: args must be example arguments .*, got none. Give a tuple"):
        export.onnx(nn.Sequential(ostinato.GRU(4, 6)), tmp_path / "model.onnx")
    with pytest.raises(InputError, match=r"the layer's number type must be float32 or float64, got torch.bfloat16"):
        export.onnx(ostinato.GRU(4, 6).bfloat16(), tmp_path / "model.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_package_that_is_missing_is_named(package, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    message = rf"export.onnx: the package {package} must be installed, got none. Install it: pip install {package}"
    with pytest.raises(MissingPackageError, match=message):
        export.onnx(Calling(lambda rnn, x: rnn(x)[0]), tmp_path / "model.onnx", torch.randn(5, 3, 4))


class Pair(nn.Module):
    """A model that calls each of its two layers in turn; `self.second` may be the first by another name."""

    def __init__(self, second, calls):
        super().__init__()
        self.first, self.calls = ostinato.GRU(5, 5), calls
        self.second = self.first if second is None else second

    def forward(self, x):
        for name in self.calls:
            x = getattr(self, name)(x)[0]
        return x


class Twice(nn.Module):
    """One layer in a list twice, and inside of two submodules."""

    def __init__(self):
        super().__init__()
        rnn = ostinato.Recurrent("mgu", 5, 5)
        self.listed = nn.ModuleList([rnn, rnn])
        self.left, self.right = Pair(rnn, ["second"]), Pair(rnn, ["second", "first"])

    def forward(self, x):
        for layer in self.listed:
            x = layer(x)[0]
        return self.right(self.left(x))


def with_shared_parameters():
    pair = Pair(ostinato.GRU(5, 5), ["first", "second"])
    pair.second.weight_hh_l0 = pair.first.weight_hh_l0
    return pair


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: Pair(None, ["first"]),
        lambda: Pair(None, ["second"]),
        lambda: Pair(None, ["first", "second"]),
        lambda: Pair(ostinato.GRU(5, 5), ["first", "second", "first"]),
        Twice,
        with_shared_parameters,
    ],
    ids=["first name", "second name", "both names", "called twice", "listed twice", "shared parameters"],
)
def test_a_layer_with_several_names(make, tmp_path):
    torch.manual_seed(0)
    model = make()
    export.onnx(model, tmp_path / "model.onnx", (torch.randn(6, 2, 5),))
    x = torch.randn(9, 3, 5)
    check("outputs", dict(enumerate(run(tmp_path / "model.onnx", x=x).values())), {0: expected_one(model, x)})


def expected_one(model, x):
    with torch.no_grad():
        return model.eval()(x)


def test_a_layer_that_the_model_does_not_list(tmp_path):
    model = Pair(None, ["hidden"])
    vars(model)["hidden"] = ostinato.GRU(5, 5)
    message = (
        r"export.onnx: each layer must be a module of the model, got a GRU that named_modules\(\) does not list. "
        r"Keep it in an attribute of the model, or in a torch.nn.ModuleList."
    )
    with pytest.raises(InputError, match=message):
        export.onnx(model, tmp_path / "model.onnx", (torch.randn(6, 2, 5),))


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.filterwarnings("ignore")  # torch's own, about its older exporter
def test_torch_s_own_exporters_say_what_to_write(dynamo, tmp_path):
    message = (
        r"GRU: the exporter must be ostinato.export.onnx, got torch.onnx.export. "
        r"Write ostinato.export.onnx\(model, path, args\): layers become ONNX's RNN, GRU, LSTM or Scan."
    )
    with pytest.raises(Exception, match=message) as caught:
        path = str(tmp_path / "model.onnx")
        torch.onnx.export(Pair(None, ["first"]), (torch.randn(6, 2, 5),), path, dynamo=dynamo, verbose=False)
    assert dynamo or caught.type is InputError
