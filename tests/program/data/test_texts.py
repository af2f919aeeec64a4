"""Text files: decoding piece by piece, documents, passages, successive parts, and what is said about them."""

import gzip
import hashlib
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.data.found import read_data
from ostinato.program.data.text.files import read_texts, whole_text
from ostinato.program.data.text.passages import Document, passages
from ostinato.program.data.text.pieces import TextFile, last_cut
from ostinato.program.options import DataOptions
from program.data.made import write

MIXED = "He\u0301llo wörld\r\n\r\n two  spaces, a b\rc e\u0301 日本 😀" * 40
NOVEL = "".join(f"It was line number {n} of a long book, and it said something of its own.\n" for n in range(200))


def options(folder, *names, **more):
    return DataOptions(paths=tuple(folder / name for name in names), **more)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 10**6])
def test_a_file_has_the_same_text_whatever_the_size_of_the_pieces(tmp_path, size):
    path = write(tmp_path, "a.txt", MIXED)
    file = TextFile(path, None)
    pieces = list(file.pieces(size))
    plain = MIXED.replace("\r\n", "\n").replace("\r", "\n")
    assert "".join(pieces) == unicodedata.normalize("NFC", plain) and all(pieces)
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() and file.encoding == "utf-8"
    assert (file.lines, file.carriage_returns) == (plain.count("\n"), 120)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("size", [1, 5, 10**6])
