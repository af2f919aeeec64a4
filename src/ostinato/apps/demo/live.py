"""live.html of the demo's folder: the best network of the main job runs in the browser while the reader types."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from ostinato import export
from ostinato.apps.models import CharModel
from ostinato.errors import NoKernelsError

FILE = "live.html"
START = "the "


class Scores(nn.Module):
    """A character model as `ostinato.stream` reads it: ids int64 [T, B] → scores of the next character [T, B, K]."""

    def __init__(self, model: CharModel) -> None:
        super().__init__()
        self.embedding, self.layer, self.head = model.embedding, model.layer, model.head

    def forward(self, ids: Tensor) -> Tensor:
        output, _ = self.layer(self.embedding(ids))
        scores: Tensor = self.head(output)
        return scores


def live_page(folder: Path, title: str, model: CharModel, alphabet: Sequence[str]) -> Path | None:
    """Writes the page, and returns its place; None on a machine without kernels, where its self-test has no bits."""
    meaning = export.Meaning(
        title=title,
        about="Type: the bars are the probabilities of the next character, computed in this page.",
        vocabulary=alphabet,
        start="".join(c for c in START if c in alphabet),
    )
    try:
        return export.page(Scores(model), folder / FILE, meaning).file
    except NoKernelsError:
        return None
