"""The Python in the documents runs: all blocks of a page, in order, as one script in an empty folder.

A block that begins with ```python no-run is shown and not run.
"""

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = {path.name: blocks for path in sorted(DOCS.glob("*.md")) if (blocks := BLOCK.findall(path.read_text("utf-8")))}


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / f"{page.removesuffix('.md').replace('-', '_')}.py"
    script.write_text("\n".join(PAGES[page]), encoding="utf-8")
    runpy.run_path(str(script))


def test_pages_are_found():
    assert "notation.md" in PAGES and len(PAGES["notation.md"]) == 5
