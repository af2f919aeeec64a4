"""Two files of texts line by line: how they are recognised, joined, refused, and found again for other parts."""

import gzip
import random
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ostinato.errors import InputError, OstinatoError
from ostinato.program.data.found import read_data
from ostinato.program.data.read import read
from program.data.made import findings, options, write

EN = "".join(f"Row {n}.\n" for n in range(30))
FR = "".join(f"Ligne {n} !\n" for n in range(30))


def made(folder, en=EN, fr=FR, names=("train.en", "train.fr")):
    return [write(folder, name, content) for name, content in zip(names, (en, fr))]


def asked(*paths, **named):
    return read(options(*paths, task="translate", **named))


def refused(*paths, **named):
    with pytest.raises(InputError) as error:
        asked(*paths, **named)
    message = str(error.value)
    assert re.fullmatch(r"(?s).+: .+ must be .+, got .+\. ?.*", message), message
    return message


@pytest.mark.parametrize("names", [("train.en", "train.fr"), ("en.txt", "fr.txt"), ("a/x.txt", "b/x.txt")])
def test_line_n_of_one_file_is_the_translation_of_line_n_of_the_other(tmp_path, names):
    found = asked(*made(tmp_path, names=names))
    examples = found.examples
    assert (found.task, examples.kind, examples.target_kind, len(examples)) == ("translate", "text", "translation", 30)
    assert (examples.inputs[7], examples.targets[7], examples.origins[7].line) == ("Row 7.", "Ligne 7 !", 8)
    assert [source.rows for source in found.sources] == [30, 30]
    short = [name.rpartition("/")[2] for name in names]
    assert found.because == f"The task is translate: {short[1]} has a line for each line of {short[0]}."
    expected = ("a", "b") if "/" in names[0] else ("en", "fr")
    assert (found.options.text, found.options.target) == expected
    assert (tuple(examples.channels), examples.target_name) == ((expected[0],), expected[1])


def test_compressed_files_windows_line_ends_and_byte_order_marks_are_read(tmp_path):
    en = write(tmp_path, "train.en.gz", gzip.compress(EN.encode()))
    fr = write(tmp_path, "train.fr", ("\ufeff" + FR.replace("\n", "\r\n")).encode())
    found = asked(en, fr)
    assert (found.examples.targets[0], found.examples.targets[29]) == ("Ligne 0 !", "Ligne 29 !")
    assert (found.options.text, found.options.target) == ("en", "fr")
    wide = write(tmp_path, "wide.fr", FR.encode("utf-16"))
    assert asked(en, wide).examples.targets[3] == "Ligne 3 !"
    old = write(tmp_path, "old.fr", FR.replace("\n", "\r").encode())
    assert asked(en, old).examples.targets[3] == "Ligne 3 !"


def test_only_a_line_feed_ends_a_line(tmp_path):
    odd = FR.replace("Ligne 3", "Ligne\u2028\x0b\x85\x1c\r3")
    assert asked(*made(tmp_path, fr=odd)).examples.targets[3] == "Ligne\u2028\x0b\x85\x1c 3 !"


def test_files_of_unequal_lines_are_refused_with_both_counts(tmp_path):
    message = refused(*made(tmp_path, fr=FR + "et encore\n"))
    assert message == (
        "train.en and train.fr: the files must be of equally many lines, got 30 lines and 31 lines: train.en ends "
        "after line 30. Line n of one is the translation of line n of the other; look for a line break that one lacks."
    )
    assert "got 31 lines and 30 lines: train.fr ends after line 30." in refused(*made(tmp_path, en=EN + "more"))


def test_lines_of_which_a_side_is_empty_are_left_out_and_counted(tmp_path):
    found = asked(*made(tmp_path, EN + "a\n\n\n", FR + "\nb\n  \n"))
    assert (len(found.examples), found.examples.origins[-1].line) == (30, 30)
    assert "2 pairs left out, of which one side is empty." in found.notes
    assert "1 pair left out, of which both sides are empty." in found.notes
    assert findings(found)["2 pairs left out, of which one side is empty."] == ("warning", 2)


def test_the_files_of_other_parts_have_partners_of_like_names(tmp_path):
    train = made(tmp_path)
    valid = made(tmp_path, "A b.\n", "C d.\n", ("valid.en", "valid.fr"))[0]
    test = write(tmp_path, "test.en", "E f.\nG h.\n")
    write(tmp_path, "test.fr.gz", gzip.compress(b"I j.\nK l.\n"))
    found = read_data(options(*train, task="translate", valid=valid, test=test))
    assert [len(part) for part in (found.split.train, found.split.valid, found.split.test)] == [30, 1, 2]
    assert found.dataset.examples.targets[-1] == "K l." and found.split.given
    assert len(found.dataset.sources) == 6
    folders = [write(tmp_path, f"{side}/{part}.txt", EN) for part in ("train", "test") for side in ("src", "tgt")]
    assert len(asked(*folders[:2], test=folders[2]).examples) == 60


def test_a_partner_that_is_not_there_is_refused_with_its_name(tmp_path):
    train, test = made(tmp_path), write(tmp_path, "test.en", "E f.\n")
    assert refused(*train, test=test) == (
        "test.en: the file of its translations must be one whose name has fr where its own has en, as the training "
        "files have, got no test.fr. Name both files alike: test.en."
    )
    other = write(tmp_path, "held.txt", "E f.\n")
    assert "got a name without en." in refused(*train, test=other)
    assert "which is none" in refused(*train, test=tmp_path / "absent.en")


