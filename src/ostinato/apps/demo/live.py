"""live.html of the demo's folder: the best network of the main job runs in the browser while the reader types."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ostinato import export
from ostinato.apps.models import CharModel
from ostinato.errors import NoKernelsError
from ostinato.program.tasks.stepping import Core

FILE = "live.html"
START = "the "


def live_page(folder: Path, title: str, model: CharModel, alphabet: Sequence[str]) -> Path | None:
    """Writes the page, and returns its place; None on a machine without kernels, where its self-test has no bits."""
    meaning = export.Meaning(
        title=title,
        about="Type: the bars are the probabilities of the next character, computed in this page.",
        vocabulary=alphabet,
        start="".join(c for c in START if c in alphabet),
    )
    layer: Any = model.layer
    try:
        return export.page(Core(layer, model.embedding, model.head), folder / FILE, meaning).file
    except NoKernelsError:
        return None
