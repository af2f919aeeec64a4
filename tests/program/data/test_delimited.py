"""Delimited text: separators, quotes, headers, encodings, physical lines; what is refused, with its line."""

import csv
import gzip
import io

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato.errors import OstinatoError
from ostinato.program.data.examples import Origin
from ostinato.program.data.read import read, read_one
from ostinato.program.data.tables import Table
from program.data.made import REVIEWS, findings, options, read_made, refusal, reviews, write

TEXTS = [text for text, _ in REVIEWS]
LABELS = [label for _, label in REVIEWS]


@pytest.mark.parametrize(
    "separator, name", [(",", "a.csv"), (";", "a.csv"), ("\t", "a.tsv"), ("\t", "a.csv"), ("|", "a.csv")]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_separator_and_line_end_gives_the_same_rows(tmp_path, separator, name, end):
    found = read_made(tmp_path, name, reviews(separator, end), target="label")
    assert found.task == "classify"
    assert found.examples.inputs == TEXTS
    assert found.examples.targets == LABELS
    assert found.examples.origins[2] == Origin(name, 4)
    assert (found.sources[0].rows, found.sources[0].lines) == (6, 7)


@pytest.mark.parametrize(
    "encoded, encoding, said",
    [
        (reviews().encode("utf-8-sig"), None, "utf-8"),
        (reviews().encode("utf-16"), None, "utf-16-le"),
        (b"\xfe\xff" + reviews().encode("utf-16-be"), None, "utf-16-be"),
        (reviews().replace("fine", "früh").encode("latin-1"), "latin-1", "latin-1"),
        (reviews().encode("utf-16-le"), "utf-16-le", "utf-16-le"),
        (gzip.compress(reviews().encode(), mtime=0), None, "utf-8"),
    ],
)
def test_encodings_and_compression_give_the_same_rows(tmp_path, encoded, encoding, said):
    name = "a.csv.gz" if encoded[:2] == b"\x1f\x8b" else "a.csv"
    found = read_made(tmp_path, name, encoded, target="label", encoding=encoding)
    assert [text.replace("früh", "fine") for text in found.examples.inputs] == TEXTS
    assert found.sources[0].encoding == said


def test_bytes_of_another_encoding_are_refused_with_their_line_and_the_option(tmp_path):
    message = refusal(tmp_path, "a.csv", "text,label\nfine,good\ncafé,bad\n".encode("latin-1"))
    assert message.startswith("a.csv: line 3 must be utf-8 text, got byte 0xe9.")
    assert "--encoding latin-1" in message
    broken = "text,label\nfine,good\n".encode("utf-16") + b"\x00"
    assert "line 3 must be utf-16-le text" in refusal(tmp_path, "b.csv", broken)
    assert "must be utf-8 text" in refusal(tmp_path, "c.csv", b"\xff", encoding="utf-8")


def test_utf_16_without_a_mark_utf_32_and_unknown_encodings_are_refused(tmp_path):
    assert "--encoding utf-16-le" in refusal(tmp_path, "a.csv", reviews().encode("utf-16-le"))
    assert "got UTF-32" in refusal(tmp_path, "b.csv", reviews().encode("utf-32"))
    for name in ("latin-7b", "rot13", "a\0b", "undefined"):
        message = refusal(tmp_path, "c.csv", reviews(), encoding=name)
        assert "encoding" in message or "undefined text" in message
    assert "must be unicode_escape text" in refusal(
        tmp_path, "d.csv", b"a,label\n\\ud800,x\n", encoding="unicode_escape"
    )


def test_quoted_line_breaks_are_one_row_and_counted_against_physical_lines(tmp_path):
    content = 'text,label\n"one\ntwo, ""three""",a\nfour,b\n\nfive,a\nsix,b\n'
    found = read_made(tmp_path, "a.csv", content, target="label")
    assert found.examples.inputs == ['one\ntwo, "three"', "four", "five", "six"]
    assert [origin.line for origin in found.examples.origins] == [2, 4, 6, 7]
    assert "a.csv: 1 blank line skipped." in found.notes
    sentence = "a.csv has 7 physical lines and 4 rows: beside a header, line breaks "
    sentence += "inside quotes and blank lines make the difference of 2."
    assert findings(found)[sentence] == ("note", 2)


def test_a_row_of_another_width_is_refused_with_its_line(tmp_path):
    message = refusal(tmp_path, "a.csv", "text,label\nfine,good\n\nfine, really,good\n", target="label")
    assert message.startswith("a.csv: line 4 must be 2 cells as in the header, got 3 cells.")
    message = refusal(tmp_path, "b.csv", "fine,good\nshort\n", columns=("text", "label"), target="label")
    assert message.startswith("b.csv: line 2 must be 2 cells as --columns says, got 1 cell.")


def test_an_open_or_broken_quote_is_refused_with_its_line(tmp_path):
    assert "record after line 2" in refusal(tmp_path, "a.csv", 'text,label\nx,good\n"open,bad\n', target="label")
    assert "Write a quote" in refusal(tmp_path, "b.csv", 'text,label\n"a" b,bad\n', target="label")


def test_quotes_of_a_tab_file_that_enclose_no_cell_are_characters(tmp_path):
    content = 'text\tlabel\n"Stop!" he said\ta\nfine\tb\n"Go\ta\nno\tb\n'
    found = read_made(tmp_path, "a.tsv", content, target="label")
    assert found.examples.inputs == ['"Stop!" he said', "fine", '"Go', "no"]
    assert "a.tsv: quotes are read as characters, because they do not enclose whole cells." in found.notes


def test_a_file_without_a_header_needs_the_names_of_its_columns(tmp_path):
    content = "".join(f"{label}\t{text}\n" for text, label in REVIEWS)
    found = read_made(tmp_path, "a.tsv", content, columns=("label", "text"), target="label")
    assert found.examples.inputs == TEXTS
    assert found.examples.origins[0].line == 1
    assert "--columns a,b,c" in refusal(tmp_path, "b.csv", "5.1,3.5,a\n4.9,3.0,b\n")
    assert "must be different from each other, got a twice" in refusal(tmp_path, "c.csv", "a,a\nx,y\n")
    assert "--columns must be 2 names" in refusal(tmp_path, "d.csv", "a,b\nx,y\n", columns=("a", "b", "c"))
    assert "must be left out" in refusal(tmp_path, "e.csv", "a,b\nx,y\n", columns=("a", "b"))


def test_a_column_without_a_name_gets_one_and_a_row_number_is_no_feature(tmp_path):
    content = ",x,label\n" + "".join(f"{n},{n % 3}.5,{'ab'[n % 2]}\n" for n in range(8))
    found = read_made(tmp_path, "a.csv", content, target="label")
    assert list(found.examples.channels) == ["x"]
    assert "a.csv: a column without a name is called column_1." in found.notes
    assert "1 column left out: column_1." in found.notes


def test_the_decimal_comma_of_a_semicolon_file_is_read_and_said(tmp_path):
    content = "x;y;label\n" + "".join(f"{n},5;{n};{'ab'[n % 2]}\n" for n in range(6))
    found = read_made(tmp_path, "a.csv", content, target="label")
    assert [row.tolist() for row in found.examples.inputs[:2]] == [[0.5, 0.0], [1.5, 1.0]]
    assert "a.csv: the comma is read as the decimal point in x." in found.notes


def test_empty_files_and_headers_without_rows_are_refused(tmp_path):
    assert "must be a file with data, got an empty one" in refusal(tmp_path, "a.csv", "")
    assert "must be a file with data, got an empty one" in refusal(tmp_path, "b.csv", "\n \n")
    assert "the table must be one with rows" in refusal(tmp_path, "c.csv", "text,label\n", target="label")


def test_columns_of_several_files_have_to_agree(tmp_path):
    first = write(tmp_path, "a.csv", "text,label\nx,a\ny,b\n")
    second = write(tmp_path, "b.csv", "label,text\nc,z\n")
    third = write(tmp_path, "c.csv", "label,review\nc,z\n")
    found = read(options(first, second, target="label", task="classify"))
    assert found.examples.inputs == ["x", "y", "z"]
    assert found.examples.origins[2] == Origin("b.csv", 2)
    with pytest.raises(OstinatoError, match="c.csv: the columns must be those of a.csv, got others: .*review, text"):
        read(options(first, third, target="label"))


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8),
    st.sampled_from([("a.csv", ","), ("a.csv", ";"), ("a.tsv", "\t")]),
)
def test_what_the_csv_module_writes_is_read_back_equal(tmp_path, rows, style):
    name, separator = style
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writerows([("first", "second"), *rows])
    table = read_one(write(tmp_path, name, out.getvalue()), options(), True)
    assert isinstance(table, Table)
    if name == "a.csv" and separator == ";":
        return  # the decimal comma changes cells: a test of its own
    assert table.frame.rows() == rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8))
def test_what_polars_writes_is_read_back_equal(tmp_path, rows):
    frame = pl.DataFrame(rows, schema=["first", "second"], orient="row")
    path = tmp_path / "a.csv"
    frame.write_csv(path)
    assert read_one(path, options(), True).frame.equals(frame)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=80),
        st.text(st.sampled_from('ab1,;\t"\n\r |.-[]{}:é\0'), max_size=60).map(str.encode),
    ),
    st.sampled_from(
        [
            "a.csv",
            "a.tsv",
            "a.txt",
            "a.jsonl",
            "a.json",
            "a.conllu",
            "a.ts",
            "a.conll",
            "a.npz",
            "a.parquet",
            "a.csv.gz",
        ]
    ),
    st.sampled_from([None, "a", "b", "label"]),
)
def test_a_malformed_file_is_read_or_refused_and_nothing_else(tmp_path, content, name, target):
    """Any other exception than the package's own fails the test."""
    try:
        found = read(options(write(tmp_path, name, content), target=target))
        assert len(found.examples) >= 1
    except OstinatoError as error:
        assert ", got " in str(error)
