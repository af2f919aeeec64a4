"""Gradients that are measured block by block during the backward pass, against those of a pass that records them."""

from array import array

import pytest
import torch

from kernels import calls
from ostinato import kernels
from ostinato.cells import catalogue
from ostinato.kernels import BlockNorms, Lines, OuterNorms, OuterOperand, Path, Pattern, Spread
from ostinato.sequence import ForwardResult, Needs, Upstream

SIZES = {"dense": None, "ragged": calls.lengths_to_sizes([70] * 5 + [31] * 7 + [3, 1])}  # two blocks each


def drawn(name, kind, reverse):
    cell, sizes = catalogue()[name], SIZES[kind]
    return calls.draw(cell, T=40, B=14, P=5, sizes=sizes, reverse=reverse, dtype=torch.float32)


def outer_norms(call, first):
    """Of all gradients of products with x."""
    stride, columns = kernels.product_columns(call.cell, call.states, call.weights)
    places = tuple(sorted({place for (letter, _), place in columns.items() if letter == "W"}))
    pattern = Pattern(len(places), (False,), ((0, tuple(range(len(places)))),))
    return OuterNorms(pattern, places, stride, [OuterOperand(call.x)], first, call.reverse)


@pytest.mark.parametrize("probed", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", list(SIZES))
@pytest.mark.parametrize("name", ["lstm", "gru", "lstm_projected", "janet"])
def test_blocks_give_what_a_recording_pass_gives_and_change_no_bit(name, kind, reverse, probed):
    call = drawn(name, kind, reverse)
    output, _, _, kept = call.forward()
    result = ForwardResult(output, [], [], kept)
    sizes = SIZES[kind] or [14] * 40
    first = array("q", [0, *torch.tensor(sizes).cumsum(0).tolist()])
    lines, states = first[-1], len(call.states)
    none = [None] * (states - (call.cell.output_state is not None))
    probe = Upstream(None, [torch.randn_like(s) for s in call.states], none) if probed else None

    recorded = kernels.backward_recorded(call.sequence, result, call.upstream, Needs(), (), probe)
    adjoints = [a.flatten(0, -2) for a in recorded.adjoints]
    of_probe = [a.flatten(0, -2) for a in recorded.probe.adjoints] if probed else []
    index = torch.arange(3, lines, 11)
    copies = [Lines(a, index, 0, a.shape[1]) for a in adjoints]
    norms, samples = kernels.row_norms([*adjoints, *of_probe], [lines] * (len(adjoints) + len(of_probe)), (), copies)
    carries = [torch.rand(lines, a.shape[1] + 3) for a in adjoints]
    paths = [
        kernels.additive_path_norms(a, c[:, 3:], first, reverse, torch.empty_like(s), 0)
        for a, c, s in zip(of_probe or adjoints, carries, call.states)
    ]
    at_once = outer_norms(call, first)
    key, some = next(iter(recorded.products.items()))
    column = kernels.product_columns(call.cell, call.states, call.weights)[1][key][0]
    at_once.run(0, len(sizes), some.data_ptr() - 4 * column)

    carried = [Path(k, c, 3, torch.empty_like(s), 0) for k, (c, s) in enumerate(zip(carries, call.states))]
    outer = outer_norms(call, first)
    blocks = BlockNorms([s.shape[1] for s in call.states], 1 + probed, Spread(len(index), 3, 11), carried, outer)
    begun = []

    def on_block(begin, end, products, addresses):
        begun.append((begin, end))
        blocks.run(begin, end, products, addresses)

    found = kernels.backward_recorded(call.sequence, result, call.upstream, Needs(), (), probe, on_block)
    assert len(begun) > 1 and sorted(t for begin, end in begun for t in range(begin, end)) == list(range(len(sizes)))
    assert not found.adjoints and not found.products
    pairs = [(r.gradients.x, *r.gradients.states, *r.gradients.weights) for r in (found, recorded)]
    for bits, expected in zip(*pairs, strict=True):
        calls.same_bits(bits, expected, "a gradient")
    for bits, expected in zip(blocks.samples, samples, strict=True):
        calls.same_bits(bits, expected, "a sample")
    if probed:
        for bits, expected in zip(found.probe.gradients.states, recorded.probe.gradients.states, strict=True):
            calls.same_bits(bits, expected, "a gradient of the probe")
    assert torch.equal(blocks.norms.flatten(), norms)
    assert torch.equal(outer.norms, at_once.norms)
    for along, path, (expected, known) in zip(blocks.path_norms, blocks.paths, paths, strict=True):
        assert torch.equal(along, expected) and path.known == known
