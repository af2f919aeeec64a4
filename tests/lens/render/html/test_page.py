"""The page of a report: well formed, whole, closed to the outside, and nothing in it can become markup by its name."""

import base64
import json
import math
import re
from dataclasses import replace

import pytest
import torch

import ostinato
from lens.example_reports import example_probe, example_report, powers
from lens.render.html.reading import Page
from ostinato import lens
from ostinato.errors import InputError
from ostinato.lens.pictures import figure, gates_picture
from ostinato.lens.render.html import page as page_module

NAME = "<b>bold</b> & \"quoted\" 'name'"


@pytest.fixture
def words_only(monkeypatch):
    """Pages without pictures, which take time."""
    monkeypatch.setattr(page_module, "MOST_DRAWN", 0)


def odd(report):
    """The same report with names that would be markup."""
    layer = replace(report.layers[0], module=NAME, kind="<i>", cell="<u>")
    weight = replace(report.weights[0], parameter=NAME, gate="<s>")
    return replace(report, layers=(layer,), weights=(weight,))


@pytest.fixture(scope="module")
def html():
    """A page with everything that it can have on it, and names that need care."""
    torch.manual_seed(0)
    report, model = odd(example_report()), ostinato.Recurrent("janet", 3, 4)
    pictures = {
        "Model <b>": lens.fold(model, title=NAME),
        "Gates <i>": gates_picture({"f": torch.rand(60, 4)}, list("<b>&" * 15), title=""),
    }
    return report.to_html(title=NAME, about={"file <u>": NAME, "figure": 2.345678}, pictures=pictures)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_every_element_is_closed_and_every_reference_is_on_the_page(page, html):
    assert html.startswith('<!doctype html>\n<html lang="en">')
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids)) > 20
    named = set(re.findall(r'href="#([^"]+)"', html)) | set(re.findall(r"url\(#([^)]+)\)", html))
    assert len(named) > 20 and named <= set(ids)


def test_the_page_asks_for_nothing_outside_of_itself(page, html):
    assert not re.search(r"https?:|[\"'(]//|@import|xmlns|<script|javascript", html, re.IGNORECASE)
    for _, attrs in page.elements:
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href"):
            assert re.match(r"#|data:(image/png|application/json);base64,", attrs.get(name, "#"))


def test_names_stay_names(page):
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"b", "i", "u", "s"}
    assert page.text.count(NAME) >= 5  # title, heading, fact, diagram, layer, parameter
    for name in ("file <u>", "Model <b>", "Gates <i>", "<i> (<u>)", "<s>"):
        assert name in page.text


def test_readers_who_hear_the_page_are_told_what_is_there(page):
    assert page.all("html")[0]["lang"] == "en" and len(page.all("title")) == len(page.all("h1")) == 1
    pictures = page.all("svg")
    assert len(pictures) == 2 + 7
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in pictures)
    assert len({attrs["aria-label"] for attrs in pictures}) == len(pictures)
    assert len(page.all("caption")) == len(page.all("table")) >= 9
    assert all(attrs.get("scope") in ("col", "row") for attrs in page.all("th"))
    assert all(attrs["tabindex"] == "0" and attrs["aria-label"] for attrs in page.all("div") if "tabindex" in attrs)


def test_light_dark_phone_and_paper(html):
    assert 'name="viewport"' in html and "color-scheme: light dark" in html
    assert "@media screen and (prefers-color-scheme: dark)" in html and "@media print" in html
    # Whatever is drawn is drawn in the page's inks; a colour left as it is would vanish on one of the two grounds.
    assert re.findall(r"#[0-9a-f]{6}", html.partition("</style>")[2]) == []


def test_what_was_measured_is_on_the_page(words_only):
    report = example_report(probe=example_probe(powers(0.8)))
    page = Page(report.to_html())
    reach, half = math.floor(math.log(0.01) / math.log(0.8)), math.log(0.5) / math.log(0.8)
    said = f"At least 1 % of the gradient at the last step arrives {reach} steps back, of 39; half of it is gone after"
    assert f"{said} {half:.3g} steps" in page.text
    assert "multiplies it by 0.8 in the mean" in page.text
    assert "reach at 1 % (steps) 20 20 20" in page.text and "mean step gain (no unit) 0.8 0.8 0.8" in page.text
    assert "rnn.weight_hh_l0 f 2 0.5 0.002 0.001" in page.text
    assert "at most 256 steps of rows, evenly spread, retention from at most 4 segments" in page.text
    assert "cut: 50 %" in page.text and "0 2 1 1 0.5 0.5" in page.text


