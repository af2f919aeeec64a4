"""The page in which a network runs, opened in a headless Chromium: its numbers are those of `ostinato.stream`."""

import json
import re

import pytest
import torch
from torch import nn

import ostinato
from export.chips.browsers import attribute, opened, same_bits
from ostinato import export, lens
from ostinato.errors import InputError, ShapeError
from ostinato.export import Meaning
from ostinato.export.web.emit import emitted

LETTERS = " abcdefgh<\n"


class CharacterModel(nn.Module):
    """Tokens → scores of the next token, or their logarithms of probabilities."""

    def __init__(self, softmax=False):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(len(LETTERS), 5)
        self.rnn = ostinato.LSTM(5, 12)
        self.head = nn.Linear(12, len(LETTERS))
        self.softmax = softmax
        for p in self.head.parameters():
            nn.init.normal_(p, std=2)

    def forward(self, tokens):
        scores = self.head(self.rnn(self.embedding(tokens))[0])
        return torch.log_softmax(scores, -1) if self.softmax else scores


def tokens_of(text):
    return torch.tensor([LETTERS.index(c) for c in text])


def numbers_of(document, name="output"):
    """float32 of an attribute of the page, by default its last output."""
    return torch.tensor(json.loads(attribute(document, name)), dtype=torch.float64).float()


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    model = CharacterModel()
    file = tmp_path_factory.mktemp("page") / "letters.html"
    meaning = Meaning(title="Letters </title><b>", about="& more", vocabulary=list(LETTERS), start="ab")
    return model, export.page(model, file, meaning)


def test_a_typed_text_has_the_probabilities_of_the_stream_and_the_self_test_agrees(letters):
    model, made = letters
    text = "a bad cage\nfed"
    document = opened(made.file, text=text)
    expected = ostinato.stream(model).push(tokens_of(text))[-1]
    assert same_bits(numbers_of(document), expected)
    shown = torch.tensor(json.loads(attribute(document, "p")), dtype=torch.float64)
    assert torch.allclose(shown, torch.softmax(expected.double(), -1), atol=1e-12)
    assert attribute(document, "same") == "yes" and re.search(r'id="same">yes<', document)
    assert attribute(document, "steps") == str(len(text))
    best = LETTERS[int(expected.argmax())].replace(" ", "␣").replace("\n", "⏎").replace("<", "&lt;")
    assert re.search(r'class="symbol">([^<]*)<', document)[1] == best
    assert f"{100 * float(shown.max()):.1f} %" in document


def test_the_buttons_write_step_by_step_edit_and_reset(letters):
    model, made = letters
    script = """
const id = (name) => document.getElementById(name), said = [];
const look = () => said.push([id("text").value, JSON.parse(document.body.dataset.output)]);
const enter = (text) => { id("text").value = text; id("text").dispatchEvent(new Event("input")); };
id("heat").value = 0;
look();
for (let k = 0; k < 3; k++) id("step").click();
look();
enter("abc");
enter("abce");
look();
enter("xadyy");
look();
document.body.dataset.note = id("note").textContent;
id("reset").click();
look();
document.body.dataset.said = JSON.stringify(said);
"""
    document = opened(made.file, script)
    said = json.loads(attribute(document, "said"))
    assert attribute(document, "note") == "Not in the vocabulary, and left out: x y"
    stream, text = ostinato.stream(model), "ab"
    y = stream.push(tokens_of(text))[-1]
    for _ in range(3):
        text += LETTERS[int(y.argmax())]
        y = stream.step(torch.tensor(LETTERS.index(text[-1])).view(1))[0]
    texts = ["ab", text, "abce", "xadyy"]
    assert [s[0] for s in said] == [*texts, ""]
    for (_, got), words in zip(said, ["ab", text, "abce", "ad"]):
        assert same_bits(
            torch.tensor(got, dtype=torch.float64).float(), ostinato.stream(model).push(tokens_of(words))[-1]
        )
    assert said[-1][1] == []


def test_the_page_asks_for_nothing_outside_and_names_cannot_become_markup(letters):
    text = letters[1].file.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.search(r"\b(src|href)=|https?://|@import|fetch\(|XMLHttpRequest|import\(", text)
    assert "<title>Letters &lt;/title&gt;&lt;b&gt;</title>" in text and "&amp; more" in text
    assert text.count("</script>") == 1 and text.count("<script>") == 1
    assert letters[1].file_bytes == len(text.encode()) and str(letters[1].file_bytes) in str(letters[1])
    assert 4000 < letters[1].code_bytes < 20_000


def gates_of(layer, x, name):
    """Gate's name on the page → its values after the last step of one row, by the lens."""
    return {f"{name}.{gate}": v[-1, 0] for gate, v in lens.gate_values(layer, x).items()}


def agree(shown, expected):
    assert list(shown) == list(expected)
    for name, values in expected.items():
        torch.testing.assert_close(torch.tensor(shown[name]), values, rtol=0, atol=1e-5)


