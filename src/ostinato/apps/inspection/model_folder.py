"""A folder that `ostinato train` wrote: its network under the lens, on validation rows of the training or others."""

from pathlib import Path
from typing import Any

from ostinato.errors import InputError, phrase
from ostinato.lens import Report
from ostinato.program.data.examples import Examples
from ostinato.program.data.read import read
from ostinato.program.running.evaluate import rows_again
from ostinato.program.running.look import look
from ostinato.program.running.model import open_model
from ostinato.program.running.unlabelled import for_another_file

from .saved import WHERE, check_finite


def folder_page(folder: Path, data: Path | None, rows: int) -> tuple[Report, dict[str, Any]]:
    """The report of a trained network, and what `Report.to_html` takes besides.

    One pass forward and back over at most `rows` rows, evenly spread by length: of `data`, which has the columns of
    the training with targets, or the validation rows of the training. Nothing is learned or written.

    Raises InputError for a folder that cannot be loaded, and for rows without targets.
    """
    opened = open_model(folder)
    config, task, network = opened.config, opened.task, opened.network
    check_finite(network)
    if data is None:
        examples, words = _validation_rows(config, task), "validation rows of the training"
    else:
        examples, words = read(for_another_file(config.options.data, data)).examples, data.name
    if examples.targets is None or not len(examples):
        remedy = "Give a file with the target column: --data FILE."
        raise InputError(phrase(WHERE, "the rows", "rows with targets", "none", remedy))
    report = look(task, network, task.encode(examples), rows)
    about = {"model": folder.name, "task": config.because, "rows": f"{min(rows, len(examples))} of {words}"}
    return report, {"title": f"{folder.name}, after training", "about": about}


def _validation_rows(config: Any, task: Any) -> Examples:
    examples, parts = rows_again(config.options.data, config.sources)
    task.recall(examples.take(parts.train))
    return examples.take(parts.valid)
