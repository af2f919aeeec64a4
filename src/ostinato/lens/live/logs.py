"""Writers of live measurements: JSON lines, or TensorBoard's event files."""

from __future__ import annotations

import json
import math
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from ...errors import InputError, phrase
from ..report.format import to_dict
from .measures import Measures

_WHERE = "lens.Live"


class Log(Protocol):
    """A receiver of measurements: any object with these two methods."""

    def write(self, step: int, measures: Measures) -> None:
        """Writes the measurements of one step of training."""

    def close(self) -> None:
        """No more measurements follow."""


def open_log(target: Any) -> Log:
    """A log of a name that ends in .jsonl (JSON lines), of another (TensorBoard's folder), or of a SummaryWriter."""
    if isinstance(target, str | PathLike):
        path = Path(target)
        return JsonLines(path) if path.suffix == ".jsonl" else TensorBoard(path)
    if callable(getattr(target, "write", None)) and callable(getattr(target, "close", None)):
        return target
    if all(callable(getattr(target, name, None)) for name in ("add_scalar", "add_histogram_raw", "add_text")):
        return TensorBoard(target)
    expected = "a folder for TensorBoard, a file.jsonl, a SummaryWriter, or an object with write and close"
    raise InputError(phrase(_WHERE, "log", expected, type(target).__name__, 'Write log="runs/first".'))


class JsonLines:
    """One JSON object a line, appended: {"step", "scalars", "histograms", "verdict"}.

    scalars {name: number}, histograms {name: {edges, shares}}, verdict [sentence]. A line is on the disk when `write`
    returns. inf is the text "inf".
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            received = f"{path} ({error.strerror})"
            raise InputError(phrase(_WHERE, "log", "a file that can be written", received, "Name another.")) from None

    def write(self, step: int, measures: Measures) -> None:
        histograms = {name: {"edges": edges, "shares": shares} for name, (edges, shares) in measures.histograms.items()}
        line = {"step": step, "scalars": measures.scalars, "histograms": histograms, "verdict": list(measures.verdict)}
        self._file.write(json.dumps(to_dict(line), ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TensorBoard:
    """Event files in a folder, or a SummaryWriter that the caller has opened and will close."""

    def __init__(self, target: Any) -> None:
        self._own = isinstance(target, Path)
        self._writer = _summary_writer(target) if self._own else target

    def write(self, step: int, measures: Measures) -> None:
        for name, value in measures.scalars.items():
            self._writer.add_scalar(name, value, step)
        for name, (edges, shares) in measures.histograms.items():
            middle = (edges[1:] + edges[:-1]) / 2
            mean = float((shares * middle).sum())
            square = float((shares * middle.square()).sum())
            if math.isfinite(mean):
                limits, counts = edges[1:].tolist(), shares.tolist()
                low, high = float(edges[0]), float(edges[-1])
                self._writer.add_histogram_raw(name, low, high, 1.0, mean, square, limits, counts, step)
        if measures.verdict:
            self._writer.add_text("verdict", "\n".join(f"- {sentence}" for sentence in measures.verdict), step)
        self._writer.flush()

    def close(self) -> None:
        if self._own:
            self._writer.close()


def _summary_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        received = f"{str(folder)!r} without the package tensorboard"
        remedy = "pip install tensorboard, or write JSON lines: log='lens.jsonl'."
        raise InputError(phrase(_WHERE, "log", "a folder for TensorBoard's files", received, remedy)) from None
    try:
        return SummaryWriter(folder)
    except OSError as error:
        received = f"{folder} ({error.strerror})"
        raise InputError(phrase(_WHERE, "log", "a folder that can be written", received, "Name another.")) from None
