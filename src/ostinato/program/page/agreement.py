"""The picture of a report on agreement: shares of right verbs by distance and by misleading nouns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...errors import InputError, phrase
from ...lens.render.plots.style import FAINT, GRID, INK, SMALL, WIDTH, styled
from ..running.agreement.report import Agreement, Row

SUFFIXES = (".png", ".svg", ".pdf")
_MARKS: Mapping[str, Mapping[str, Any]] = {
    "network": {"color": INK, "marker": "o", "linewidth": 2.0},
    "n-gram": {"color": INK, "marker": "s", "linestyle": "--", "markerfacecolor": "white"},
    "last noun": {"color": FAINT, "marker": "v", "linestyle": "-."},
    "first noun": {"color": FAINT, "marker": "^", "linestyle": ":"},
    "always singular": {"color": FAINT, "marker": "x", "linestyle": "-"},
}


@styled
def agreement_picture(found: Agreement) -> Figure:
    """Left by words to the verb, in the middle by misleading nouns, right the gradient at the subject by distance."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(3, 2, 2))
    _shares(left, found.by_distance, "words to the verb")
    _shares(middle, found.by_misleading, "misleading nouns")
    left.set_ylabel("verbs in the right\nnumber (%)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=SMALL)
    rows = found.by_distance
    right.plot(range(len(rows)), [row.reach for row in rows], color=INK, marker="o")
    right.set_xticks(range(len(rows)), [row.name for row in rows], rotation=60, fontsize=SMALL)
    right.set_ylim(0, 1.05)
    right.set_xlabel("words to the verb")
    right.set_ylabel("gradient at the subject\nover its largest value")
    right.grid(color=GRID)
    return figure


def _shares(axes: Axes, rows: Sequence[Row], label: str) -> None:
    for model in rows[0].shares:
        shares = [row.shares[model] for row in rows]
        values = [100 * share.value for share in shares]
        axes.plot(range(len(rows)), values, label=model, markersize=5, **_MARKS[model])
        if model == "network":
            for place, share in enumerate(shares):
                axes.plot([place, place], [100 * end for end in share.interval], color=INK, linewidth=1)
    axes.set_xticks(range(len(rows)), [row.name for row in rows], rotation=60, fontsize=SMALL)
    axes.set_xlabel(label)
    axes.set_ylim(-3, 103)
    axes.grid(color=GRID)


def refuse_picture(path: Path | None) -> None:
    """Raises InputError for a file that exists, or of another kind."""
    if path is not None and (path.exists() or path.suffix not in SUFFIXES):
        received = f"{path}, which exists" if path.exists() else path
        raise InputError(phrase("ostinato evaluate", "--picture", f"a new file, {', '.join(SUFFIXES)}", received))


def save_picture(found: Agreement, path: Path) -> None:
    """Writes the picture."""
    agreement_picture(found).savefig(path, dpi=150)
