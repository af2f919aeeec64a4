"""`sequence_loss` against torch.nn.functional on each row, or each step, alone."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

import ostinato
from ostinato.errors import InputError, ShapeError
from ostinato.loss import KINDS, REDUCTIONS, sequence_loss
from tolerance import check

SCALAR = [name for name in REDUCTIONS if name != "none"]


def by_torch(kind, **options):
    """torch's own loss of some steps of one sequence, output [n, K] or [n] and target."""
    measure = {"cross_entropy": F.cross_entropy, "squared": F.mse_loss}.get(kind, F.binary_cross_entropy_with_logits)
    return lambda output, target, reduction: measure(output, target, reduction=reduction, **options)


def by_hand(measure, output, target, lengths, reduction):
    """The definition, row by row or step by step: what stands past a row's end is cut off, not masked."""
    rows = [(output[:n, b], target[:n, b]) for b, n in enumerate(lengths) if n]
    alive = [[b for b, n in enumerate(lengths) if n > t] for t in range(max(lengths, default=0))]
    steps = [(output[t, now], target[t, now]) for t, now in enumerate(alive)]
    groups = steps if "_steps_" in reduction else rows
    if not groups:
        return output.sum() * 0
    if reduction == "mean_over_tokens":
        return measure(*[torch.cat(parts) for parts in zip(*rows, strict=True)], "mean")
    within = "mean" if reduction.endswith("means") else "sum"
    each = torch.stack([measure(*group, within) for group in groups])
    return each.sum() if reduction == "sum" else each.mean()


@st.composite
def batches(draw):
    """(kind, output [T, B, ·], target, lengths); K is 0 where a step has one value."""
    kind, steps = draw(st.sampled_from(KINDS)), draw(st.integers(1, 6))
    lengths = draw(st.lists(st.integers(0, steps), min_size=1, max_size=5))
    many = draw(st.integers(1, 4)) if kind == "cross_entropy" else draw(st.integers(0, 4))
    made = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    shape = (steps, len(lengths), *[many] * (many > 0))
    output = torch.randn(shape, generator=made, dtype=torch.float64) * 3
    if kind == "cross_entropy":
        return kind, output, torch.randint(many, shape[:2], generator=made), lengths
    return kind, output, torch.rand(shape, generator=made, dtype=torch.float64), lengths


def measured(call, output):
    leaf = output.clone().requires_grad_()
    loss = call(leaf)
    return loss.detach(), torch.autograd.grad(loss, leaf)[0]


@settings(max_examples=200, deadline=None)
@given(batches(), st.sampled_from(SCALAR), st.booleans())
def test_every_reduction_is_torchs_loss_of_each_row_alone(batch, reduction, batch_first):
    kind, output, target, lengths = batch
    expected = measured(lambda o: by_hand(by_torch(kind), o, target, lengths, reduction), output)
    spoilt, wild = output.clone(), target.clone()
    for row, n in enumerate(lengths):
        spoilt[n:, row] = float("nan")
        wild[n:, row] = -7 if kind == "cross_entropy" else float("nan")
    if batch_first:
        spoilt, wild = spoilt.transpose(0, 1), wild.transpose(0, 1)
    loss, gradient = measured(
        lambda o: sequence_loss(o, wild, kind, reduction=reduction, lengths=lengths, batch_first=batch_first), spoilt
    )
    gradient = gradient.transpose(0, 1) if batch_first else gradient
    check("outputs", {"loss": loss}, {"loss": expected[0]})
    check("gradients", {"output": gradient}, {"output": expected[1]})
    for row, n in enumerate(lengths):
        assert not gradient[n:, row].any()


@pytest.mark.parametrize("reduction", SCALAR)
@pytest.mark.parametrize("kind", KINDS)
def test_without_lengths_every_step_counts(kind, reduction):
    made = torch.Generator().manual_seed(1)
    output = torch.randn(4, 3, 5, generator=made, dtype=torch.float64)
    target = torch.randint(5, (4, 3), generator=made) if kind == "cross_entropy" else torch.rand_like(output)
    found = measured(lambda o: sequence_loss(o, target, kind, reduction=reduction), output)
    expected = measured(lambda o: by_hand(by_torch(kind), o, target, [4, 4, 4], reduction), output)
    check("outputs", {"loss": found[0]}, {"loss": expected[0]})
    check("gradients", {"output": found[1]}, {"output": expected[1]})


