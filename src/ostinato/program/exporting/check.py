"""Compares the files of an export with the program's own network, in ONNX Runtime, on made inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from ...errors import InputError, MissingPackageError, phrase
from .plan import Arrays, Plan

WHERE = "ostinato export"
BATCHES = 8
"""Made batches of different lengths."""
MOST = 1e-4
"""The largest difference at most, of the largest number that the network gives, or of 1 where that is less."""


@dataclass(frozen=True)
class Checked:
    """What a comparison found."""

    inputs: int
    """Made rows."""
    difference: float
    """The largest between a number of ONNX Runtime and the same of the program's network."""
    largest: float
    """The largest number, without its sign, that the network gave."""
    runtime: str
    """The version of ONNX Runtime."""

    def sentence(self) -> str:
        """For the terminal."""
        return (
            f"ONNX Runtime {self.runtime} and the network differ by at most {self.difference:.1e} over {self.inputs} "
            f"made inputs; the largest number is {self.largest:.3g}."
        )

    def content(self) -> dict[str, Any]:
        """For model.json and --json."""
        found = {"inputs": self.inputs, "largest_difference": self.difference, "largest_number": self.largest}
        return {**found, "onnxruntime": self.runtime}


def runtime() -> ModuleType:
    """The package onnxruntime. Raises MissingPackageError where it is not installed."""
    try:
        return import_module("onnxruntime")
    except ImportError as error:
        remedy = "Install it: pip install onnxruntime, or write --no-check."
        expected = "installed, to compare the files with the network"
        raise MissingPackageError(phrase(WHERE, "the package onnxruntime", expected, "none", remedy)) from error


def checked(plan: Plan, folder: Path, library: Any) -> Checked:
    """Runs the files in a folder. Raises InputError where they give other numbers than the network."""
    options = library.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {
        part.file: library.InferenceSession(str(folder / part.file), options, providers=["CPUExecutionProvider"])
        for part in plan.parts
    }

    def run(file: str, given: Mapping[str, Any]) -> Arrays:
        feeds = {name: np.asarray(value) for name, value in given.items()}
        names = [output.name for output in sessions[file].get_outputs()]
        return dict(zip(names, sessions[file].run(None, feeds), strict=True))

    generator, difference, largest = torch.Generator().manual_seed(0), 0.0, 0.0
    for _ in range(BATCHES):
        with torch.no_grad():
            pairs = plan.compare(run, generator)
        for found, expected in pairs:
            a, b = (np.asarray(array, np.float64) for array in (found, expected))
            largest = max(largest, float(np.abs(b).max(initial=0.0)))
            difference = max(difference, float(np.abs(a - b).max(initial=0.0)) if a.shape == b.shape else np.inf)
    if not difference <= MOST * max(1.0, largest):
        received = f"{difference:.1e} where the largest number is {largest:.3g}"
        remedy = "Write --no-check to have the files, and report the model's options."
        limit = f"at most {MOST:g} of the largest number"
        raise InputError(phrase(WHERE, "the difference from the network in ONNX Runtime", limit, received, remedy))
    return Checked(BATCHES * plan.most["B"], difference, largest, library.__version__)
