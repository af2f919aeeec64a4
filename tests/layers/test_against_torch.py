"""RNN, GRU and LSTM against torch.nn by values, over drawn configurations: outputs, final states and every gradient."""

from copy import deepcopy
from dataclasses import dataclass

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import ostinato
from tolerance import check

CELLS = {
    ("RNN", "tanh"): "elman",
    ("RNN", "relu"): "elman_relu",
    ("GRU", ""): "gru",
    ("LSTM", ""): "lstm",
    ("LSTM", "proj"): "lstm_projected",
}


@dataclass(frozen=True)
class Configuration:
    """One call: which layer, of which sizes, on which input, and which results the loss reads."""

    kind: str
    nonlinearity: str
    options: dict
    sizes: tuple[int, int, int, int]
    dtype: torch.dtype
    unbatched: bool
    packed: str
    lengths: tuple[int, ...]
    start: bool
    used: tuple[bool, bool, bool]
    general: bool
    seed: int

    def layers(self):
        """(torch.nn's layer, ours with the same weights)"""
        _, _, features, hidden = self.sizes
        keywords = {"nonlinearity": self.nonlinearity} if self.kind == "RNN" else {}
        theirs = getattr(nn, self.kind)(features, hidden, dtype=self.dtype, **self.options, **keywords)
        if self.general:
            variant = self.nonlinearity or ("proj" if self.options.get("proj_size") else "")
            name = CELLS[self.kind, variant]
            ours = ostinato.Recurrent(name, features, hidden, dtype=self.dtype, **self.options)
        else:
            ours = getattr(ostinato, self.kind)(features, hidden, dtype=self.dtype, **self.options, **keywords)
        ours.load_state_dict(theirs.state_dict())
        return theirs, ours


@st.composite
def configurations(draw):
    kind = draw(st.sampled_from(["RNN", "GRU", "LSTM"]))
    steps, batch = draw(st.integers(1, 7)), draw(st.integers(1, 5))
    features, hidden = draw(st.sampled_from([1, 2, 3, 5, 8, 17])), draw(st.sampled_from([1, 2, 3, 5, 8, 16, 19, 33]))
    options = {
        "num_layers": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "batch_first": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
    }
    if kind == "LSTM" and hidden > 1 and draw(st.integers(0, 2)) == 0:
        options["proj_size"] = draw(st.integers(1, hidden - 1))
    packed = draw(st.sampled_from(["", "", "sorted", "unsorted"]))
    lengths = draw(st.lists(st.integers(1, steps), min_size=batch, max_size=batch))
    return Configuration(
        kind=kind,
        nonlinearity=draw(st.sampled_from(["tanh", "relu"])) if kind == "RNN" else "",
        options=options,
        sizes=(steps, batch, features, hidden),
        dtype=draw(st.sampled_from([torch.float32, torch.float64])),
        unbatched=not packed and draw(st.integers(0, 3)) == 0,
        packed=packed,
        lengths=tuple(sorted(lengths, reverse=True) if packed == "sorted" else lengths),
        start=draw(st.booleans()),
        used=draw(st.sampled_from([(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 0, 1)])),
        general=draw(st.integers(0, 3)) == 0,
        seed=draw(st.integers(0, 2**31)),
    )


def flat(result):
    """(output, state) as a dict of tensors, by name."""
    output, state = result
    parts = state if isinstance(state, tuple) else (state,)
    data = output.data if isinstance(output, PackedSequence) else output
    return {"output": data, **{f"state {k}": s for k, s in enumerate(parts)}}


def call(layer, c, x, start):
    """One call with leaves of its own: (results, gradients by name)."""
    x = x.clone().requires_grad_()
    start = [s.clone().requires_grad_() for s in start]
    given_state = None if not start else tuple(start) if len(start) > 1 else start[0]
    given_x = x
    if c.packed:
        given_x = pack_padded_sequence(x, c.lengths, c.options["batch_first"], enforce_sorted=c.packed == "sorted")
    output, state = layer(given_x, given_state)
    results = flat((output, state))
    used = [t for t, use in zip(results.values(), c.used, strict=False) if use] or list(results.values())
    sum((t * torch.linspace(-1, 1.4, t.numel(), dtype=t.dtype).view(t.shape)).sum() for t in used).backward()
    leaves = {"x": x, **{f"start {k}": s for k, s in enumerate(start)}, **dict(layer.named_parameters())}
    return output, results, {name: leaf.grad for name, leaf in leaves.items()}


def compare(c):
    torch.manual_seed(c.seed)
    theirs, ours = c.layers()
    steps, batch, features, hidden = c.sizes
    shape = (steps,) if c.unbatched else (batch, steps) if c.options["batch_first"] else (steps, batch)
    x = torch.randn(*shape, features, dtype=c.dtype)
    rows = c.options["num_layers"] * (1 + c.options["bidirectional"])
    widths = [c.options.get("proj_size") or hidden] + [hidden] * (c.kind == "LSTM")
    lead = (rows,) if c.unbatched else (rows, batch)
    start = [torch.randn(*lead, width, dtype=c.dtype) * 0.5 for width in widths] if c.start else []
    expected, expected_results, expected_gradients = call(theirs, c, x, start)
    found, results, gradients = call(ours, c, x, start)
    check("outputs", results, expected_results, c)
    for name, b in expected_gradients.items():
        if b is None or gradients[name] is None:
            one = gradients[name] if b is None else b
            assert one is None or not one.any(), f"{name} has a gradient on one side only {c}"
            gradients[name] = expected_gradients[name] = None
    theirs.zero_grad()  # a copy would take the gradients along, and add to them
    exact = call(deepcopy(theirs).double(), c, x.double(), [s.double() for s in start])[2]
    check("gradients", gradients, expected_gradients, c, exact=exact)
    if c.packed:
        assert isinstance(found, PackedSequence)
        for a, b in zip(found[1:], expected[1:], strict=True):
            assert (a is None and b is None) or torch.equal(a, b)
    else:
        assert found.stride() == expected.stride() or 1 in found.shape, (found.stride(), expected.stride())


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(configurations())
def test_outputs_states_and_gradients_are_torchs(c):
    compare(c)
