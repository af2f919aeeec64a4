"""A user's program over the public names, which `mypy --strict` accepts; tests/test_types.py runs mypy and this."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, tanh

import ostinato
from ostinato import lens


@ostinato.cell
def leaky(W: Any, U: Any, b: Any, x: Tensor, h: Tensor) -> Tensor:
    return 0.5 * h + 0.5 * tanh(W.h @ x + U.h @ h + b.h)


class Tagger(nn.Module):
    def __init__(self, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.rnn = ostinato.LSTM(features, hidden, batch_first=True, recurrent_dropout=0.1, zoneout={"c": 0.1})
        self.own = ostinato.Recurrent(leaky, hidden, hidden, batch_first=True, init="orthogonal")
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor, lengths: list[int] | None = None) -> Tensor:
        output, _ = self.rnn(x, lengths=lengths)
        scores: Tensor = self.head(self.own(output, lengths=lengths)[0])
        return scores


def main(folder: Path) -> lens.GradientByLag:
    model, lengths = Tagger(8, 16, 3), [20, 7, 0, 3]
    x, targets = torch.randn(4, 20, 8), torch.randint(3, (4, 20))
    with ostinato.detect_anomaly():
        loss = ostinato.sequence_loss(model(x, lengths), targets, lengths=lengths, batch_first=True)
        torch.autograd.backward(loss)
    gru = ostinato.GRU(8, 16)
    stream: ostinato.Stream = ostinato.stream(gru)
    first: Tensor = stream.step(torch.randn(1, 8))
    (folder / "cell.txt").write_text(f"{leaky.text} {loss.item():.3f} {list(first.shape)}", encoding="utf-8")
    return lens.gradient_by_lag(gru, torch.randn(20, 4, 8), lambda h: h.square().sum(1))
