"""What the lens measures: ages, truncation, lags, all pairs of steps, gates, Jacobians, and single nodes.

Each measurement gives its numbers apart from its texts, so that a name in a text may change where no number does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

import ostinato
from ostinato import lens

from .digest import Case
from .made import Size, drawn, layer_of, lengths_of, resets_of, start_of
from .training import Head

SMALL = Size(9, 4, 11, 19, 6)
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "RNN tanh": ("RNN tanh", {}),
    "GRU": ("GRU", {"num_layers": 2, "learn_initial_state": True}),
    "LSTM": ("LSTM", {"bidirectional": True, "num_layers": 2}),
    "LSTM layer_norm": ("LSTM", {"layer_norm": True, "batch_first": True}),
    "LSTM proj": ("LSTM proj", {}),
    "slstm": ("slstm", {}),
    "mingru": ("mingru", {}),
}


def cases() -> Iterator[tuple[str, Case]]:
    """Of each model: every measurement that it can have."""
    for name, (kind, options) in MODELS.items():
        for ragged in (False, True):
            given = partial(arguments, ragged, bool(options.get("batch_first")))
            how = ", lengths and resets" if ragged else ""
            yield f"lens {name}: by_age{how}", partial(ages, kind, options, given)
            yield f"lens {name}: gradient_matrix{how}", partial(pairs, kind, options, given)
            yield f"lens {name}: gates and runs{how}", partial(gates, kind, options, given)
            yield f"lens {name}: jacobian{how}", partial(jacobians, kind, options, given)
            yield f"lens {name}: truncation_bias{how}", partial(truncation, kind, options, given)
        if "bidirectional" not in options:
            yield f"lens {name}: gradient_by_lag", partial(lags, kind, options)
    yield "lens by_age of a model: with a head", model_ages
    yield "lens activations: values and slopes", activations


def arguments(ragged: bool, batch_first: bool) -> tuple[Tensor, dict[str, Any]]:
    """x [T, B, C], and the keywords that cut it."""
    x = drawn(*SMALL[:3], seed=2)
    resets = resets_of(SMALL)
    if batch_first:
        x, resets = x.transpose(0, 1), resets.t()
    return x, {"lengths": lengths_of(SMALL), "resets": resets} if ragged else {}


def record(found: Any) -> Mapping[str, Any]:
    """A record's fields as numbers, and its texts."""
    return {"numbers": found, "json": found.to_json(), "dict": found.to_dict(), "table": found.table()}


def ages(kind: str, options: Mapping[str, Any], given: Any) -> Mapping[str, Any]:
    """All ages, and some of them."""
    layer, (x, keywords) = layer_of(kind, SMALL, **options), given()

    def loss(model: Any) -> Tensor:
        found: Tensor = model(x, **keywords)[0].square().sum(-1)
        return found

    every, some = lens.by_age(layer, loss), lens.by_age(layer, loss, [0, 2, 5])
    more = {"cosine": every.cosine_by_age, "norm share": every.norm_share_by_age, "whole": every.whole, "some": some}
    return {**record(every), **more}


def truncation(kind: str, options: Mapping[str, Any], given: Any) -> Mapping[str, Any]:
    """Three horizons."""
    layer, (x, keywords) = layer_of(kind, SMALL, **options), given()
    found = lens.truncation_bias(layer, lambda model: model(x, **keywords)[0].square().sum(-1), [1, 3, 6])
    return {**record(found), "smallest": found.smallest_k2(0.2)}


def model_ages() -> Mapping[str, Any]:
    """A model with a head, its layer called step by step."""
    model, x = Head("GRU"), drawn(*SMALL[:3], seed=2)

    def loss(model: Any) -> Tensor:
        state, losses = None, []
        for x_t in x:
            output, state = model.rnn.step(x_t, state)
            losses.append(model.head(output).square().sum(-1))
        return torch.stack(losses)

    return record(lens.by_age(model, loss))


