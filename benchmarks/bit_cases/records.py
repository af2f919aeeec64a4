"""A training step watched: the report, its page, live logs, and where the first value that is no number came from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import ostinato
from ostinato import lens

from .digest import Case
from .lens import SMALL
from .made import drawn, lengths_of, resets_of
from .training import Head

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "RNN tanh": ("RNN tanh", {}),
    "RNN relu": ("RNN relu", {"num_layers": 2}),
    "GRU": ("GRU", {"num_layers": 2, "learn_initial_state": True, "clip_gradient": 0.05}),
    "LSTM": ("LSTM", {"num_layers": 2, "checkpoint": 3}),
    "LSTM zoneout": ("LSTM", {"zoneout": 0.2, "recurrent_dropout": 0.1, "batch_first": True}),
    "slstm": ("slstm", {}),
    "gru_reset_before": ("gru_reset_before", {}),
    "indrnn": ("indrnn", {}),
}


def cases() -> Iterator[tuple[str, Case]]:
    """Of each model, dense and ragged, trained and only run."""
    for name, (kind, options) in MODELS.items():
        yield f"watch {name}: a step of training", partial(watched, kind, options, {})
        yield f"watch {name}: lengths and resets", partial(watched, kind, options, {"lengths": True, "resets": True})
        yield f"watch {name}: no backward pass", partial(only_run, kind, options)
    yield "watch GRU: float64", partial(watched, "GRU", {"dtype": torch.float64}, {"lengths": True})
    yield "watch GRU: lens.Live, every second step", live
    yield "watch LSTM: truncated, two windows", windows
    yield "watch GRU: a page", page
    for broken in ("x", "weight", "gradient"):
        yield f"watch LSTM: detect_anomaly, {broken}", partial(anomaly, broken)


def watched(kind: str, options: Mapping[str, Any], how: Mapping[str, bool]) -> Mapping[str, Any]:
    """One training step with clipped gradients: what it leaves, and the report."""
    options = dict(options)
    dtype = options.pop("dtype", torch.float32)
    model = Head(kind, **options).to(dtype)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    x, keywords = drawn(*SMALL[:3], seed=2, dtype=dtype), {}
    if how.get("lengths"):
        keywords["lengths"] = lengths_of(SMALL)
    if how.get("resets"):
        keywords["resets"] = resets_of(SMALL)
    if options.get("batch_first"):
        x = x.transpose(0, 1)
        keywords |= {"resets": keywords["resets"].t()} if "resets" in keywords else {}
    torch.manual_seed(5)
    with lens.watch(model) as looking:
        optimiser.zero_grad()
        loss = model(x, **keywords).square().sum()
        loss.backward()
        grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return {"loss": loss, "gradients": grads, "weights": dict(model.state_dict()), **told(looking.report())}


def told(report: Any) -> Mapping[str, Any]:
    """A report: its numbers part by part, the verdict, and its texts."""
    found: dict[str, Any] = {}
    for layer in report.layers:
        for part in ("lengths_steps", "gradient", "carries", "gates", "health", "weight_gradients"):
            found[f"{layer.label}: {part}"] = getattr(layer, part)
        if layer.probe is not None:
            reach = [layer.probe.reach_steps(share) for share in (0.01, 0.1)]
            found[f"{layer.label}: probe"] = [layer.probe, layer.probe.half_life_steps, reach]
    found |= {"weights of the report": report.weights, "clipping": report.clipping, "verdict": report.verdict}
    return {**found, "dict": report.to_dict(), "json": report.to_json(), "text": str(report)}


def only_run(kind: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """A call in eval mode without gradients."""
    model = Head(kind, **options).eval()
    with torch.no_grad(), lens.watch(model) as looking:
        output = model(drawn(*SMALL[:3], seed=2))
    return {"output": output, **told(looking.report())}


def page() -> Mapping[str, Any]:
    """A report as HTML, with its pictures."""
    model = Head("GRU")
    with lens.watch(model) as looking:
        model(drawn(*SMALL[:3], seed=2)).square().sum().backward()
    return {"html": looking.report().to_html(title="bits")}


def windows() -> Mapping[str, Any]:
    """Two windows of truncated backpropagation inside one watch."""
    model = Head("LSTM")
    tbptt = ostinato.TruncatedBPTT(model, 3, 6)
    with lens.watch(model) as looking:
        for x in drawn(6, 4, 11, seed=2).split(3):
            tbptt(x).square().sum().backward()
    return told(looking.report())


def live() -> Mapping[str, Any]:
    """The lines that three training steps write."""
    model = Head("GRU", num_layers=2)
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        with lens.Live(model, path, every=2) as looking:
            for seed in (2, 3, 4):
                with looking.step():
                    optimiser.zero_grad()
                    model(drawn(*SMALL[:3], seed=seed)).square().mean().backward()
                    optimiser.step()
        return {"lines": path.read_text(encoding="utf-8"), "weights": model.state_dict()}


def anomaly(broken: str) -> Mapping[str, Any]:
    """What is said of an infinity in x, in a weight, and in the gradient that arrives."""
    model, x = Head("LSTM", num_layers=2), drawn(*SMALL[:3], seed=2)
    if broken == "x":
        x[3, 1, 4] = torch.inf
    if broken == "weight":
        model.rnn.weight_hh_l1.data[5, 2] = torch.nan
    try:
        with ostinato.detect_anomaly(model):
            output = model(x)
            (output.sum() * (torch.inf if broken == "gradient" else 1.0)).backward()
    except FloatingPointError as error:
        return {"said": str(error)}
    return {"said": "", "output": output}
