"""One step of an exported LSTM in a C program on this machine: nanoseconds, beside a step of a stream's push.

    python benchmarks/step_time.py [--write docs/chips.md]

The program is compiled by cc from the object that ostinato.export.c writes, passes its self-test first, and then runs
steps in a loop on one thread, the best of many repeats.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from report import fill, markdown_table, measured

import ostinato
from ostinato.kernels.system.target import host

UNITS = (16, 32, 64, 128)
STEPS, REPEATS = 20_000, 30
TARGETS = {"avx512": "x86-64-v4", "avx2": "x86-64-v3", "aarch64": "aarch64"}

PROGRAM = """
#include <stdio.h>
#include <time.h>
#include "net.h"
static union { float aligned; unsigned char bytes[NET_STATE_BYTES]; } state;
static union { float aligned; unsigned char bytes[NET_WORK_BYTES]; } work;
int main(void)
{
    float x[NET_INPUT] = {0.5f}, y[NET_OUTPUT];
    double best = 1e9;
    for (int k = 0; k < REPEATS; k++) {
        struct timespec a, b;
        net_reset(&state);
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (int t = 0; t < STEPS; t++)
            net_step(&state, &work, x, y);
        clock_gettime(CLOCK_MONOTONIC, &b);
        double spent = (b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec);
        if (spent < best)
            best = spent;
    }
    printf("%f\\n", best / STEPS);
    return 0;
}
"""


def in_c(layer: ostinato.LSTM) -> float:
    """Nanoseconds of net_step, after the self-test."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "net"
        ostinato.export.c(layer, place, target=TARGETS[host().name])
        (place / "time.c").write_text(PROGRAM, encoding="ascii")
        sizes = [f"-DSTEPS={STEPS}", f"-DREPEATS={REPEATS}"]
        for sources, program in ((["net_test.c", "net_tools.c"], "test"), ([*sizes, "time.c"], "time")):
            subprocess.run(["cc", "-O2", *sources, "net.o", "-o", program], cwd=place, check=True)
        subprocess.run(["./test"], cwd=place, check=True, stdout=subprocess.DEVNULL)
        return float(subprocess.run(["./time"], cwd=place, check=True, capture_output=True, text=True).stdout)


def in_a_push(layer: ostinato.LSTM) -> float:
    """Nanoseconds of a step of a long push."""
    stream, x, best = ostinato.stream(layer), torch.full((STEPS, 1, layer.input_size), 0.5), float("inf")
    for _ in range(REPEATS):
        begin = time.perf_counter_ns()
        stream.push(x)
        best = min(best, time.perf_counter_ns() - begin)
    return best / STEPS


def main() -> int:
    """Prints a line for each size."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--write", type=Path, help="a page with the markers of `step-time`")
    chosen = options.parse_args()
    rows = []
    for units in UNITS:
        torch.manual_seed(0)
        layer = ostinato.LSTM(units, units)
        rows.append([f"LSTM {units}", f"{in_c(layer):.0f}", f"{in_a_push(layer):.0f}"])
        print(", ".join(rows[-1]), flush=True)
    if chosen.write:
        heads = ["layer, as many inputs as units", "net_step, ns", "a step of a push, ns"]
        fill(chosen.write, "step-time", measured(markdown_table(heads, rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
