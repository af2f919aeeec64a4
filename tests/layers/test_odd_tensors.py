"""No tensor is read by its address unless it is what it should be there: the right values, or an error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from layers.odd_tensors import READ, REFUSED, WAYS, survey

pytestmark = pytest.mark.filterwarnings("ignore:.*")
both = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


@pytest.mark.slow
@both
@pytest.mark.parametrize("way", sorted(WAYS))
def test_what_can_be_read_gives_what_a_contiguous_copy_gives(way, dtype):
    survey(way, READ, dtype)


@both
@pytest.mark.parametrize("way", sorted(WAYS))
def test_what_cannot_be_read_is_refused(way, dtype):
    survey(way, REFUSED, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("way", sorted(WAYS))
def test_no_tensor_ends_the_process(way):
    """In a process of its own: an address that leads nowhere ends it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("odd_tensors.py")), way]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0 and found.stdout.strip() == "survived", found.stderr
