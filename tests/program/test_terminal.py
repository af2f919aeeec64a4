"""What is printed of the user's own names: no control character of theirs reaches the terminal."""

import io
import json

from ostinato.program.running.progress import OnTerminal, Plain
from ostinato.program.terminal import without_controls
from program import made_files as made
from program.commands import ostinato

RED = "\x1b[31mred\x07"


def test_control_characters_are_written_out_and_line_feeds_and_tabs_stay():
    assert without_controls(f"a\tb\n{RED}\r\x9b\x7fé") == "a\tb\n\\x1b[31mred\\x07\\r\\x9b\\x7fé"


def test_sentences_on_the_way_have_none():
    for kind in (Plain, OnTerminal):
        stream = io.StringIO()
        kind(stream=stream).say(RED)
        assert stream.getvalue().strip() == r"\x1b[31mred\x07"


def test_tables_sentences_and_refusals_have_none_and_json_has_the_names_as_they_are(tmp_path):
    rows = [(name, n, n % 7 + n % 3) for name in (RED, "plain") for n in range(60)]
    made.write_table(tmp_path / "a.csv", ("id", "t", "y"), rows)
    flags = ("--id", "id", "--time", "t", "--target", "y", "--horizon", 2, "--updates", 1, "--hidden", 4)
    ended = ostinato(tmp_path, "train", "a.csv", *flags, "--no-lens", "--no-baselines", "--out", "model")
    assert ended.status in (0, 1), ended.err
    found = ostinato(tmp_path, "evaluate", "model")
    assert r"\x1b[31mred\x07" in found.out and "\x1b" not in found.out + ended.out + ended.err
    document = ostinato(tmp_path, "evaluate", "model", "--json").out
    assert "\x1b" not in document and list(json.loads(document)["details"]["by_series"]) == [RED, "plain"]
    refused = ostinato(tmp_path, "train", "a.csv", "--target", RED, "--horizon", 2)
    assert refused.status == 2 and "\x1b" not in refused.err


def test_drawn_conditions_have_none(tmp_path):
    made.write_table(tmp_path / "a.csv", ("c", "t"), [(RED, f"text{n}") for n in range(60)])
    flags = ("--updates", 1, "--hidden", 4, "--embedding", 4, "--no-lens", "--no-baselines", "--quiet")
    ended = ostinato(tmp_path, "train", "a.csv", "--given", "c", "--target", "t", *flags, "--out", "model")
    assert ended.status in (0, 1), ended.err
    ended = ostinato(tmp_path, "generate", "model", "--length", 5)
    assert ended.status == 0 and r"c: \x1b[31mred\x07" in ended.err and "\x1b" not in ended.err
