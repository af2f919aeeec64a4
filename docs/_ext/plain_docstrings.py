"""Docstrings in plain text with aligned lists, as reStructuredText that shows what they show.

A docstring of the package has paragraphs, code that is indented by four spaces, and lists of names whose
descriptions begin in one column. Names in single backticks that the site documents become links.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sphinx.application import Sphinx

FIRST_ROW = re.compile(r"(\S.*?)\s{2,}(?=\S)")
SHORT_NAMES = re.compile(r"\*{0,2}[a-z]\w*(, \*{0,2}\w+)*")
"""What may stand before a column at one space: names, not the first word of a sentence."""
KEYED = re.compile(r"([a-z_]\w*): (.*)")
PAGE = re.compile(r"\bdocs/([\w/-]+)\.md\b")
BACKTICKS = re.compile(r"`([^`]+)`")
SPECIAL = re.compile(r"([\\*|`]|(?<=\w)_(?!\w))")
"""Characters that reStructuredText would read as markup."""


def structured(lines: list[str], links: Mapping[str, str]) -> list[str]:
    """The lines of a docstring as reStructuredText; `links` has name → the role that links to it."""
    out: list[str] = []
    place = 0
    while place < len(lines):
        line = lines[place]
        if not line.strip():
            out.append("")
            place += 1
        elif line.startswith("    "):
            end = _while(lines, place, lambda l: l.startswith("    ") or not l.strip())
            out += ["", *literal([l[4:] for l in lines[place:end]]), ""]
            place = end
        elif (rows := aligned(lines, place) or keyed(lines, place)) is not None:
            end = place + sum(len(texts) for _, texts in rows)
            out += ["", *listed(rows, lines[place:end], links), ""]
            place = end
        else:
            out.append(inline(line, links))
            place += 1
    return out


def _while(lines: list[str], place: int, holds: Any) -> int:
    while place < len(lines) and holds(lines[place]):
        place += 1
    return place


def column_of(lines: list[str], place: int) -> int | None:
    """The column in which the descriptions of a list begin, if a list begins at a line."""
    line = lines[place]
    if (first := FIRST_ROW.match(line)) is not None:
        return first.end() if ". " not in first[1] and len(first[1]) <= 32 else None
    after = FIRST_ROW.match(lines[place + 1]) if place + 1 < len(lines) else None
    if after is not None and line[after.end() - 1 : after.end()] == " ":
        return after.end() if SHORT_NAMES.fullmatch(line[: after.end() - 1]) else None
    return None


def aligned(lines: list[str], place: int) -> list[tuple[str, list[str]]] | None:
    """(name, lines of its description) of each row of the list that begins at a line; None where none does."""
    column = column_of(lines, place)
    if column is None:
        return None
    rows: list[tuple[str, list[str]]] = []
    for line in lines[place:]:
        name, gap, text = line[:column].strip(), line[column - 1 : column], line[column:]
        in_column = gap == " " and text and not (text.startswith(" ") and not rows)
        if in_column and not name and rows:
            rows[-1][1].append(text)
        elif in_column and (line[column - 2] == " " or SHORT_NAMES.fullmatch(name)):
            rows.append((name, [text]))
        elif (own := FIRST_ROW.match(line)) is not None:  # names that are longer than the column
            rows.append((own[1], [line[own.end() :]]))
        else:
            break
    return rows


def keyed(lines: list[str], place: int) -> list[tuple[str, list[str]]] | None:
    """The same of a list whose rows are `name: description`, two of them or more."""
    rows = []
    for line in lines[place:]:
        if (found := KEYED.fullmatch(line)) is None:
            break
        rows.append((found[1], [found[2]]))
    return rows if len(rows) > 1 else None


def listed(rows: list[tuple[str, list[str]]], lines: list[str], links: Mapping[str, str]) -> Iterable[str]:
    """A definition for each row; a list of more than two columns as it is."""
    if any(re.search(r"\S\s{2,}\S", text) for _, texts in rows for text in texts):
        yield from literal(lines)
        return
    for name, texts in rows:
        yield f"``{name.replace('`', '')}``"
        yield from (f"    {inline(text, links)}" for text in texts)
        yield ""


def literal(lines: list[str]) -> list[str]:
    """A block of code: as Python where it is Python, else as text."""
    while lines and not lines[-1].strip():
        lines.pop()
    try:
        ast.parse("\n".join(lines))
        language = "python"
    except SyntaxError:
        language = "text"
    return [f".. code-block:: {language}", "", *(f"   {line}" for line in lines)]


def inline(line: str, links: Mapping[str, str]) -> str:
    """One line of prose: backticks become code or a link, a page of docs/ a link, and nothing else is markup."""
    out, end = "", 0
    for found in BACKTICKS.finditer(line):
        out += plain(line[end : found.start()])
        before = "\\ " if out and out[-1].isalnum() else ""
        after = "\\ " if line[found.end() : found.end() + 1].isalnum() else ""
        out += before + links.get(found[1], f"``{found[1]}``") + after
        end = found.end()
    return out + plain(line[end:])


def plain(text: str) -> str:
    """Text without markup, except for links to pages."""
    return PAGE.sub(r":doc:`docs/\1.md </\1>`", SPECIAL.sub(r"\\\1", text))


def public_links() -> dict[str, dict[str, str]]:
    """For each module, the name as its docstrings write it → a role that links to the name's entry."""
    import ostinato
    from ostinato import cells, export, lens

    modules = (lens, ostinato, export, cells)
    entries: dict[tuple[str, int], str] = {}  # a name that several modules have is documented in the first
    for module in modules:
        for name in module.__all__:
            entries.setdefault((name, id(getattr(module, name))), f"{module.__name__}.{name}")
    options = "ostinato.layers.Options"
    everywhere = {options: f":py:obj:`{options}`"}
    own: dict[str, dict[str, str]] = {module.__name__: {} for module in modules}
    for module in modules:
        for name in module.__all__:
            full, entry = f"{module.__name__}.{name}", entries[name, id(getattr(module, name))]
            own[module.__name__][name] = f":py:obj:`{name} <{entry}>`"
            for written in {full, full.removeprefix("ostinato.")}:
                everywhere.setdefault(written, f":py:obj:`{written} <{entry}>`")
    return {name: everywhere | links for name, links in own.items()}


def setup(app: Sphinx) -> dict[str, Any]:
    links = public_links()

    def process(_app: Sphinx, _what: str, name: str, _thing: Any, _options: Any, lines: list[str]) -> None:
        module = max((m for m in links if name.startswith(f"{m}.")), key=len)
        own = name.removeprefix(f"{module}.").partition(".")[0]
        lines[:] = structured(list(lines), {k: v for k, v in links[module].items() if k != own})

    def skip(_app: Sphinx, _what: str, _name: str, thing: Any, skipped: bool, _options: Any) -> bool | None:
        from ostinato._renamed import RenamedAttribute

        thing = thing.fget if isinstance(thing, property) else getattr(thing, "__func__", thing)
        home = getattr(thing, "__module__", None) or "ostinato"
        foreign = callable(thing) and not home.startswith("ostinato")  # of torch and scikit-learn
        return True if foreign or isinstance(thing, RenamedAttribute) else None

    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