def test_the_reductions_differ_from_each_other():
    """Numbers worked out by hand: errors 1, 2, 3 in one row and 5 in the other, squared."""
    output, target = torch.tensor([[1.0, 5.0], [2.0, 0.0], [3.0, 0.0]]), torch.zeros(3, 2)
    found = {r: sequence_loss(output, target, "squared", reduction=r, lengths=[3, 1]).item() for r in SCALAR}
    assert found == pytest.approx(
        {
            "sum": 39,
            "mean_over_tokens": 39 / 4,
            "mean_over_sequences_of_sums": 39 / 2,
            "mean_over_sequences_of_means": (14 / 3 + 25) / 2,
            "mean_over_steps_of_sums": 39 / 3,
            "mean_over_steps_of_means": (26 / 2 + 4 + 9) / 3,
        }
    )


@pytest.mark.parametrize("reduction", SCALAR)
def test_classes_are_weighed_ignored_and_smoothed_as_in_torch(reduction):
    made = torch.Generator().manual_seed(3)
    output = torch.randn(6, 4, 3, generator=made, dtype=torch.float64)
    target = torch.randint(3, (6, 4), generator=made)
    target[:4, 0] = target[1, 2] = 9
    weight = torch.tensor([0.2, 3.0, 1.1], dtype=torch.float64)
    options = {"weight": weight, "ignore_index": 9, "label_smoothing": 0.1}
    lengths = [6, 3, 5, 0]
    found = measured(lambda o: sequence_loss(o, target, reduction=reduction, lengths=lengths, **options), output)
    expected = measured(lambda o: by_hand(by_torch("cross_entropy", **options), o, target, lengths, reduction), output)
    check("outputs", {"loss": found[0]}, {"loss": expected[0]})
    check("gradients", {"output": found[1]}, {"output": expected[1]})


def test_minus_100_is_ignored_without_being_asked():
    output, target = torch.randn(3, 2, 4, dtype=torch.float64), torch.tensor([[1, -100], [0, 2], [-100, -100]])
    expected = F.cross_entropy(output.flatten(0, 1), target.flatten())
    check("outputs", {"loss": sequence_loss(output, target)}, {"loss": expected})
    rows = [F.cross_entropy(output[:, b], target[:, b]) for b in range(2)]
    found = sequence_loss(output, target, reduction="mean_over_sequences_of_means")
    check("outputs", {"loss": found}, {"loss": torch.stack(rows).mean()})
    steps = [F.cross_entropy(output[t], target[t], reduction="sum") for t in range(2)]
    found = sequence_loss(output, target, reduction="mean_over_steps_of_sums")
    check("outputs", {"loss": found}, {"loss": torch.stack(steps).mean()})


@pytest.mark.parametrize("batch_first", [False, True])
def test_none_gives_the_terms_where_the_caller_has_them(batch_first):
    output, target = torch.randn(4, 3, 5), torch.randint(5, (4, 3))
    lengths = torch.tensor([2, 4, 0])
    expected = F.cross_entropy(output.flatten(0, 1), target.flatten(), reduction="none").view(4, 3)
    expected = expected * (torch.arange(4)[:, None] < lengths)
    given = [t.transpose(0, 1) if batch_first else t for t in (output, target)]
    found = sequence_loss(*given, reduction="none", lengths=lengths, batch_first=batch_first)
    check("outputs", {"terms": found}, {"terms": expected.T if batch_first else expected})
    values = torch.randn(2, 4, 3, 5)
    found = sequence_loss(*values, "squared", reduction="none", lengths=lengths)
    assert found.shape == (4, 3, 5) and not found[2:, 0].any() and not found[:, 2].any()
    assert torch.equal(found[:, 1], (values[0] - values[1]).square()[:, 1])


