"""The part of the report page about translations: alignments, the table, what is left out of a private page."""

import re

import numpy as np
import pytest

from ostinato.program.data.examples import Examples
from ostinato.program.page.page import PageContent, report_page
from ostinato.program.page.translations import (
    Alignment,
    Translated,
    alignments_picture,
    chosen,
    spread_picture,
    translated,
)
from ostinato.program.tasks.task import Predictions

EVIL = "</script><img src=x onerror=alert(1)>"
N = 30


def rows(extra=""):
    sources = [f"I see {n} cats{extra}" for n in range(N)]
    targets = [f"Je vois {n} chats{extra}" for n in range(N)]
    return Examples("text", [*sources, sources[0]], "translation", [*targets, "Zéro chat"], ("en",), "fr")


def said(truth, alignments=True):
    values = [str(target) if n % 3 else f"Je vois {n}" for n, target in enumerate(truth.targets)]
    weights = [np.eye(len(v.split()) + 1, len(s.split()), dtype=np.float32) for v, s in zip(values, truth.inputs)]
    return Predictions(values, alignments=weights if alignments else None)


def page(truth, predictions, **more):
    content = PageContent("t", "b", None, [], [], "chrf", truth, predictions, "", pieces=str.split, **more)
    return report_page(content)


def test_the_page_has_alignments_a_spread_and_the_best_median_and_worst():
    text = page(rows(), said(rows()), source_pieces=str.split)
    assert "Where the network read" in text and "How many sources have which chrF" in text
    assert re.findall(r'<th scope="row">(\w+)</th>', text) == ["best"] * 4 + ["median"] * 4 + ["worst"] * 4
    assert "Je vois 0 chats · Zéro chat" in text and "Je vois 0<" in text


def test_without_attention_the_page_says_so():
    text = page(rows(), said(rows(), alignments=False), source_pieces=str.split)
    assert "The network has no attention, so there are no alignments to show." in text
    assert "Where the network read" not in text


def test_alignments_without_fitting_sentences_are_said_to_be_left_out():
    truth = rows(" and" * 30)
    text = page(truth, said(truth), source_pieces=str.split)
    assert "No translation has 2 to 24 units on both sides, so no alignment is drawn." in text
    text = page(rows(), said(rows()), source_pieces=lambda source: source.split()[1:])
    assert "so no alignment is drawn." in text  # units that the weights do not have


def test_a_private_page_has_no_text():
    text = page(rows(), said(rows()), source_pieces=str.split, private=True)
    assert "vois" not in text and "cats" not in text and "How many sources have which chrF" in text


def test_no_string_of_the_user_becomes_markup():
    truth = rows(EVIL)
    text = page(truth, said(truth), source_pieces=str.split)
    assert "<img" not in text and "&lt;img src=x" in text


def test_each_source_is_judged_once_with_all_references():
    found = translated(rows(), said(rows()))
    assert len(found) == N and [t.chrf for t in found] == sorted(t.chrf for t in found)
    first = next(t for t in found if t.row == 0)
    assert first.references == ("Je vois 0 chats", "Zéro chat") and found[-1].chrf == pytest.approx(100)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 11, 12, 40])
def test_few_sources_are_shown_once_each(count):
    found = [Translated(k, "", "", (), float(k)) for k in range(count)]
    shown = chosen(found)
    assert len(shown) == min(count, 12) and [t.chrf for _, t in shown] == sorted(
        (t.chrf for _, t in shown), reverse=True
    )
    assert len({t.row for _, t in shown}) == len(shown)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_alignment_has_its_field_with_the_source_along_x_and_the_output_down(count):
    one = Alignment(["a", "b", " "], ["x", "$y_1$"], np.array([[0.9, 0.1, 0], [0, 0.2, 0.8]]), 50.0)
    figure = alignments_picture([one] * count)
    fields = [axes for axes in figure.axes if axes.images and axes.get_title(loc="left")]
    assert len(fields) == count
    assert [label.get_text() for label in fields[0].get_xticklabels()] == ["a", "b", "␣"]
    assert [label.get_text() for label in fields[0].get_yticklabels()] == ["x", r"\$y_1\$"]
    assert fields[0].images[0].get_array().shape == (2, 3)


def test_the_spread_counts_every_source():
    figure = spread_picture([0.0, 2.0, 50.0, 100.0])
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 4
