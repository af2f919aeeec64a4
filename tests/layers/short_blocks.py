"""Calls whose blocks of the weights' gradients are short, so that small calls have many of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ostinato.kernels.runtime import api as kernels_run
from ostinato.kernels.runtime import row_partition
from ostinato.kernels.system import memory_pool

BLOCK = 6
"""Rows of a block: two steps of three rows."""


@contextmanager
def short_blocks() -> Iterator[None]:
    """Blocks of BLOCK rows, and memory full of NaN."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_partition, "BLOCK_ROWS", BLOCK)
        patch.setattr(memory_pool, "_POISON", True)
        forget()
        yield
    forget()


def forget() -> None:
    """What the kernels worked out for calls of the sizes that they have seen."""
    kernels_run._dense_plan.cache_clear()
    kernels_run._ragged_plan.cache_clear()