def test_one_sequence_by_itself():
    output, target = torch.randn(5, 4), torch.randint(4, (5,))
    expected = F.cross_entropy(output[:3], target[:3])
    for lengths in (3, [3], torch.tensor(3)):
        check("outputs", {"loss": sequence_loss(output, target, lengths=lengths)}, {"loss": expected})
    terms = sequence_loss(output[:, 0], target > 1, "binary", reduction="none", batch_first=True)
    expected = F.binary_cross_entropy_with_logits(output[:, 0], (target > 1).float(), reduction="none")
    check("outputs", {"terms": terms}, {"terms": expected})


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_packed_sequences_are_their_padded_twins(kind, reduction):
    output = torch.randn(4, 3, 5, dtype=torch.float64)
    target = torch.randint(5, (4, 3)) if kind == "cross_entropy" else torch.rand_like(output)
    lengths = [2, 4, 1]
    packed = [pack_padded_sequence(t, lengths, enforce_sorted=False) for t in (output, target)]
    found = sequence_loss(*packed, kind, reduction=reduction)
    check(
        "outputs", {"loss": found}, {"loss": sequence_loss(output, target, kind, reduction=reduction, lengths=lengths)}
    )


@pytest.mark.parametrize("reduction", SCALAR)
def test_a_batch_without_a_token_costs_nothing(reduction):
    for output, lengths in ((torch.randn(3, 2), [0, 0]), (torch.randn(3, 0), []), (torch.randn(0, 2), [0, 0])):
        loss, gradient = measured(
            lambda o, n=lengths: sequence_loss(o, torch.ones_like(o), "squared", reduction=reduction, lengths=n), output
        )
        assert loss == 0 and not gradient.any()
    assert sequence_loss(torch.randn(2, 2, 3), torch.full((2, 2), -100), reduction=reduction) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_one_graph_under_compile_with_lengths_as_a_tensor(kind):
    torch._dynamo.reset()
    output = torch.randn(5, 3, 4, dtype=torch.float64)
    target = torch.randint(4, (5, 3)) if kind == "cross_entropy" else torch.rand_like(output)
    output[2:, 0] = float("nan")
    for reduction in ("mean_over_tokens", "mean_over_sequences_of_means"):

        def call(o, n, r=reduction):
            return sequence_loss(o, target, kind, reduction=r, lengths=n)

        compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
        for lengths in (torch.tensor([2, 5, 0]), torch.tensor([1, 3, 4], dtype=torch.int32)):
            results = [measured(partial(f, n=lengths), output) for f in (compiled, call)]
            check("outputs", *[{"loss": loss} for loss, _ in results])
            check("gradients", *[{"output": gradient} for _, gradient in results])


def test_half_types_are_added_up_in_float32():
    output = torch.zeros(1, 257, dtype=torch.bfloat16)
    output[0, 0] = 16  # 256 over 257 tokens; bfloat16 has no 257 and would divide by 256
    loss = sequence_loss(output, torch.zeros_like(output), "squared")
    assert loss.dtype == torch.bfloat16 and loss == torch.tensor(256 / 257).bfloat16() != 1
    with torch.autocast("cpu", torch.bfloat16):
        scores = torch.randn(3, 2, 4).bfloat16()
        found = sequence_loss(scores, torch.zeros(3, 2, dtype=torch.int64))
    check(
        "outputs",
        {"loss": found.float()},
        {"loss": F.cross_entropy(scores.float().flatten(0, 1), torch.zeros(6).long())},
    )


def test_a_layer_learns_through_it():
    torch.manual_seed(0)
    layer, x = ostinato.GRU(3, 4, dtype=torch.float64), torch.randn(6, 2, 3, dtype=torch.float64)
    target, lengths = torch.randint(4, (6, 2)), [6, 2]
    weights = list(layer.parameters())
    loss = sequence_loss(layer(x, lengths=lengths)[0], target, lengths=lengths, reduction="mean_over_sequences_of_sums")
    found = torch.autograd.grad(loss, weights)
    alone = [F.cross_entropy(layer(x[:n, b])[0], target[:n, b], reduction="sum") for b, n in enumerate(lengths)]
    expected = torch.autograd.grad(torch.stack(alone).mean(), weights)
    names = [name for name, _ in layer.named_parameters()]
    check("gradients", dict(zip(names, found, strict=True)), dict(zip(names, expected, strict=True)))


