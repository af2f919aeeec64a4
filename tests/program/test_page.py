"""The report page: what it says, and that no string of the user's becomes markup."""

import re

import numpy as np
import pytest

from ostinato.program.data.examples import Examples, Origin
from ostinato.program.page.page import PageContent, report_page
from ostinato.program.page.pictures import MOST_CLASSES, confusion, drawn_classes
from ostinato.program.running.outcome import Gain, Outcome, Scored
from ostinato.program.tasks.task import Metric, Predictions
from ostinato.program.training.fit import Evaluation

EVIL = "</script><img src=x onerror=alert(1)>"


def scored(name, value, **more):
    return Scored(name, [Metric("accuracy", value, value - 0.02, value + 0.02, 400, True)], **more)


def content(truth, predictions, classes, **more):
    baselines = [scored("majority", 0.5, trivial=True), scored("naive Bayes", 0.8, note=EVIL)]
    outcome = Outcome(
        baselines, scored("gru", 0.82), [Gain("majority", 0.3, 0.2, 0.4), Gain("naive Bayes", 0.02, 0.01, 0.03)], 400
    )
    history = [Evaluation(50 * k, 2.0 * k, 1 / k, 0.7 + 0.01 * k, k == 4, 1e-3) for k in range(1, 5)]
    facts = {"updates": 200}
    return PageContent(
        f"reviews {EVIL}", f"Text {EVIL}.", outcome, history, classes, "accuracy", truth, predictions, "Enough.",
        facts, notes=[f"3 duplicates {EVIL}"], lens_absent="The lens was turned off.", **more,
    )  # fmt: skip


def texts(labels=("good", EVIL)):
    inputs = [f"text {k} {EVIL}" for k in range(20)]
    targets = [labels[k % 2] for k in range(20)]
    values = [labels[0] if k < 14 else t for k, t in enumerate(targets)]
    chances = np.array(
        [[0.9 - 0.01 * k, 0.1 + 0.01 * k] if v == labels[0] else [0.2, 0.8] for k, v in enumerate(values)]
    )
    examples = Examples("text", inputs, "class", targets, ("text",), EVIL, [Origin("a.csv", k + 2) for k in range(20)])
    return content(examples, Predictions(values, chances), list(labels))


def numbers():
    examples = Examples("series", [np.zeros((3, 1))] * 5, "number", [1.0, 2.0, 3.0, 4.0, 5.0], ("u",), EVIL)
    return content(examples, Predictions([1.5, 2.0, 2.0, 4.0, 9.0]), [])


def tags():
    inputs = [["The", EVIL, "runs"], ["It", "is"]]
    examples = Examples("tokens", inputs, "tags", [["D", "N", "V"], ["P", "V"]])
    chances = [np.full((3, 4), 0.25), np.full((2, 4), 0.25)]
    return content(examples, Predictions([["D", "V", "V"], ["P", "V"]], chances), ["D", "N", "V", "P"])


def series():
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(8 + k, 2)).cumsum(0) for k in range(6)]
    targets = ["a", "b"] * 3
    examples = Examples("series", inputs, "class", targets, ("u", EVIL))
    return content(examples, Predictions(["a"] * 6, np.tile([0.9, 0.1], (6, 1))), ["a", "b"])


@pytest.mark.parametrize("made", [texts, numbers, tags, series])
def test_no_string_of_the_users_becomes_markup(made):
    page = report_page(made())
    assert "<img" not in page and "</script>" not in page
    assert "&lt;img" in page
    assert not re.search(r'(src|href)="(?!#|data:image/png)', page)  # nothing is loaded


def test_mistakes_are_shown_surest_first_with_their_line():
    page = report_page(texts())
    assert page.count("line 3") == 1  # row 1, the surest mistake, begins at line 3
    assert page.index("line 3") < page.index("line 5")
    assert "7 of 20 test rows are mistaken." in page


def test_a_private_page_has_no_rows():
    made = texts()
    page = report_page(PageContent(**{**vars(made), "private": True}))
    assert "text 1 " not in page and "7 of 20 test rows are mistaken." in page
    assert "runs" in report_page(tags())
    assert "runs" not in report_page(PageContent(**{**vars(tags()), "private": True}))


def test_wrong_tags_are_named_below_the_word():
    assert "<small>V, not N</small>" in report_page(tags())


def test_largest_errors_come_first():
    page = report_page(numbers())
    rows = re.findall(r'<th scope="row">(\d+)</th><td>([\d.]+)</td><td>([\d.]+)</td>', page)
    assert rows[0] == ("5", "5", "9")


def test_a_matrix_counts_rows_and_leaves_rare_classes_out():
    assert confusion(["a", "a", "b"], ["a", "b", "b"], ["a", "b"]).tolist() == [[1, 1], [0, 1]]
    classes = [f"c{k}" for k in range(MOST_CLASSES + 5)]
    kept = drawn_classes(classes[5:], classes[5:], classes)
    assert len(kept) == MOST_CLASSES and kept == classes[5:]
