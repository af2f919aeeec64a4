"""Series as numbers: scaled by training rows, flags where values are missing."""

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.data.examples import Examples
from ostinato.program.tasks.inputs import SeriesInputs
from ostinato.program.tasks.scaling import Scaling
from program.tasks.made import series

NAN = float("nan")


def test_known_values_with_a_missing_one_and_a_constant_channel():
    scaling = Scaling.of([np.array([[1.0, 5.0], [NAN, 5.0]]), np.array([[3.0, 5.0]])])
    assert scaling.mean.tolist() == [2, 5] and scaling.deviation.tolist() == [1, 1]
    assert scaling.flagged == [0] and scaling.width == 3
    assert scaling.apply(np.array([[4.0, 6.0], [NAN, NAN]])).tolist() == [[2, 1, 1], [0, 0, 0]]


def test_training_rows_have_mean_0_and_deviation_1():
    rows = series().inputs
    scaled = np.concatenate([Scaling.of(rows).apply(row) for row in rows])
    assert np.allclose(scaled.mean(0), 0, atol=1e-5) and np.allclose(scaled.std(0), 1, atol=1e-5)


def test_it_comes_back_from_json_with_the_same_bits():
    rows = series(missing=True).inputs
    scaling = Scaling.of(rows)
    again = Scaling.from_json(scaling.to_json())
    assert all(np.array_equal(scaling.apply(row), again.apply(row)) for row in rows)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (np.zeros((3, 2)), r"row 0 must be \[T, 3\], got a shape of \[3, 2\]. Every row needs the channels"),
        (np.full((1, 3), np.inf), "every value must be finite, or missing, got infinity. Mend the value"),
    ],
)
def test_rows_that_do_not_fit_are_refused(row, message):
    inputs = SeriesInputs.of(series())
    with pytest.raises(InputError, match=message):
        inputs.encode(Examples("series", [row], "class", None))


def test_infinity_in_training_rows_and_no_rows_are_refused():
    with pytest.raises(InputError, match="must be finite, or missing"):
        Scaling.of([np.array([[np.inf]])])
    with pytest.raises(InputError, match="the training rows must be numbers, got none"):
        Scaling.of([])


def test_rows_of_another_kind_are_refused():
    with pytest.raises(InputError, match="their kind must be series, got text. Give rows as the training rows were"):
        SeriesInputs.of(series()).encode(Examples("text", ["a"], "class", None))
