"""Options of a training by name, from Python, from JSON and from flags."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from ostinato.apps.cli.flags import with_flags
from ostinato.errors import InputError
from ostinato.layers.options import Options
from ostinato.program.options import DataOptions, FitOptions, NetworkOptions, RunOptions, TrainOptions


def options(**given):
    return TrainOptions.of("ostinato.train", given)


def test_names_go_to_their_records_and_options_of_layers_to_the_network():
    made = options(paths=[Path("a.csv")], target="y", hidden=7, minutes=2, zoneout=0.1, forget_bias=1.0, private=True)
    assert (made.data.target, made.network.hidden, made.fit.minutes, made.run.private) == ("y", 7, 2, True)
    assert made.network.options == {"zoneout": 0.1, "forget_bias": 1.0}


def test_json_gives_back_the_same_options():
    made = options(paths=[Path("a.csv")], test=Path("b.csv"), series=("u", "v"), zoneout=0.1, updates=5)
    assert TrainOptions.from_json(made.to_json(), "config.json").to_json() == made.to_json()
    assert TrainOptions.from_json(made.to_json(), "config.json").data.test == Path("b.csv")


def test_a_task_has_defaults_of_its_own_for_what_is_not_given():
    made = options(hidden=7).for_task({"hidden": 256, "cell": "lstm", "batch": 64})
    assert (made.network.hidden, made.network.cell, made.fit.batch) == (7, "lstm", 64)
    again = TrainOptions.from_json(made.to_json(), "config.json").for_task({"cell": "rnn", "batch": 8})
    assert again.to_json() == made.to_json()


def test_another_value_of_an_option():
    assert options(hidden=7).but(hidden=9, minutes=1).network.hidden == 9


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"zonout": 1}, "an option must be a known one, got 'zonout'. Did you mean 'zoneout'?"),
        ({"hidden": 0}, "hidden must be a whole number of 1 or more, got 0"),
        ({"minutes": 0}, "minutes must be a number above 0, got 0"),
        ({"updates": 0}, "updates must be 1 or more, got 0. Leave it out to plan them from minutes."),
        ({"dropout": 1.0}, "dropout must be a share from 0 up to, not including, 1, got 1.0"),
        (
            {"unit": "bpe"},
            "unit must be auto, word, char, or bpe: with a number of entries such as bpe:8000",
        ),
        ({"k1": 0}, "k1 must be a whole number of 1 or more, got 0"),
        ({"horizon": 1.5}, "horizon must be a whole number of 1 or more, got 1.5"),
        ({"levels": (0,)}, "levels must be percent above 0 and below 100, got 0. Write --levels 80,95."),
        ({"levels": (80, 80.0)}, "levels must be different percents, got 80,80. Write each once."),
        ({"scale": "sqrt"}, "scale must be auto, none or log, got 'sqrt'"),
        ({"class_weights": "all"}, "class_weights must be none or balanced, got 'all'"),
        ({"valid_share": 0}, "valid_share must be a share between 0 and 1, got 0"),
        ({"valid_share": 0}, "valid_share must be a share between 0 and 1, got 0."),
        ({"test_share": 1}, "test_share must be a share from 0 up to, not including, 1, got 1."),
        ({"valid_share": 0.5, "test_share": 0.5}, "must be below 1, got 1.0. Leave rows to train on."),
        ({"zoneout": 2}, "zoneout must be"),
    ],
)
def test_what_no_training_can_use_is_refused(given, message):
    with pytest.raises(InputError) as error:
        options(**given)
    assert message in str(error.value)


def test_options_of_another_format_are_refused():
    with pytest.raises(InputError, match="the options under 'data' must be a JSON object, got list"):
        TrainOptions.from_json({"data": []}, "config.json")


def run(*words):
    app, seen = typer.Typer(), []

    @app.command()
    @with_flags([DataOptions, NetworkOptions, FitOptions, RunOptions, Options], leave_out=["paths", "options"])
    def command(data: list[Path], **given):
        """A command."""
        seen.append((data, given))

    found = CliRunner().invoke(app, list(words))
    return found, seen


def test_flags_are_the_fields_and_only_what_was_typed_is_given():
    words = ["a.csv", "--target", "y", "--series", "u,v", "--hidden", "7", "--one-direction", "--zoneout", "h=0.1"]
    found, seen = run(*words, "--clip-gradient", "2.5", "--init", "chrono(30)", "--no-lens")
    assert found.exit_code == 0, found.output
    given = {"target": "y", "series": ("u", "v"), "hidden": 7, "both_directions": False, "zoneout": {"h": 0.1}}
    given |= {"clip_gradient": 2.5, "init": "chrono(30)", "lens": False}
    assert seen == [([Path("a.csv")], given)]
    assert options(**{k: v for k, v in given.items() if k != "zoneout"}).network.both_directions is False


def test_help_names_every_flag_with_its_default():
    found, _ = run("--help")
    for flag in ("--label-separator", "--both-directions", "--class-weights", "--recurrent-dropout", "--from-model"):
        assert flag in found.output


def test_a_flag_that_is_no_number_is_refused():
    found, _ = run("a.csv", "--zoneout", "h=many")
    assert "--zoneout must be a number, got 'many'" in str(found.exception)


def test_options_that_json_held_are_equal_to_those_that_were_written():
    """Lists once came back in place of tuples, and a resumed training was refused for options that it did not have."""
    options = TrainOptions.of("test", {"paths": (Path("a.csv"),), "columns": ("a", "b"), "levels": (50.0,)})
    again = TrainOptions.from_json(json.loads(json.dumps(options.to_json())), "test")
    assert again == options and again.data.future == () and again.network.levels == (50.0,)


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("updates", "x", "a whole number"),
        ("seed", 1.5, "a whole number"),
        ("seed", True, "a whole number"),
        ("dropout", "x", "a number"),
        ("valid_share", None, "a number"),
        ("unit", 5, "a text"),
        ("target", 5, "a text"),
        ("lowercase", 1, "True or False"),
        ("out", 5, "a path"),
        ("vectors", 5, "a path"),
        ("paths", "b.csv", "a list of paths"),
        ("paths", (1,), "a list of paths"),
        ("series", "x", "a list of texts"),
        ("future", (1,), "a list of texts"),
        ("options", 5, "a mapping of names and values"),
    ],
)
def test_values_of_another_kind_are_refused(name, value, expected):
    with pytest.raises(InputError) as refused:
        TrainOptions.of("here", {name: value})
    assert str(refused.value) == f"here: {name} must be {expected}, got {value!r}."


def test_every_field_of_the_options_is_of_a_kind_that_is_checked():
    assert TrainOptions.of("here", {}) == TrainOptions()


def test_numbers_of_numpy_become_numbers():
    made = TrainOptions.of("here", {"hidden": np.int64(8), "dropout": np.float32(0.5)})
    assert made.network.hidden == 8 and type(made.network.hidden) is int and type(made.network.dropout) is float


@pytest.mark.parametrize("part, name, value", [("data", "paths", [1]), ("run", "out", 5), ("data", "paths", "b.csv")])
def test_a_changed_file_of_options_is_refused(part, name, value):
    content = TrainOptions().to_json()
    content[part][name] = value
    with pytest.raises(InputError, match=f"options.json: {name} must be a "):
        TrainOptions.from_json(content, "options.json")
