"""Fixtures of the kernels' tests."""

import pytest

from ostinato.kernels import buffers


@pytest.fixture(scope="module")
def poisoned():
    """Memory that the kernels are handed is full of NaN, as with OSTINATO_POISON=1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffers, "_POISON", True)
        yield
