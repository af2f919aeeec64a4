"""A small writer of SVG: boxes, arrows and words, and nothing that needs another program.

Sizes are in pixels, y grows downward. Arrowheads are shapes of their own and no markers, whose names would clash where
several pictures stand on one page.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

Point = tuple[float, float]

FONT = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"
INK, BLUE, TINT, PAPER = "#000000", "#0072B2", "#E8F0F7", "#FFFFFF"
SIZE, SMALL = 13.0, 11.0

_NARROW, _WIDE = frozenset("iIjlftr.,:;|!'()[]·- "), frozenset("mwMW@%→←↑↓—")


def width(words: str, size: float = SIZE) -> float:
    """About how wide words are, in pixels: of the widest of `FONT`, so that they fit with any of them."""
    shares = {True: 0.40, False: 0.64}
    return size * sum(0.98 if c in _WIDE else 0.73 if c.isupper() else shares[c in _NARROW] for c in words)


class Svg:
    """Elements in the order in which they are drawn; `document` is the whole file."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def box(self, x: float, y: float, w: float, h: float, *, strong: bool = False, dashed: bool = False) -> None:
        """A rectangle with its upper left corner at (x, y); `strong` for what has a state."""
        fill, line = (TINT, 2.0) if strong else (PAPER, 1.2)
        self.add("rect", x=x, y=y, width=w, height=h, rx=5, fill=fill, stroke=INK, stroke_width=line, **_dash(dashed))

    def line(self, points: Sequence[Point], *, state: bool = False, dashed: bool = False, arrow: bool = True) -> None:
        """A line through points, with an arrowhead at the last; `state` for what goes from step to step."""
        colour, w = (BLUE, 2.2) if state else (INK, 1.3)
        path, tip = list(points), points[-1]
        if arrow:
            (x0, y0), (x1, y1) = points[-2:]
            length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
            ux, uy = (x1 - x0) / length, (y1 - y0) / length
            long, half = (9.0, 4.5) if state else (8.0, 3.5)
            bx, by = x1 - long * ux, y1 - long * uy
            path[-1] = (bx + ux, by + uy)
            head = [tip, (bx - half * uy, by + half * ux), (bx + half * uy, by - half * ux)]
        d = " ".join(f"{'ML'[k > 0]}{_n(x)} {_n(y)}" for k, (x, y) in enumerate(path))
        self.add("path", d=d, fill="none", stroke=colour, stroke_width=w, stroke_linejoin="round", **_dash(dashed))
        if arrow:
            self.add("polygon", points=" ".join(f"{_n(x)},{_n(y)}" for x, y in head), fill=colour)

    def words(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = SIZE,
        at: str = "middle",
        bold: bool = False,
        ink: str = INK,
    ) -> None:
        """Words on the baseline y; `at` says which part of them stands at x: "start", "middle" or "end".

        A rim of paper keeps them legible where a line passes below.
        """
        more = {"font_weight": "bold"} if bold else {}
        rim = {"paint_order": "stroke", "stroke": PAPER, "stroke_width": 3, "stroke_linejoin": "round"}
        inside = escape(words)
        self.add("text", inside, x=x, y=y, font_size=size, text_anchor=at, fill=ink, **rim, **more)

    def joint(self, x: float, y: float) -> None:
        """A dot where lines meet."""
        self.add("circle", cx=x, cy=y, r=2.4, fill=INK)

    def add(self, tag: str, inside: str = "", **attributes: object) -> None:
        """An element; `stroke_width=1` becomes stroke-width="1"."""
        written = "".join(
            f" {name.replace('_', '-')}={quoteattr(_n(v) if isinstance(v, int | float) else str(v))}"
            for name, v in attributes.items()
        )
        self.parts.append(f"<{tag}{written}>{inside}</{tag}>" if inside else f"<{tag}{written}/>")

    def document(self, w: float, h: float, title: str, description: str) -> str:
        """The file, w by h pixels on white paper; title and description are for readers who hear a page."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(w)}" height="{_n(h)}" viewBox="0 0 {_n(w)} {_n(h)}"'
            f' role="img" font-family={quoteattr(FONT)}>\n<title>{escape(title)}</title>\n'
            f"<desc>{escape(description)}</desc>\n"
        )
        paper = f'<rect width="{_n(w)}" height="{_n(h)}" fill="{PAPER}"/>'
        return head + "\n".join([paper, *self.parts]) + "\n</svg>\n"


def _dash(dashed: bool) -> dict[str, str]:
    return {"stroke_dasharray": "5 4"} if dashed else {}


def _n(value: float) -> str:
    """A number with at most two digits behind the point."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
