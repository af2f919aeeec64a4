"""What is written: ONNX files, weights in other libraries' layouts, diagrams, and pickles read back."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

import ostinato
from ostinato import export, lens

from .digest import Case
from .made import SMALL, TORCH_NAMED, Call, called, drawn, layer_of
from .training import Head

LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    **{kind: (kind, {"num_layers": 2, "bidirectional": True}) for kind in TORCH_NAMED},
    "LSTM layer_norm": ("LSTM", {"layer_norm": True, "batch_first": True}),
    "GRU float64": ("GRU", {"dtype": torch.float64, "learn_initial_state": True}),
    "lstm_peephole": ("lstm_peephole", {}),
    "gru_reset_before": ("gru_reset_before", {}),
    "slstm": ("slstm", {}),
    "minlstm": ("minlstm", {"num_layers": 2}),
}


def cases() -> Iterator[tuple[str, Case]]:
    """Of layers as operators and as scans, and of models."""
    for name, (kind, options) in LAYERS.items():
        yield f"files of {name}: ONNX", partial(onnx_file, kind, options)
    for name, (kind, options) in LAYERS.items():
        yield f"files of {name}: diagrams", partial(diagrams, kind, options)
    for kind in ("RNN tanh", "GRU", "LSTM", "lstm_peephole"):
        yield f"files of {kind}: other layouts", partial(layouts, kind)
    yield "files of LSTM: saved and loaded", loaded
    yield "files of mgu: gates permuted", permuted
    yield "files of a model: diagrams", model_diagrams


def onnx_file(kind: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The bytes of a layer's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.onnx"
        said = export.onnx(layer_of(kind, **options), path)
        whole = path.read_bytes()
        export.onnx(layer_of(kind, **options), path, lengths=False, state=False)
        return {"said": str(said), "whole": whole, "bare": path.read_bytes()}


def layouts(kind: str) -> Mapping[str, Any]:
    """Weights as Keras, Flax and ONNX have them, and what the layer holds after they are read back."""
    layer = layer_of(kind, num_layers=2)
    found: dict[str, Any] = {}
    for library in ("keras", "flax", "onnx"):
        try:
            theirs = getattr(export, f"to_{library}")(layer)
        except ValueError as error:  # a library that has no such cell
            found[library] = str(error)
            continue
        getattr(export, f"from_{library}")(layer, theirs)
        found |= {library: theirs, f"read from {library}": {n: p.clone() for n, p in layer.named_parameters()}}
    return found


def diagrams(kind: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """A layer folded and unfolded."""
    layer = layer_of(kind, **options)
    return {"folded": lens.fold(layer).svg, "unfolded": lens.unfold(layer, steps=3).svg}


def model_diagrams() -> Mapping[str, Any]:
    """A model of several modules folded and unfolded, by an example."""
    model, x = Head("GRU", num_layers=2), drawn(*SMALL[:3])
    return {"folded": lens.fold(model, x).svg, "unfolded": lens.unfold(model, x, steps=2).svg}


def loaded() -> Mapping[str, Any]:
    """A whole layer through torch.save, and a state_dict between two layers."""
    layer = layer_of("LSTM", zoneout=0.1, num_layers=2)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    other = ostinato.LSTM(SMALL.features, SMALL.hidden, 2, zoneout=0.1)
    other.load_state_dict(layer.state_dict())
    return {f"{k} {n}": t for k, m in enumerate((again, other)) for n, t in called(m.train(), Call()).items()}


def permuted() -> Mapping[str, Any]:
    """Weights and Adam's moments of a cell whose gates are stacked in another order than in the file."""
    given, turned = (
        ostinato.Cell.from_text(
            f'@cell(gates="{order}")\ndef turned(W, U, b, x, h):\n    z = sigmoid(W.z @ x + b.z + U.z @ h)\n'
            "    n = tanh(W.n @ x + b.n + U.n @ h)\n    return z * h + (1 - z) * n\n"
        )
        for order in ("z n", "n z")
    )
    layers = [ostinato.Recurrent(cell, SMALL.features, SMALL.hidden) for cell in (given, turned)]
    optimizers = [torch.optim.Adam(layer.parameters()) for layer in layers]
    x = drawn(SMALL.steps, SMALL.rows, SMALL.features)
    layers[0](x)[0].square().sum().backward()
    optimizers[0].step()
    layers[1].load_state_dict(layers[0].state_dict())
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    names = ostinato.permute_optimizer_state(optimizers[1], layers[1])
    layers[1](x)[0].square().sum().backward()
    optimizers[1].step()
    return {"names": names, "order": ostinato.gate_order(turned), **dict(layers[1].named_parameters())}
