"""Links to files of the repository outside of docs/, which the site has no page for, become links to copies of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

LINK = re.compile(r"\]\((\.\./[^)#\s]+)(?:#[^)\s]*)?\)")


def setup(app: Sphinx) -> dict[str, Any]:
    def copied(built: Sphinx, page: str, text: list[str]) -> None:
        folder = (Path(built.srcdir) / page).parent

        def rewritten(found: re.Match[str]) -> str:
            target = (folder / found[1]).resolve()
            outside = target.is_file() and not target.is_relative_to(built.srcdir)
            return f"](path:{found[1]})" if outside else found[0]

        text[0] = LINK.sub(rewritten, text[0])

    app.connect("source-read", copied)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
