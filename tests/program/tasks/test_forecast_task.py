"""The task of forecasts: shapes, losses by hand, missing values, round trips, refusals, and what it learns."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from ostinato.errors import InputError
from ostinato.program.data.time.windows import Series, Window
from ostinato.program.options import FitOptions, NetworkOptions
from ostinato.program.tasks.forecasting.forecast import Forecast, quantiles_of
from ostinato.program.tasks.task import Batch, Encoded
from ostinato.program.training.evaluate import predict
from ostinato.program.training.fit import Part, fit
from ostinato.program.training.seeds import new_network
from program.tasks.made_windows import examples, seasonal, windows

SMALL = NetworkOptions(hidden=8, embedding=8, dropout=0.0, both_directions=False)


def made(values, season=12, name="made", covariates=0):
    """A series with a season, and covariates of the past and ahead if wished."""
    values = np.asarray(values, np.float64).reshape(len(values), -1)
    times = np.datetime64("2000-01-01", "s") + 86_400 * np.arange(len(values) + 12)
    other = np.random.default_rng(9).normal(size=(len(values) + 12, covariates))
    return Series(name, times, values, other[: len(values)], other, None, season)


def parts(series, length=24, horizon=6):
    """(train, valid, test), whose futures do not overlap."""
    n = len(series.values)
    cuts = (length, n * 6 // 10, n * 8 // 10, n)
    return [examples(windows(series, a, b - horizon, length, horizon)) for a, b in zip(cuts, cuts[1:])]


def started(series, options=SMALL):
    train, valid, _ = parts(series)
    task = Forecast.encode_from(train, options)
    return task, new_network(task, options, 0), train, valid


def fitted(series, options=SMALL, updates=150, **given):
    train, valid, test = parts(series)
    task = Forecast.encode_from(train, options)
    network = new_network(task, options, 0)
    both = [Part(rows, task.encode(rows)) for rows in (train, valid)]
    result = fit(task, network, *both, FitOptions(updates=updates, learning_rate=0.01, **given))
    return task, network, test, result


def shaken(network):
    """The network with a last layer that is not 0."""
    torch.manual_seed(1)
    torch.nn.init.normal_(network.head.weight, std=0.3)
    return network.eval()


@pytest.mark.parametrize("cell", ["gru", "lstm", "minlstm", "lstm_projected"])
@pytest.mark.parametrize(("channels", "covariates"), [(1, 0), (3, 2)])
def test_a_batch_of_windows_gives_what_the_windows_give_one_by_one(cell, channels, covariates):
    options = replace(SMALL, cell=cell, layers=2)
    task, network, train, _ = started(made(seasonal(channels=channels), covariates=covariates), options)
    shaken(network)
    encoded = task.encode(train)
    whole = task.batch(encoded, [0, 5, 9])
    together = network(whole.x, whole.lengths)
    assert together.shape == (3, 6, channels, 5)
    for b, row in enumerate([0, 5, 9]):
        alone = task.batch(encoded, [row])
        assert torch.allclose(network(alone.x, alone.lengths)[0], together[b], atol=1e-5)


def test_an_untrained_network_gives_the_guess_and_its_usual_errors():
    values = np.tile([1.0, 5.0, 2.0, 8.0], 40) + 0.01 * np.arange(160) + 0.1 * np.random.default_rng(0).normal(size=160)
    task, network, train, valid = started(made(values, season=4))
    found, _ = predict(task, network, task.encode(valid))
    truth = np.stack([w.future for w in valid.inputs])
    assert np.abs(np.stack(found.values) - truth).mean() < 0.2
    inside = (truth >= found.quantiles[..., 0]) & (truth <= found.quantiles[..., -1])
    assert 0.85 < inside.mean() <= 1


def test_the_loss_is_the_mean_pinball_loss_of_the_known_numbers():
    task, _, _, _ = started(made(seasonal()), replace(SMALL, levels=(80.0,)))
    target = torch.tensor([2.0, float("nan")]).reshape(1, 2, 1)
    outputs = torch.tensor([[0.0, 1.0, 4.0], [7.0, 7.0, 7.0]]).reshape(1, 2, 1, 3)
    batch = Batch({}, torch.tensor([24]), target, 1)
    task.shrinkage = 0.0
    # .1 · 2 below, .5 · 1 below, .1 · 2 above
    assert task.loss(outputs, batch).item() == pytest.approx((0.2 + 0.5 + 0.2) / 3)


def test_what_few_windows_add_to_the_guess_is_held_small():
    task, _, train, _ = started(made(seasonal()), replace(SMALL, levels=(80.0,)))
    assert task.shrinkage == pytest.approx(4 * 6 / len(train))
    outputs = torch.tensor([0.0, 1.0, 5.0]).reshape(1, 1, 1, 3)
    batch = Batch({"start": torch.tensor([[0.0, 0.0, 2.0]])}, torch.tensor([24]), torch.ones(1, 1, 1), 1)
    added = task.shrinkage * (0 + 1 + 9) / 3
    assert task.loss(outputs, batch).item() == pytest.approx((0.1 + 0 + 0.4) / 3 + added)


def test_many_windows_have_a_linear_map_and_no_such_term():
    task, _, _, _ = started(made(seasonal(n=1500)))
    assert task.linear.weight.any() and task.shrinkage == 0


def test_a_batch_without_any_known_truth_has_the_loss_0():
    task, _, _, _ = started(made(seasonal()))
    batch = Batch({"start": torch.zeros(6, 5)}, torch.tensor([24]), torch.full((1, 6, 1), torch.nan), 0)
    assert task.loss(torch.ones(1, 6, 1, 5), batch).item() == 0


def test_quantiles_never_cross():
    task, network, _, valid = started(made(seasonal()))
    found, _ = predict(task, shaken(network), task.encode(valid))
    assert (np.diff(found.quantiles, axis=-1) >= 0).all()
    assert all((v == q[..., 2]).all() for v, q in zip(found.values, found.quantiles))


def test_missing_values_are_flagged_and_what_stands_there_changes_no_bit():
    values = seasonal()
    values[30:33] = np.nan
    task, network, train, _ = started(made(values))
    batch = task.batch(task.encode(train), range(20))
    assert task.scaling.flagged and batch.x["own"].shape == (20, 24, 1, 2)
    assert all(bool(torch.isfinite(x).all()) for x in batch.x.values())
    outputs = shaken(network)(batch.x, batch.lengths)
    assert torch.isfinite(outputs).all() and torch.isfinite(task.loss(outputs, batch))
    assert batch.weight == int((~torch.isnan(batch.target)).sum()) < batch.target.numel()


def test_windows_that_begin_before_their_series_are_read():
    series = made(seasonal())
    task, network, _, _ = started(series)
    early = examples([Window(series, 3, 24, 6)])
    found, _ = predict(task, network, task.encode(early))
    assert np.isfinite(found.quantiles).all()


@pytest.mark.parametrize("rise", [0.0, 1.0])
def test_a_constant_series_gives_finite_forecasts(rise):
    values = np.r_[np.full(110, 4.0), rise * np.arange(10.0) + 4]
    task, network, _, valid = started(made(values, season=1))
    found, loss = predict(task, network, task.encode(valid))
    assert np.isfinite(found.quantiles).all() and np.isfinite(loss)


def test_the_files_give_the_same_predictions_to_the_bit():
    task, network, test, _ = fitted(made(seasonal(channels=2), covariates=1), updates=10)
    files = json.loads(json.dumps(task.to_json(), allow_nan=False))
    again = Forecast.from_json(files)
    other = again.network(SMALL)
    other.load_state_dict(network.state_dict())
    one, two = (predict(t, n, t.encode(test))[0] for t, n in ((task, network), (again, other.eval())))
    assert (one.quantiles == two.quantiles).all()
    assert again.score(test, two) == task.score(test, one)


def test_one_and_two_threads_give_one_hash():
    options = replace(SMALL, hidden=33, layers=2, dropout=0.3)
    hashes = {fitted(made(seasonal()), options, 6, batch=13, threads=n)[3].sha256 for n in (1, 1, 2)}
    assert len(hashes) == 1


def test_the_network_learns_what_the_guess_leaves():
    """A value of +1 is followed by what a linear map cannot say: the product of the two values before."""
    draw = np.random.default_rng(0)
    signs = draw.choice([-1.0, 1.0], 600)
    for k in range(2, 600, 3):
        signs[k] = signs[k - 1] * signs[k - 2]
    series = made(signs + 0.05 * draw.normal(size=600), season=1)
    rows = [Window(series, k, 6, 1) for k in range(8, 599, 3)]
    train, valid, test = (examples(rows[a:b]) for a, b in ((0, 120), (120, 160), (160, 197)))
    task = Forecast.encode_from(train, SMALL)
    network = new_network(task, SMALL, 0)
    before = task.score(test, predict(task, network, task.encode(test))[0])
    both = [Part(part, task.encode(part)) for part in (train, valid)]
    fit(task, network, *both, FitOptions(updates=400, learning_rate=0.02))
    assert task.score(test, predict(task, network, task.encode(test))[0]) < 0.3 * before


def test_the_bands_of_a_season_with_noise_cover_and_are_about_as_wide_as_the_noise():
    series = made(seasonal(n=1500, noise=0.3, trend=0.0))
    task, network, test, _ = fitted(series, updates=100)
    found, _ = predict(task, network, task.encode(test))
    truth = np.stack([w.future for w in test.inputs])
    for place, level, width in ((0, 0.95, 3.92), (1, 0.8, 2.563)):
        low, high = found.quantiles[..., place], found.quantiles[..., -1 - place]
        assert abs(((truth >= low) & (truth <= high)).mean() - level) < 0.04
        assert 0.95 < (high - low).mean() / (width * 0.3) < 1.25


def test_logarithms_are_forecast_where_the_amplitude_grows_with_the_level():
    t = np.arange(144)
    values = 100 * np.exp(0.01 * t) * (1 + 0.2 * np.sin(2 * np.pi * t / 12))
    train = parts(made(values))[0]
    chosen = {scale: Forecast.encode_from(train, replace(SMALL, scale=scale)) for scale in ("auto", "none", "log")}
    assert {scale: task.scaling.log for scale, task in chosen.items()} == {"auto": True, "none": False, "log": True}
    assert [len(chosen[scale].notes) for scale in ("auto", "none")] == [2, 1]
    assert "--scale none" in chosen["auto"].notes[1]


def test_values_without_a_logarithm_are_refused():
    train = parts(made(seasonal() - 20))[0]
    with pytest.raises(InputError) as error:
        Forecast.encode_from(train, replace(SMALL, scale="log"))
    least = min(float(w.values.min()) for w in train.inputs)
    assert str(error.value) == (
        f"forecast: the values with --scale log must be above 0, got {least:g}. Write --scale none."
    )


def test_windows_of_other_columns_are_refused():
    task, _, _, _ = started(made(seasonal()))
    other = parts(made(seasonal(channels=2)))[0]
    with pytest.raises(InputError) as error:
        task.encode(other)
    assert str(error.value) == (
        "forecast: a window must be steps ahead, targets, past covariates, covariates known ahead: 6, 1, 0, 0, "
        "got 6, 2, 0, 0. Give the columns of the training file."
    )


def test_a_series_that_the_training_lacks_is_scaled_by_its_own_values():
    both = [made(seasonal(), name="a"), made(seasonal(seed=1) * 50, name="b")]
    rows = [w for series in both for w in windows(series, 24, 150, 24, 6)]
    task = Forecast.encode_from(examples(rows), SMALL)
    new = made(seasonal(seed=2) * 1000, name="c")
    network = new_network(task, SMALL, 0)
    test = examples(windows(new, 150, 200, 24, 6))
    found, _ = predict(task, network, task.encode(test))
    truth = np.stack([w.future for w in test.inputs])
    assert np.abs(np.stack(found.values) - truth).mean() < 1000
    assert task.score(test, found) > 0


def test_metrics_begin_with_the_quantile_loss_and_the_gain_over_itself_is_0():
    task, network, _, valid = started(made(seasonal()))
    found, _ = predict(task, network, task.encode(valid))
    metrics = task.metrics(valid, found)
    assert metrics[0].name == "quantile_loss" == task.metric and metrics[0].value == task.score(valid, found)
    assert task.gain(valid, found, found).value == 0
    names = [baseline.name for baseline in task.baselines()]
    assert "seasonal naive with drift" in names and "linear" in names
    details = task.details(valid, found)
    assert details["chosen"]["season"] == 12 and len(details["by_step"]) == 6


def test_the_loss_of_several_series_or_columns_is_scaled_before_it_is_averaged():
    """Of two columns of which one is a million times the other, both count alike."""
    values = seasonal(channels=2) * [1.0, 1e6]
    task, network, _, valid = started(made(values))
    found, _ = predict(task, network, task.encode(valid))
    assert task.metric == "sql"
    before = task.score(valid, found)
    wrong = found.quantiles + np.array([5.0, 0.0])[:, None]
    assert task.score(valid, replace(found, quantiles=wrong)) > 2 * before


def test_the_quantiles_of_bands():
    assert quantiles_of((80, 95)) == [0.025, 0.1, 0.5, 0.9, 0.975]
    assert quantiles_of((50.0,)) == [0.25, 0.5, 0.75]


def test_encoding_keeps_windows_and_copies_nothing():
    task, _, train, _ = started(made(seasonal()))
    encoded = task.encode(train)
    assert isinstance(encoded, Encoded) and all(a is b for a, b in zip(encoded.rows, train.inputs, strict=True))
    assert (encoded.lengths == 24).all()


def test_the_context_is_the_length_that_windows_are_read_with():
    train, valid, _ = parts(made(seasonal()))
    task = Forecast.encode_from(train, replace(SMALL, context=36))
    network = new_network(task, SMALL, 0)
    encoded = task.encode(valid)
    assert task.batch(encoded, [0]).x["own"].shape[1] == 36
    assert predict(task, network, encoded)[0].quantiles.shape == (len(valid), 6, 1, 5)
