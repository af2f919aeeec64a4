"""The site: its structure, how docstrings are shown on it, the check of its pages, and its build."""

import re
import subprocess
import sys
from pathlib import Path

import plain_docstrings
import pytest
import site_check

import ostinato
from ostinato import cells, errors, export, lens, streaming

DOCS = Path(__file__).parent.parent / "docs"
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DIRECTIVE = re.compile(r"^\.\. (?:auto(?:class|function|exception)|py:data):: (\S+)$", re.MULTILINE)
LINKS = {"Recurrent": ":py:obj:`Recurrent <ostinato.Recurrent>`"}


def pages():
    """Every page of the site, without its ending."""
    found = (path.relative_to(DOCS) for path in DOCS.rglob("*.md") if "_build" not in path.parts)
    return {path.with_suffix("").as_posix() for path in found}


def listed(page):
    """The pages that the toctrees of a page name."""
    for tree in TOCTREE.findall((DOCS / page).with_suffix(".md").read_text(encoding="utf-8")):
        for line in tree.splitlines():
            if line and not line.startswith(":"):
                name = re.sub(r".*<(.*)>", r"\1", line)
                yield (DOCS / page).parent.joinpath(name).resolve().relative_to(DOCS).as_posix()


def test_every_page_is_in_one_toctree():
    entries = [entry for page in pages() for entry in listed(page)]
    assert sorted(entries) == sorted(pages() - {"index"})


def test_every_public_name_is_in_the_reference():
    texts = [path.read_text(encoding="utf-8") for path in [*DOCS.glob("reference/*.md"), DOCS / "errors.md"]]
    shown = {name.rpartition(".")[2] for text in texts for name in DIRECTIVE.findall(text)}
    modules = {"cells", "export", "lens"}
    for module in (ostinato, cells, export, lens, streaming):
        assert set(module.__all__) - shown - modules - {"__version__"} == set()
    classes = {t.__name__ for t in vars(errors).values() if isinstance(t, type) and issubclass(t, Exception)}
    assert classes - shown == set()


def test_every_name_in_the_reference_is_there():
    names = {name for path in DOCS.glob("reference/*.md") for name in DIRECTIVE.findall(path.read_text("utf-8"))}
    for name in names:
        thing = ostinato
        for part in name.split(".")[1:]:
            thing = getattr(thing, part) if hasattr(thing, part) else sys.modules[f"{thing.__name__}.{part}"]
    assert len(names) > 80


@pytest.mark.parametrize(
    ("docstring", "shown"),
    [
        ("A *star*, `x` and `Recurrent`.", r"A \*star\*, ``x`` and :py:obj:`Recurrent <ostinato.Recurrent>`."),
        ("Several `x`s of |h|, b_ too.", r"Several ``x``\ s of \|h\|, b\_ too."),
        ("docs/lens.md says more.", ":doc:`docs/lens.md </lens>` says more."),
        ("x   first\nyy  second\n    goes on", "``x``\n    first\n\n``yy``\n    second\n    goes on"),
        ("long, names of both\nx           of one", "``long, names``\n    of both\n\n``x``\n    of one"),
        ("x   first\nRaises InputError.", "``x``\n    first\n\n\nRaises InputError."),
        ("title: of it\nabout: facts", "``title``\n    of it\n\n``about``\n    facts"),
        ("Note: one sentence.", "Note: one sentence."),
        ("\n    x = f(1)\n", ".. code-block:: python\n\n   x = f(1)"),
        ("\n    x = σ(W x + b)   or not\n", ".. code-block:: text\n\n   x = σ(W x + b)   or not"),
        ("a   [T, B]   in\nbb  [B]      out", ".. code-block:: text\n\n   a   [T, B]   in\n   bb  [B]      out"),
    ],
)  # fmt: skip
def test_a_docstring_in_plain_text_is_shown_as_it_is_meant(docstring, shown):
    assert "\n".join(plain_docstrings.structured(docstring.split("\n"), LINKS)).strip("\n") == shown


def test_the_arguments_of_a_layer_are_a_list():
    lines = plain_docstrings.structured((ostinato.Recurrent.__doc__ or "").replace("\n    ", "\n").split("\n"), {})
    names = ("cell", "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
    assert [line for line in lines if line in {f"``{name}``" for name in names}] == [f"``{name}``" for name in names]


def test_the_check_finds_what_is_broken_and_what_is_loaded_from_a_network(tmp_path):
    (tmp_path / "a.html").write_text(
        '<script src="https://cdn.example/m.js"></script><link rel="stylesheet" href="s.css"><h1 id="here">A</h1>'
        '<a href="#here">1</a><a href="b.html#there">2</a><a href="b.html#gone">3</a><a href="c.html">4</a>'
        '<a href="https://example.org">5</a><link rel="canonical" href="https://example.org/a.html">'
    )
    (tmp_path / "b.html").write_text('<h1 id="there">B</h1><img src="//example.org/b.png">')
    (tmp_path / "s.css").write_text("p { background: url('https://example.org/p.png') } q { background: url(a.png) }")
    assert list(site_check.findings(tmp_path)) == [
        "a.html: https://cdn.example/m.js is loaded from a network",
        "a.html: b.html#gone leads to no anchor of b.html",
        "a.html: c.html leads to no file",
        "b.html: //example.org/b.png is loaded from a network",
        "s.css: url('https://example.org/p.png is loaded from a network",
    ]


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_a_network(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", str(DOCS), str(tmp_path)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert {path.relative_to(tmp_path).with_suffix("").as_posix() for path in tmp_path.rglob("*.html")} >= pages()
    assert list(site_check.findings(tmp_path)) == []
    scripts = re.findall(r'src="([^"]*tex-svg[^"]*)"', (tmp_path / "cells.html").read_text(encoding="utf-8"))
    assert scripts and (tmp_path / "_static" / "tex-svg.js").stat().st_size > 1_000_000
    assert "zoneout" in (tmp_path / "searchindex.js").read_text(encoding="utf-8")
