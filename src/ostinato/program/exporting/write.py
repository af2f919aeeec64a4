"""The files of a plan, written by `ostinato.export.onnx` with the names that its values have."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ...errors import InputError, MissingPackageError, OstinatoError, phrase
from ...export import onnx
from .check import WHERE
from .parts import Called, Part
from .plan import Plan

SIZES = {"T": 5, "B": 3, "S": 4, "W": 6, "K": 2}
"""Sizes of the example that torch.onnx traces a part on: all different, so that none is taken for another."""


def write_plan(plan: Plan, folder: Path) -> None:
    """Writes the files of a plan into a folder.

    Raises MissingPackageError without onnx or onnxscript, InputError for a part that ONNX cannot hold.
    """
    for part in plan.parts:
        try:
            with _without_notices():
                _write(part, folder / part.file)
        except MissingPackageError:
            raise
        except Exception as error:  # torch.onnx raises errors of many classes
            name = f"the part {part.file.removesuffix('.onnx')}"
            remedy = "docs/export.md says what is written."
            raise InputError(phrase(WHERE, name, "one that can be written as ONNX", _reason(error), remedy)) from error


def _reason(error: BaseException) -> str:
    """The first cause of an error, in a line."""
    cause: BaseException = error
    while not isinstance(cause, OstinatoError) and (before := cause.__cause__ or cause.__context__) is not None:
        cause = before
    text = " ".join(str(cause).split())[:300].rstrip(".")
    return text if isinstance(cause, OstinatoError) else f"{type(cause).__name__}: {text}"


def _write(part: Part, path: Path) -> None:
    if part.write is not None:
        part.write(path)
        return
    generator = torch.Generator().manual_seed(0)
    sizes = {**SIZES, "K*B": SIZES["K"] * SIZES["B"]}
    reads = part.reads
    example = tuple(value.made(sizes, generator) for value in reads)
    varies = tuple({k: size for k, size in enumerate(value.shape) if isinstance(size, str)} for value in reads)
    onnx(
        Called(part),
        path,
        example,
        dynamic_shapes={"values": varies},
        input_names=[value.name for value in reads],
        output_names=[value.name for value in part.gives],
    )


@contextmanager
def _without_notices() -> Iterator[None]:
    """torch.onnx logs that torchvision is not installed, which no model here needs."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
