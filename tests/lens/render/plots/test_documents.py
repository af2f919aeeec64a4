"""The pictures of the documents are those that the command in the repository writes."""

import re
from pathlib import Path

import pytest

from ostinato.apps.pictures import write

DOCS = Path(__file__).parents[4] / "docs"


@pytest.mark.slow
def test_every_picture_of_the_pages_is_written_by_the_command(tmp_path):
    written = {path.name for path in write(tmp_path)}
    pages = (DOCS / "pictures.md").read_text("utf-8") + (DOCS / "activations.md").read_text("utf-8")
    shown = set(re.findall(r"\(img/([\w.-]+)\)", pages))
    assert shown == written
    for name in written:
        assert (DOCS / "img" / name).stat().st_size > 1000
        if name.endswith(".svg"):
            assert (tmp_path / name).read_bytes() == (DOCS / "img" / name).read_bytes()
