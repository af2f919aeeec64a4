"""The folded and the unfolded picture hold what the model is: checked on models written here, by their own text."""

import re
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

import ostinato
from ostinato.apps.models import CharModel
from ostinato.errors import InputError
from ostinato.lens import fold, unfold

SVG = "{http://www.w3.org/2000/svg}"


class Reviews(nn.Module):
    """Words → the class of the whole text, through the last states of both directions, or what `ending` takes."""

    def __init__(self, ending, layers=1, **options):
        super().__init__()
        self.words = nn.Embedding(50, 8)
        self.reader = ostinato.GRU(8, 16, layers, bidirectional=True, batch_first=True, **options)
        self.head = nn.Linear(32, 2)
        self.ending = ending

    def forward(self, ids, lengths=None):
        output, h = self.reader(self.words(ids), lengths=lengths)
        return self.head(self.ending(output, h))


class Translator(nn.Module):
    """Encoder, decoder, attention."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(50, 8)
        self.encoder, self.decoder = ostinato.GRU(8, 16), ostinato.GRU(8, 16)
        self.query, self.head = nn.Linear(16, 16), nn.Linear(16, 50)

    def forward(self, source, target):
        seen, h = self.encoder(self.words(source))
        said, _ = self.decoder(self.words(target), h)
        weights = torch.softmax(torch.einsum("tbh,sbh->bts", self.query(said), seen), -1)
        return self.head(said + torch.einsum("bts,sbh->tbh", weights, seen))


class Looped(nn.Module):
    """A cell called step by step, and a function that changes what it is given."""

    def __init__(self):
        super().__init__()
        self.cell, self.layer, self.head = nn.LSTMCell(8, 16), ostinato.GRU(16, 16), nn.Linear(16, 5)

    def forward(self, x):
        state, outputs = None, []
        for x_t in x.unbind():
            state = self.cell(x_t, state)
            outputs.append(state[0])
        output, _ = self.layer(torch.stack(outputs))
        return self.head(torch.relu_(output)[-1])


def read(diagram):
    """The words of a picture, the number of its boxes and of its arrowheads; it must be well-formed."""
    root = ElementTree.fromstring(diagram.svg)
    assert root.tag == SVG + "svg"
    words = [t.text for t in root.iter(SVG + "text")]
    boxes = [r for r in root.iter(SVG + "rect") if r.get("rx")]
    return words, len(boxes), len(list(root.iter(SVG + "polygon")))


def ids(*shape):
    return torch.randint(50, shape, generator=torch.Generator().manual_seed(0))


def test_one_layer_says_all_by_itself():
    words, boxes, heads = read(fold(ostinato.LSTM(64, 256)))
    assert {"LSTM", "64 → 256", "h, c [B, 256]", "[T, B, 64]", "[T, B, 256]", "x", "output", "folded"} <= set(words)
    assert (boxes, heads) == (1, 3)
    assert "[B, T, 64]" in read(fold(nn.LSTM(64, 256, batch_first=True)))[0]


def lines_through_words(diagram):
    """(words, line) for each straight part of a path that crosses the box of the words, about 5.5 pixels a letter."""
    root = ElementTree.fromstring(diagram.svg)
    segments = []
    for path in root.iter(f"{SVG}path"):
        points = [tuple(map(float, point.split())) for point in re.split("[ML]", path.get("d"))[1:]]
        segments += list(zip(points, points[1:]))
    found = []
    for text in root.iter(f"{SVG}text"):
        x, y, wide = float(text.get("x")), float(text.get("y")), 5.5 * len(text.text)
        left = x - {"start": 0, "middle": wide / 2, "end": wide}[text.get("text-anchor")]
        for (x0, y0), (x1, y1) in segments:
            if min(x0, x1) < left + wide and max(x0, x1) > left and min(y0, y1) < y + 3 and max(y0, y1) > y - 8:
                found.append((text.text, ((x0, y0), (x1, y1))))
    return found


def test_no_line_passes_through_the_shapes_of_an_encoder_and_a_decoder():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder, self.head = ostinato.GRU(8, 16), ostinato.GRU(8, 16), nn.Linear(16, 5)

        def forward(self, source, written):
            return self.head(self.decoder(written, self.encoder(source)[1])[0])

    assert lines_through_words(unfold(Pair(), torch.randn(7, 2, 8), torch.randn(4, 2, 8), steps=3)) == []


def test_unfolded_has_a_column_for_each_step():
    for steps in (1, 4, 30):
        words, boxes, heads = read(unfold(ostinato.LSTM(64, 256), steps=steps))
        assert boxes == steps
        assert heads == 3 * steps + 1  # in, out and along, and the last state
        assert words.count("[B, 64]") == words.count("[B, 256]") - max(steps - 1, 1) == steps
        assert "h, c = 0" in words and f"x{steps}".translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")) in words


def test_states_of_different_widths_are_named_apart():
    words, boxes, _ = read(fold(ostinato.LSTM(64, 256, num_layers=2, proj_size=32, bidirectional=True)))
    assert boxes == 4
    assert words.count("h [B, 32]") == words.count("c [B, 256]") == 4
    assert {"LSTM, layer 1 of 2 →", "LSTM, layer 2 of 2 ←", "to the step before", "[T, B, 64]"} <= set(words)
    assert {"h [B, 32]", "c [B, 256]"} <= set(read(unfold(ostinato.LSTM(64, 256, proj_size=32)))[0])


def test_starts():
    assert "h learned" in read(unfold(ostinato.GRU(4, 8, learn_initial_state=True)))[0]
    given = (torch.zeros(7, 2, 4), torch.zeros(1, 2, 8))
    words = read(unfold(ostinato.GRU(4, 8), *given))[0]
    assert "[1, B, 8]" in words and "h = 0" not in words


def test_a_character_model_by_an_example():
    model = CharModel(ostinato.LSTM(8, 16, num_layers=2), 20)
    words, boxes, _ = read(fold(model, torch.randint(20, (7, 3))))
    assert boxes == 4
    arrows = ["[T, B]", "[T, B, 8]", "[T, B, 16]", "[T, B, 16]", "[T, B, 20]"]
    assert sorted(w for w in words if re.fullmatch(r"\[T.*\]", w)) == sorted(arrows)
    assert {"embedding", "Embedding 20 → 8", "layer, layer 2 of 2", "LSTM 16 → 16", "Linear 16 → 20"} <= set(words)
    assert "folded; in the example T = 7, B = 3" in words
    assert read(unfold(model, torch.randint(20, (7, 3)), steps=3))[1] == 12


@pytest.mark.parametrize(
    ("ending", "words", "boxes"),
    [
        (lambda output, h: torch.cat([h[0], h[1]], 1), "last state [2, B, 16] → [B, 32]", 3),
        (lambda output, h: output[:, -1], "[B, T, 32] last step → [B, 32]", 3),
        (lambda output, h: output[:, 0] * 2, "[B, T, 32] first step → [B, 32]", 3),
        (lambda output, h: output[:, 0] + output[:, -1], "[B, T, 32] first and last step → [B, 32]", 3),
        (lambda output, h: output.mean(1), "[B, T, 32] all steps → [B, 32]", 3),
        (lambda output, h: output[:, 1:4].amax(1), "[B, T, 32] some steps → [B, 32]", 3),
        (lambda output, h: output[torch.arange(3), [6, 2, 4]], "[B, T, 32] one step of each row → [B, 32]", 3),
        (lambda output, h: output, "[B, T, 32]", 3),
    ],
)
def test_which_steps_are_read_is_found_out(ending, words, boxes):
    model = Reviews(ending)
    found, count, _ = read(fold(model, ids(3, 7), lengths=torch.tensor([7, 7, 7])))
    assert words in found and count == boxes + 1
    assert "[B]" in found and "lengths" in found
    unfolded, count, _ = read(unfold(model, ids(3, 7), steps=4))
    at_every_step = ending(torch.zeros(3, 7, 32), torch.zeros(2, 3, 16)).dim() == 3
    assert count == 4 + 8 + (4 if at_every_step else 1)
    assert "[B, 32]" in " ".join(unfolded) and not any("T" in w for w in unfolded if w.startswith("["))


def test_a_batch_as_long_as_the_sequence_is_not_taken_for_it():
    words = read(fold(Reviews(lambda output, h: output[:, -1]), ids(32, 32)))[0]
    assert "[B, T, 32] last step → [B, 32]" in words and "[B, 2]" in words


def test_an_encoder_a_decoder_and_attention():
    model = Translator()
    words, boxes, _ = read(fold(model, ids(9, 3), ids(5, 3)))
    assert boxes == 5
    assert {"last state [1, B, 16]", "[T, B, 16] all steps → [T′, B, 16]", "Embedding 50 → 8 × 2 calls"} <= set(words)
    assert "folded; in the example T = 9, T′ = 5, B = 3" in words
    assert read(unfold(model, ids(9, 3), ids(5, 3)))[1] == 20


def test_a_cell_called_step_by_step_is_a_loop():
    words, boxes, _ = read(fold(Looped(), torch.randn(9, 3, 8)))
    assert boxes == 3
    assert {"state", "LSTMCell 8, 16 × 9 calls", "[T, B, 16] last step → [B, 16]"} <= set(words)
    assert words.count("to the next step") == 2


def test_a_path_without_gradient_is_dashed():
    class Hard(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.again = ostinato.GRU(4, 8), nn.Embedding(8, 3)

        def forward(self, x):
            return self.again(self.layer(x)[0].argmax(-1))

    diagram = fold(Hard(), torch.randn(5, 2, 4))
    assert diagram.svg.count("stroke-dasharray") == 1
    assert "[T, B, 8] → [T, B]" in read(diagram)[0]
    assert "stroke-dasharray" not in fold(ostinato.GRU(4, 8)).svg


def test_packed_rows():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = ostinato.GRU(4, 8)

        def forward(self, x):
            return self.layer(nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 3])))[0].data

    assert {"[T, B, 4] → [R, 4]", "[R, 8]"} & set(read(fold(Packed(), torch.randn(5, 2, 4)))[0])


def test_drawing_leaves_no_trace():
    model = Reviews(lambda output, h: output.mean(1), dropout=0.5, layers=2).train()
    before, random = {k: v.clone() for k, v in model.state_dict().items()}, torch.random.get_rng_state()
    first = unfold(model, ids(3, 7)).svg
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters()) and all(m.training for m in model.modules())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert unfold(model, ids(3, 7)).svg == first


def test_names_are_escaped_and_files_are_written(tmp_path):
    diagram = fold(ostinato.GRU(4, 8), title='<b> & "c"')
    assert read(diagram)[0][-2] == '<b> & "c"' or '<b> & "c"' in read(diagram)[0]
    path = diagram.save(tmp_path / "gru.svg")
    assert path.read_text(encoding="utf-8") == diagram.svg == diagram._repr_svg_()
    root = ElementTree.fromstring(diagram.svg)
    assert float(root.get("width")) == pytest.approx(diagram.width, abs=0.01)


def test_words_stay_on_the_paper():
    from ostinato.lens.render.diagram.svg import width

    for diagram in (
        fold(Translator(), ids(9, 3), ids(5, 3)),
        unfold(Reviews(lambda o, h: h[0].repeat(1, 2)), ids(3, 7)),
    ):
        for t in ElementTree.fromstring(diagram.svg).iter(SVG + "text"):
            w, x = width(t.text, float(t.get("font-size"))), float(t.get("x"))
            left = {"start": x, "middle": x - w / 2, "end": x - w}[t.get("text-anchor")]
            assert left >= -1 and left + w <= diagram.width + 12, t.text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: unfold(ostinato.GRU(4, 8), steps=0), "unfold: steps must be a whole number from 1 up, got 0. Write"),
        (lambda: fold("lstm"), "fold: model must be a torch module, got str."),
        (
            lambda: fold(Translator()),
            "fold: example must be given for a model of several modules, got none. Write lens",
        ),
        (
            lambda: fold(nn.Linear(2, 3), torch.ones(1, 2)),
            "fold: model must be one that calls a recurrent layer, got L",
        ),
        (lambda: fold(ostinato.GRU(4, 8)).save("a.png"), "Diagram.save: path must be a name ending in .svg, got 'a"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(InputError, match=re.escape(message)):
        call()
