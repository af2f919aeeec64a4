"""index.html of the demo's folder: the main job, and beside it one training on a file, with links to their pages."""

from collections.abc import Sequence

from ostinato._version import __version__
from ostinato.lens.render.html.markup import Html, table, tag, together
from ostinato.lens.render.html.style import STYLE

from .digits import FILE, Trained
from .experiment import Outcome

HEADINGS = ("cell", "bits per character", "characters per second", "the same on torch.nn", "weights", "steps")
PICTURES = {
    "loss.png": "Bits per character against steps of training",
    "gradient-by-lag.png": "How far back the gradient of the last character's loss reaches, before and after training",
}


def index_page(outcomes: Sequence[Outcome], source: str, trained: Trained, live: str = "") -> str:
    """The page, every string escaped; its pictures and links are files of the same folder.

    live  the page in which the best network runs; "" where there is none
    """
    title = "What this run of ostinato demo found"
    head = together(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(STYLE + "img { max-width: 100%; background: #ffffff; }\n")),
    )
    parts = (tag("header", tag("h1", title)), tag("main", _cells(outcomes, source, live), _file(trained)))
    body = tag("body", *parts, tag("footer", f"Ostinato {__version__}."))
    return "<!doctype html>\n" + tag("html", tag("head", head), "\n", body, lang="en") + "\n"


def _cells(outcomes: Sequence[Outcome], source: str, live: str) -> Html:
    rows = [
        (o.cell, f"{o.bits:.3f}", f"{o.speed:,.0f}", _speed(o.torch_speed), f"{o.weights:,}", f"{o.steps:,}")
        for o in outcomes
    ]
    pictures = [tag("p", tag("img", src=name, alt=text)) for name, text in PICTURES.items()]
    return tag(
        "section",
        tag("h2", "Three cells on the same text"),
        tag("p", f"Text: {source}. Bits per character are of its held-out end."),
        table("Cells", HEADINGS, rows),
        *pictures,
        tag("p", tag("a", "What the best of them does inside", href="inspect.html"), "."),
        tag("p", tag("a", "The best of them runs here while you type", href=live), ".") if live else "",
    )


def _file(trained: Trained) -> Html:
    if not trained.page:
        return tag("section", tag("h2", "A training on a file"), *(tag("p", s) for s in trained.sentences))
    command = f"ostinato train {FILE} --task classify"
    lead = "The images of digits that scikit-learn ships, each as a series of 8 rows of 8 pixels: "
    return tag(
        "section",
        tag("h2", "A training on a file"),
        tag("p", lead, tag("code", command), "."),
        table("Baselines and network on the same test rows, with 95 % intervals", trained.headings, trained.rows),
        *(tag("p", sentence) for sentence in trained.sentences),
        tag("p", tag("a", "The report of this training", href=trained.page), "."),
    )


def _speed(value: float | None) -> str:
    return "not timed" if value is None else f"{value:,.0f}"
