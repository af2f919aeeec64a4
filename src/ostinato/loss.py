"""`sequence_loss`: the losses of all steps of a batch of sequences, put together by a reduction that has a name.

Letters: T steps, B sequences, K classes or values of a step.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from .errors import InputError, ShapeError, phrase
from .execution.routing import traced
from .ragged.lengths import Lengths, on_cpu, read_lengths

KINDS = ("cross_entropy", "binary", "squared")
REDUCTIONS = (
    "mean_over_tokens",
    "mean_over_sequences_of_sums",
    "mean_over_sequences_of_means",
    "mean_over_steps_of_sums",
    "mean_over_steps_of_means",
    "sum",
    "none",
)
_WHERE = "sequence_loss"


def sequence_loss(
    output: Tensor | PackedSequence,
    target: Tensor | PackedSequence,
    kind: str = "cross_entropy",
    *,
    reduction: str = "mean_over_tokens",
    lengths: Lengths = None,
    batch_first: bool = False,
    ignore_index: int | None = None,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The loss of a batch of sequences, one term for each step of each sequence.

    kind            output                      target                   term ℓ
    cross_entropy   scores [T, B, K]            classes [T, B], integers -log softmax(output)[target], in nats
    binary          logits [T, B] or [T, B, K]  0 … 1, of output's shape -y log σ(o) - (1 - y) log(1 - σ(o)), in nats
    squared         values [T, B] or [T, B, K]  of output's shape        (o - y)²

    With batch_first output and target are [B, T, ·]. One sequence by itself is [T, K] and [T] for cross entropy, [T]
    for the others. Or both are PackedSequences of the same lengths.

    reduction selects what is summed and what is averaged. A token is one term: one step of one sequence, and each of
    the K values of a step where there are several. n_b is the number of tokens of sequence b, m_t that of step t.

        sum                            Σ_b Σ_t ℓ_tb
        mean_over_tokens               Σ_b Σ_t ℓ_tb / Σ_b n_b               long sequences count more
        mean_over_sequences_of_sums    (1/B) Σ_b Σ_t ℓ_tb                   -log p of a whole sequence, on average
        mean_over_sequences_of_means   (1/B) Σ_b (1/n_b) Σ_t ℓ_tb           every sequence counts the same
        mean_over_steps_of_sums        (1/T) Σ_t Σ_b ℓ_tb                   grows with the batch
        mean_over_steps_of_means       (1/T) Σ_t (1/m_t) Σ_b ℓ_tb           every step counts the same
        none                           ℓ, laid out as the caller's steps and sequences, 0 where there is no token

    Sequences and steps without a token are not counted in B and T. A batch without any token has loss 0.

    lengths         tokens of each row are its first steps, from 0 to T of them: a list, an array or an integer tensor.
                    Values past a row's end, in output or target, are never read: NaN there changes nothing, and
                    the gradient there is 0. Under torch.compile(fullgraph=True) give a tensor; its values are not
                    checked there, and lengths beyond T count as T
    ignore_index    cross entropy: steps with this class are not tokens; -100 without it, as in torch.nn.functional
    weight          [K], cross entropy: the weight of each class. As in torch.nn.functional a token of class y then
                    counts weight[y] times, in sums and in the n_b and m_t of means
    label_smoothing cross entropy: the share of the target that is spread evenly over all classes

    Returns a scalar, or [T, B] or [T, B, K] for "none". Half types are summed in float32. On a single row these are
    torch.nn.functional's cross_entropy, binary_cross_entropy_with_logits and mse_loss. Raises InputError, or ShapeError
    for sizes that do not fit.
    """
    if kind not in KINDS:
        raise InputError(phrase(_WHERE, "kind", f"one of {', '.join(KINDS)}", repr(kind)))
    if reduction not in REDUCTIONS:
        remedy = 'The mean of torch.nn.functional is "mean_over_tokens".'
        raise InputError(phrase(_WHERE, "reduction", f"one of {', '.join(REDUCTIONS)}", repr(reduction), remedy))
    options = _Options(ignore_index, weight, label_smoothing)
    _refuse_options(options)
    stray = [
        k for k, given in zip(options._fields, (ignore_index is not None, weight is not None, label_smoothing)) if given
    ]
    if stray and kind != "cross_entropy":
        remedy = 'It belongs to cross entropy; other terms can be weighed after reduction="none".'
        raise InputError(phrase(_WHERE, stray[0], f"left out for {kind}", getattr(options, stray[0]), remedy))
    if isinstance(output, PackedSequence) or isinstance(target, PackedSequence):
        terms = _packed_terms(kind, output, target, lengths, options)
        alone = False
    else:
        _refuse_shapes(kind, output, target, (2, 3))
        alone = target.dim() == 1
        turned = batch_first and not alone
        output, target = [t.unsqueeze(1) if alone else t.transpose(0, 1) if turned else t for t in (output, target)]
        terms = _terms(kind, output, target, _inside(target, lengths, not alone), options)
    if reduction != "none":
        return _reduced(terms, reduction)
    return terms.losses.squeeze(1) if alone else terms.losses.transpose(0, 1) if batch_first else terms.losses


