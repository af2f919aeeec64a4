"""`ostinato inspect`: the figures are those of the same pass done by hand, and what cannot serve is refused first."""

import json
import math
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy

import ostinato
from lens.render.html.reading import Page
from ostinato import lens
from ostinato.apps.inspection import inspect, load_model, save_model, text_page
from ostinato.apps.models import CharModel
from ostinato.errors import InputError

CONTENT = "the quick <b>brown</b> fox & the lazy dog;\n" * 150
ALPHABET = "".join(sorted(set(CONTENT)))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty folder with a text, a saved model, and pages whose pictures are few."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ostinato.lens.render.html.page.MOST_DRAWN", 0)
    (tmp_path / "fox.txt").write_text(CONTENT, encoding="utf-8")
    torch.manual_seed(0)
    model = CharModel(ostinato.LSTM(4, 8), len(ALPHABET))
    save_model(tmp_path / "lstm.safetensors", "LSTM", model, ALPHABET)
    return tmp_path


def changed(here, about=None, **weights):
    """The saved model with other metadata or weights."""
    path = here / "lstm.safetensors"
    with safe_open(path, "pt") as opened:
        metadata = opened.metadata()
    found = load_file(path) | weights
    save_file(found, path, {k: v for k, v in (metadata | (about or {})).items() if v})
    return "lstm.safetensors"


def test_a_saved_model_comes_back_as_it_was(here):
    saved = load_model(here / "lstm.safetensors")
    torch.manual_seed(0)
    model = CharModel(ostinato.LSTM(4, 8), len(ALPHABET))
    assert saved.alphabet == ALPHABET and saved.cell == "LSTM"
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), saved.model.parameters(), strict=True))


def test_the_page_of_a_saved_model_is_that_of_the_same_pass_by_hand(here):
    found, path = inspect("lstm.safetensors", text=here / "fox.txt", rows=3, steps=30)
    assert path.name == "lstm.html" and {f.name for f in here.iterdir()} == {"fox.txt", "lstm.safetensors", "lstm.html"}
    saved = load_model(here / "lstm.safetensors")
    ids = torch.tensor([ALPHABET.index(c) for c in CONTENT])[-round(0.07 * len(CONTENT)) :]
    starts = [0, (len(ids) - 31) // 2, len(ids) - 31]
    read = torch.stack([ids[s : s + 31] for s in starts], 1)
    with lens.watch(saved.model) as looking:
        scores, _ = saved.model(read[:-1])
        loss = cross_entropy(scores.flatten(0, 1), read[1:].flatten())
        loss.backward()
    expected = looking.report()
    assert found.table() == expected.table()
    assert found.weights == expected.weights
    page = Page(path.read_text("utf-8"))
    assert f"bits per character of what was read here {loss.item() / math.log(2):.4g}" in page.text
    assert [w in page.text for w in ("lstm.safetensors", "fox.txt", "layer 0: lstm")] == [True] * 3
    assert len(page.all("svg")) == 2  # the model, and the gates over the text
    assert {a["aria-label"] for a in page.all("svg")} == {"The model, folded", "The gates while it reads"}


def test_looking_leaves_gradients_as_they_were(here):
    model = load_model(here / "lstm.safetensors").model
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    found, _ = text_page(model, ALPHABET, torch.zeros(50, dtype=torch.int64), title="", about={}, rows=2, steps=10)
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())
    assert all(w.gradient_norm < 1 for w in found.weights)


def test_the_record_in_place_of_the_page(here):
    found, path = inspect("lstm.safetensors", text=here / "fox.txt", out=here / "r.json", rows=2, steps=10)
    assert json.loads(path.read_text("utf-8")) == found.to_dict()


FILE = """
import torch
from torch import nn

class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 8), nn.Linear(8, 2)
    def forward(self, x, scale):
        return self.head(scale * self.rnn(x)[0])

def good():
    torch.manual_seed(0)
    return Tagger(), (torch.randn(12, 2, 3), torch.tensor(2.0)), lambda scores: scores.square().mean()

number = 3
def two(): return 1, 2
def three(): return 1, 2, 3
def no_loss(): return Tagger(), (), 3
def vector(): return *good()[:2], lambda scores: scores[0, 0]
def constant(): return *good()[:2], lambda scores: torch.tensor(1.0)
def words(): return *good()[:2], lambda scores: "loss"
def broken():
    model, batch, loss = good()
    with torch.no_grad():
        model.rnn.weight_hh_l0[3, 2] = float("nan")
    return model, batch, loss
"""


@pytest.fixture
def mine(here, request):
    """A module of the user's in the current folder, of a name of its own in each test."""
    name = f"mine_{abs(hash(request.node.name))}"
    (here / f"{name}.py").write_text(FILE, encoding="utf-8")
    return name