def test_another_file_is_read_with_or_without_its_partner(tmp_path):
    found = asked(*made(tmp_path))
    test = made(tmp_path, "E f.\n\nG h.\n", "I j.\nx\nK l.\n", ("test.en", "test.fr"))[0]
    again = read(options(test, task="translate", text=found.options.text, target=found.options.target))
    assert again.examples.targets == ["I j.", "K l."]
    rows = read(options(test, task="translate", text="en", target="fr"), with_target=False).examples
    assert (rows.inputs, rows.targets) == (["E f.", "", "G h."], None)
    table = write(tmp_path, "more.txt", "en\tfr\nE f.\tI j.\n")
    assert read(options(table, task="translate", text="en", target="fr")).examples.targets == ["I j."]
    bare = read(options(table, task="translate", text="en", target="fr"), with_target=False).examples
    assert bare.inputs == ["E f."]


@pytest.mark.parametrize("count", [1, 3, 4])
def test_other_than_two_files_are_refused(tmp_path, count):
    files = [write(tmp_path, f"{k}.txt", EN) for k in range(count)]
    assert refused(*files) == (
        f"read: the files of lines must be two, got {count}. Give the sources, then their translations: train.en "
        "train.fr; of a table of pairs, name the columns: --columns en,fr --text en --target fr."
    )


def test_two_files_of_unknown_names_are_told_how_to_ask_for_a_translation(tmp_path):
    with pytest.raises(InputError, match="If the two files are translations line by line, add --task translate."):
        read(options(*made(tmp_path)))


def test_empty_files_texts_that_are_none_and_groups_are_refused(tmp_path):
    en, _ = made(tmp_path)
    assert "train.fr: the file must be a file with data, got an empty one" in refused(*made(tmp_path, fr="\n\n"))
    assert "got a NUL character" in refused(*made(tmp_path, fr=FR.replace("3", "\0")))
    assert "a damaged one" in refused(en, write(tmp_path, "x.fr.gz", gzip.compress(FR.encode() * 50)[:-20]))
    assert "utf-8 text, got byte 0xe9" in refused(*made(tmp_path, fr=FR.encode() + b"\xe9\n"))
    assert "--group must be left out" in refused(*made(tmp_path), group="en")
    assert refused(*made(tmp_path, "a\n\n", " \nb\n")) == (
        "train.en, train.fr: the pairs must be at least one with a text on both sides, got none. "
        "Check that the files, or the columns, are the right ones."
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80), st.binary(max_size=80), st.booleans())
def test_any_bytes_are_pairs_or_one_message(tmp_path, en, fr, packed):
    if packed:
        fr = gzip.compress(fr)[: max(1, len(fr))]
    paths = made(tmp_path, en, fr, ("a.en", "a.fr.gz" if packed else "a.fr"))
    try:
        found = asked(*paths)
    except OstinatoError as error:
        assert re.fullmatch(r"(?s).+: .+ must be .+, got .+\. ?.*", str(error)), str(error)
    else:
        assert len(found.examples.inputs) == len(found.examples.targets) == len(found.examples.origins)
        assert all(text.strip() for text in (*found.examples.inputs, *found.examples.targets))


LINE = st.text(st.sampled_from('ab é"\t,;|\u202f\u00a0\u2028\x0b\r.!'), max_size=12)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(LINE, LINE), min_size=1, max_size=12))
def test_every_pair_of_lines_with_two_sides_comes_back(tmp_path, rows):
    en, fr = ("".join(f"{text}\n" for text in side) for side in zip(*rows))
    kept = [line for line, (a, b) in enumerate(rows, 1) if a.strip() and b.strip()]
    try:
        found = asked(*made(tmp_path, en, fr))
    except InputError:
        assert not kept
    else:
        assert [origin.line for origin in found.examples.origins] == kept


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**9))
def test_tables_of_pairs_with_any_signs_keep_every_row_or_are_refused(tmp_path, seed):
    draw = random.Random(seed)
    cells = ['"', "a", "b ", '""', '"q"', " ", "é", "!", "'", "\u202f!"]
    rows = [tuple("x" + "".join(draw.choices(cells, k=draw.randint(0, 6))) for _ in "12") for _ in range(8)]
    rows = [(draw.choice(["", '"']) + a, draw.choice(["", '"']) + b) for a, b in rows]
    content = "".join(f"{a}\t{b}\n" for a, b in rows)
    table = write(tmp_path, "a.txt", content)
    found = read(options(table, columns=("en", "fr"), text="en", target="fr", task="translate")).examples
    plain = [tuple(cell.replace("\u202f", " ").strip() for cell in row) for row in rows]
    assert list(zip(found.inputs, found.targets)) == plain


def test_an_unknown_encoding_is_refused_where_both_columns_are_named(tmp_path):
    assert refused(*made(tmp_path), text="en", target="fr", encoding="klingon") == (
        "read: --encoding must be the name of a text encoding, got 'klingon'. Such as --encoding latin-1, cp1252, "
        "utf-16-le or shift_jis."
    )


@pytest.mark.parametrize("other", ["pairs.tsv", "pairs.csv"])
def test_a_file_of_lines_beside_a_table_is_refused_with_what_translations_line_by_line_are(tmp_path, other):
    paths = made(tmp_path, names=("train.en", other))
    assert refused(*paths).endswith(
        "got .en. Convert the file. Translations line by line are two files of plain lines, such as train.en train.fr."
    )


@pytest.mark.parametrize(
    "named, message",
    [
        ({"rate": 8000}, "train.en, train.fr: --rate must be left out, as no recordings are read, got it. Give "
         "recordings, or a table with a column of their paths (--audio)."),
        ({"grid": 3}, "train.en, train.fr: --grid must be left out, as no music is read, got it. Give MIDI files "
         "(.mid)."),
    ],
)  # fmt: skip
def test_options_of_other_forms_are_refused_beside_files_of_lines(tmp_path, named, message):
    assert refused(*made(tmp_path), **named) == message
