"""The documents about cells: their Python runs, and the catalogue's page is what the cells say."""

import re
from pathlib import Path

import pytest

from ostinato.cells import catalogue
from ostinato.cells.operations import OWN_LINE, known
from ostinato.cells.page import catalogue_page
from ostinato.cells.tracing import RESERVED

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_the_catalogue_is_written_from_the_cells():
    written = (DOCS / "cells.md").read_text(encoding="utf-8")
    assert written == catalogue_page(), "write it anew: python -m ostinato.cells.page > docs/cells.md"
    assert [line[4:] for line in written.splitlines() if line.startswith("### ")] == list(catalogue())


def test_the_python_of_the_notation_runs(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```$", (DOCS / "notation.md").read_text(encoding="utf-8"), re.DOTALL | re.M)
    assert len(blocks) == 5
    script = tmp_path / "notation.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    scope = {"__name__": "notation"}
    exec(compile(script.read_text(encoding="utf-8"), str(script), "exec"), scope)
    assert scope["lstm"] == catalogue()["lstm"] or scope["lstm"].equations == catalogue()["lstm"].equations
    assert scope["with_output"].output_state is None and scope["example"].gates["W"] == ("z", "n")


@pytest.mark.parametrize("page", ["notation.md", "design/letters.md"])
def test_every_operation_is_named(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    assert [op for op in known().split() if op.isalpha() and f"`{op}" not in text and f" {op}" not in text] == []


def test_the_letters_page_names_what_the_code_reserves():
    text = (DOCS / "design" / "letters.md").read_text(encoding="utf-8")
    listed = re.search(r"is none of\n`([^`]*)`", text)
    assert listed is not None and set(listed[1].split()) == RESERVED
    lines = re.search(r"one for each of\n`([^`]*)`", text)
    assert lines is not None and set(lines[1].split()) == OWN_LINE
