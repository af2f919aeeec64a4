"""Reports with a value in every field, for tests of text, pages and pictures."""

import torch

from ostinato.lens import (
    Carry,
    Clipping,
    Gate,
    GradientCurve,
    LayerReport,
    Probe,
    Report,
    StateHealth,
    WeightGradients,
    WeightReport,
)


def example_probe(ratio, scale=3.0):
    """One state, ratio [K, N]."""
    norms = scale * torch.as_tensor(ratio, dtype=torch.float64)[None]
    return Probe(("h",), norms, torch.zeros_like(norms))


def powers(a, lags=40):
    return torch.tensor([[a**k] for k in range(lags)], dtype=torch.float64)


def example_report(probe=None, **changed):
    """A report of one layer with a value in every place."""
    double = {"dtype": torch.float64}
    probe = example_probe(torch.cat([powers(0.5, 6), powers(0.9, 6)], 1)) if probe is None else probe
    steps, runs = probe.ratio_by_lag.shape
    unit = torch.linspace(0.1, 0.9, 4, **double)
    curve = GradientCurve(("h",), torch.rand(1, steps, runs, **double), torch.zeros(1, **double), 1, None)
    retention = unit[None] ** torch.arange(steps)[:, None]
    step = torch.ones(steps, **double)
    gate = Gate(
        "f", "sigmoid", unit, 0 * unit, 0 * unit, 0.2, step, torch.stack([step] * 3), torch.tensor([0.0, 1.0]), step[:1]
    )
    layer = {
        "module": "rnn",
        "kind": "Recurrent",
        "cell": "janet",
        "depth": 0,
        "reverse": False,
        "call": 0,
        "training": True,
        "steps": steps,
        "rows": runs,
        "units": 4,
        "lengths_steps": torch.full((runs,), steps),
        "gradient": curve,
        "gradient_absent": "",
        "probe": probe,
        "carries": (Carry("h", "f", unit, retention),),
        "gates": (gate,),
        "health": (StateHealth("h", step, unit, 0.0, None),),
        "weight_gradients": (WeightGradients("rnn.weight_hh_l0", step),),
    }
    weight = WeightReport("rnn.weight_hh_l0", "f", 2.0, 0.5, 0.002)
    return Report((LayerReport(**layer | changed),), (weight,), Clipping((2.0, 0.5), (1.0, 0.5)))
