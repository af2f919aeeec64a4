"""The pages of docs/learn: their code runs, prints what they show, and makes their pictures."""

import re
from itertools import pairwise, zip_longest

import learn
import pytest

pytestmark = pytest.mark.slow

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?")
INDEX, ANSWERS = learn.FOLDER / "index.md", learn.FOLDER / "answers.md"


def last_digit(number):
    """The value of one unit in the last digit of a number as it is printed: "0.31" → 0.01, "7.9e-31" → 1e-32, "12" → 0.

    A whole number has no digit that rounding could change.
    """
    mantissa, _, exponent = number.partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 10.0 ** (int(exponent or 0) - decimals) if decimals else 0.0


def assert_prints(shown, printed, page):
    """The same text; numbers with decimals may differ by one in the last digit, as other processors round otherwise."""
    assert NUMBER.sub("0", printed) == NUMBER.sub("0", shown), page
    for a, b in zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True):
        assert abs(float(a) - float(b)) <= 1.01 * last_digit(a), (page, a, b)


@pytest.mark.parametrize("path", learn.PAGES, ids=lambda path: path.name)
def test_a_page_prints_what_it_shows_and_its_code_makes_its_picture(path, tmp_path):
    page = path.read_text(encoding="utf-8")
    with learn.fresh(tmp_path):
        printed = learn.outputs(page, path.name)
    for (_, shown), out in zip(learn.BLOCK.findall(page), printed, strict=True):
        assert_prints(shown, out, path.name)
    (picture,) = learn.SHOWN.findall(page)
    assert [file.name for file in tmp_path.iterdir()] == [picture]
    if picture.endswith(".svg"):
        assert (tmp_path / picture).read_bytes() == (learn.PICTURES / picture).read_bytes()


def test_every_picture_of_the_folder_is_on_one_page():
    shown = [name for path in learn.PAGES for name in learn.SHOWN.findall(path.read_text(encoding="utf-8"))]
    assert len(shown) == 10
    assert sorted(shown) == sorted(file.name for file in learn.PICTURES.iterdir())


def test_every_text_block_is_the_output_of_the_block_above_it():
    for path in learn.PAGES:
        page = path.read_text(encoding="utf-8")
        assert page.count("```text\n") == sum(bool(shown) for _, shown in learn.BLOCK.findall(page)), path.name
        assert page.count("```") == 2 * page.count("```text\n") + 2 * page.count("```python\n"), path.name


def test_each_page_ends_with_an_exercise_and_a_link_to_the_next_one():
    listed = re.findall(r"^\d+\. \[.+\]\((.+)\)", INDEX.read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == [path.name for path in learn.PAGES]
    for path, following in zip_longest(learn.PAGES, learn.PAGES[1:]):
        _, exercise, end = path.read_text(encoding="utf-8").partition("\n## Exercise\n")
        assert exercise, path.name
        assert f"]({following.name if following else 'index.md'})" in end.rpartition("\nNext: ")[2], path.name
    numbers = [int(path.name[:2]) for path in learn.PAGES]
    assert all(b == a + 1 for a, b in pairwise(numbers))


def test_each_exercise_has_an_answer_under_the_title_of_its_page():
    titles = [path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for path in learn.PAGES]
    assert re.findall(r"^## (.+)$", ANSWERS.read_text(encoding="utf-8"), re.MULTILINE) == titles
    for path in learn.PAGES:
        assert "](answers.md)" in path.read_text(encoding="utf-8").partition("\n## Exercise\n")[2], path.name


def test_links_to_other_pages_lead_to_files_and_headings_that_exist():
    for path in [INDEX, ANSWERS, *learn.PAGES]:
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            name, _, heading = target.partition("#")
            assert (learn.FOLDER / name).is_file(), (path.name, target)
            if heading:
                text = (learn.FOLDER / name).read_text(encoding="utf-8")
                headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
                assert heading in [h.lower().replace(" ", "-") for h in headings], (path.name, target)


def test_filling_in_a_page_replaces_its_outputs_and_nothing_else():
    page = "# 1\n\n```python\nprint(1)\n```\n\n```text\n2\n```\n\nthen\n\n```python\nx = 1\n```\n\nend\n"
    printed = learn.outputs(page, "page")
    assert printed == ["1\n", ""]
    assert learn.filled(page, printed) == page.replace("2\n", "1\n")
    assert learn.filled(page, ["", "3\n"]).endswith("then\n\n```python\nx = 1\n```\n\n```text\n3\n```\n\nend\n")


@pytest.mark.parametrize(
    ("shown", "printed", "equal"),
    [("a 0.31", "a 0.32", True), ("a 0.31", "a 0.33", False), ("a 0.31", "b 0.31", False), ("[2, 8]", "[2, 9]", False)],
)
def test_outputs_are_compared_to_their_last_digit(shown, printed, equal):
    if equal:
        assert_prints(shown, printed, "page")
    else:
        with pytest.raises(AssertionError):
            assert_prints(shown, printed, "page")
