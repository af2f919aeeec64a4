"""Files of whole models' streams: ONNX Runtime, its states fed back, gives what the stream and the model give."""

import pytest
import torch
from torch import nn

import ostinato
from export.test_stream_files import CHUNKS, TYPES, comparable, drawn, written
from tolerance import check


class Speech(nn.Module):
    """A causal convolution, BatchNorm, LayerNorm, a deep LSTM, a skip connection and a head; [B, T, C]."""

    def __init__(self):
        super().__init__()
        self.conv, self.batch, self.norm = nn.Conv1d(4, 8, 3, padding=2), nn.BatchNorm1d(8), nn.LayerNorm(8)
        self.rnn = ostinato.LSTM(8, 8, 2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(8, 6), nn.SiLU(), nn.Dropout(0.5), nn.Linear(6, 3))
        nn.init.uniform_(self.batch.running_mean)
        nn.init.uniform_(self.batch.running_var, 0.5, 2.0)

    def forward(self, x):
        y = torch.relu(self.batch(self.conv(x.transpose(1, 2))[:, :, :-2]))
        y = self.norm(y.transpose(1, 2))
        return self.head(self.rnn(y)[0] + y).log_softmax(-1)


class Language(nn.Module):
    """Tokens, a cell of the catalogue with a learned initial state, and a head with the embedding's weights."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(20, 6), nn.Linear(6, 20)
        self.rnn = ostinato.Recurrent("mgu", 6, 6, learn_initial_state=True, batch_first=True)
        self.head.weight = self.embedding.weight
        nn.init.uniform_(self.rnn.initial_h_l0)

    def forward(self, tokens):
        return self.head(self.rnn(self.embedding(tokens))[0])


class Classifier(nn.Module):
    """The mean and the maximum of all steps: the stream has those of all steps so far, the model's call the last."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head = ostinato.GRU(4, 6, batch_first=True), nn.Linear(12, 3)

    def forward(self, x):
        y, _ = self.rnn(x)
        return self.head(torch.cat([y.mean(1), y.max(1).values], -1)).softmax(-1)


STATES = {
    Speech: ["conv.history", "rnn.0.h", "rnn.0.c", "rnn.1.h", "rnn.1.c"],
    Language: ["rnn.0.h"],
    Classifier: ["rnn.0.h", "mean.sum", "mean.rest", "mean.count", "max_1.maximum"],
}


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("make", list(STATES))
def test_a_whole_model(make, dtype, tmp_path):
    torch.manual_seed(0)
    model = make().eval().to(dtype)
    stream, file, told = written(model, tmp_path / "net.onnx", rows=3)
    assert list(told.inputs) == ["x", *STATES[make]] == ["x", *stream.state()]
    assert list(told.outputs) == ["y", *(f"{name}.next" for name in STATES[make])]
    xs = drawn(stream.network, sum(CHUNKS), 3)
    y, after = file.play(xs)
    stepped = {"y": torch.stack([stream.step(x) for x in xs]), **stream.state()}
    check("outputs", comparable({"y": y, **after}), comparable(stepped))
    with torch.no_grad():
        whole = model(xs.transpose(0, 1))
    check(
        "outputs", {"y": y[-1] if whole.dim() == 2 else y}, {"y": whole if whole.dim() == 2 else whole.transpose(0, 1)}
    )
