"""The result of a training: what the model folder holds of it, and its report page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ...cells import Cell
from ...errors import OstinatoError
from ...lens import Report
from ..data.row_keys import row_hashes
from ..folder.documents import Results
from ..folder.forecasts import left_out_note
from ..folder.save import Trained
from ..options import TrainOptions
from ..page.page import PageContent, report_page
from ..tasks.task import Metric, Predictions
from ..training.fit import Fitted
from .item_samples import item_samples
from .look import look
from .outcome import Outcome, Scored
from .prepare import Prepared

PAGE = "report.html"


@dataclass(frozen=True)
class Run:
    """A finished training."""

    folder: Path
    prepared: Prepared
    network: nn.Module
    fitted: Fitted
    outcome: Outcome | None
    """None where there are no test rows."""
    predictions: Predictions | None
    options: TrainOptions
    notes: tuple[str, ...]
    clean: Sequence[Metric] | None = None
    """The network's metrics without the test rows whose input is a training row's, too; None where there are none."""
    lens: Report | None = None
    """What the lens measured in the trained network."""
    lens_absent: str = "The lens was turned off with --no-lens."
    """Why there is no report of the lens."""

    @property
    def status(self) -> int:
        """0; 1 where the network is not certainly better than a trivial baseline; 130 where it was interrupted."""
        if self.fitted.stopped == "interrupted":
            return 130
        return 0 if self.outcome is None else self.outcome.status


def contents(run: Run, cell: Cell) -> Trained:
    """What the folder holds."""
    prepared, options, outcome = run.prepared, run.options, run.outcome
    results = None
    if outcome is not None and run.predictions is not None:
        details = dict(outcome.network.details)
        definitions = details.pop("definitions", {})
        extra: dict[str, Any] = {"details": details}
        by_step = {b.name: [record["mase"] for record in b.details["by_step"]] for b in beside_steps(outcome)}
        extra |= {"baselines_mase_by_step": by_step} if by_step else {}
        if run.clean is not None:
            extra["without_leaked"] = {m.name: {"value": m.value, "low": m.low, "high": m.high} for m in run.clean}
        table = {b.name: b.metrics for b in outcome.baselines}
        sentence = outcome.sentence()
        results = Results(
            model=outcome.network.metrics, baselines=table, definitions=definitions, sentence=sentence, extra=extra
        )
    dataset = prepared.data.dataset
    return Trained(
        task=prepared.task,
        fitted=run.fitted,
        cell=cell,
        options=options,
        because=dataset.because,
        sources=dataset.sources,
        notes=[*run.notes, *([] if run.predictions is None else left_out_note(prepared.test, run.predictions))],
        results=results,
        test=prepared.test if len(prepared.test) else None,
        predictions=run.predictions,
        split=prepared.data.split,
        row_hashes=row_hashes(dataset.examples),
    )


def beside_steps(outcome: Outcome) -> list[Scored]:
    """The baselines whose errors are counted by step ahead: those of forecasts."""
    return [b for b in outcome.baselines if "by_step" in b.details]


def observed(run: Run) -> Run:
    """The same with the report of the lens, unless it was turned off."""
    if not run.options.run.lens:
        return run
    try:
        return replace(run, lens=look(run.prepared.task, run.network, run.prepared.valid.encoded))
    except OstinatoError as error:
        return replace(run, lens_absent=f"The lens could not observe this network: {error}")
    except Exception as error:  # a training of hours is not lost for what would have been measured in it
        return replace(run, lens_absent=f"The lens could not observe this network: {_said(run, error)}")


def reported(run: Run, cell: Cell) -> tuple[Run, dict[str, bytes]]:
    """The run, and its report page as {name: content}; where it cannot be drawn, without the lens, then without a page.

    The run says which of these it is. An error of a picture does not lose the training.
    """
    try:
        page = page_of(run, cell)
    except Exception as error:
        said = _said(run, error)
        if run.lens is not None:
            without = replace(run, lens=None, lens_absent=f"What the lens found could not be drawn: {said}")
            return reported(without, cell)
        return replace(run, notes=(*run.notes, f"The report page could not be drawn: {said}")), {}
    return run, {PAGE: page.encode("utf-8", "xmlcharrefreplace")}


def _said(run: Run, error: Exception) -> str:
    """An error as a sentence; of a private model without its text, which may name rows."""
    text = "" if run.options.run.private else " ".join(str(error).split())
    return f"{type(error).__name__}{f': {text}' if text else ''}."


def page_of(run: Run, cell: Cell) -> str:
    """The report page."""
    prepared, options, fitted = run.prepared, run.options, run.fitted
    parts = (prepared.train.examples, prepared.valid.examples, prepared.test)
    facts = {
        "updates": f"{fitted.updates} of {fitted.planned_updates} planned",
        "ended by": fitted.stopped,
        "cell": cell.name,
        "weights": sum(p.numel() for p in run.network.parameters()),
        "rows of train, valid, test": ", ".join(str(len(part)) for part in parts),
        "threads": fitted.settings.get("threads"),
        "bits": fitted.settings.get("bits"),
    }
    return report_page(
        PageContent(
            title=run.folder.name,
            because=prepared.data.dataset.because,
            outcome=run.outcome,
            history=fitted.history,
            classes=prepared.task.classes,
            metric=prepared.task.metric,
            truth=prepared.test,
            predictions=run.predictions,
            advice=fitted.advice,
            facts=facts,
            notes=run.notes,
            lens=run.lens,
            lens_absent=run.lens_absent,
            repeat=f"ostinato train --config {run.folder.name}/config.json",
            samples=None if options.run.private else item_samples(prepared, run.network),
            pieces=prepared.task.pieces,
            source_pieces=prepared.task.source_pieces,
            private=options.run.private,
        )
    )
