"""What is measured before and early in the training of a case: the cue's gradient, its noise, and the loss so far.

Letters: B sequences, C input features, K lags, G values of all states together.
"""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from ostinato.apps.problems import Examples, Task, named
from ostinato.lens import LayerReport, watch
from ostinato.lens.measures.gradient_by_lag import gradients_by_lag

from .experiment import Network, TrainingRun, measured_rows, reach, watched
from .settings import Case

MOMENTS = (0.0, 0.01, 0.02)
"""The shares of its updates after which a case is measured."""
ROWS = 128
"""Sequences that mean and deviation of a gradient are taken over."""


@dataclass(frozen=True)
class Moment:
    """Measurements at one moment of training.

    L_T is the loss of the last tested step, s_{T-k} the state that has just read the cue, k = lag - 1. A probe is what
    `lens.watch` sees in the training step that follows: the gradient at the last step, in float32, of the sequences
    that are trained; medians over them.
    """

    updates: int
    """Of the weights so far."""
    reach: int
    """`Reach.steps`."""
    ratio: float
    """`Reach.ratio`."""
    share: float
    """`Reach.share`."""
    snr: float
    """`Noise.snr`."""
    signal: float
    """`Noise.signal`."""
    loss: float
    """The mean loss of the tested steps over that of the best constant answer: 1 knows nothing, 0 everything."""
    trained: float
    """The mean loss of all trained steps."""
    probe_ratio: float
    """‖δ_{T-k}‖ / ‖δ_T‖ of the probe."""
    probe_share: float
    """‖δ_{T-k}‖ / Σ_k ‖δ_{T-k}‖ of the probe."""
    probe_now: float
    """‖δ_T‖ of the probe."""
    probe_cue: float
    """‖δ_{T-k}‖ of the probe."""
    curve_share: float
    """‖dL/ds_{T-k}‖ over its sum over all steps, L the loss of all trained steps."""
    probe_part: float
    """Σ_k ‖δ_{T-k}‖ / Σ_t ‖dL/ds_t‖: how much of the gradient the last step's loss has."""


@dataclass(frozen=True)
class Noise:
    """The cue's gradient over a batch: its mean against its deviation.

    u is the part of the gradient of the input weights that comes from the step of the cue, of one sequence:
    u = ∂L_T/∂s_{T-k} ⊗ x_{T-k}, as if a state were its pre-activation. w is the same, summed over all steps. Both
    estimates are unbiased, and 0 where nothing stands out of the noise.

    S. McCandlish, J. Kaplan, D. Amodei, arXiv 1812.06162v1 (2018), section 2.2: the noise scale tr(Σ) / |G|² is the
    batch at which mean and deviation are alike; snr is its root's inverse.
    """

    snr: float
    """‖E u‖ / √(E ‖u - E u‖²), no unit."""
    signal: float
    """‖E u‖ / √(E ‖w - E w‖²), no unit: the cue's gradient against the noise of all steps."""


def noise(network: Network, case: Case) -> Noise:
    """Over ROWS sequences, in float64. Cost: one forward and one backward pass, step by step."""
    rows = measured_rows(network, case, ROWS)
    output, earlier = gradients_by_lag(rows.layer, rows.inputs, rows.loss)
    nothing = torch.zeros_like(output)
    now = torch.cat([output, *(nothing for _ in earlier[1:])], dim=1)
    by_lag = torch.stack([now, *(torch.cat([g[0] for g in states], dim=1) for states in zip(*earlier, strict=True))])
    x, k = rows.inputs.flip(0), case.lag - 1
    cue = by_lag[k, :, :, None] * x[k, :, None, :]
    whole = torch.einsum("kbg,kbc->bgc", by_lag, x)
    return mean_over_deviation(cue, whole)


def mean_over_deviation(cue: Tensor, whole: Tensor) -> Noise:
    """`Noise` of u and w, both [B, G, C], B ≥ 2. Deviations of 0 give 0."""
    count = len(cue)
    spread, around = (float((u - u.mean(0)).square().sum()) / (count - 1) for u in (cue, whole))
    square = max(0.0, float(cue.mean(0).square().sum()) - spread / count)
    return Noise(sqrt(square / spread) if spread else 0.0, sqrt(square / around) if around else 0.0)


@torch.no_grad()
def losses(network: Network, task: Task, examples: Examples) -> tuple[float, float]:
    """(loss of the tested steps over that of the best constant answer, loss of all trained steps), means."""
    scores = network(examples.inputs, examples.eval_mask)
    targets = examples.targets[examples.eval_mask]
    tested = task.loss_of(scores, targets).double().mean()
    trained = task.loss_of(network(examples.inputs, examples.loss_mask), examples.targets[examples.loss_mask])
    return (tested / constant_loss(task, targets)).item(), trained.double().mean().item()


def constant_loss(task: Task, targets: Tensor) -> float:
    """The mean loss of the best answer that is the same everywhere: variance of targets, or entropy of classes."""
    if task.loss == "squared error":
        return targets.double().var(0, correction=0).mean().item()
    shares = targets.bincount().double() / len(targets)
    return -torch.xlogy(shares, shares).sum().item()


def moments(case: Case) -> tuple[Moment, ...]:
    """The measurements of a case after each of MOMENTS, fewer where training diverges before.

    The case is trained as far as the last of them; no measurement changes a bit of the training.
    """
    run, task, examples, found = TrainingRun(case), named(case.task), watched(case), []
    for share in MOMENTS:
        done = round(share * case.training.updates)
        _train(run, done)
        if run.result is not None:
            break
        before, noisy = reach(run.network, case), noise(run.network, case)
        loss, trained = losses(run.network, task, examples)
        with watch(run.network) as lens:
            _train(run, done + 1)
        values = (done, before.steps, before.ratio, before.share or 0.0, noisy.snr, noisy.signal, loss, trained)
        found.append(Moment(*values, *_probed(lens.report().layers[0], case.lag - 1)))
    return tuple(found)


def _train(run: TrainingRun, updates: int) -> None:
    """Goes on until so many updates are done, or training has ended."""
    while run.updates < updates and run.result is None:
        run.advance(lambda: run.updates >= updates)


def _probed(layer: LayerReport, lag: int) -> tuple[float, ...]:
    """The last six fields of a `Moment`; () for a layer without gradients."""
    if layer.probe is None or layer.gradient is None:
        return ()
    whole, curve = layer.probe.whole, layer.gradient.norms.square().sum(0).sqrt()
    values = (
        layer.probe.ratio_by_lag[lag],
        whole[lag] / whole.sum(0),
        whole[0],
        whole[lag],
        curve[-1 - lag] / curve.sum(0),
        whole.sum(0) / curve.sum(0),
    )
    return tuple(value.nan_to_num(0.0).quantile(0.5).item() for value in values)
