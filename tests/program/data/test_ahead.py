"""The windows after the end of series: times, covariates that they need, other files of the same columns."""

from dataclasses import replace

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.data.read import read
from program.data.made import options, write
from program.data.made_series import csv, days, months, ramp

N = 40


def after(folder, content, other=None, **named):
    """The last windows of a made file, or of another, read as the training of the first has resolved its options."""
    resolved = read(options(write(folder, "a.csv", content), **named)).options
    if other is not None:
        resolved = replace(resolved, paths=(write(folder, "b.csv", other),))
    return read(resolved, with_target=False).examples


def dates(window):
    return window.times[window.length :].astype("datetime64[D]").astype(str).tolist()


def test_a_series_is_continued_after_its_end(tmp_path):
    examples = after(tmp_path, csv(Date=months(36), sold=ramp(36)), horizon=3)
    (window,) = examples.inputs
    assert dates(window) == ["2003-01-01", "2003-02-01", "2003-03-01"]
    assert window.values[-1, 0] == 35.5 and np.isnan(window.future).all()
    assert examples.targets is None and list(examples.channels) == ["sold"]
    assert examples.origins[0].line == 37


def test_every_series_is_continued_after_its_own_end(tmp_path):
    content = csv(unique_id=["a"] * N + ["b"] * 30, ds=days(N) + days(30), y=ramp(N + 30))
    examples = after(tmp_path, content, horizon=2)
    assert {w.series.name: dates(w) for w in examples.inputs} == {
        "a": ["2020-02-10", "2020-02-11"],
        "b": ["2020-01-31", "2020-02-01"],
    }


def test_rows_without_a_target_at_the_end_are_what_is_forecast(tmp_path):
    content = csv(ds=days(N), y=[*ramp(N)[:-3], None, None, None])
    (window,) = after(tmp_path, content, target="y", horizon=3).inputs
    assert dates(window) == days(N)[-3:]


def test_another_file_of_the_same_columns_is_continued(tmp_path):
    first = csv(ds=days(N), y=ramp(N))
    (window,) = after(tmp_path, first, csv(ds=days(10, "2021-01-01"), y=ramp(10)), horizon=2).inputs
    assert (window.series.name, dates(window)) == ("b", ["2021-01-11", "2021-01-12"])


def test_covariates_known_ahead_are_read_from_rows_after_the_last_value(tmp_path):
    content = csv(ds=days(N), y=[*ramp(N)[:-3], None, None, None], promo=range(N))
    (window,) = after(tmp_path, content, target="y", future=("promo",), horizon=3).inputs
    assert window.known[-3:, 0].tolist() == [37, 38, 39]


def test_covariates_that_are_not_known_ahead_are_refused_with_their_times(tmp_path):
    content = csv(ds=days(N), y=[*ramp(N)[:-1], None], promo=range(N), price=ramp(N))
    with pytest.raises(InputError) as caught:
        after(tmp_path, content, target="y", future=("promo", "price"), horizon=6)
    assert str(caught.value) == (
        "a.csv: promo, price must be given for the 6 steps to forecast, got none for a at 2020-02-10, 2020-02-11, "
        "2020-02-12 and 2 more. Append rows with these times and values, the target left empty, to a copy of the file, "
        "and give it: ostinato predict MODEL FILE."
    )


def test_series_without_a_horizon_are_refused(tmp_path):
    path = write(tmp_path, "a.csv", csv(ds=days(N), y=ramp(N)))
    with pytest.raises(InputError) as caught:
        read(options(path, task="forecast"), with_target=False)
    assert str(caught.value) == "a.csv: --horizon must be the steps of the training, got none. Give --horizon."


def test_every_window_of_another_file_is_evaluated(tmp_path):
    from ostinato.program.running.unlabelled import for_another_file

    trained = read(options(write(tmp_path, "a.csv", csv(ds=days(N), y=ramp(N))), horizon=3, origins=5)).options
    other = write(tmp_path, "b.csv", csv(ds=days(30), y=ramp(30)))
    origins = [window.origin for window in read(for_another_file(trained, other)).examples.inputs]
    assert origins == list(range(4, 28))


END = days(N, str(np.datetime64("9999-12-31") - (N - 1)))


def test_steps_past_the_year_9999_are_refused(tmp_path):
    first = csv(ds=days(N), y=ramp(N))
    (window,) = after(tmp_path, first, csv(ds=END[:-2], y=ramp(N - 2)), horizon=2).inputs
    assert dates(window) == ["9999-12-30", "9999-12-31"]
    with pytest.raises(InputError) as caught:
        after(tmp_path, first, csv(ds=END[:-1], y=ramp(N - 1)), horizon=2)
    assert str(caught.value) == (
        "b.csv: the 2 steps to forecast must be in the years 1 to 9999, got 10000-01-01 for b. Leave the last rows "
        "out, or train with --time none, where rows count as steps."
    )
