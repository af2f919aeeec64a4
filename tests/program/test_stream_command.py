"""`ostinato stream`: lines piped in are answered one by one, with the figures of `ostinato predict` on the whole."""

import csv
import errno
import io
import json
import math
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from ostinato.apps.reading import language_reference
from ostinato.errors import InputError, StorageError
from ostinato.program.commands.typed import typed_in
from ostinato.program.running.model import open_model
from ostinato.program.running.streaming import ways
from ostinato.program.running.streaming.run import Asked, LineStream, Pipes
from ostinato.program.tasks.registry import TASKS
from program import made_files as made
from program.commands import ostinato

SMALL = (*made.SMALL, "--one-direction", "--no-lens", "--no-baselines", "--quiet", "--out", "model")
LOG = "The value of the expression is a tuple.\nIt is <b>not</b> a list & no set.\n\nThe value\n"


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """A model of classes of series of two channels."""
    place = tmp_path_factory.mktemp("series")
    made.sensors(place / "sensors.jsonl")
    words = ("--series", "left,right", "--target", "state", "--updates", 30)
    assert ostinato(place, "train", "sensors.jsonl", *words, *SMALL).status < 2
    return place


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A language model of characters."""
    place = tmp_path_factory.mktemp("text")
    (place / "a.txt").write_text(language_reference()[:14_000], encoding="utf-8")
    words = ("--hidden", 12, "--layers", 1, "--embedding", 8, "--batch", 4, "--k1", 16, "--updates", 30, "--quiet")
    ended = ostinato(place, "train", "a.txt", *words, "--no-lens", "--no-baselines", "--out", "model")
    assert ended.status < 2, ended.err
    return place


def sequences(place, count=4):
    """The series of the file, each a list of steps."""
    rows = [json.loads(line) for line in (place / "sensors.jsonl").read_text().splitlines()[:count]]
    return [list(zip(row["left"], row["right"])) for row in rows]


def lines_of(steps):
    return "".join(f"{left},{right}\n" for left, right in steps)


def test_the_last_step_of_a_series_has_the_class_that_predict_gives(series):
    given = sequences(series)
    typed = "".join(lines_of(steps) + "\n" for steps in given)
    ended = ostinato(series, "stream", "model", typed=typed)
    assert ended.status == 0 and ended.err == ""
    answers = ended.out.splitlines()
    lengths = [len(steps) for steps in given]
    assert len(answers) == sum(lengths) and len(set(lengths)) > 1
    whole = ostinato(series, "predict", "model", "-", typed="".join(json.dumps(s) + "\n" for s in given))
    assert [answers[end - 1] for end in np.cumsum(lengths)] == whole.out.splitlines()


def test_every_step_has_the_class_of_the_series_up_to_it(series):
    (steps,) = sequences(series, 1)
    answers = ostinato(series, "stream", "model", typed=lines_of(steps)).out.splitlines()
    parts = "".join(json.dumps(steps[: k + 1]) + "\n" for k in range(len(steps)))
    assert answers == ostinato(series, "predict", "model", "-", typed=parts).out.splitlines()


def test_columns_come_in_the_order_of_a_first_line_and_as_json(series):
    (steps,) = sequences(series, 1)
    expected = ostinato(series, "stream", "model", typed=lines_of(steps)).out
    turned = "time;right;left\n" + "".join(f"7;{right};{left}\n" for left, right in steps)
    assert ostinato(series, "stream", "model", typed=turned).out == expected
    objects = "".join(json.dumps({"right": right, "left": left}) + "\n" for left, right in steps)
    assert ostinato(series, "stream", "model", typed=objects).out == expected
    spaced = "".join(f"{left} {right}\n" for left, right in steps)
    assert ostinato(series, "stream", "model", typed=spaced).out == expected


def test_ids_keep_sequences_apart_in_any_order(series):
    one, two = sequences(series, 2)
    alone = [ostinato(series, "stream", "model", typed=lines_of(s)).out.splitlines() for s in (one, two)]
    order = [("a", s) for s in one] + [("b", s) for s in two]
    order.sort(key=lambda pair: repr(pair[1]))
    places = {"a": [k for n, k in order if n == "a"], "b": [k for n, k in order if n == "b"]}
    shuffled = [ostinato(series, "stream", "model", typed=lines_of(places[n])).out.splitlines() for n in "ab"]
    typed = "".join(f"{name}\t{left},{right}\n" for name, (left, right) in order)
    found = ostinato(series, "stream", "model", "--ids", typed=typed).out.splitlines()
    assert [a.partition("\t")[2] for a in found if a.startswith("a\t")] == shuffled[0]
    assert [a.partition("\t")[2] for a in found if a.startswith("b\t")] == shuffled[1]
    # An id with nothing behind it begins its sequence anew, and no other.
    typed = "".join(f"a,{x},{y}\n" for x, y in two) + "".join(f"b,{x},{y}\n" for x, y in two[:1]) + "a,\n"
    typed += "".join(f"a,{x},{y}\n" for x, y in one) + "".join(f"b,{x},{y}\n" for x, y in two[1:])
    found = ostinato(series, "stream", "model", "--ids", typed=typed).out.splitlines()
    assert [a.partition("\t")[2] for a in found if a.startswith("a\t")] == [*alone[1], *alone[0]]
    assert [a.partition("\t")[2] for a in found if a.startswith("b\t")] == alone[1]


def test_json_has_the_line_the_id_and_the_probability_of_every_class(series):
    ended = ostinato(series, "stream", "model", "--ids", "--json", typed="s1\t0.5,0.25\n\ns1\tx,1\ns1\t0.5,NA\n")
    first, second = map(json.loads, ended.out.splitlines())
    assert (first["line"], first["id"], second["line"]) == (1, "s1", 4)
    assert set(first["probabilities"]) == {"off", "on"} and sum(first["probabilities"].values()) == pytest.approx(1)
    assert first["prediction"] == max(first["probabilities"], key=first["probabilities"].get)
    assert ended.status == 2 and len(ended.err.splitlines()) == 2


def test_a_refused_line_is_named_and_changes_no_state(series):
    (steps,) = sequences(series, 1)
    good = lines_of(steps)
    first, rest = good.split("\n", 1)
    bad = f'{first}\n1,2,3\n1,none of it\n[1]\n{{"left": 1}}\n{rest}'
    ended = ostinato(series, "stream", "model", typed=bad)
    assert ended.status == 2
    assert ended.out == ostinato(series, "stream", "model", typed=good).out
    remedy = "Write them with commas between; NA stands for a missing number."
    assert ended.err.splitlines() == [
        f"ostinato stream, line 2: a line must be 2 cells: left, right, got 3 cells. {remedy}",
        "ostinato stream, line 3: a cell must be a number, got 'none of it'. NA stands for a missing number.",
        f"ostinato stream, line 4: a line must be 2 cells: left, right, got '[1]'. {remedy}",
        f"ostinato stream, line 5: a line must be 2 cells: left, right, got an object without right. {remedy}",
    ]
    ended = ostinato(series, "stream", "model", "--strict", typed=bad)
    assert ended.status == 2 and len(ended.out.splitlines()) == 1 and "line 2" in ended.err
    ended = ostinato(series, "stream", "model", typed="{\n")
    assert ended.err.startswith("ostinato stream, line 1: a line must be 2 cells: left, right, got '{'.")
    ended = ostinato(series, "stream", "model", typed="1," + 200_000 * "x" + '\n["\\ud800", 1]\n')
    assert ended.status == 2 and ended.err.splitlines() == [
        "ostinato stream, line 1: a line must be cells as CSV has them, got others (field larger than field limit "
        "(131072)).",
        "ostinato stream, line 2: a cell must be text of UTF-8, got '\\ud800', which is no character. "
        "Write it in UTF-8.",
    ]
    ended = ostinato(series, "stream", "model", "--ids", typed="1\n")
    assert ended.err == (
        "ostinato stream, line 1: a line must be an id and the rest, got '1'. "
        "Write the id, a tab and the rest, or leave --ids out.\n"
    )


def test_a_stream_goes_on_from_its_file_of_states(series):
    (steps,) = sequences(series, 1)
    whole = ostinato(series, "stream", "model", typed=lines_of(steps)).out
    parts = [
        ostinato(series, "stream", "model", "--state", "kept", typed=lines_of(part)).out
        for part in (steps[:2], [], steps[2:])
    ]
    assert "".join(parts) == whole
    ids = [f"{name}\t{line}\n" for line in lines_of(steps).splitlines() for name in "ab"]
    apart = [
        ostinato(series, "stream", "model", "--ids", "--state", "two", typed="".join(part)).out
        for part in (ids[:3], ids[3:])
    ]
    assert "".join(apart) == "".join(f"{n}\t{a}\n" for a in whole.splitlines() for n in "ab")


def test_a_file_of_states_that_is_not_the_models_is_refused_and_left_as_it_is(series, text):
    def refused(place, *words):
        ended = ostinato(place, "stream", "model", *words, typed="")
        assert ended.status == 2 and ended.out == ""
        return ended.err

    left = "Name another file, or delete this one to begin anew; it was left as it is.\n"
    ostinato(text, "stream", "model", "--state", "kept", typed="The\n")
    other = (text / "kept").read_bytes()
    (series / "other").write_bytes(other)
    assert refused(series, "--state", "other") == (
        "ostinato stream: --state must be a file of this model, got other of another model, "
        f"of the task language-model. {left}"
    )
    assert (series / "other").read_bytes() == other
    (text / "damaged").write_bytes(other[:40] + bytes([other[40] ^ 1]) + other[41:])
    assert refused(text, "--state", "damaged") == (
        f"ostinato stream: --state must be a whole file, got damaged, which is damaged. {left}"
    )
    (text / "newer").write_bytes(other[:8] + b"\x02" + other[9:])
    assert refused(text, "--state", "newer") == (
        "ostinato stream: --state must be of a version up to 1, got newer of version 2. Update Ostinato.\n"
    )
    assert refused(text, "--state", "a.txt") == (
        f"ostinato stream: --state must be a file that ostinato stream wrote, got a.txt. {left}"
    )
    assert "must be a file that can be read, got model (" in refused(text, "--state", "model")
    assert refused(text, "--state", "none/kept") == (
        "ostinato stream: --state must be a file in a folder, got none/kept, whose folder is missing. "
        "Make the folder, or name a file elsewhere.\n"
    )


def test_a_file_that_another_model_has_put_there_meanwhile_is_not_overwritten(series, text, tmp_path):
    running = LineStream(open_model(series / "model"), Asked(state=tmp_path / "kept"))
    ostinato(text, "stream", "model", "--state", tmp_path / "kept", typed="The\n")
    before = (tmp_path / "kept").read_bytes()
    with pytest.raises(InputError, match="--state must be a file of this model"):
        running.run(Pipes(io.StringIO("1,2\n"), io.StringIO(), io.StringIO()))
    assert (tmp_path / "kept").read_bytes() == before


def test_the_nats_of_the_lines_are_those_of_the_text(text):
    (text / "log.txt").write_text(LOG, encoding="utf-8")
    (row,) = csv.DictReader(io.StringIO(ostinato(text, "predict", "model", "log.txt").out))
    ended = ostinato(text, "stream", "model", typed=LOG)
    answers = [line.split("\t") for line in ended.out.splitlines()]
    assert ended.status == 0 and [a[3] for a in answers] == LOG.splitlines()
    nats, units = sum(float(a[1]) for a in answers), sum(int(a[2]) for a in answers)
    assert units == int(row["units"]) == len(LOG)
    assert f"{nats / units:.5f}" == f"{float(row['nats_per_unit']):.5f}"
    for bits, own, count, line in answers:
        assert int(count) == len(line) + 1
        assert float(bits) == pytest.approx(float(own) / math.log(2) / (len(line) + 1), abs=1e-6)


def test_the_first_line_has_the_figures_that_predict_gives_it(text):
    line = "The value of the expression"
    per_unit, units = ostinato(text, "predict", "model", "-", typed=line + "\n").out.split()
    _, nats, count, _ = ostinato(text, "stream", "model", typed=line).out.rstrip("\n").split("\t")
    assert count == units == str(len(line)) and float(nats) / int(count) == pytest.approx(float(per_unit), abs=1e-6)


def test_the_lines_of_each_id_are_a_text_of_their_own(text):
    alone = ostinato(text, "stream", "model", typed="The\n\nvalue\n").out.splitlines()
    ended = ostinato(text, "stream", "model", "--ids", typed="a\tThe\nb\tThe\na\t\nb\t\nb\tvalue\na\tvalue\na\t")
    first, last = alone[0], alone[2]
    assert ended.out.splitlines() == [f"{n}\t{a}" for n, a in zip("abab", [first, first, alone[1], alone[1]])] + [
        f"b\t{last}", f"a\t{last}",
    ]  # fmt: skip
    assert ended.err == "ostinato stream, line 7: a line must be a text, got an empty one at the end.\n"


def test_long_lines_and_reset_lines_have_the_same_figures(text, monkeypatch):
    whole = ostinato(text, "stream", "model", typed=LOG + "\n").out
    monkeypatch.setattr("ostinato.program.running.streaming.of_texts.STEPS", 7)
    assert ostinato(text, "stream", "model", typed=LOG + "\n").out == whole
    twice = ostinato(text, "stream", "model", "--reset-on", "--", typed="The\n--\nThe\nThe\n").out.splitlines()
    assert twice[0] == twice[1] != twice[2]


def test_the_most_probable_next_units_have_the_scores_of_the_network(text):
    ended = ostinato(text, "stream", "model", "--next", 3, "--json", typed="The val\nThe val\n")
    first, second = map(json.loads, ended.out.splitlines())
    assert len(first["next"]) == 3 and first["text"] == "The val"
    shares = [one["probability"] for one in first["next"]]
    assert shares == sorted(shares, reverse=True) and 0 < sum(shares) < 1
    # The probability of the unit that follows is what its nats say.
    every = json.loads(ostinato(text, "stream", "model", "--next", 500, "--json", typed="The val\n").out)["next"]
    share = {one["unit"]: one["probability"] for one in every}
    after = [json.loads(a) for a in ostinato(text, "stream", "model", "--json", typed="The val\nT").out.splitlines()]
    assert share["T"] == pytest.approx(math.exp(-after[1]["nats"]), abs=2e-6)
    shown = ostinato(text, "stream", "model", "--next", 2, typed="The\n").out.split("\t")
    assert len(shown) == 5 and len(shown[3].split(" ")) >= 4
    ended = ostinato(text, "stream", "model", "--next", 0)
    assert ended.status == 2 and ended.err == "ostinato stream: --next must be a whole number of 1 or more, got 0.\n"


def test_the_state_of_a_text_goes_on_from_its_file(text):
    whole = ostinato(text, "stream", "model", typed=LOG).out
    parts = [ostinato(text, "stream", "model", "--state", "log.state", typed=part).out for part in LOG.splitlines(True)]
    assert "".join(parts) == whole


def test_bytes_that_are_no_text_and_controls_of_a_terminal_are_not_passed_on(text):
    ended = ostinato(text, "stream", "model", typed="a\udcffb\n\x1b[2J\n")
    assert ended.out.endswith("\t\\x1b[2J\n") and len(ended.out.splitlines()) == 1
    assert ended.err.startswith("ostinato stream, line 1: a line must be text of UTF-8")


class Lines:
    """Lines that come one by one, with a signal in place of the one after the last, or while the last is answered."""

    def __init__(self, lines, number):
        self.lines, self.number = lines, number

    def __iter__(self):
        yield from self.lines
        signal.raise_signal(self.number)
        raise AssertionError("a line was waited for after the signal")


class Answers(io.StringIO):
    """Answers, of which the first raises what it is told to, once it is written."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def flush(self):
        self.act()


