"""What `benchmarks/aarch64.py` computes, here and inside of an emulated Python: `aarch64_cases.py PATTERN FILE`.

Layers forward and backward, their single steps, and streams. Each case gives the SHA-256 of every tensor that comes
out, and the errors of outputs and gradients against float64: torch.nn's, and the reference's for what torch.nn does not
have.

Letters: T steps, B rows, C input features, H hidden units, L layers, D directions.
"""

from __future__ import annotations

import copy
import json
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from aarch64_models import MODELS, filled, numbers, tokens
from bit_cases.digest import digest
from torch import Tensor, nn

import ostinato
from ostinato.kernels.system.target import host

ODD, WHOLE = (7, 5, 11, 19), (20, 16, 40, 64)
"""T, B, C, H: with a tail in every tile and vector; and of whole ones, on two threads."""
BOUNDS = {"float32": (1e-5, 1e-4), "float64": (1e-10, 1e-9)}
"""Of errors in outputs and in gradients, as docs/design/tolerance.md has them."""
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "RNN tanh": ("RNN", {"nonlinearity": "tanh"}),
    "RNN relu": ("RNN", {"nonlinearity": "relu"}),
    "GRU": ("GRU", {}),
    "LSTM": ("LSTM", {}),
    "LSTM, projection": ("LSTM", {"proj_size": 6}),
    "RNN tanh, layer norm": ("RNN", {"layer_norm": True}),
    "LSTM, layer norm": ("LSTM", {"layer_norm": True}),
    "sLSTM": ("slstm", {}),
}
"""What a row of the table is called → the layer, or a cell of the catalogue, and its arguments."""
DOUBLE = ("GRU", "LSTM", "LSTM, layer norm")
CALLS: dict[str, dict[str, Any]] = {
    "odd": {},
    "whole": {"size": WHOLE, "threads": 2},
    "lengths and resets": {"ragged": True},
}


class Found(NamedTuple):
    """parts: name of a tensor → its SHA-256; errors of outputs and gradients as docs/design/tolerance.md has them, None
    where there is none; bounds of them."""

    parts: dict[str, str]
    errors: tuple[float, float | None]
    bounds: tuple[float, float]


def cases() -> dict[str, Callable[[], Found]]:
    """Name → what computes it. Rows of one layer or model share kernels."""
    found: dict[str, Callable[[], Found]] = {}
    for kind in KINDS:
        for dtype in (torch.float32, torch.float64)[: 1 + (kind in DOUBLE)]:
            found[f"{kind}, {_plain(dtype)}"] = partial(layer_case, kind, dtype)
    for name in MODELS:
        found[f"stream of {name}"] = partial(stream_case, name)
    return found


def layer_case(kind: str, dtype: torch.dtype) -> Found:
    """All calls of one layer: training with gradients, inference, steps."""
    parts: dict[str, str] = {}
    errors = [0.0, 0.0]
    for how, call in CALLS.items():
        size = call.get("size", ODD)
        layer = filled(_built(ostinato, kind, size), size[-1]).to(dtype)
        x, states, keywords = _given(layer, size, dtype, "ragged" in call)
        torch.set_num_threads(call.get("threads", 1))
        results, gradients = _trained(layer, x, states, keywords)
        torch.set_num_threads(1)
        with torch.inference_mode():
            alone = _flat(layer(x, _state(states), **keywords))
        parts |= {f"{how}: {name}": digest(t) for name, t in {**results, **gradients}.items()}
        parts |= {f"{how}: inference {name}": digest(t) for name, t in alone.items()}
        if keywords:
            continue
        truths = _truth(kind, layer, size, x, states)
        for k, (ours, true) in enumerate(zip((results, gradients), truths, strict=True)):
            errors[k] = max(errors[k], _error(ours, true))
    parts |= _steps(kind, dtype)
    return Found(parts, (errors[0], errors[1]), BOUNDS[_plain(dtype)])


def _built(library: Any, kind: str, size: Sequence[int]) -> Any:
    family, options = KINDS[kind]
    if hasattr(library, family):
        return getattr(library, family)(*size[2:], **options)
    return ostinato.Recurrent(family, size[2], size[3], **options)


def _given(layer: Any, size: Sequence[int], dtype: torch.dtype, ragged: bool) -> tuple[Tensor, list[Tensor], dict]:
    """(x [T, B, C], initial states [1, B, ·], lengths and resets by keyword)."""
    T, B, C, H = size
    widths = [layer.proj_size if w == "P" and layer.proj_size else H for w in layer.cell.state_widths]
    states = [numbers(1, B, w, seed=20 + k).abs().to(dtype) for k, w in enumerate(widths)]
    keywords: dict[str, Any] = {}
    if ragged:
        keywords["lengths"] = torch.tensor([k * 5 % (T + 1) for k in range(1, B + 1)])
        keywords["resets"] = numbers(T, B, seed=9) > 0.6
    return numbers(T, B, C, seed=2).to(dtype), states, keywords


def _state(states: Sequence[Tensor]) -> Any:
    return states[0] if len(states) == 1 else tuple(states)