def test_the_verdict_comes_first(words_only):
    report = example_report(probe=example_probe(powers(0.4)))
    (finding,) = report.verdict
    page = Page(report.to_html())
    said = page.text.index(finding.sentence)
    assert finding.source in page.text
    assert page.text.index("What to do") < said < page.text.index("At a glance") < page.text.index("rnn layer 0: janet")
    well = Page(example_report(probe=example_probe(powers(0.99))).to_html())
    assert "No warnings." in well.text
    assert "arrives 39 steps back, of 39; half of it is never gone, and a step back multiplies it by 0.99" in well.text


def test_the_record_itself_is_behind_the_link(page):
    (link,) = page.all("a")
    content = base64.b64decode(link["href"].partition("base64,")[2]).decode()
    torch.manual_seed(0)
    expected = odd(example_report()).to_dict()
    found = json.loads(content)
    assert found["layers"][0]["module"] == NAME and link["download"] == "report.json"
    numbers = r"-?\d+\.?\d*(?:e-?\d+)?"
    got, wanted = (json.dumps(d, sort_keys=True) for d in (found, expected))
    assert re.sub(numbers, "n", got) == re.sub(numbers, "n", wanted)
    pairs = zip(re.findall(numbers, got), re.findall(numbers, wanted), strict=True)
    assert all(float(a) == pytest.approx(float(b), rel=1e-5) for a, b in pairs)


def test_long_tables_show_evenly_spread_lines(words_only):
    page = Page(example_report(probe=example_probe(powers(0.99, 250))).to_html())
    assert "Gradients and retention by lag (250 lines, one line in 3)" in page.text
    assert re.search(r" 3 0\.9703 .* 6 0\.9415 ", page.text) and not re.search(r" 4 0\.9606 ", page.text)


def test_what_was_not_seen_is_said(monkeypatch):
    layer = ostinato.Recurrent("elman", 3, 4)
    with lens.watch(layer) as looking, torch.no_grad():
        layer(torch.randn(6, 2, 3))
    page = Page(looking.report().to_html())
    assert "No gradient was seen: gradients were off" in page.text or "no backward pass" in page.text
    assert "No optimiser took a step while watched" in page.text
    monkeypatch.setattr(page_module, "MOST_DRAWN", 0)
    page = Page(looking.report().to_html())
    assert page.all("svg") == [] and "Pictures are drawn of the first 0 layers" in page.text


def test_numbers_that_are_not_finite_make_a_page_that_says_so():
    layer = ostinato.LSTM(3, 4)
    x = torch.randn(30, 2, 3)
    x[7, 1, 0] = math.nan
    with lens.watch(layer) as looking:
        layer(x)[0].sum().backward()
    page = Page(looking.report().to_html())
    assert page.text.index("states h and c are inf or NaN from step 7 on") < page.text.index("At a glance")


def test_every_layer_direction_and_call_has_its_place(words_only):
    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"a b": ostinato.GRU(3, 4, 2, bidirectional=True)})
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    with lens.watch(model) as looking:
        for _ in range(2):
            model["a b"](torch.randn(9, 3, 3), lengths=[9, 0, 4])[0].square().sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        optimiser.step()
    report = looking.report()
    page = Page(report.to_html())
    for layer in report.layers:
        assert f"{layer.label}: gru" in page.text
    assert len(report.layers) == len([a for a in page.all("h2") if "id" in a]) == 8
    for weight in report.weights:
        numbers = weight.norm, weight.gradient_norm, weight.update_norm
        said = " ".join(f"{n:.4g}" for n in numbers)
        assert f"{weight.parameter} {weight.gate} {said} {weight.relative_update:.4g}" in page.text
    assert "cut: 100 %" in page.text and f"0 {report.clipping.norms_before[0]:.4g} 0.01" in page.text


def test_files_by_their_ending(tmp_path, words_only, monkeypatch):
    monkeypatch.setattr(lens.Report, "picture", lambda report: figure(len(report.layers))[0])
    report = example_report()
    assert report.save(tmp_path / "a.html", title="T").read_text("utf-8") == report.to_html(title="T")
    assert json.loads(report.save(str(tmp_path / "a.json")).read_text("utf-8")) == report.to_dict()
    assert report.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in report.save(tmp_path / "a.SVG").read_text("utf-8")
    with pytest.raises(InputError, match="report.save: path must be a name ending in .html or .json or .png or .svg"):
        report.save(tmp_path / "a.pdf")
    with pytest.raises(InputError, match="options must be none for .json, got title. Only a page has them"):
        report.save(tmp_path / "b.json", title="T")
    assert {file.name for file in tmp_path.iterdir()} == {"a.html", "a.json", "a.png", "a.SVG"}
