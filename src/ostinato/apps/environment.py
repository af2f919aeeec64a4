"""What a measurement depends on besides the code: the machine and the versions."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from ostinato._version import __version__


def environment() -> dict[str, str | int]:
    """CPU model, cores this process may use, vector unit, torch's threads, and versions, for printing and for JSON."""
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "vector unit": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "llvmlite": version("llvmlite"),
        "ostinato": __version__,
    }


def cpu_model() -> str:
    """The processor's name as the system gives it, or its architecture where the system gives none."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