def ended_by(series, steps, name, lines, answers):
    running = LineStream(open_model(series / "model"), Asked(state=series / name))
    status = running.run(Pipes(lines, answers, io.StringIO()))
    rest = ostinato(series, "stream", "model", "--state", name, typed=lines_of(steps)).out
    return status, answers.getvalue() + rest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_lines_and_saves_the_states(series, number):
    (steps,) = sequences(series, 1)
    whole, lines = ostinato(series, "stream", "model", typed=lines_of(steps)).out, lines_of(steps).splitlines(True)
    before = signal.getsignal(number)
    found = ended_by(series, steps[2:], f"waiting{number}", Lines(lines[:2], number), io.StringIO())
    assert found == (128 + number, whole)
    busy = Answers(lambda: signal.raise_signal(number))
    found = ended_by(series, steps[1:], f"busy{number}", io.StringIO("".join(lines)), busy)
    assert found == (128 + number, whole) and signal.getsignal(number) is before


def test_a_second_signal_does_not_wait_for_the_answer(series):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    running = LineStream(open_model(series / "model"), Asked())
    with pytest.raises(KeyboardInterrupt):
        running.run(Pipes(io.StringIO("1,2\n"), Answers(twice), io.StringIO()))


def test_answers_that_nobody_reads_any_more_end_the_stream(series):
    def closed():
        raise BrokenPipeError

    (steps,) = sequences(series, 1)
    whole = ostinato(series, "stream", "model", typed=lines_of(steps)).out
    found = ended_by(series, steps[1:], "closed", io.StringIO(lines_of(steps)), Answers(closed))
    assert found == (141, whole)


