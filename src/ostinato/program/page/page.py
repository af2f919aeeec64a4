"""The report page of a training, as one file of HTML that opens offline, runs no script and loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..._version import __version__
from ...lens.render.html.inline_svg import drawn
from ...lens.render.html.markup import Html, listed, table, tag, together
from ...lens.render.html.page import sections
from ...lens.render.html.style import STYLE
from ...lens.report.data import ReportData
from ..data.examples import Examples, TargetKind
from ..data.findings import many
from ..running.outcome import Outcome, table_of
from ..tasks.metric_names import title_of
from ..tasks.task import Predictions
from ..training.fit import Evaluation
from . import examples as shown
from . import forecasts, pictures, rolls
from .items import Samples, items_section
from .passages import passages_section
from .transcripts import transcripts_section
from .translations import translations_section

MOST_METRICS = 9
"""Of the table of results, the task's own first."""
_OWN_STYLE = """
.token { padding: 0 0.15rem; border-radius: 0.2rem; }
.token.wrong small { color: var(--mark); margin-left: 0.2rem; }
.sentence { line-height: 1.9; }
.edits { white-space: pre-wrap; overflow-wrap: anywhere; }
.edits del { color: var(--red); }
.edits ins { color: var(--blue); font-weight: bold; }
"""


@dataclass(frozen=True)
class PageContent:
    """Everything that the page says."""

    title: str
    because: str
    """The sentence that says what was inferred, and from what."""
    outcome: Outcome | None
    """None where there are no test rows."""
    history: Sequence[Evaluation]
    classes: Sequence[str]
    metric: str
    """The task's own."""
    truth: Examples
    """The test rows."""
    predictions: Predictions | None
    """Of the network, on the test rows."""
    advice: str
    facts: Mapping[str, object] = field(default_factory=dict)
    notes: Sequence[str] = ()
    """What was cut, dropped, unknown, leaked or imputed, a sentence each."""
    lens: ReportData | None = None
    lens_absent: str = ""
    """Why there is no report of the lens."""
    repeat: str = ""
    """The command that repeats the run."""
    samples: Samples | None = None
    """Of a network that writes items."""
    pieces: Callable[[str], Sequence[str]] | None = None
    """The units of a text, of a language model; of an output, of a translation."""
    source_pieces: Callable[[str], Sequence[str]] | None = None
    """The units of a source, of a translation."""
    private: bool = False
    """Whether rows and texts stay out of the page."""


def report_page(content: PageContent) -> str:
    """The page, every string of the user's escaped."""
    parts = [_results(content), _task_pictures(content), _curves(content), _data(content), *_lens(content)]
    head = together(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", content.title),
        tag("style", Html(STYLE + _OWN_STYLE)),
    )
    header = tag("header", tag("h1", content.title), tag("p", content.because, class_="lead"))
    repeat = f" Repeat it with: {content.repeat}" if content.repeat else ""
    foot = tag("footer", f"Ostinato {__version__}. Every number is measured on rows that no training saw.{repeat}")
    body = tag("body", header, tag("main", *parts), foot)
    return "<!doctype html>\n" + tag("html", tag("head", head), "\n", body, lang="en") + "\n"


def _results(content: PageContent) -> Html:
    outcome = content.outcome
    if outcome is None:
        return tag("section", tag("h2", "Result"), tag("p", "There are no test rows, so no metrics were computed."))
    headings, rows = table_of(outcome, MOST_METRICS)
    units = "blocks of successive origins" if content.truth.target_kind == "future" else "independent units"
    left_out = len(outcome.network.metrics) - MOST_METRICS
    more = f"; metrics.json has {left_out} more" if left_out > 0 else ""
    return tag(
        "section",
        tag("h2", "Result"),
        tag("p", outcome.sentence(), class_="well"),
        drawn(pictures.intervals_picture(outcome), "intervals", "Every model on the same test rows"),
        table(
            f"On {many(outcome.n, 'test row')}, with 95 % intervals by resampling {units}; baselines first{more}",
            headings,
            rows,
        ),
        *(tag("p", f"{b.name}: {b.note}", class_="lead") for b in outcome.baselines if b.note),
        *(tag("p", f"{title_of(name)}: {words}.", class_="lead") for name, words in _definitions(outcome)),
    )


def _definitions(outcome: Outcome) -> Iterable[tuple[str, str]]:
    """(metric, how it is computed), where the task says it."""
    return outcome.network.details.get("definitions", {}).items()


def _curves(content: PageContent) -> Html:
    if not content.history:
        return Html("")
    return tag(
        "section",
        tag("h2", "Training"),
        tag("p", content.advice),
        drawn(
            pictures.curves_picture(content.history, content.metric),
            "curves",
            "Training loss, and the validation metric",
        ),
        listed(content.facts.items()),
    )