class _Options(NamedTuple):
    ignore_index: int | None = None
    weight: Tensor | None = None
    label_smoothing: float = 0.0


class _Terms(NamedTuple):
    """losses and how often each counts, both [T, B] or [T, B, K], 0 where there is no token; tokens [T, B] bool.

    The first dimension is that of packed rows before they are padded.
    """

    losses: Tensor
    counts: Tensor
    tokens: Tensor


def _refuse_options(options: _Options) -> None:
    """Raises InputError for options of cross entropy that are of another type or out of range."""
    index, weight, smoothing = cast(tuple[object, object, object], options)
    if index is not None and (not isinstance(index, int | np.integer) or isinstance(index, bool)):
        raise InputError(phrase(_WHERE, "ignore_index", "the number of a class", repr(index)))
    if weight is not None and not isinstance(weight, Tensor):
        remedy = "Write torch.tensor([1.0, 2.0]), one number for each class."
        raise InputError(phrase(_WHERE, "weight", "a tensor [K]", type(weight).__name__, remedy))
    if not isinstance(smoothing, int | float | np.floating) or not 0 <= smoothing <= 1:
        raise InputError(phrase(_WHERE, "label_smoothing", "a share from 0 to 1", repr(smoothing)))


def _terms(kind: str, output: Tensor, target: Tensor, inside: Tensor | None, options: _Options) -> _Terms:
    """output [..., K] and target [...] of any leading sizes; `inside` says which steps lie within the lengths."""
    if inside is not None:
        output = output.masked_fill(~_like(inside, output), 0)
    if kind == "cross_entropy":
        ignored = -100 if options.ignore_index is None else options.ignore_index
        target = target.long()
        if inside is not None:
            target = target.masked_fill(~inside, ignored)
        flat = output.flatten(0, -2), target.flatten()
        losses = F.cross_entropy(
            *flat, options.weight, ignore_index=ignored, reduction="none", label_smoothing=options.label_smoothing
        ).view(target.shape)
        tokens = target != ignored
        if options.weight is None:
            return _Terms(losses, tokens.to(losses.dtype), tokens)
        return _Terms(losses, options.weight[target.masked_fill(~tokens, 0)].masked_fill(~tokens, 0), tokens)
    target = target if target.is_floating_point() else target.to(output.dtype)
    if inside is None:
        inside = torch.ones(output.shape[:2], dtype=torch.bool, device=output.device)
    else:
        target = target.masked_fill(~_like(inside, target), 0)
    measure = F.mse_loss if kind == "squared" else F.binary_cross_entropy_with_logits
    losses = measure(output, target, reduction="none")
    within = _like(inside, losses).expand_as(losses)
    return _Terms(losses.masked_fill(~within, 0), within.to(losses.dtype), inside)