def _flat(result: Any) -> dict[str, Tensor]:
    output, final = result
    finals = (final,) if isinstance(final, Tensor) else final
    return {"output": output, **{f"final {k}": t for k, t in enumerate(finals)}}


def _trained(layer: nn.Module, x: Tensor, states: Sequence[Tensor], keywords: Mapping[str, Any]) -> tuple[dict, dict]:
    """(results, gradients of x, initial states and parameters), by name."""
    leaves = {"x": x, **{f"start {k}": s for k, s in enumerate(states)}}
    leaves = {name: t.detach().clone().requires_grad_() for name, t in leaves.items()}
    started = [t for name, t in leaves.items() if name != "x"]
    results = _flat(layer(leaves["x"], _state(started), **keywords))
    leaves |= dict(layer.named_parameters())
    upstream = [numbers(*t.shape, seed=100 + k).to(t.dtype) for k, t in enumerate(results.values())]
    found = torch.autograd.grad(list(results.values()), list(leaves.values()), upstream)
    return results, {f"gradient {name}": g for name, g in zip(leaves, found, strict=True)}


def _truth(kind: str, layer: nn.Module, size: Sequence[int], x: Tensor, states: Sequence[Tensor]) -> tuple:
    """The same in float64: by torch.nn where it has the layer, else by the reference."""
    x, states = x.double(), [s.double() for s in states]
    weights = {name: p.detach().double() for name, p in layer.named_parameters()}
    family, options = KINDS[kind]
    if hasattr(nn, family) and "layer_norm" not in options:
        twin = _built(nn, kind, size).double()
        twin.load_state_dict(weights)
        return _trained(twin, x, states, {})
    double = _built(ostinato, kind, size).double()

    # Under a transform of torch the equations run in plain torch, without kernels.
    def loss(weights: dict[str, Tensor], leaves: list[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        called = (leaves[0], _state(leaves[1:]))
        results = _flat(torch.func.functional_call(double, weights, called))
        terms = [(t * numbers(*t.shape, seed=100 + k)).sum() for k, t in enumerate(results.values())]
        return torch.stack(terms).sum(), results

    gradients, results = torch.func.grad(loss, argnums=(0, 1), has_aux=True)(weights, [x, *states])
    names = ["x", *(f"start {k}" for k in range(len(states)))]
    named = dict(zip(names, gradients[1], strict=True)) | gradients[0]
    return results, {f"gradient {name}": g for name, g in named.items()}


def _error(ours: Mapping[str, Tensor], true: Mapping[str, Tensor]) -> float:
    """The largest error of docs/design/tolerance.md."""
    assert list(ours) == list(true), (list(ours), list(true))
    most = max(t.abs().max().item() for t in true.values())
    errors = []
    for name, t in true.items():
        error = (ours[name].double() - t).abs().max().item() / (t.abs().max().item() + 1e-5 * most)
        errors.append(error if error == error else float("inf"))
    return max(errors)


def _steps(kind: str, dtype: torch.dtype) -> dict[str, str]:
    """Three single steps."""
    layer = filled(_built(ostinato, kind, ODD), ODD[-1]).to(dtype)
    found, state = {}, None
    with torch.inference_mode():
        for k in range(3):
            output, state = layer.step(numbers(*ODD[1:3], seed=30 + k).to(dtype), state)
            found[f"step {k}"] = digest([output, state])
    return found


def stream_case(name: str) -> Found:
    """A whole sequence, the same step by step, and the bytes of the state, which name equations and weights."""
    model, features = MODELS[name]()
    filled(model, 16).eval()
    double = copy.deepcopy(model).double()
    xs = numbers(9, 3, features, seed=2).float() if features else tokens(9, 3)
    with ostinato.stream(model, rows=3) as stream, torch.inference_mode():
        whole = stream.push(xs)
        saved = stream.state().to_bytes()
        stream.reset()
        steps = torch.stack([stream.step(x) for x in xs])
        true = double(xs.double() if features else xs)
    parts = {"whole": digest(whole), "steps": digest(steps), "state": digest(saved)}
    return Found(parts, (_error({"y": whole}, {"y": true}), None), BOUNDS["float32"])


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def environment() -> dict[str, Any]:
    """Machine, target and versions of this process."""
    versions = {name: version(name) for name in ("torch", "numpy", "llvmlite")}
    target = host()
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        **versions,
        "target": target.name,
        "lanes": target.lanes("float32"),
    }


def results(pattern: str) -> Iterator[tuple[str, Found]]:
    """Every case that the pattern finds, with a line for each."""
    for name, case in cases().items():
        if re.search(pattern, name):
            began = time.perf_counter()
            found = case()
            print(f"{platform.machine()}  {name}: {time.perf_counter() - began:.0f} s", flush=True)
            yield name, found


if __name__ == "__main__":
    made = {name: found._asdict() for name, found in results(sys.argv[1])}
    text = json.dumps({"environment": environment(), "cases": made}, indent=1)
    Path(sys.argv[2]).write_text(text + "\n", encoding="utf-8")
