"""A backward pass that also writes out what reaches every state and every product: the same bits, and the truth."""

import pytest
import torch

import ostinato
from kernels import calls
from ostinato import kernels
from ostinato.cells import Cell, catalogue
from ostinato.execution.reference_backend import record
from ostinato.sequence import ForwardResult, Needs, Upstream
from tolerance import check

CELLS = list(catalogue())


def recorded(call):
    output, _, _, kept = call.forward()
    found = kernels.backward_recorded(call.sequence, ForwardResult(output, [], [], kept), call.upstream, Needs())
    gradients = found.gradients
    return (gradients.x, gradients.states, gradients.weights), found.adjoints, found.products


def named(call, adjoints, sent):
    return {
        **dict(zip(call.cell.states, adjoints, strict=True)),
        **{f"{a}.{b}": g for (a, b), g in sorted(sent.items())},
    }


def truth(call):
    return record(call.sequence, call.upstream)


@pytest.mark.parametrize("name", CELLS)
def test_recording_changes_no_bit_and_finds_what_single_steps_of_autograd_find(name):
    call = calls.draw(catalogue()[name], T=40, B=20, H=11, P=5)  # two blocks of steps
    output, _, _, kept = call.forward()
    plain = call.named(call.backward(output, kept))
    found, adjoints, sent = recorded(call)
    for gradient, bits in call.named(found).items():
        calls.same_bits(bits, plain[gradient], gradient)
    check("gradients", named(call, adjoints, sent), named(call, *truth(call)), name)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["lstm_projected", "gru_reset_before", "layer-normed"])
def test_rows_that_end_early_both_directions_and_gradients_of_every_state(name, reverse):
    cell = ostinato.LSTM(3, 3, layer_norm=True).active_cell if name == "layer-normed" else catalogue()[name]
    sizes = calls.lengths_to_sizes([70] * 5 + [31] * 7 + [3, 1])
    call = calls.draw(cell, B=14, P=5, sizes=sizes, reverse=reverse, histories=True, dtype=torch.float32)
    output, _, _, kept = call.forward()
    plain = call.named(call.backward(output, kept))
    found, adjoints, sent = recorded(call)
    for gradient, bits in call.named(found).items():
        calls.same_bits(bits, plain[gradient], gradient)
    check("gradients", named(call, adjoints, sent), named(call, *truth(call)))


@pytest.mark.parametrize("name", CELLS)
def test_single_steps_of_autograd_find_what_retain_grad_finds(name):
    call = calls.draw(catalogue()[name], T=5, B=3, H=6, P=4)
    leaves = [w.clone().requires_grad_() for w in call.weights]
    now, every, outputs = list(call.states), [], []
    for x_t in call.x:
        output, now = call.cell.step(leaves, x_t, now)
        for s in now:
            s.retain_grad()
        every.append(now)
        outputs.append(output)
    ((torch.stack(outputs) * call.d_output).sum() + sum((s * d).sum() for s, d in zip(now, call.d_finals))).backward()
    expected = {s: torch.stack([n[k].grad for n in every]) for k, s in enumerate(call.cell.states)}
    adjoints, sent = truth(call)
    check("gradients", dict(zip(call.cell.states, adjoints)), expected, name)
    for letter in "WU":
        if letter in call.cell.letters and {(letter, g) for g in call.cell.gates[letter]} <= set(sent):
            weight = leaves[call.cell.letters.index(letter)]
            together = torch.cat([sent[letter, g] for g in call.cell.gates[letter]], -1)
            read = call.x if letter == "W" else None
            if read is not None:
                total = torch.einsum("tbg,tbc->gc", together, read)
                check("gradients", {letter: total}, {letter: weight.grad}, name)


@pytest.mark.parametrize("name", CELLS)
def test_what_forward_keeps_is_found_by_its_node(name):
    cell = Cell.from_text(catalogue()[name].text)
    call = calls.draw(cell, T=4, B=2, P=5)
    output, _, _, kept = call.forward(histories=True)
    columns = kernels.saved_columns(cell, call.states, call.weights)
    values = {i: kept[0].narrow(-1, *place) for i, place in columns.items()}
    again = cell.retrace().graph.nodes
    assert [(v.op, v.attr, [a.id for a in v.args]) for v in again] == [
        (v.op, v.attr, [a.id for a in v.args]) for v in cell.trace.graph.nodes[: len(again)]
    ]
    from ostinato.lens import evaluate

    states = [output if k == cell.output_state else None for k in range(len(cell.states))]
    lines = iter(call.forward(histories=True)[2])
    states = [next(lines) if s is None else s for s in states]
    previous = [torch.cat([first[None], s[:-1]]) for first, s in zip(call.states, states)]
    nodes = [again[i] for i in values]
    expected = evaluate(cell, call.weights, call.x, previous, nodes)
    check("outputs", {str(v.id): values[v.id] for v in nodes}, {str(v.id): e for v, e in zip(nodes, expected)}, name)


@pytest.mark.parametrize("histories", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", "lstm_projected", "layer-normed"])
def test_a_probe_has_the_bits_of_a_pass_of_its_own_and_changes_none_of_the_others(name, reverse, histories):
    cell = ostinato.LSTM(3, 3, layer_norm=True).active_cell if name == "layer-normed" else catalogue()[name]
    sizes = calls.lengths_to_sizes([70] * 5 + [31] * 7 + [3, 1])
    call = calls.draw(cell, B=14, P=5, sizes=sizes, reverse=reverse, histories=histories, dtype=torch.float32)
    output, _, _, kept = call.forward()
    result = ForwardResult(output, [], [], kept)
    none = [None] * (len(call.states) - (cell.output_state is not None))
    d_finals = [torch.randn_like(s) for s in call.states]
    for probe in (Upstream(None, d_finals, none), Upstream(torch.randn_like(output), [None] * len(d_finals), none)):
        alone = kernels.backward_recorded(call.sequence, result, probe, Needs())
        plain = kernels.backward_recorded(call.sequence, result, call.upstream, Needs())
        both = kernels.backward_recorded(call.sequence, result, call.upstream, Needs(), (), probe)
        assert plain.probe is None and both.probe is not None
        gradients = [(r.gradients.x, *r.gradients.states, *r.gradients.weights) for r in (plain, both)]
        for bits, expected in zip(*gradients, strict=True):
            calls.same_bits(bits, expected, "a gradient")
        for (key, bits), expected in zip(both.products.items(), plain.products.values(), strict=True):
            calls.same_bits(bits, expected, f"the gradient of {key}")
        of_probe = both.probe.gradients.states + both.probe.adjoints
        for found, expected in ((both.adjoints, plain.adjoints), (of_probe, alone.gradients.states + alone.adjoints)):
            for bits, other in zip(found, expected, strict=True):
                calls.same_bits(bits, other, "a gradient of a state")
        assert both.probe.gradients.x is None and both.probe.gradients.weights == []
