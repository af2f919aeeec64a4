"""`Report`, what `lens.watch` returns: the data of a watched step, with its text, pictures, page and diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, phrase
from ..output_files import file_path, write_file
from .render.diagram import Diagram
from .render.html.page import TITLE, to_html
from .report.data import Finding, ReportData
from .report.diagnosis import diagnose
from .report.format import to_json
from .report.text import report_dict, report_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Report(ReportData):
    """Everything that was observed between entering and leaving `lens.watch`."""

    def table(self) -> str:
        """One line for each layer, direction and call: how far gradients reach and what is kept, as plain text."""
        return report_table(self)

    def to_dict(self) -> dict[str, Any]:
        """Numbers, texts, lists and None only. A dimension over rows or segments becomes quantiles 0.1, 0.5, 0.9."""
        return report_dict(self)

    def to_json(self) -> str:
        """`to_dict` as JSON; NaN is written as null, inf as the text "inf"."""
        return to_json(self.to_dict())

    def picture(self) -> Figure:
        """A sheet of the first layers: gradient curve, probe, retention, gates, weight gradients. Needs matplotlib."""
        from .render.plots.report_sheet import report_picture  # matplotlib takes half a second to import

        return report_picture(self)

    def to_html(
        self,
        *,
        title: str = TITLE,
        about: Mapping[str, object] | None = None,
        pictures: Mapping[str, Figure | Diagram] | None = None,
    ) -> str:
        """One page that opens offline: the verdict first, then pictures and every number. No script, no address.

        title: of the page.
        about: name → value, facts to print under the title, such as the model's file.
        pictures: heading → `Diagram` or figure of matplotlib, such as `lens.fold(model, x)`.
        """
        return to_html(self, title=title, about=about, pictures=pictures)

    def save(
        self,
        path: str | Path,
        *,
        title: str | None = None,
        about: Mapping[str, object] | None = None,
        pictures: Mapping[str, Figure | Diagram] | None = None,
    ) -> Path:
        """Writes the page (.html, options as `to_html`), the record (.json) or the sheet (.png, .svg).

        Raises InputError for another ending, and for options with a file that is no page.
        """
        path = file_path("report.save", "path", path, (".html", ".json", ".png", ".svg"))
        kind = path.suffix.lower()
        options = {"title": title, "about": about, "pictures": pictures}
        given = [name for name, value in options.items() if value is not None]
        if given and kind != ".html":
            remedy = "Only a page has them; leave them out."
            raise InputError(phrase("report.save", "options", f"none for {kind}", ", ".join(given), remedy))
        if kind == ".html":
            content = self.to_html(title=TITLE if title is None else title, about=about, pictures=pictures).encode()
        elif kind == ".json":
            content = self.to_json().encode()
        else:
            from .render.plots.style import png, svg  # matplotlib takes half a second to import

            content = png(self.picture()) if kind == ".png" else svg(self.picture()).encode()
        write_file("report.save", "path", path, content)
        return path

    @property
    def verdict(self) -> tuple[Finding, ...]:
        """What is the matter, from few rules with thresholds and sources; () where no rule applies."""
        return diagnose(self)

    def __str__(self) -> str:
        """The table, then the verdict."""
        return "\n".join([self.table(), *(f"- {finding}" for finding in self.verdict)])
