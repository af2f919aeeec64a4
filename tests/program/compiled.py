"""Programs in C that are linked with an exported network, for the tests of `ostinato export --c`."""

import shutil
import subprocess

import numpy as np
import pytest
import torch

STRICT = ("gcc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")


def built(place, program):
    """What a program of C prints that is linked with the network of a folder."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed, so no C is compiled")
    (place / "main.c").write_text(program, encoding="utf-8")
    network = next(name for name in ("net.o", "net.c") if (place / name).exists())
    command = [*STRICT, "main.c", network, "-o", "main"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return subprocess.run(["./main"], cwd=place, capture_output=True, text=True, check=True).stdout


HEAD = """#include <stdio.h>
#include <string.h>
#include "net.h"
#include "net_values.h"
static union { float aligned; unsigned char bytes[NET_STATE_BYTES]; } state;
static union { float aligned; unsigned char bytes[NET_WORK_BYTES]; } work;
static void show(const float *y, unsigned n)
{
    for (unsigned k = 0; k < n; k++) { uint32_t bits; memcpy(&bits, y + k, 4); printf("%08x ", (unsigned)bits); }
    printf("\\n");
}
"""


def bits_of(out):
    """float32 [T, O] of the lines that `show` prints."""
    rows = [[int(word, 16) for word in line.split()] for line in out.splitlines()]
    return torch.from_numpy(np.array(rows, np.uint32).view(np.float32))


def readme_program(place):
    """The program of README.txt."""
    text = (place / "README.txt").read_text(encoding="utf-8")
    return "\n".join(line[4:] for line in text.split("other files:\n\n")[1].splitlines()) + "\n"