def test_the_gates_after_every_step_are_those_of_the_lens(letters):
    model, made = letters
    script = """
const box = document.getElementById("text");
document.body.dataset.first = document.body.dataset.gates;
box.value = "bad c";
box.dispatchEvent(new Event("input"));
"""
    document = opened(made.file, script, text="ba")
    for name, text in (("first", "ba"), ("gates", "bad c")):
        shown = json.loads(attribute(document, name))
        agree(shown, gates_of(model.rnn, model.embedding(tokens_of(text))[:, None].detach(), "rnn.0"))
        assert list(shown) == ["rnn.0.i", "rnn.0.f", "rnn.0.g", "rnn.0.o"]
    assert same_bits(numbers_of(document), ostinato.stream(model).push(tokens_of("bad c"))[-1])
    for k, words in enumerate(("h", "c", "i", "f", "g", "o")):
        assert re.search(rf'<h4>{words} <small>[^<]*<span id="picture{k}-range">, [^<]+<', document)
    assert "gate, 12 units" in document and "States and gates" in document


def test_only_the_page_keeps_gates(letters, tmp_path):
    network = ostinato.stream(letters[0]).network
    plain, probed = emitted(network), emitted(network, probed=True)
    assert plain.kernel.layout.probes == [] and len(probed.kernel.layout.probes) == 4
    assert plain.weights == probed.weights and plain.initial == probed.initial
    made = export.wasm(letters[0], tmp_path / "a.wasm")
    assert made.code_bytes == len(plain.module("exact", False).data) < len(probed.module("exact", False).data)
    assert made.work_bytes == 4 * plain.kernel.work_size < 4 * probed.kernel.work_size


@pytest.mark.slow
def test_every_layer_has_its_gates_and_a_network_without_gates_its_states_alone(tmp_path):
    layer = ostinato.GRU(3, 8, 2)
    x = torch.tensor([[0.5, -1.0, 0.25], [1.5, 0.0, -0.125]])
    document = opened(export.page(layer, tmp_path / "a.html").file, x="0.5,-1,0.25;1.5,0,-0.125")
    expected = {
        f"{k}.{gate}": v[-1, 0] for k in (0, 1) for gate, v in lens.gate_values(layer, x[:, None], depth=k).items()
    }
    assert list(expected) == [f"{k}.{gate}" for k in (0, 1) for gate in "rzn"]
    agree(json.loads(attribute(document, "gates")), expected)
    assert "layer 0 <small>gru 3 → 8<" in document and "layer 1 <small>gru 8 → 8<" in document
    cell = ostinato.cells.Cell.from_text("@cell(gates='z')\ndef leaky(W, x, h):\n    return 0.5 * h + W.z @ x\n")
    document = opened(export.page(ostinato.Recurrent(cell, 2, 3), tmp_path / "b.html").file, x="1,2")
    assert json.loads(attribute(document, "gates")) == {} and ">States<" in document


@pytest.mark.slow
def test_pictures_past_the_most_are_counted(tmp_path):
    text = export.page(ostinato.LSTM(2, 3, 7), tmp_path / "p.html").file.read_text(encoding="utf-8")
    assert text.count("<canvas") == 2 + 8 + 16
    assert "6 more states are not drawn. 12 more gates are not drawn." in text


@pytest.mark.slow
def test_log_probabilities_and_longer_pieces_are_shown_as_such(tmp_path):
    model = CharacterModel(softmax=True)
    pieces = [*"abcdefgh ", "ab", "cab"]
    made = export.page(model, tmp_path / "p.html", Meaning(vocabulary=pieces, unknown="h"))
    document = opened(made.file, text="cababxb")
    expected = ostinato.stream(model).push(torch.tensor([10, 9, 7, 1]))[-1]
    assert same_bits(numbers_of(document), expected)
    shown = torch.tensor(json.loads(attribute(document, "p")), dtype=torch.float64)
    assert torch.allclose(shown, expected.double().exp(), atol=1e-12)
    assert "read as h: x" in document and "Next token" in document


def test_a_network_of_numbers_has_sliders_and_the_outputs_of_the_stream(tmp_path):
    layer = ostinato.GRU(3, 8)
    meaning = Meaning(inputs=["force", "speed <b>", "angle"], low=-2, high=2)
    made = export.page(layer, tmp_path / "p.html", meaning, bits="fast")
    xs = torch.tensor([[0.5, -1.0, 0.25], [1.5, 0.0, -0.125]])
    script = """
document.body.dataset.first = document.body.dataset.output;
const slider = document.getElementById("input1");
slider.value = 1.5;
slider.dispatchEvent(new Event("input"));
document.getElementById("step").click();
document.body.dataset.said = document.getElementById("value1").textContent;
"""
    document = opened(made.file, script, x="0.5,-1,0.25;1.5,0,-0.125")
    stream = ostinato.stream(layer)
    assert same_bits(numbers_of(document, "first"), stream.push(xs)[-1])
    assert "speed &lt;b&gt;" in document and "and 2 more, not drawn" in document
    assert attribute(document, "said") == "1.50" and attribute(document, "steps") == "4"


