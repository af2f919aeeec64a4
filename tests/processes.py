"""Real processes of one process group, each running the same code with its own rank."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

_BEGIN = """
import os, sys, torch
from torch import distributed, nn
rank, place, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
distributed.init_process_group("gloo", init_method=f"file://{place}/meeting", rank=rank, world_size=count)
"""
_END = """
distributed.barrier()
distributed.destroy_process_group()
os._exit(0)  # the interpreter's own end now and then aborts while a thread of the process group is still about
"""


def in_two_processes(code, place, count=2):
    """Runs `code` in both, or in `count` of them; `rank`, `place`, `count`, torch, nn and distributed are known to it.

    An error of any is raised.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-W", "ignore", "-c", _BEGIN + textwrap.dedent(code) + _END]
    running = [
        subprocess.Popen(
            [*command, str(rank), str(place), str(count)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent,
        )
        for rank in range(count)
    ]
    try:
        for process in running:
            _, said = process.communicate(timeout=120)
            assert process.returncode == 0, said
    finally:
        for process in running:
            process.kill()
            process.communicate()
