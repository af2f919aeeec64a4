"""A small writer of HTML: text that is not markup by its type is escaped, so no name can become markup."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from ...report.format import number

_VOID = frozenset({"meta", "br", "hr", "img"})


class Html(str):
    """Text that is markup already. All other text is escaped."""

    __slots__ = ()


def tag(name: str, /, *inside: object, **attributes: object) -> Html:
    """An element; `class_="x"` becomes class="x", `aria_label` aria-label; attributes that are None are left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{together(*inside)}</{name}>")


def together(*parts: object) -> Html:
    """The parts, concatenated."""
    return Html("".join(p if isinstance(p, Html) else escape(str(p), quote=False) for p in parts))


def cell_of(value: object) -> str:
    """A number as a person reads it, yes or no, a dash for None and NaN."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "-" if math.isnan(value) else number(value, 4)
    return str(value)


def table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[object]], *, named: int = 1) -> Html:
    """A table whose headings name their units; the first `named` columns are words, and the first heads its row."""
    lines = []
    for row in rows:
        cells = [
            tag("th", cell_of(v), scope="row")
            if k == 0
            else tag("td", v if isinstance(v, Html) else cell_of(v), class_="word" if k < named else None)
            for k, v in enumerate(row)
        ]
        lines.append(tag("tr", *cells))
    unbroken = [h.replace(" %", "\u00a0%").replace("no unit", "no\u00a0unit") for h in headings]
    head = tag("tr", *(tag("th", h, scope="col", class_="word" if k < named else None) for k, h in enumerate(unbroken)))
    body = tag("tbody", Html("\n".join(lines)))
    inside = tag("table", tag("caption", caption), tag("thead", head), body)
    # A table that is wider than a phone scrolls by itself, by keyboard too; the page does not.
    return tag("div", inside, class_="wide", tabindex="0", role="region", aria_label=caption)


def details(summary: str, *inside: object) -> Html:
    """An element that is closed until its summary is clicked."""
    return tag("details", tag("summary", summary), *inside)


def listed(facts: Iterable[tuple[str, object]]) -> Html:
    """A list of names with their values."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", cell_of(value))) for name, value in facts))