@pytest.mark.slow
def test_labels_make_bars_of_scores_and_tokens_without_a_vocabulary_are_numbers(tmp_path):
    made = export.page(ostinato.RNN(2, 3), tmp_path / "a.html", Meaning(labels=["red", "green", "blue"]))
    document = opened(made.file, x="1,0.5")
    shares = json.loads(attribute(document, "p"))
    assert abs(sum(shares) - 1) < 1e-12 and all(name in document for name in ("red", "green", "blue"))
    model = CharacterModel()
    document = opened(export.page(model, tmp_path / "b.html").file, text="3 10 0 ")
    assert same_bits(numbers_of(document), ostinato.stream(model).push(torch.tensor([3, 10, 0]))[-1])


def test_a_meaning_that_does_not_fit_is_refused(tmp_path):
    path, layer, letters = tmp_path / "p.html", ostinato.LSTM(2, 3), CharacterModel()
    with pytest.raises(InputError, match="ending in .html.*'p.html'"):
        export.page(layer, "p.txt")
    with pytest.raises(ShapeError, match="vocabulary must be 11 texts, one for each token, got 3"):
        export.page(letters, path, Meaning(vocabulary=list("abc")))
    with pytest.raises(InputError, match="texts that differ, none of them empty, got 'a'"):
        export.page(letters, path, Meaning(vocabulary=list("abcdefghija")))
    with pytest.raises(InputError, match="texts that differ, none of them empty, got ''"):
        export.page(letters, path, Meaning(vocabulary=[*"abcdefghij", ""]))
    with pytest.raises(InputError, match="unknown must be a text of the vocabulary, got '<unk>'"):
        export.page(letters, path, Meaning(vocabulary=list(LETTERS), unknown="<unk>"))
    with pytest.raises(InputError, match="vocabulary must be None for a network of numbers"):
        export.page(layer, path, Meaning(vocabulary=["a"]))
    with pytest.raises(ShapeError, match="labels must be 3 names, one for each output, got 1"):
        export.page(layer, path, Meaning(labels=["a"]))
    with pytest.raises(ShapeError, match="inputs must be 2 names, one for each number of x, got 1"):
        export.page(layer, path, Meaning(inputs=["a"]))
    with pytest.raises(InputError, match="output must be one of scores.*Did you mean 'scores'"):
        export.page(layer, path, Meaning(output="score"))
    with pytest.raises(InputError, match="low and high must be two numbers, the lower one first, got 1.0 and 1"):
        export.page(layer, path, Meaning(low=1.0, high=1))
    assert not path.exists()


@pytest.mark.slow
def test_damaged_weights_fail_the_self_test_of_the_page(letters, tmp_path):
    text = letters[1].file.read_text(encoding="utf-8")
    first = re.search(r'"weights": "(.)', text)
    damaged = tmp_path / "damaged.html"
    damaged.write_text(text[: first.start(1)] + chr(ord(first[1]) ^ 1) + text[first.end(1) :], encoding="utf-8")
    document = opened(damaged)
    assert attribute(document, "same") == "no" and "no, the weights are damaged" in document
    assert 'class="ill"' in document


def test_numbers_are_shown_in_the_units_of_the_reader_and_flags_begin_as_one(tmp_path):
    meaning = Meaning(
        inputs=["left", "is there"], scales=[(100.0, 10.0), (0.0, 1.0)], flags=[1], output_scale=(5.0, 2.0)
    )
    torch.manual_seed(0)
    model = ostinato.LSTM(2, 1)
    document = opened(export.page(model, tmp_path / "scaled.html", meaning).file, x="0.5,1")
    y = float(ostinato.stream(model).push(torch.tensor([[0.5, 1.0]]))[0, 0])
    assert f"y {5 + 2 * y:.4f}" in document and "left 105.0000" in document and "is there 1.0000" in document
    assert 'id="sine0"' in document and 'id="sine1"' not in document


def test_separate_scores_are_shown_as_their_sigmoids(tmp_path):
    torch.manual_seed(0)
    model = ostinato.LSTM(2, 3)
    meaning = Meaning(labels=["a", "b", "c"], output="separate scores")
    document = opened(export.page(model, tmp_path / "separate.html", meaning).file, x="0.5,1")
    expected = torch.sigmoid(ostinato.stream(model).push(torch.tensor([[0.5, 1.0]])).double())[0]
    assert torch.allclose(torch.tensor(json.loads(attribute(document, "p")), dtype=torch.float64), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("meaning", "error", "message"),
    [
        (Meaning(scales=[(0.0, 1.0)]), ShapeError, "scales must be 2 pairs, one for each number of x, got 1"),
        (Meaning(flags=[2]), InputError, "flags must be places from 0 to 1, got 2. Count from 0."),
        (Meaning(normal_form="NFX"), InputError, "normal_form must be one of NFC, NFD, NFKC, NFKD, got 'NFX'"),
    ],
)
def test_scales_flags_and_forms_that_cannot_be(meaning, error, message, tmp_path):
    with pytest.raises(error, match=message):
        export.page(ostinato.LSTM(2, 1), tmp_path / "net.html", meaning)
