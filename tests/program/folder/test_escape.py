"""Strings of the user's are shown, never read as markup, code or formula."""

import csv
import io
import json
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.program.folder.escape import html, markdown, script, shown, table_cell, yaml

EVIL = "</script><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, attrs))

    def handle_data(self, data):
        self.text += data


@settings(deadline=None)
@given(st.text())
def test_any_text_in_an_element_and_in_an_attribute_stays_text(text):
    tags = Tags()
    tags.feed(f'<p title="{html(text)}">{html(text)}</p>')
    tags.close()
    assert [tag for tag, _ in tags.found] == ["p"]
    assert tags.text == shown(text) == dict(tags.found[0][1])["title"]


@settings(deadline=None)
@given(st.text())
def test_any_value_in_a_script_comes_back_and_ends_no_script(text):
    written = script({"text": text})
    assert json.loads(written) == {"text": text}
    assert not set("<>&\u2028\u2029") & set(written)


@settings(deadline=None)
@given(st.text())
def test_any_text_in_markdown_is_one_line_without_markup(text):
    written = markdown(text)
    assert "\n" not in written and "<" not in written and ">" not in written
    bare = written.replace("\\\\", "")
    assert all(k and bare[k - 1] == "\\" for k, c in enumerate(bare) if c in "`*_[]|!~$")
    assert bare[:1] not in set("#+-=") and "://" not in bare


def test_known_texts():
    assert html(EVIL) == "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;"
    assert markdown("a | b\n# c") == r"a \| b # c"
    assert markdown("[x](javascript:1)") == r"\[x\](javascript:1)"
    assert markdown("# c") == r"\# c" and markdown("1. c") == r"1\. c" and markdown("- c") == r"\- c"
    assert markdown("see http://x.org, a@b.org") == r"see http:\//x.org, a\@b.org"
    assert markdown("GunPoint-model: 96.7 (of 150)") == "GunPoint-model: 96.7 (of 150)"
    assert yaml('a: "b"\nc') == '"a: \\"b\\"\\nc"'
    assert shown("a\u202eb\x00c\td") == "a\ufffdb\ufffdc\td"
    assert json.loads(script([EVIL])) == [EVIL]
    with pytest.raises(ValueError, match="Out of range float values"):
        script(float("nan"))


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=", "-", "＝1+1"])
def test_what_a_spreadsheet_would_run_has_an_apostrophe_in_front(text):
    assert table_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1", "+3.5", "-1e-5", "-.5", "12", "", "a=1", "'quoted", "3 - 2"])
def test_numbers_and_plain_text_are_left_as_they_are(text):
    assert table_cell(text) == text


@settings(deadline=None)
@given(st.text())
def test_no_cell_of_a_table_begins_like_a_formula_unless_it_is_a_number(text):
    file = io.StringIO()
    csv.writer(file).writerow([table_cell(text), "x"])
    cell = next(csv.reader(io.StringIO(file.getvalue(), newline="")))[0]
    if cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        float(cell)