def lags(kind: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """All lags from the layer's own start, and some from a given one."""
    layer, (x, _) = layer_of(kind, SMALL, **options), arguments(False, bool(options.get("batch_first")))
    every = lens.gradient_by_lag(layer, x, lambda h: h.square().sum(1))
    some = lens.gradient_by_lag(layer, x, lambda h: h.sum(), state=start_of(layer, SMALL, rows=[4]), lags=3)
    return {"every": every, "whole": every.whole, "median": every.median(), "lags": every.lags, "some": some}


def pairs(kind: str, options: Mapping[str, Any], given: Any) -> Mapping[str, Any]:
    """Every pair of steps of every layer, direction and state."""
    layer, (x, keywords) = layer_of(kind, SMALL, **options), given()
    found = lens.gradient_matrix(layer, x, lambda h: h.square().sum(-1), **keywords)
    return {"numbers": found, "last": found.of()}


def gates(kind: str, options: Mapping[str, Any], given: Any) -> Mapping[str, Any]:
    """Gates over time, runs with their states, and the named nodes of the last run evaluated."""
    layer, (x, keywords) = layer_of(kind, SMALL, **options), given()
    found: dict[str, Any] = {"gates": lens.gate_values(layer, x, **keywords)}
    if layer.bidirectional:
        found["second direction"] = lens.gate_values(layer, x, depth=0, direction=1, **keywords)
    replay = lens.replay if hasattr(lens, "replay") else lens.runs  # its name on older commits
    several = replay(layer, x, start_of(layer, SMALL, rows=[4]), **keywords)
    for k, run in enumerate(several):
        start, own, previous, begins = inside(run)
        found[f"run {k}"] = [run.x, start, run.states, run.output, run.valid, run.reverse, run.depth, run.resets]
        found[f"run {k}, before"] = [own, previous, begins, run.lengths]
    nodes = lens.named_values(run.cell) if hasattr(lens, "named_values") else lens.named(run.cell)
    for part in ("pre_activations", "gates", "carries"):
        values = lens.evaluate(run.cell, run.weights, run.x, previous, list(getattr(nodes, part).values()))
        found[part] = dict(zip(getattr(nodes, part), values, strict=True))
    found["step_jacobians"] = lens.step_jacobians(run.cell, run.weights, run.x[1], [s[1] for s in previous])
    return found


def inside(run: Any) -> tuple[Any, Any, Any, Any]:
    """What a replay starts from, by its names now and on older commits."""
    if hasattr(run, "initial_states"):
        return run.initial_states, run.reset_states, run.previous_states, run.segment_start_masks
    return run.start, run.own, run.previous, run.begins


def jacobians(kind: str, options: Mapping[str, Any], given: Any) -> Mapping[str, Any]:
    """Two rows over their whole length, and one between two steps."""
    layer, (x, keywords) = layer_of(kind, SMALL, **options), given()
    found = lens.jacobian(layer, x, rows=[0, 1], **keywords)
    part = lens.jacobian(layer, x, rows=0, depth=0, between=(1, 4), warm_up=1, **keywords)
    own = found.pascanu and [found.pascanu.bound, found.pascanu.must_vanish, found.pascanu.may_explode]
    condition = [found.log_condition_number, found.condition_number]
    return {**record(found), "part": part, "pascanu": own, "condition": condition}


def activations() -> Mapping[str, Any]:
    """Each activation, its slope, and what is said of it."""
    a = torch.linspace(-4, 4, 33)
    found: dict[str, Any] = {
        one.name: [one.value(a), one.slope(a), one.greatest_slope, one.flat_below, one.flat_above, one.formula]
        for one in lens.ACTIVATIONS
    }
    found["carries"] = {name: lens.carry(name) for name in ostinato.cells.catalogue()}
    return {**found, "sigmoid again": lens.sigmoid_again(a, 5)}