def test_marks_and_named_encodings_are_read_in_pieces_too(tmp_path, encoding, size):
    path = tmp_path / "a.txt.gz"
    text = "Grüße an alle\nund zurück\n"
    path.write_bytes(gzip.compress(text.encode(encoding)))
    given = "latin-1" if encoding == "latin-1" else None
    assert "".join(TextFile(path, given).pieces(size)) == text


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"one\ntwo \xff\n", None, "a.txt: line 2 must be utf-8 text, got byte 0xff. Add --encoding latin-1"),
        (b"one\n\ntwo \x00\n", None, "a.txt: line 3 must be text, got a NUL character. If the file is UTF-16"),
        (b"\xff\xfe\x00\x00a\x00\x00\x00", None, "a.txt: the encoding must be UTF-8, or UTF-16 with a byte-order mark"),
        (b"one\n", "klingon", "read: --encoding must be the name of a text encoding, got 'klingon'. Such as"),
        (b"one\n\xff\n", "ascii", "a.txt: line 2 must be ascii text, got byte 0xff. Name the encoding"),
        (
            b" \n\t\n",
            None,
            "a.txt: the file must be a file with data, got an empty one. Check that it is the right file.",
        ),
        (b"", None, "a.txt: the file must be a file with data, got an empty one. Check that it is the right file."),
        (b"\x1f\x8babc", None, "a.txt: the name must be one that ends in .gz, as the content is compressed"),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(tmp_path, content, encoding, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(InputError) as error:
        read_texts(options(tmp_path, "a.txt", encoding=encoding), piece=3)
    assert str(error.value).startswith(message)


def test_damaged_and_wrongly_named_gzip_files_are_refused(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(NOVEL.encode())[:-20])
    with pytest.raises(InputError, match=r"a.txt.gz: the file must be a whole gzip file, got a damaged one"):
        read_texts(options(tmp_path, "a.txt.gz"))
    (tmp_path / "a.txt.gz").write_bytes(b"plain")
    with pytest.raises(InputError, match=r"the content must be gzip, as the name ends in .gz, got other bytes"):
        read_texts(options(tmp_path, "a.txt.gz"))


def test_texts_are_divided_after_lines_and_before_single_spaces():
    assert last_cut("one two") == 3 and last_cut("one\n") == 4 and last_cut("one\ntwo") == 4
    assert last_cut("one  two") == 0 and last_cut("one ") == 0 and last_cut("") == 0
    assert last_cut("a b" + "x" * 100_000) == 1


@pytest.mark.parametrize("in_memory", [10, 10**6])
def test_passages_joined_are_the_text_in_memory_or_in_a_file(in_memory):
    document = Document.of("a", [NOVEL[:5000], NOVEL[5000:]], in_memory)
    assert isinstance(document.codes, np.memmap) == (in_memory == 10)
    found = list(passages(document, 70, len(document) - 5, 2000, 500))
    assert "".join(passage.text for passage in found) == NOVEL[70:-5] and "".join(document.texts(900)) == NOVEL
    assert all(1500 <= len(passage.text) <= 2500 for passage in found)
    assert all(last_cut(NOVEL[: p.stop] + NOVEL[p.stop : p.stop + 2]) for p in found)
    assert all(b.follows(a) and not a.follows(b) for a, b in zip(found, found[1:]))
    assert found[0].context(300) == "" and found[2].context(10**9) == NOVEL[70 : found[2].start]
    assert NOVEL[: found[2].start].endswith(found[2].context(300)) and 240 < len(found[2].context(300)) <= 300
    assert found[0].sha256() != found[1].sha256()


def test_a_text_without_white_space_is_cut_where_a_passage_is_full():
    document = Document.of("a", ["x" * 5000])
    assert [len(p.text) for p in passages(document, 0, 5000)] == [2000, 2000, 1000]


def test_the_last_share_of_all_characters_is_the_test_part(tmp_path):
    for name, text in (("a.txt", NOVEL), ("b.txt", NOVEL.upper())):
        write(tmp_path, name, text)
    data = read_data(options(tmp_path, "a.txt", "b.txt", valid_share=0.2, test_share=0.1))
    examples, split = data.dataset.examples, data.split
    texts = {
        name: "".join(examples.inputs[row].text for row in rows)
        for name, rows in (("train", split.train), ("valid", split.valid), ("test", split.test))
    }
    whole = NOVEL + NOVEL.upper()
    assert texts["train"] + texts["valid"] + texts["test"] == whole
    assert abs(len(texts["test"]) - 0.1 * len(whole)) < 100 and abs(len(texts["valid"]) - 0.2 * len(whole)) < 100
    assert examples.successive and examples.targets is examples.inputs
    # The second file begins a document, and so does each part: no context reaches before it.
    begins = {passage.begin for passage in examples.inputs}
    assert len(begins) == 3 and "2 files are documents of their own: no state crosses their 1 joint." in data.notes
    assert examples.origins[0].place == "line 1" and examples.origins[1].line == 1 + texts["train"][:0].count("\n") + (
        examples.inputs[0].text.count("\n")
    )


def test_files_for_validation_and_test_are_parts_as_they_are(tmp_path):
    for name in ("a.txt", "v.txt", "t.txt"):
        write(tmp_path, name, NOVEL)
    data = read_data(options(tmp_path, "a.txt", valid=tmp_path / "v.txt", test=tmp_path / "t.txt"))
    examples = data.dataset.examples
    for part in ("train", "valid", "test"):
        chosen = [p.text for p, name in zip(examples.inputs, examples.parts) if name == part]
        assert "".join(chosen) == NOVEL
    only = read_data(options(tmp_path, "a.txt", test=tmp_path / "t.txt", valid_share=0.25)).dataset.examples
    valid = "".join(p.text for p, name in zip(only.inputs, only.parts) if name == "valid")
    assert abs(len(valid) - len(NOVEL) / 4) < 100 and NOVEL.endswith(valid)


@pytest.mark.parametrize("size", [1, 11, 1000])
def test_the_rows_of_a_file_are_the_same_whatever_the_size_of_the_pieces(tmp_path, size):
    write(tmp_path, "a.txt", MIXED * 5)
    found, whole = (read_texts(options(tmp_path, "a.txt"), piece=piece) for piece in (size, 10**6))
    assert [p.text for p in found.examples.inputs] == [p.text for p in whole.examples.inputs]
    assert found.sources == whole.sources and found.notes == whole.notes


def test_many_short_lines_are_items_and_a_play_is_a_text(tmp_path):
    names = [f"name {n}" for n in range(80)]
    write(tmp_path, "list.txt", "\n".join(["", *names]) + "\n")
    found = read_texts(options(tmp_path, "list.txt"))
    assert found.task == "generate" and found.examples.kind == "given" and found.examples.targets == names
    assert found.examples.origins[0].line == 2 and "1 blank line left out." in found.notes
    assert "is a list of items: 80 lines have a median of 7 characters, and most are different" in found.because
    for text in ("\n\n".join(names), "\n".join(["one", "two"] * 60), "\n".join(names[:40]), NOVEL):
        write(tmp_path, "a.txt", text)
        assert read_texts(options(tmp_path, "a.txt")).task == "language-model"
    assert read_texts(options(tmp_path, "list.txt", task="language-model")).task == "language-model"


def test_options_of_a_forecast_are_refused_where_the_task_is_a_language_model(tmp_path):
    write(tmp_path, "a.txt", NOVEL)
    with pytest.raises(InputError) as error:
        read_texts(options(tmp_path, "a.txt", task="language-model", horizon=2))
    assert str(error.value) == (
        "a.txt: --horizon must be left out, as the task is language-model, got it. Leave out --task, or give "
        "--task forecast."
    )


def test_a_group_is_refused_where_there_are_no_columns(tmp_path):
    write(tmp_path, "a.txt", NOVEL)
    with pytest.raises(InputError) as error:
        read_texts(options(tmp_path, "a.txt", group="speaker"))
    assert str(error.value) == (
        "a.txt: --group must be left out, as a text has no columns, got speaker. The parts of a text follow each "
        "other; give files by --valid and --test."
    )


def test_texts_beside_tables_are_refused(tmp_path):
    write(tmp_path, "a.txt", NOVEL)
    write(tmp_path, "b.csv", "a,b\n1,2\n")
    with pytest.raises(InputError, match="a.txt: the files must be of one format, got texts and tables. Give files of"):
        read_data(options(tmp_path, "a.txt", "b.csv"))


def test_check_says_what_is_odd_about_a_text(tmp_path):
    repeated = "A line of a text that stands here again and again.\n" * 100
    write(tmp_path, "a.txt", NOVEL + "\x07\x1b[0m \ufffd\r\n" + repeated)
    data = read_data(options(tmp_path, "a.txt"))
    said = "\n".join(data.notes)
    assert f"a.txt: {len(NOVEL) + 8 + len(repeated):,} characters, 39 different" in said
    assert "a.txt: 1 line end with a carriage return became line feeds." in said
    assert "a.txt has 2 control characters: U+0007, U+001B." in said
    assert (
        "a.txt has 1 character U+FFFD, which an earlier conversion wrote in place of others that it could not read."
        in said
    )
    assert "a.txt repeats itself: 33 % of its lines of 20 characters or more occurred before." in said


def test_check_counts_passages_that_the_training_part_has_too(tmp_path):
    write(tmp_path, "a.txt", NOVEL)
    found = [f.sentence for f in read_data(options(tmp_path, "a.txt")).findings]
    assert not any("passage" in sentence for sentence in found)
    write(tmp_path, "t.txt", NOVEL[:3000])
    found = [
        f.sentence for f in read_data(options(tmp_path, "a.txt", test=tmp_path / "t.txt", valid_share=0.3)).findings
    ]
    assert any(
        s.startswith("2 passages of test (100.0 %) have half or more of the lines in train, too.") for s in found
    )


def test_rows_to_predict_are_passages_of_the_whole_file(tmp_path):
    write(tmp_path, "a.txt", NOVEL)
    examples = read_texts(options(tmp_path, "a.txt", task="language-model"), with_target=False).examples
    assert "".join(p.text for p in examples.inputs) == NOVEL and examples.targets is None and examples.parts is None
    assert [p.text for p in whole_text(NOVEL).inputs] == [p.text for p in examples.inputs]
    assert isinstance(examples.inputs[0].document.name, str) and Path(examples.origins[0].file).name == "a.txt"
