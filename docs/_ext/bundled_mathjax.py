"""MathJax out of an installed package, one file: equations are set without a network and without fonts of their own."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ConfigError

SCRIPT = "tex-svg.js"


def mathjax() -> Path:
    """The script in the package sphinx-mathjax-offline, which has MathJax 3.2.2 (Apache-2.0)."""
    spec = find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ConfigError("MathJax is not installed. Install the package sphinx-mathjax-offline: make docs does.")
    return Path(spec.origin).parent / "static" / "mathjax" / SCRIPT


def setup(app: Sphinx) -> dict[str, Any]:
    app.setup_extension("sphinx.ext.mathjax")
    source = mathjax()

    def choose(_app: Sphinx, config: Any) -> None:
        config.mathjax_path = SCRIPT
        # The accessible menu would load more files when it is opened.
        config.mathjax3_config = {"options": {"enableMenu": False}}

    def copy(built: Sphinx, error: Exception | None) -> None:
        if error is None and built.builder.format == "html":
            shutil.copyfile(source, Path(built.outdir) / "_static" / SCRIPT)

    app.connect("config-inited", choose)
    app.connect("build-finished", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