def _task_pictures(content: PageContent) -> Html:
    predictions = content.predictions
    if content.truth.targets is None or not len(content.truth) or predictions is None:
        return Html("")
    return tag("section", tag("h2", "Test rows"), *SECTIONS[content.truth.target_kind](content, predictions))


def _of_numbers(content: PageContent, predictions: Predictions) -> list[Any]:
    targets = [float(t) for t in content.truth.targets or []]
    values = [float(v) for v in predictions.values]
    picture = pictures.numbers_picture(targets, values, content.truth.target_name)
    found = drawn(picture, "numbers", "Predicted against true")
    return [found] if content.private else [found, shown.number_table(content.truth, predictions)]


def _of_tags(content: PageContent, predictions: Predictions) -> list[Any]:
    flat_truth = [t for row in content.truth.targets or [] for t in row]
    flat_said = [p for row in predictions.values for p in row]
    parts: list[Any] = [_confusion(flat_truth, flat_said, content.classes)]
    if not content.private:
        parts.append(tag("h3", "Sentences with most mistakes"))
        parts.append(shown.tagged_sentences(content.truth, predictions))
    return parts


def _of_labels(content: PageContent, predictions: Predictions) -> list[Any]:
    return [tag("p", f"Labels: {', '.join(content.classes)}.")]


def _of_classes(content: PageContent, predictions: Predictions) -> list[Any]:
    truth = [str(t) for t in content.truth.targets or []]
    said = [str(v) for v in predictions.values]
    parts: list[Any] = [_confusion(truth, said, content.classes)]
    found = shown.mistakes(content.truth, predictions, content.classes)
    parts.append(tag("p", f"{len(found)} of {len(truth)} test rows are mistaken."))
    if content.private or not found:
        return parts
    if content.truth.kind == "text":
        parts.append(shown.text_table(content.truth, found))
    elif content.truth.kind == "series":
        picture = pictures.series_picture(shown.series_headings(content.truth, found), content.truth.channels)
        parts.append(drawn(picture, "mistaken", "The series of which the network was surest and wrong"))
    return parts


def _of_futures(content: PageContent, predictions: Predictions) -> list[Any]:
    return [*forecasts.sections_of(content.truth, predictions, content.outcome, content.private)]


def _of_texts(content: PageContent, predictions: Predictions) -> list[Any]:
    if content.truth.kind == "passage":
        return passages_section(content.truth, predictions, content.pieces, content.private)
    return [] if content.private else [*items_section(content.samples)]


def _of_transcripts(content: PageContent, predictions: Predictions) -> list[Any]:
    details = {} if content.outcome is None else content.outcome.network.details
    return transcripts_section(content.truth, predictions, details, content.pieces, content.private)


def _of_frames(content: PageContent, predictions: Predictions) -> list[Any]:
    details = {} if content.outcome is None else content.outcome.network.details
    return [*rolls.sections_of(content.truth, predictions, details, content.private)]


def _of_translations(content: PageContent, predictions: Predictions) -> list[Any]:
    pieces = content.pieces, content.source_pieces
    return translations_section(content.truth, predictions, *pieces, content.private)


def _confusion(truth: Sequence[str], said: Sequence[str], classes: Sequence[str]) -> Html:
    kept = pictures.drawn_classes(truth, said, classes)
    caption = "Which class is taken for which"
    if len(kept) < len(classes):
        caption += f"; the {len(kept)} classes with most rows, of {len(classes)}"
    return drawn(pictures.confusion_picture(truth, said, kept), "confusion", caption)


def _data(content: PageContent) -> Html:
    if not content.notes:
        return Html("")
    return tag("section", tag("h2", "Data"), tag("ul", *(tag("li", note) for note in content.notes)))


def _lens(content: PageContent) -> list[Html]:
    if content.lens is None:
        return [tag("section", tag("h2", "Inside the network"), tag("p", content.lens_absent))]
    lead = "One pass forward and back on validation rows, after training, in evaluation."
    return [tag("section", tag("h2", "Inside the network"), tag("p", lead, class_="lead")), *sections(content.lens)]


SECTIONS: Mapping[TargetKind, Callable[[PageContent, Predictions], list[Any]]] = {
    "class": _of_classes,
    "labels": _of_labels,
    "number": _of_numbers,
    "tags": _of_tags,
    "future": _of_futures,
    "text": _of_texts,
    "transcript": _of_transcripts,
    "frames": _of_frames,
    "translation": _of_translations,
}
"""What the page shows of the test rows, by the kind of their targets."""
