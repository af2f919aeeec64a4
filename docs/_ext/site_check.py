"""A check of the written pages: every link inside the site has its target, and nothing is loaded from a network.

Links to other sites are not followed, because a build needs no network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.util import logging

LOADS = {
    "img": "src",
    "script": "src",
    "iframe": "src",
    "source": "src",
    "audio": "src",
    "video": "src",
    "link": "href",
}
"""Elements that a browser fetches by itself, and where their address is."""
FETCHED = {"stylesheet", "icon", "shortcut icon", "preload", "modulepreload", "prefetch"}
"""Kinds of <link> that are fetched; the others, such as next and search, are names of pages."""
STYLE_ADDRESS = re.compile(r"(?:url\(\s*[\"']?|@import\s+[\"'])(https?:|//)[^\"')\s]*")


class Page(HTMLParser):
    """The anchors, links and loaded addresses of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if (address := values.get(LOADS.get(tag, ""))) and (tag != "link" or values.get("rel") in FETCHED):
            self.loads.append(address)


def network(address: str) -> bool:
    return address.startswith("//") or urlsplit(address).scheme in ("http", "https", "ws", "wss")


def findings(folder: Path) -> Iterator[str]:
    """What is wrong with the site in a folder, a sentence each."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(folder)
        yield from (f"{name}: {address} is loaded from a network" for address in page.loads if network(address))
        for link in dict.fromkeys([*page.links, *page.loads]):
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / unquote(file.partition("?")[0])).resolve() if file.partition("?")[0] else path
            if not target.is_file():
                yield f"{name}: {link} leads to no file"
            elif anchor and target in pages and unquote(anchor) not in pages[target].anchors:
                yield f"{name}: {link} leads to no anchor of {target.relative_to(folder)}"
    for path in sorted(folder.rglob("*.css")):
        for found in STYLE_ADDRESS.finditer(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(folder)}: {found[0]} is loaded from a network"


def setup(app: Sphinx) -> dict[str, Any]:
    def check(built: Sphinx, error: Exception | None) -> None:
        if error is None and built.builder.name == "html":
            for finding in findings(Path(built.outdir).resolve()):
                logging.getLogger(__name__).warning(finding)

    # After the extensions that copy files when a build is finished.
    app.connect("build-finished", check, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
