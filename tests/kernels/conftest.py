"""Fixtures of the kernels' tests."""

import pytest

from ostinato.kernels.system import memory_pool


@pytest.fixture(scope="module")
def poisoned():
    """Memory that the kernels are handed is full of NaN, as with OSTINATO_POISON=1."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory_pool, "_POISON", True)
        patch.setattr(memory_pool, "LIKE_BYTES", 0)
        yield