def piped(place, *words):
    """The command as a process of its own, its lines and answers as pipes."""
    command = [sys.executable, "-m", "ostinato", "stream", "model", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=place, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=os.environ)


@pytest.mark.slow
def test_a_full_disk_under_the_answers_ends_the_stream_and_saves_the_states(text, tmp_path):
    class Full(io.StringIO):
        def flush(self):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "a.state"
    lines = LineStream(open_model(text / "model"), Asked(state=file))
    with pytest.raises(StorageError, match="ostinato stream: standard output must be writable, got No space left"):
        lines.run(Pipes(io.StringIO("The\nvalue\n"), Full(), io.StringIO()))
    assert file.read_bytes().startswith(b"OSTLINES")


def test_states_are_kept_in_files_alone(text, tmp_path):
    """Reading a pipe would wait for somebody who writes to it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="ostinato stream: --state must be a file, got .*pipe, which is none. Name a"):
        LineStream(open_model(text / "model"), Asked(state=tmp_path / "pipe"))


def test_without_standard_input_there_are_no_lines(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert list(typed_in()) == []


@pytest.mark.slow
def test_a_process_answers_at_once_and_saves_the_states_when_it_is_ended(series):
    (steps,) = sequences(series, 1)
    number, kept = signal.SIGTERM, series / "kept by a process"
    with piped(series, "--state", kept.name) as process:
        process.stdin.write(lines_of(steps[:2]))
        process.stdin.flush()
        first = [process.stdout.readline() for _ in range(2)]  # answered before the input ends
        process.send_signal(number)
        assert process.stderr.read() == ""
    assert process.returncode == 128 + number
    rest = ostinato(series, "stream", "model", "--state", kept.name, typed=lines_of(steps[2:])).out
    assert "".join(first) + rest == ostinato(series, "stream", "model", typed=lines_of(steps)).out


@pytest.mark.slow
def test_a_reader_that_closes_its_pipe_ends_the_process_without_a_traceback(series):
    with piped(series, "--state", "let go") as process:
        process.stdout.close()
        process.stdin.write("1,2\n")
        process.stdin.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141 and (series / "let go").exists()


def test_texts_go_on_over_lines_and_numbers_and_tags_are_answered(tmp_path):
    made.reviews(tmp_path / "reviews.csv")
    words = ("--text", "review", "--target", "label", "--updates", 20)
    assert ostinato(tmp_path, "train", "reviews.csv", *words, *SMALL).status < 2
    ended = ostinato(tmp_path, "stream", "model", typed="the film was yes\nlong, no!\n \nplain\n")
    whole = ostinato(tmp_path, "predict", "model", "-", typed="the film was yes\nthe film was yes long, no!\nplain\n")
    assert ended.status == 0 and ended.out == whole.out


def test_numbers_of_series_are_those_of_predict(tmp_path):
    made.loads(tmp_path / "loads.npz")
    assert ostinato(tmp_path, "train", "loads.npz", "--updates", 20, *SMALL).status < 2
    steps = np.load(tmp_path / "loads.npz")["series"][0, :, 0].tolist()
    found = ostinato(tmp_path, "stream", "model", typed="".join(f"{s!r}\n" for s in steps)).out.splitlines()
    whole = ostinato(tmp_path, "predict", "model", "-", typed=json.dumps(steps) + "\n").out
    assert len(found) == 5 and float(found[-1]) == pytest.approx(float(whole), rel=1e-5)


def test_tags_depend_on_the_words_of_earlier_lines(tmp_path):
    made.sentences(tmp_path / "words.txt")
    assert ostinato(tmp_path, "train", "words.txt", "--updates", 60, *SMALL).status < 2
    whole = ostinato(tmp_path, "predict", "model", "-", typed="play to run rest\n").out.split()
    assert whole == ["N", "P", "V", "N"]
    ended = ostinato(tmp_path, "stream", "model", typed="play to\nrun\nrest\n\nrun\n")
    assert ended.out.splitlines() == ["N P", "V", "N", "N"] and ended.status == 0
    (one,) = ostinato(tmp_path, "stream", "model", "--json", typed="play to\n").out.splitlines()
    found = json.loads(one)
    assert found["tokens"] == ["play", "to"] and found["tags"] == ["N", "P"] and len(found["probabilities"]) == 2


def months(rows, count):
    """CSV lines of months and values."""
    first = np.datetime64("1990-01", "M")
    return [",".join([str(first + k), *(f"{v:.4f}" for v in np.atleast_1d(row))]) for k, row in enumerate(rows[:count])]


@pytest.fixture(scope="module")
def sales(tmp_path_factory):
    """A model of a series with a season and a covariate of the past."""
    place, t = tmp_path_factory.mktemp("sales"), np.arange(120)
    noise = np.random.default_rng(0).normal(size=(2, 120))
    rows = np.c_[50 + 0.2 * t + 8 * np.sin(2 * np.pi * t / 12) + noise[0], noise[1]]
    (place / "sales.csv").write_text("\n".join(["month,y,rain", *months(rows, 120)]) + "\n", encoding="utf-8")
    words = ("--target", "y", "--series", "rain", "--horizon", 3, "--hidden", 8, "--embedding", 8, "--updates", 20)
    ended = ostinato(place, "train", "sales.csv", *words, "--no-lens", "--no-baselines", "--quiet", "--out", "model")
    assert ended.status < 2, ended.err
    return place


def test_every_row_is_answered_with_the_forecast_that_predict_gives_after_it(sales):
    lines = (sales / "sales.csv").read_text().splitlines()[:61]
    ended = ostinato(sales, "stream", "model", typed="\n".join(lines) + "\n")
    assert ended.status == 0, ended.err
    heading, *rows = ended.out.splitlines()
    assert heading == "unique_id,ds,cutoff,median,lo-80,hi-80,lo-95,hi-95" and len(rows) == 3 * 59
    for count in (2, 30, 60):
        (sales / "part.csv").write_text("\n".join(lines[: count + 1]) + "\n")
        whole = ostinato(sales, "predict", "model", "part.csv").out.splitlines()[1:]
        own = [row.split(",") for row in rows[3 * (count - 2) : 3 * (count - 1)]]
        assert [[c[1], *c[3:]] for c in own] == [row.split(",")[1:] for row in whole]
        assert {c[2][:7] for c in own} == {lines[count].partition(",")[0]}


def test_a_forecast_goes_on_from_its_file_with_no_more_rows_than_it_reads(sales):
    lines = (sales / "sales.csv").read_text().splitlines()[1:61]
    whole = ostinato(sales, "stream", "model", "--json", typed="\n".join(lines) + "\n").out.splitlines()
    first = ostinato(sales, "stream", "model", "--json", "--state", "kept", typed="\n".join(lines[:50]) + "\n")
    assert first.status == 0
    content = (sales / "kept").read_bytes()
    header = json.loads(content[16 : 16 + int.from_bytes(content[12:16], "little")])
    length = json.loads((sales / "model/scaling.json").read_text())["shape"]["length"]
    assert len(header["sequences"][0]["own"]["rows"]) == length < 50
    rest = ostinato(sales, "stream", "model", "--json", "--state", "kept", typed="\n".join(lines[50:]) + "\n")
    for own, other in zip(rest.out.splitlines(), whole[50:], strict=True):
        assert json.loads(own)["forecast"] == json.loads(other)["forecast"]
    one = json.loads(whole[-1])["forecast"][0]
    assert set(one) == {"unique_id", "ds", "cutoff", "median", "lo-80", "hi-80", "lo-95", "hi-95"}


def test_a_row_without_a_value_or_with_a_wrong_cell_leaves_the_forecast_as_predict_has_it(sales):
    lines = (sales / "sales.csv").read_text().splitlines()[:40]
    lines[-1] = lines[-1].partition(",")[0] + ",NA,0.5"
    typed = "\n".join([*lines[:-1], lines[-2], "1999-01,x,1", "soon,1,1", lines[-1]]) + "\n"
    ended = ostinato(sales, "stream", "model", typed=typed)
    (sales / "part.csv").write_text("\n".join(lines) + "\n")
    whole = [row.split(",") for row in ostinato(sales, "predict", "model", "part.csv").out.splitlines()[1:]]
    assert [[c[1], *c[3:]] for c in (r.split(",") for r in ended.out.splitlines()[-3:])] == [c[1:] for c in whole]
    first, second = ended.err.splitlines()
    assert first == "ostinato stream, line 41: a cell must be a number, got 'x'. NA stands for a missing number."
    assert second.startswith("ostinato stream, line 42: series: ") and ended.status == 2


def test_rows_of_several_series_are_kept_apart_by_the_column_of_the_training(tmp_path):
    rng, day = np.random.default_rng(3), np.datetime64("2020-01-01")
    rows = [f"{name},{day + k},{level + rng.normal():.3f}" for k in range(40) for name, level in (("a", 5), ("b", 50))]
    (tmp_path / "shops.csv").write_text("\n".join(["shop,ds,y", *rows]) + "\n")
    words = ("--id", "shop", "--target", "y", "--horizon", 2, "--hidden", 8, "--embedding", 8, "--updates", 5)
    rest = ("--no-lens", "--no-baselines", "--quiet", "--out", "model")
    assert ostinato(tmp_path, "train", "shops.csv", *words, *rest).status < 2
    ended = ostinato(tmp_path, "stream", "model", typed="shop,ds,y\n" + "\n".join(rows) + "\na,1,2,3\n")
    whole = list(csv.DictReader(io.StringIO(ostinato(tmp_path, "predict", "model", "shops.csv").out)))
    found = list(csv.DictReader(io.StringIO(ended.out)))[-4:]
    assert [{k: v for k, v in row.items() if k != "cutoff"} for row in found] == whole
    assert ended.status == 2 and ended.err.startswith(
        "ostinato stream, line 82: a line must be 3 cells, as the first has"
    )
    ended = ostinato(tmp_path, "stream", "model", typed="2021-01-01,c,2\n")
    assert ended.err == (
        "ostinato stream, line 1: the series must be one of the training: a, b, got c. "
        "`ostinato predict MODEL FILE` takes the scale of a new series from all of its values.\n"
    )
    ended = ostinato(tmp_path, "stream", "model", "--ids", typed="")
    assert ended.err == (
        "ostinato stream: --ids must be left out, got given, as the column shop names the series. Leave --ids out.\n"
    )


def model_of(name, **options):
    """A model of a task as far as its refusal reads it."""
    given = {"both_directions": False, "future": (), "kind": "series", **options}
    network, data = SimpleNamespace(both_directions=given["both_directions"]), SimpleNamespace(future=given["future"])
    config = SimpleNamespace(options=SimpleNamespace(network=network, data=data))
    return SimpleNamespace(task=SimpleNamespace(name=name, inputs=SimpleNamespace(kind=given["kind"])), config=config)


def test_every_task_is_streamed_or_refused_with_what_to_do():
    assert set(ways.WAYS) == set(TASKS)
    for name in ("fill", "translate"):
        with pytest.raises(InputError) as error:
            ways.way_of(model_of(name), None)
        start = f"ostinato stream: MODEL must be one that reads forwards, step by step, got one of the task {name}, "
        assert str(error.value).startswith(start) and "ostinato" in str(error.value)[len(start) :]


@pytest.mark.parametrize("name", ["classify", "regress", "tag", "transcribe"])
def test_a_model_in_both_directions_is_refused(name):
    with pytest.raises(InputError) as error:
        ways.way_of(model_of(name, both_directions=True), None)
    assert str(error.value) == (
        "ostinato stream: MODEL must be one that reads forwards, step by step, got one of the task "
        f"{name} that reads both directions. The second direction begins at the end, which a stream does not have yet. "
        "Train with --one-direction."
    )


def test_rows_of_one_step_values_ahead_and_next_units_of_other_tasks_are_refused():
    with pytest.raises(InputError) as error:
        ways.way_of(model_of("classify", kind="features"), None)
    assert str(error.value) == (
        "ostinato stream: MODEL must be one of sequences, got one of the task classify whose rows have one step. "
        "Each row is answered by itself: ostinato predict MODEL - reads lines."
    )
    with pytest.raises(InputError) as error:
        ways.way_of(model_of("forecast", future=("price",)), None)
    assert str(error.value) == (
        "ostinato stream: MODEL must be one that reads what has happened, got one of the task forecast that reads "
        "price of the steps to forecast. Train without --future, or use ostinato predict MODEL FILE with the values "
        "ahead in the file."
    )
    with pytest.raises(InputError) as error:
        ways.way_of(model_of("tag"), 3)
    assert str(error.value) == (
        "ostinato stream: --next must be given for one of the tasks language-model, generate, music, got one of the "
        "task tag. "
        "Other models have no next unit; leave it out."
    )
