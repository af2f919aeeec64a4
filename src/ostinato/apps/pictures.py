"""Writes the pictures of the documents, the same bytes each time: `python -m ostinato.apps.pictures docs/img`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from ..layers import GRU, LSTM, RNN
from ..lens import Report, fold, gate_values, gradient_by_lag, gradient_matrix, unfold, watch
from ..lens.render.plots.activations import activations_picture
from ..lens.render.plots.activations import sigmoid_again_picture as again
from ..lens.render.plots.heatmaps import gates_picture, gradient_matrix_picture
from ..lens.render.plots.lines import gradient_by_lag_picture
from ..lens.render.plots.style import png
from ..loss import sequence_loss
from .models import CharModel
from .reading import language_reference
from .training import Text, Trainer, windows

SENTENCE = "The dogs owned by Mrs Smith were barking."


def loss(output: Tensor) -> Tensor:
    """½ the squared norm of an output, a loss for each row and step."""
    return 0.5 * output.square().sum(-1)


def watched() -> Report:
    """A character model's pass forward and back on held-out text, after 100 steps of training."""
    text = Text.of(language_reference())
    model = CharModel(LSTM(32, 64), len(text.alphabet))
    running = Trainer(model, text, batch=16, steps=32, total=100)
    for _ in range(100):
        running.step()
    model.zero_grad()
    read = windows(text.valid, 16, 101)
    with watch(model) as looking:
        sequence_loss(model(read[:-1])[0], read[1:]).backward()
    return looking.report()


def write(folder: Path) -> list[Path]:
    """Every picture of docs/pictures.md and docs/activations.md but that of the main job. Layers as they are drawn."""
    torch.manual_seed(0)
    model = CharModel(LSTM(16, 64, num_layers=2), 40)
    ids = torch.randint(40, (5, 2), device="cpu")
    x = torch.randn(121, 16, 16, dtype=torch.float64, device="cpu")
    layers = {
        "RNN": RNN(16, 64),
        "GRU": GRU(16, 64),
        "LSTM": LSTM(16, 64),
        "LSTM, forget bias 3": LSTM(16, 64, forget_bias=3.0),
        "RNN, orthogonal U": RNN(16, 64, init="orthogonal"),
    }
    reach = {name: gradient_by_lag(layer.double(), x, loss) for name, layer in layers.items()}
    lags = gradient_by_lag_picture(
        {"layers as they are drawn, before any training": reach},
        title="What is left of a gradient k steps back",
        relative=True,
        threshold=0.01,
    )
    matrix = gradient_matrix(layers["LSTM, forget bias 3"], x[:60, :4], loss).of()
    vectors = torch.randn(128, 16, dtype=torch.float64, device="cpu")
    letters = vectors[[ord(c) for c in SENTENCE]][:, None]
    gates = gate_values(layers["LSTM"], 2 * letters)
    made = {
        "gradient-against-lag": lags,
        "gradient-matrix": gradient_matrix_picture(matrix, title="LSTM, forget bias 3: of each step's loss, in each h"),
        "gates": gates_picture({k: v[:, 0] for k, v in gates.items()}, list(SENTENCE), title="The gates of an LSTM"),
        "activations": activations_picture(),
        "sigmoid-again": again(),
        "report": watched().picture(),
    }
    written = [folder / f"{name}.png" for name in made]
    for path, figure in zip(written, made.values()):
        path.write_bytes(png(figure, dpi=100))
    for name, diagram in {"folded": fold(model, ids), "unfolded": unfold(model, ids, steps=4)}.items():
        written.append(diagram.save(folder / f"{name}.svg"))
    return written


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python -m ostinato.lens.render.plots FOLDER, a folder that exists")
    for path in write(Path(sys.argv[1])):
        print(path)
