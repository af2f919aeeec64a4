"""The two pictures of the experiment. They read the same without colour: what differs, differs in shape or fill."""

from collections.abc import Mapping
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, ScalarFormatter

from ostinato.apps.problems import TASKS
from ostinato.lens.pictures import STYLES

from .experiment import EPSILON, Result
from .predictive_value import predictive_value
from .selection import finished_tasks, runs_of
from .settings import Case, Settings

REACH, INK = "0.78", "#000000"
COLUMNS = 3


def bridged_picture(settings: Settings, results: Mapping[Case, Result]) -> Figure:
    """Which cell bridges which lag: a field for each task, a row for each variant, a dot at each lag that was run.

    A dot is as full as the share of its seeds that bridged the lag. The grey bar is the reach before training, at the
    longest lag that was run; an arrow at its end says that it reaches as far as the sequences go.
    """
    tasks, variants = finished_tasks(settings, results), settings.variants
    columns = min(COLUMNS, len(tasks))
    lines = -(-len(tasks) // columns)
    made = Figure(
        figsize=(2.2 + 2.9 * columns, 1.3 + (0.55 + 0.26 * len(variants)) * lines), dpi=120, layout="constrained"
    )
    fields = made.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes in fields.flat[len(tasks) :]:
        axes.set_visible(False)
    for task, axes in zip(tasks, fields.flat):
        for row, variant in enumerate(variants):
            run = {lag: outcomes for lag in settings.lags if (outcomes := runs_of(results, task, lag, variant))}
            if run:
                _reach(axes, row, run[max(run)])
            for lag, outcomes in run.items():
                _dot(axes, lag, row, sum(each.bridged for each in outcomes) / len(outcomes))
        axes.set_title(f"{task}\nchance {TASKS[task].chance:.3g}, bridged ≤ {TASKS[task].bound:.3g}", fontsize=9)
        _lag_axis(axes, settings.lags)
        axes.set_yticks(range(len(variants)), [str(each) for each in variants], fontsize=9)
        axes.set_ylim(len(variants) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
    for axes in fields[-1]:
        axes.set_xlabel("steps", fontsize=9)
    handles = [
        Line2D([], [], color=INK, marker="o", linestyle="", markersize=7, label="lag bridged"),
        Line2D([], [], color=INK, marker="o", linestyle="", markersize=7, fillstyle="none", label="not bridged"),
        Line2D([], [], color=REACH, linewidth=6, label=f"reach before training ({EPSILON:.0%} of the gradient)"),
    ]
    made.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return made


def _reach(axes: Axes, row: int, runs: list[Result]) -> None:
    steps = max(1.0, median(run.reach.steps for run in runs))
    axes.barh(row, steps - 0.8, left=0.8, height=0.5, color=REACH, linewidth=0, zorder=1)
    if all(run.reach.steps == run.reach.measured for run in runs):
        axes.plot([steps * 1.12], [row], marker=">", color=REACH, markersize=7, linestyle="", zorder=1)


def _dot(axes: Axes, lag: int, row: int, share: float) -> None:
    """A ring, filled with black as far as `share`, 0 to 1: to the full, to the half, or not at all."""
    fill = {0.0: "none", 1.0: "full"}.get(share, "left")
    axes.plot(
        [lag],
        [row],
        marker="o",
        color=INK,
        markersize=7,
        fillstyle=fill,
        markerfacecolor=INK if share else "none",
        markerfacecoloralt="white",
        linestyle="",
        zorder=3,
    )
    if 0 < share < 1:
        axes.annotate(f"{share:.0%}", (lag, row), (0, 5), textcoords="offset points", ha="center", fontsize=6)


def _lag_axis(axes: Axes, lags: tuple[int, ...]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(0.8, max(lags) * 1.6)
    axes.set_xticks([1, *lags])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(True, axis="x", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)


def foresight_picture(results: Mapping[Case, Result]) -> Figure:
    """The error in shares of chance against the gradient ratio at the lag before training, a mark for each run.

    Filled marks are bridged lags. Errors above twice chance are drawn there, ratios below 1e-24 there.
    """
    made = Figure(figsize=(6.4, 4.2), dpi=120, layout="constrained")
    axes = made.subplots()
    cells = list(dict.fromkeys(case.cell for case in results))
    for index, cell in enumerate(cells):
        style = STYLES[index % len(STYLES)]
        for bridged in (True, False):
            runs = [(c, r) for c, r in results.items() if c.cell == cell and r.bridged == bridged]
            axes.plot(
                [max(1e-24, result.reach.ratio) for _, result in runs],
                [_share(case, result) for case, result in runs],
                linestyle="",
                marker=style["marker"],
                color=style["color"],
                fillstyle="full" if bridged else "none",
                markersize=6,
                alpha=0.85,
            )
    axes.set_xscale("log")
    axes.axhline(1, color=INK, linewidth=0.8)
    axes.annotate("chance", (0.01, 1.02), xycoords=("axes fraction", "data"), fontsize=9)
    axes.axvline(EPSILON, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.annotate(f"{EPSILON:.0%}", (EPSILON, 2.06), ha="center", fontsize=9, annotation_clip=False)
    axes.set_ylim(-0.05, 2.05)
    axes.set_xlabel("gradient at the cue / gradient at the answer, before training")
    axes.set_ylabel("error after training / chance")
    axes.spines[["top", "right"]].set_visible(False)
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=STYLES[k % len(STYLES)]["marker"],
            color=STYLES[k % len(STYLES)]["color"],
            label=cell,
        )
        for k, cell in enumerate(cells)
    ]
    handles += [
        Line2D([], [], linestyle="", marker="o", color="0.4", label="bridged"),
        Line2D([], [], linestyle="", marker="o", color="0.4", fillstyle="none", label="not bridged"),
    ]
    made.legend(handles=handles, loc="outside right center", frameon=False, fontsize=9)
    value = predictive_value(results)
    axes.set_title(f"{value.runs} runs, rank correlation {value.ratio:.2f}", fontsize=10, pad=16)
    return made


def _share(case: Case, result: Result) -> float:
    return 2.0 if result.error is None else min(2.0, result.error / TASKS[case.task].chance)
