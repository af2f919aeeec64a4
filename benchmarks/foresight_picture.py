"""The picture of the foresight: the early word's score beside what became of the test set, and what thresholds save."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from foresight_rules import EARLY, line_of, scores, table
from foresight_runs import Run
from foresight_savings import savings, stopped_left_out, threshold
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ostinato.lens.pictures import STYLES, figure, styled
from ostinato.lens.render.plots.style import FAINT, INK, SMALL, plain

AT = 0.02
"""Of the good runs, what the threshold of `lens.live.early` may lose."""
SHARES = np.arange(0, 0.31, 0.01)
"""The same, for a curve of thresholds."""


@styled
def foresight_picture(chosen: Sequence[Run], test: Sequence[Run]) -> Figure:
    """Two fields: each run of the test set by its score and its outcome; minutes saved against good runs lost."""
    made, (left, right) = figure(2, size=(5.2, 4.4), sharey=False)
    _outcomes(left, chosen, test)
    _trade_off(right, chosen, test)
    return made


def _outcomes(axes: Axes, chosen: Sequence[Run], test: Sequence[Run]) -> None:
    line, found = line_of(chosen, EARLY), scores(test, EARLY, chosen)
    tasks = list(dict.fromkeys(run.case.task for run in test))
    for run, score in zip(test, found, strict=True):
        style = STYLES[tasks.index(run.case.task) % len(STYLES)]
        axes.plot(
            [score],
            [run.learned],
            linestyle="",
            marker=style["marker"],
            color=style["color"],
            fillstyle="full" if run.result.bridged else "none",
            markersize=6,
            alpha=0.85,
        )
    good = np.array([run.result.bridged for run in chosen])
    bound = threshold(line.score(table(chosen, EARLY)), good, AT)
    axes.axvline(bound, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.annotate("stopped", (bound, 1.02), (-6, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
                  ha="right", fontsize=SMALL, annotation_clip=False)  # fmt: skip
    axes.axhline(1, color=FAINT, linewidth=0.8)
    axes.set_xlabel("score after 2 % of the updates")
    axes.set_ylabel("how well it learned (above 1: bridged)")
    plain(axes)
    handles = [
        Line2D([], [], linestyle="", marker=STYLES[k]["marker"], color=STYLES[k]["color"], label=task)
        for k, task in enumerate(tasks)
    ]
    handles.append(Line2D([], [], linestyle="", marker="o", color="0.4", fillstyle="none", label="not bridged"))
    axes.legend(handles=handles, fontsize=SMALL, frameon=False, loc="upper left")


def _trade_off(axes: Axes, chosen: Sequence[Run], test: Sequence[Run]) -> None:
    values, line = table(chosen, EARLY), line_of(chosen, EARLY)
    good = np.array([run.result.bridged for run in chosen])
    left_out = [savings(chosen, stopped_left_out(chosen, EARLY, values, lost)) for lost in SHARES]
    found = scores(test, EARLY, chosen)
    once = [savings(test, found < threshold(line.score(values), good, lost)) for lost in SHARES]
    for points, name, style in ((left_out, "136 runs, a task left out", STYLES[1]), (once, "test set", STYLES[0])):
        x, y = [100 * each.lost_share for each in points], [100 * each.saved_share for each in points]
        axes.plot(x, y, label=name, markersize=4, **style)
    axes.plot([2], [50], marker="*", color=INK, markersize=11, linestyle="", label="aim")
    axes.set_xlabel("good runs lost (%)")
    axes.set_ylabel("minutes of hopeless runs saved (%)")
    axes.set_xlim(left=-0.5)
    axes.set_ylim(0, 100)
    plain(axes)
    axes.legend(fontsize=SMALL, frameon=False, loc="lower right")