SCORES, CLASSES = torch.zeros(3, 2, 4), torch.zeros(3, 2, dtype=torch.int64)
PACKED = pack_padded_sequence(SCORES, [3, 2])
REFUSALS = [
    ((SCORES, CLASSES, "nll"), {}, InputError, "sequence_loss: kind must be one of cross_entropy, bin.*, got 'nll'"),
    (
        (SCORES, CLASSES),
        {"reduction": "mean"},
        InputError,
        "reduction must be one of mean_over_tokens.*got 'mean'. The",
    ),
    ((SCORES.tolist(), CLASSES), {}, InputError, "output must be a tensor or a PackedSequence, got list. Write torch"),
    ((SCORES, CLASSES.tolist()), {}, InputError, "target must be a tensor or a PackedSequence, got list"),
    ((SCORES, CLASSES.float()), {}, InputError, "target must be classes as integers, got torch.float32. Give the num"),
    ((SCORES, CLASSES.bool()), {}, InputError, "target must be classes as integers, got torch.bool"),
    (
        (SCORES, CLASSES.T),
        {},
        ShapeError,
        r"output must be \[T, B, K\] beside a target \[T, B\], got \[3, 2, 4\] beside \[2, 3\]. Every step",
    ),
    ((SCORES[None], CLASSES[None]), {}, ShapeError, r"got \[1, 3, 2, 4\] beside \[1, 3, 2\]"),
    (
        (SCORES, SCORES[..., :1], "squared"),
        {},
        ShapeError,
        r"target must be \[T, B\] or \[T, B, K\], as output, got \[3, 2, 1\] beside an output \[3, 2, 4\]. Nothing is",
    ),
    ((SCORES[None], SCORES[None], "binary"), {}, ShapeError, r"target must be \[T, B\] or \[T, B, K\], as output"),
    (
        (SCORES, SCORES, "squared"),
        {"ignore_index": 0},
        InputError,
        "ignore_index must be left out for squared, got 0. It",
    ),
    ((SCORES, SCORES, "binary"), {"label_smoothing": 0.1}, InputError, "label_smoothing must be left out for binary"),
    (
        (SCORES, SCORES, "binary"),
        {"weight": torch.ones(4)},
        InputError,
        "weight must be left out for binary, got tensor",
    ),
    (
        (SCORES, CLASSES),
        {"lengths": [4, 1]},
        InputError,
        r"sequence_loss: lengths\[0\] must be between 0 and T = 3, got 4",
    ),
    ((SCORES, CLASSES), {"lengths": [1]}, InputError, "lengths must be 2 integers, one for each row"),
    (
        (PACKED, PACKED, "squared"),
        {"lengths": [3, 2]},
        InputError,
        "lengths must be None with a PackedSequence, got list",
    ),
    ((PACKED, SCORES, "squared"), {}, InputError, "both packed or both tensors, got PackedSequence and Tensor. Pack"),
    (
        (PACKED, pack_padded_sequence(SCORES, [3, 1]), "squared"),
        {},
        ShapeError,
        "target must be packed as output is, got other lengths or another order. Pack the targets",
    ),
    (
        (PACKED, pack_padded_sequence(SCORES, [2, 3], enforce_sorted=False), "squared"),
        {},
        ShapeError,
        "target must be packed as output is",
    ),
    ((PACKED, PACKED), {}, InputError, "target must be classes as integers"),
    ((SCORES, SCORES + 1j, "squared"), {}, InputError, "target must be real numbers for squared, got torch.complex64"),
    ((SCORES, SCORES + 1j, "binary"), {}, InputError, "target must be real numbers for binary"),
    ((SCORES + 1j, SCORES, "squared"), {}, InputError, "output must be real numbers for squared"),
    ((SCORES, CLASSES), {"weight": [1.0] * 4}, InputError, r"weight must be a tensor \[K\], got list. Write"),
    ((SCORES, CLASSES), {"ignore_index": 1.5}, InputError, "ignore_index must be the number of a class, got 1.5"),
    ((SCORES, CLASSES), {"label_smoothing": -1.0}, InputError, "label_smoothing must be a share from 0 to 1, got -1.0"),
    ((SCORES, CLASSES), {"label_smoothing": float("nan")}, InputError, "label_smoothing must be .*, got nan"),
]


@pytest.mark.parametrize("arguments, options, kind, message", REFUSALS)
def test_refusals(arguments, options, kind, message):
    with pytest.raises(kind, match=message):
        sequence_loss(*arguments, **options)
