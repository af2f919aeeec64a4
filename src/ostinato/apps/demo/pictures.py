"""The two pictures of the main job."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from ostinato.lens.pictures import draw_lines, figure, gradient_by_lag_picture, label_lines

from .experiment import Outcome


def loss_picture(outcomes: Sequence[Outcome]) -> Figure:
    """Bits per character against steps of training: on the text being read, and on the held-out text."""
    made, fields = figure(2)
    curves = {
        "training text": {each.cell: each.train_curve for each in outcomes},
        "held-out text": {each.cell: each.valid_curve for each in outcomes},
    }
    for axes, (heading, lines) in zip(fields, curves.items(), strict=True):
        draw_lines(
            axes, {name: ([step for step, _ in curve], [bits for _, bits in curve]) for name, curve in lines.items()}
        )
        axes.set_title(heading, fontsize=10)
        axes.set_xlabel("steps of training")
    fields[0].set_ylabel("bits per character")
    # The first steps fall from log2 K. The cells differ only afterwards, so the axis shows that part.
    late = [bits for each in outcomes for step, bits in each.train_curve if step > each.steps * 0.05]
    lowest = min(bits for each in outcomes for _, bits in each.train_curve + each.valid_curve)
    top = max(late, default=lowest + 1)
    fields[0].set_ylim(lowest - 0.05 * (top - lowest), top + 0.05)
    for axes in fields:
        label_lines(axes)
    return made


def reach_picture(outcomes: Sequence[Outcome]) -> Figure:
    """‖∂L_T/∂h_{T-k}‖ against lag k, before and after training, and for the LSTM its second state c too."""
    panels = {}
    for heading, attribute in (("before training", "gradient_before"), ("after training", "gradient_after")):
        norms_of = {each.cell: getattr(each, attribute) for each in outcomes}
        lines = {f"{cell} h": norms["h"] for cell, norms in norms_of.items()}
        panels[heading] = lines | {f"{cell} c": norms["c"] for cell, norms in norms_of.items() if "c" in norms}
    title = "How far back the last character's loss reaches, in the hidden state h" + (
        " and the LSTM's cell state c" if any("c" in each.gradient_after for each in outcomes) else ""
    )
    return gradient_by_lag_picture(panels, title=title)
