"""Activations with their derivatives, and sigmoid applied again and again until it is flat."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...measures.activations import ACTIVATIONS, FLAT, Activation, sigmoid_again
from .lines import draw_lines, label_lines
from .style import SMALL, figure, plain, styled


@styled
def activations_picture(activations: Sequence[Activation] = ACTIVATIONS, reach: float = 6.0) -> Figure:
    """φ and its derivative φ' of each activation over -reach … reach; where it is flat the field is hatched."""
    columns = min(3, len(activations))
    made, fields = figure(columns, rows=-(-len(activations) // columns), size=(3.3, 2.7), sharey=False)
    for axes in fields[len(activations) :]:
        axes.remove()
    a = torch.linspace(-reach, reach, 481, dtype=torch.float64, device="cpu")
    for axes, activation in zip(fields, activations):
        value, slope = activation.value(a), activation.slope(a)
        plain(axes)
        axes.plot(a, value, color="#000000", linewidth=1.8, label=r"$\varphi$")
        axes.plot(a, slope, color="#D55E00", linewidth=1.8, linestyle=(0, (3, 1.3)), label=r"$\varphi\,'$")
        low, high = max(-1.3, float(value.min()) - 0.2), min(2.2, float(value.max()) + 0.2)
        axes.set(xlim=(-reach, reach), ylim=(min(low, -0.2), max(high, 1.2)))
        for edge, end in ((activation.flat_below, -reach), (activation.flat_above, reach)):
            if edge is not None:
                axes.axvspan(min(edge, end), max(edge, end), facecolor="0.95", edgecolor="0.75", hatch="////", zorder=0)
        axes.set_title(f"{activation.name}:  {activation.formula}", fontsize=SMALL)
        axes.set_xlabel(
            f"$a$      $\\varphi\\,'$ = {activation.derivative},  at most {activation.greatest_slope:g}", fontsize=SMALL
        )
        axes.tick_params(labelsize=SMALL)
        axes.legend(loc="upper left", fontsize=SMALL, frameon=True, framealpha=0.9, edgecolor="none", handlelength=2.4)
    made.suptitle(
        f"Activations (solid) and their derivatives (dashed). Hatched: the slope is below {FLAT:g} of its greatest"
    )
    return made


@styled
def sigmoid_again_picture(times: Sequence[int] = (1, 2, 3, 5), reach: float = 6.0, most: int = 12) -> Figure:
    """Left: sigmoid applied so many times to a. Right: its greatest slope against how often, beside the bound 4^-n."""
    made, (left, right) = figure(2, sharey=False, size=(4.6, 3.4))
    a = torch.linspace(-reach, reach, 481, dtype=torch.float64, device="cpu")
    curves = {f"{n} time{'s' if n > 1 else ''}": sigmoid_again(a, n)[0] for n in times}
    draw_lines(left, {name: (a.tolist(), value.tolist()) for name, value in curves.items()})
    left.set(ylim=(0, 1), xlabel="$a$", title="sigmoid, applied again and again")
    label_lines(left)
    counts = range(1, most + 1)
    # The greatest slope lies where the first sigmoid gives what the others stretch most: a fine grid finds it.
    fine = torch.linspace(-30, 10, 40001, dtype=torch.float64, device="cpu")
    greatest = [float(sigmoid_again(fine, n)[1].max()) for n in counts]
    bound = [0.25**n for n in counts]
    draw_lines(right, {"greatest slope": (list(counts), greatest), "bound $4^{-n}$": (list(counts), bound)})
    right.set_yscale("log")
    right.set(xlabel="$n$, how often", title="what is left of the gradient")
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_lines(right)
    return made
