"""Numbers too large to be squared are refused by every task that reads numbers."""

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.data.read import read
from ostinato.program.data.sizes import refuse_huge
from ostinato.program.tasks.scaling import Scaling
from program.data.made import options, write

REST = "of a size up to 1e+100, got 1e+200. Divide them by a power of ten, or correct the file."


def test_the_largest_number_is_named_and_missing_ones_are_left_alone():
    refuse_huge(np.array([1e100, np.nan, -1e100, np.inf]), "the numbers", "here")
    refuse_huge(np.array([]), "the numbers", "here")
    with pytest.raises(InputError) as refused:
        refuse_huge(np.array([[1.0], [-1e200]]), "the numbers", "here")
    assert str(refused.value) == f"here: the numbers must be {REST}"


def test_series_of_inputs_are_refused():
    with pytest.raises(InputError) as refused:
        Scaling.of([np.array([[1.0], [1e200]])])
    assert str(refused.value) == f"series: the numbers must be {REST}"


@pytest.mark.parametrize("with_target", [True, False])
def test_columns_of_a_forecast_are_refused_in_training_and_in_prediction(tmp_path, with_target):
    lines = ["y", *(str(n % 7) for n in range(60)), "1e200"]
    path = write(tmp_path, "a.csv", "\n".join(lines) + "\n")
    with pytest.raises(InputError) as refused:
        read(options(path, target="y", horizon=3), with_target=with_target)
    assert str(refused.value) == f"a.csv: the column y must be {REST}"


def test_targets_of_a_regression_are_refused():
    from ostinato.program.data.examples import Examples
    from ostinato.program.options import NetworkOptions
    from ostinato.program.tasks.regress import Regress

    rows = Examples("features", [np.array([float(k)]) for k in range(3)], "number", [1.0, 1e200, 2.0], ("x",), "y")
    with pytest.raises(InputError) as refused:
        Regress.encode_from(rows, NetworkOptions())
    assert str(refused.value) == f"regress: the targets must be {REST}"