def _packed_terms(kind: str, output: object, target: object, lengths: Lengths, options: _Options) -> _Terms:
    if lengths is not None:
        remedy = "A PackedSequence knows its lengths already; leave the argument out."
        raise InputError(phrase(_WHERE, "lengths", "None with a PackedSequence", type(lengths).__name__, remedy))
    if not isinstance(output, PackedSequence) or not isinstance(target, PackedSequence):
        received = f"{type(output).__name__} and {type(target).__name__}"
        remedy = "Pack both with the same lengths, or give two tensors and lengths=."
        raise InputError(phrase(_WHERE, "output and target", "both packed or both tensors", received, remedy))
    order = [s.sorted_indices for s in (output, target)]
    both = [o for o in order if o is not None]
    if not torch.equal(output.batch_sizes, target.batch_sizes) or len(both) == 1 or (both and not torch.equal(*both)):
        remedy = "Pack the targets with the lengths, and the enforce_sorted, that the inputs were packed with."
        raise ShapeError(phrase(_WHERE, "target", "packed as output is", "other lengths or another order", remedy))
    _refuse_shapes(kind, output.data, target.data, (1, 2))
    terms = _terms(kind, output.data.unsqueeze(1), target.data.unsqueeze(1), None, options)
    losses, counts, tokens = [pad_packed_sequence(PackedSequence(t.squeeze(1), *output[1:]))[0] for t in terms]
    return _Terms(losses, counts, tokens)


def _refuse_shapes(kind: str, output: object, target: object, dims: tuple[int, int]) -> None:
    """`dims`: the dimensions that one value a step and several values a step have."""
    if not isinstance(output, Tensor) or not isinstance(target, Tensor):
        name, wrong = ("target", target) if isinstance(output, Tensor) else ("output", output)
        remedy = "Write torch.as_tensor(...)."
        raise InputError(phrase(_WHERE, name, "a tensor or a PackedSequence", type(wrong).__name__, remedy))
    steps = "[R]" if dims == (1, 2) else "[T, B]"
    if kind == "cross_entropy":
        if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
            remedy = 'Give the number of the class at each step; targets between 0 and 1 go to kind="binary".'
            raise InputError(phrase(_WHERE, "target", "classes as integers", target.dtype, remedy))
        if output.shape[:-1] != target.shape or target.dim() not in (1, dims[0]):
            remedy = "Every step has K scores and one class."
            expected = f"{steps[:-1]}, K] beside a target {steps}"
            received = f"{list(output.shape)} beside {list(target.shape)}"
            raise ShapeError(phrase(_WHERE, "output", expected, received, remedy))
    elif output.is_complex() or target.is_complex():
        name, wrong = ("output", output) if output.is_complex() else ("target", target)
        remedy = "Write torch.view_as_real(t).flatten(-2) for both, say."
        raise InputError(phrase(_WHERE, name, f"real numbers for {kind}", wrong.dtype, remedy))
    elif output.shape != target.shape or output.dim() not in (1, *dims):
        expected = f"{steps} or {steps[:-1]}, K], as output"
        received = f"{list(target.shape)} beside an output {list(output.shape)}"
        raise ShapeError(
            phrase(_WHERE, "target", expected, received, "Nothing is broadcast; write target.view_as(output).")
        )


def _inside(target: Tensor, lengths: Lengths, batched: bool) -> Tensor | None:
    """bool [T, B]: the steps within the lengths; None where there are no lengths."""
    if lengths is None:
        return None
    steps, rows = target.shape[:2]
    if traced([target]):  # reading values out of a tensor would break the graph
        known = on_cpu(lengths).reshape(rows)
    else:
        known = read_lengths(lengths, rows, steps, batched, _WHERE)
    return torch.arange(steps, device=target.device)[:, None] < known.to(target.device)


def _like(inside: Tensor, t: Tensor) -> Tensor:
    """[T, B] with the dimensions of t, [T, B] or [T, B, K]."""
    return inside if t.dim() == 2 else inside.unsqueeze(-1)


def _reduced(terms: _Terms, reduction: str) -> Tensor:
    returned = terms.losses.dtype
    losses, counts = [t.to(torch.promote_types(t.dtype, torch.float32)) for t in terms[:2]]
    if reduction == "sum":
        return losses.sum().to(returned)
    if reduction == "mean_over_tokens":
        return _ratio(losses.sum(), counts.sum()).to(returned)
    kept = 0 if "_steps_" in reduction else 1
    others = [k for k in range(losses.dim()) if k != kept]
    groups = losses.sum(others)
    if reduction.endswith("_of_means"):
        groups = _ratio(groups, counts.sum(others))
    return _ratio(groups.sum(), terms.tokens.any(1 - kept).sum()).to(returned)


def _ratio(total: Tensor, count: Tensor) -> Tensor:
    """total / count, and 0 where nothing was counted, which is where total is 0."""
    return total / count.masked_fill(count == 0, 1)
