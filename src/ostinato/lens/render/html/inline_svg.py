"""Pictures inside a page: SVG without addresses, with ids of its own, in the page's colours.

Colours become variables of the page's style, so that a picture is dark on light, light on dark, and black on paper.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from ..diagram import Diagram
from .markup import Html, tag

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INKS = {
    "#000000": "--ink",
    "#ffffff": "--paper",
    "#e6e6e6": "--grid",
    "#e8f0f7": "--tint",
    "#d55e00": "--red",
    "#0072b2": "--blue",
    "#009e73": "--green",
    "#cc79a7": "--pink",
    "#56b4e9": "--sky",
    "#8b6c00": "--ochre",
    "#595959": "--grey",
    "#4c4c4c": "--grey",
    "#737373": "--grey",
    "#b8b8b8": "--bar",
    "#bfbfbf": "--rule",
    "#999999": "--rule",
    "#cccccc": "--band",
}
"""Colours of the pictures → variables of the style."""

WIDE = 640
"""Pixels: a picture that is wider scrolls on a narrow screen, so that its type stays legible."""

_COLOUR = re.compile(r"(?<=[ \"])(#[0-9a-fA-F]{6})(?=[\";])")
_NAME = re.compile(r'(\bid="|href="#|url\(#)([^")]+)')
_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_ABOUT = re.compile(r"<metadata>.*?</metadata>\s*|<style\b.*?</style>\s*", re.DOTALL)
_TAG = re.compile(r"<svg\b[^>]*>", re.DOTALL)
_VIEW = re.compile(r'viewBox="([^"]*)"')
_TITLES = re.compile(r"<(title|desc)>.*?</\1>\s*", re.DOTALL)


def drawn(picture: Figure | Diagram, name: str, words: str, caption: str = "") -> Html:
    """A <figure> of a picture; `name` is put before its ids, `words` describe it for screen readers."""
    if isinstance(picture, Diagram):
        text, width = picture.svg, picture.width
    else:
        from ..plots.style import svg

        text, width = svg(picture), 96 * float(picture.get_figwidth())
    shown = inlined(text, name, words, width)
    if width > WIDE:
        shown = tag("div", shown, class_="wide", tabindex="0", role="region", aria_label=words)
    return tag("figure", shown, tag("figcaption", caption) if caption else "", class_="picture")


def inlined(text: str, name: str, words: str, width: float) -> Html:
    """An SVG file as an element of a page: no prologue, no namespaces, ids with `name` in front."""
    body = _TITLES.sub("", _ABOUT.sub("", _HEAD.sub("", text, count=1)))
    view = _VIEW.search(body)
    view_box = view.group(1) if view else ""
    body = body.replace("xlink:href", "href")
    body = _NAME.sub(lambda m: f"{m[1]}{name}-{m[2]}", body)
    body = _COLOUR.sub(lambda m: f"var({INKS[m[1].lower()]})" if m[1].lower() in INKS else m[1], body)
    least = f"; min-width: {WIDE}px" if width > WIDE else ""
    head = (
        f'<svg viewBox="{view_box}" role="img" aria-label="{escape(words)}"'
        f' style="width: {width:.0f}px{least}" font-family="DejaVu Sans, Verdana, Helvetica, Arial, sans-serif">'
    )
    return Html(_TAG.sub(lambda _: head, body, count=1).strip())
