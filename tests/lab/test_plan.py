"""What is planned: which cases, in which order, with how many units; and what is refused."""

import pytest

from ostinato.apps.lab import Settings, Variant
from ostinato.apps.lab.experiment import build, generator, units
from ostinato.apps.lab.settings import DEFAULT, Training, names, numbers
from ostinato.apps.training import weight_count
from ostinato.cells import catalogue
from ostinato.errors import InputError


def test_the_first_cases_compare_all_variants_at_the_shortest_and_the_longest_lag():
    settings = Settings(tasks=("adding", "reber"), lags=(10, 30, 100), seeds=2)
    places = list(dict.fromkeys((case.seed, case.task, case.lag) for case in settings.cases))
    once = [("adding", 10), ("adding", 100), ("reber", 10), ("adding", 30), ("reber", 100), ("reber", 30)]
    assert places == [(seed, *place) for seed in (0, 1) for place in once]
    assert [case.variant for case in settings.cases[: len(DEFAULT)]] == list(DEFAULT)
    assert len(set(settings.cases)) == len(settings.cases) == 2 * 6 * len(DEFAULT)


def test_cells_and_initialisers_make_pairs_and_what_does_not_fit_is_named():
    settings = Settings(tasks=("copy",), cells=("elman", "gru"), inits=("torch", "chrono"), lags=(10, 20))
    assert settings.variants == (Variant("elman"), Variant("gru"), Variant("gru", "chrono"))
    pair, lag = settings.left_out
    assert pair.startswith("elman chrono is left out: Recurrent: cell must be one that declares its forget gate")
    assert lag == "copy is left out at lag 10: its shortest is 11."
    assert {case.lag for case in settings.cases} == {20}
    alone = Settings(cells=("elman", "janet"))
    assert alone.variants == (Variant("elman"), Variant("elman", "orthogonal"), Variant("janet"))
    assert Settings(inits=("orthogonal",)).variants == tuple(
        Variant(cell, "orthogonal") for cell in ("elman", "elman_relu", "lstm", "gru")
    )


def test_the_layer_gets_the_lag_and_the_bias():
    assert Variant("lstm", "chrono").options(200) == {"init": "chrono(200)"}
    assert Variant("lstm", "forget-2.5").options(200) == {"forget_bias": 2.5}
    assert Variant("elman", "orthogonal").options(5) == {"init": "orthogonal"}


@pytest.mark.parametrize("cell", [name for name in catalogue() if name != "lstm_projected"])
def test_every_cell_gets_the_weights_of_the_lstm_as_nearly_as_a_unit_allows(cell):
    def count(size):
        parts = catalogue()[cell].parameters(2, size).values()
        return sum(rows * (columns[0] if columns else 1) for rows, *columns in parts) + size + 1

    wanted = 4 * 32 * (2 + 32 + 2) + 32 + 1
    chosen = units(Variant(cell), 2, 1, 32)
    assert abs(count(chosen) - wanted) <= min(abs(count(size) - wanted) for size in (chosen - 1, chosen + 1))


def test_the_published_sizes():
    """The adding problem's networks of about 4.6 thousand weights."""
    cases = Settings(tasks=("adding",), cells=("elman", "lstm", "gru"), inits=("torch",), lags=(100,)).cases
    assert [weight_count(build(case)) for case in cases] == [4687, 4641, 4589]


def test_every_purpose_has_random_numbers_of_its_own():
    seeds = {generator(seed, purpose, n).initial_seed() for seed in (0, 1) for purpose in (0, 1) for n in (0, 1)}
    assert len(seeds) == 8
    assert generator(1, 2, 3).initial_seed() == generator(1, 2, 3).initial_seed()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tasks": ("add",)}, "ostinato lab lag: a task must be one of the list, got 'add'. There are adding,"),
        ({"tasks": ()}, "--task must be one or more, each once, got none"),
        ({"lags": (10, 10)}, "--lags must be one or more, each once, got 10, 10"),
        ({"lags": (30, 10)}, "--lags must be rising numbers of steps from 1 on, got 30, 10"),
        ({"lags": (0, 10)}, "--lags must be rising numbers of steps from 1 on, got 0, 10"),
        ({"cells": ("ltsm",)}, "--cells must be cells of the catalogue, got 'ltsm'. The catalogue holds elman,"),
        ({"inits": ("xavier",)}, "--init must be some of torch, orthogonal, .*, got 'xavier'. The number behind"),
        ({"seeds": 0}, "--seeds must be above 0, got 0"),
        ({"minutes": 0}, "--minutes must be above 0, got 0"),
        ({"workers": 0}, "--workers must be above 0, got 0"),
        (
            {"cells": ("elman",), "inits": ("chrono",)},
            "the experiment must be one case or more, got none that can be run. elman chrono is left out: Recurrent",
        ),
    ],
)
def test_settings_that_cannot_serve(given, message):
    with pytest.raises(InputError, match=message):
        Settings(**given)


@pytest.mark.parametrize("name", ["updates", "batch", "learning_rate", "clip", "hidden"])
def test_training_that_cannot_serve(name):
    with pytest.raises(InputError, match=f"ostinato lab lag: --{name.replace('_', '-')} must be above 0, got 0"):
        Training(**{name: 0})


def test_fewer_sequences_than_a_batch_are_refused():
    with pytest.raises(InputError, match="--sequences must be at least --batch = 32, got 31. Leave it out"):
        Training(sequences=31)


def test_lists_as_they_are_typed():
    assert names(None) is None
    assert names("rnn, lstm") == ("elman", "lstm")
    assert numbers("10, 30") == (10, 30)
    with pytest.raises(InputError, match="--lags must be whole numbers with commas between, got '10;30'. Write --lags"):
        numbers("10;30")