def test_any_model_by_a_function_that_returns_it(mine):
    found, path = inspect(f"{mine}:good")
    assert path.name == "good.html" and found.layers[0].kind == "GRU" and found.layers[0].steps == 12
    assert found.layers[0].probe is not None
    page = Page(path.read_text("utf-8"))
    assert "recurrent layers of torch.nn rnn: nn.GRU → ostinato.GRU" in page.text and mine in page.text


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (":", "MODEL must be a file, or MODULE:FUNCTION, got ':'. Write `def example.*return model, batch, loss`"),
        (
            "absent_module:good",
            "must be a module that can be imported, got absent_module:good, of which no module absent",
        ),
        ("{}:absent", "MODULE:FUNCTION must be a function, got mine_.*:absent, which is not there. Write"),
        ("{}:number", "MODULE:FUNCTION must be a function, got mine_.*:number, a int. Write"),
        ("{}:two", "what mine_.*:two returns must be .model, batch, loss., got 2 values. Write"),
        ("{}:three", "the model of mine_.*:three must be a torch module, got int. Write"),
        ("{}:no_loss", "the loss of mine_.*:no_loss must be a function of the model's output, got int. Write"),
        (
            "{}:vector",
            r"the loss of mine_.* must be a single number with a gradient, got a tensor of shape \[2\]. End it",
        ),
        ("{}:constant", "the loss of mine_.* must be a single number with a gradient, got one without a gradient. End"),
        ("{}:words", "the loss of mine_.*:words must be a single number with a gradient, got str. End it with"),
        ("{}:broken", "the weights must be finite, got 1 of 192 values of rnn.weight_hh_l0 that are inf or NaN. Take"),
    ],
)
def test_functions_that_cannot_serve(mine, here, function, message):
    with pytest.raises(InputError, match=f"ostinato inspect: .*{message}"):
        inspect(function.format(mine))
    assert not list(here.glob("*.html"))


def test_what_a_module_of_the_users_misses_is_not_hidden(here):
    (here / "needs_absent.py").write_text("import absent_package_of_nobody\n", encoding="utf-8")
    with pytest.raises(ModuleNotFoundError, match="absent_package_of_nobody"):
        inspect("needs_absent:example")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "absent.safetensors"}, "MODEL must be an existing file, got absent.safetensors. `ostinato demo`"),
        (
            {"model": ".", "text": None},
            "the model folder: the folder must be one with config.json, got . without it. Give a folder that",
        ),
        (
            {"model": "fox.txt"},
            "MODEL must be a model that `ostinato demo` saved, got fox.txt, which is no safetensors",
        ),
        ({"text": "absent.txt"}, "--text must be an existing file, got absent.txt. Name a plain text file"),
        (
            {"out": "page.pdf"},
            "--out must be the name of a file that ends in one of .html, .json, .png, .svg, got page.pdf",
        ),
        ({"out": "there.html"}, "--out must be a file that is not there yet, got there.html. Name another with --out."),
        ({"out": "absent/page.html"}, "--out must be in a folder that exists, got absent.page.html. Name another"),
        ({"rows": 0}, "--rows must be 1 or more, got 0."),
        ({"steps": 1}, "--steps must be 2 or more, got 1."),
        ({"text": "short.txt"}, "--text must be at least 101 characters long, got 3. Name a longer text"),
        (
            {"model": "m:f", "text": "fox.txt"},
            "--text must be absent unless MODEL is a file that `ostinato demo` saved",
        ),
        ({"data": Path("rows.csv")}, "--data must be absent unless MODEL is a folder that `ostinato train` wr"),
        (
            {"text": "other.txt"},
            "--text must be of the model's 28 characters, got 'Ä' in line 3 of other.txt and 1 more. A model reads",
        ),
    ],
)
def test_what_cannot_serve(here, options, message):
    (here / "there.html").touch()
    (here / "short.txt").write_text("the", encoding="utf-8")
    (here / "other.txt").write_text("the fox" * 20 + "\n\nÄÖ", encoding="utf-8")
    options = {"model": "lstm.safetensors", "text": "fox.txt"} | options
    paths = {name: Path(v) if name in ("text", "out") and v else v for name, v in options.items()}
    with pytest.raises(InputError, match=f"^(ostinato inspect: )?{message}"):
        inspect(**paths)
    assert [f.name for f in here.glob("*.html")] == ["there.html"] and (here / "there.html").read_bytes() == b""


@pytest.mark.parametrize(
    ("about", "weights", "message"),
    [
        ({"alphabet": ""}, {}, "got lstm.safetensors without alphabet in its metadata. For a model of your own write"),
        ({"cell": "SRU"}, {}, "the model's cell must be one of RNN, GRU, LSTM, got 'SRU'. For a model of your own"),
        (
            {"hidden_size": "9"},
            {},
            "whose metadata and weights disagree: Error.* in loading state_dict .* `ostinato demo`",
        ),
        ({"hidden_size": "many"}, {}, "whose metadata and weights disagree: invalid literal for int"),
        (
            None,
            {"head.bias": torch.full((28,), math.inf)},
            "finite, got 28 of 28 values of head.bias that are inf or NaN",
        ),
    ],
)
def test_models_that_cannot_serve(here, about, weights, message):
    with pytest.raises(InputError, match=message):
        inspect(changed(here, about, **weights), text=here / "fox.txt")
    assert not list(here.glob("*.html"))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_model_that_may_not_be_read(here):
    (here / "lstm.safetensors").chmod(0)
    with pytest.raises(InputError, match="MODEL must be readable, got .*lstm.safetensors"):
        inspect("lstm.safetensors", text=here / "fox.txt")
