"""What `ostinato stream` refuses: lines, files of states, models."""

import io
import os
from types import SimpleNamespace

import pytest

from ostinato.errors import InputError
from ostinato.program.running.model import open_model
from ostinato.program.running.streaming import ways
from ostinato.program.running.streaming.run import Asked, LineStream, Pipes
from ostinato.program.tasks.registry import TASKS
from program.commands import ostinato
from program.streaming.lines import lines_of, sequences


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


def test_bytes_that_are_no_text_and_controls_of_a_terminal_are_not_passed_on(text):
    ended = ostinato(text, "stream", "model", typed="a\udcffb\n\x1b[2J\n")
    assert ended.out.endswith("\t\\x1b[2J\n") and len(ended.out.splitlines()) == 1
    assert ended.err.startswith("ostinato stream, line 1: a line must be text of UTF-8")


def test_states_are_kept_in_files_alone(text, tmp_path):
    """Reading a pipe would wait for somebody who writes to it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="ostinato stream: --state must be a file, got .*pipe, which is none. Name a"):
        LineStream(open_model(text / "model"), Asked(state=tmp_path / "pipe"))


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
