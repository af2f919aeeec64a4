"""What the option checkpoint= may be, and what is refused."""

import re

import pytest

import ostinato
from ostinato.errors import InputError
from ostinato.execution.checkpoint import Checkpoint, read_checkpoint


@pytest.mark.parametrize(
    "text, found", [("2GB", 2 * 10**9), ("500MB", 5 * 10**8), ("1.5 kB", 1500), (" 64 b ", 64), ("1tb", 10**12)]
)
def test_budgets_are_read(text, found):
    assert read_checkpoint(text, "GRU", 4) == Checkpoint(0, found, 4)


@pytest.mark.parametrize("option", [0, -3, True, 2.5, "", "square", "2", "-2GB", "2GiB", "0MB", b"2GB", ("sqrt",)])
def test_other_options_are_refused(option):
    for kind in ("RNN", "GRU", "LSTM", "Recurrent"):
        expected = 'None, "sqrt", a number of segments, or a budget such as "2GB" or "500MB"'
        message = re.escape(f"{kind}: checkpoint must be {expected}, got {option!r}. Segments are counted from 1")
        with pytest.raises(InputError, match=message):
            getattr(ostinato, kind)(*(["gru"] if kind == "Recurrent" else []), 3, 5, checkpoint=option)
    layer = ostinato.GRU(3, 5)
    with pytest.raises(InputError, match="GRU: checkpoint must be None"):
        layer.checkpoint = option
