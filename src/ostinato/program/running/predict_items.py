"""What `predict` answers with a model of items: the nats of rows that have a text, an item for rows that have none."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..data.examples import Examples
from ..data.read import read, read_one
from ..data.rows import Rows
from ..data.tables import Table
from ..data.text.files import are_texts
from ..folder.documents import predictions_csv, row_name
from ..folder.escape import table_cell
from ..folder.passage_table import nats_answer
from ..options import DataOptions
from ..training.evaluate import predict
from .evaluate import test_rows
from .model import Model
from .unlabelled import for_another_file
from .writing import Request, Writer, named_values

WHERE = "ostinato predict"


def items_table(opened: Model, data: Path | None, say: Callable[[str], None]) -> str:
    """CSV of the rows of a file, or of the test rows: nats of their texts, or an item for each row without a text."""
    options = opened.config.options.data
    if data is None:
        examples, _ = test_rows(options, opened.config.sources, opened.task)
    else:
        other = for_another_file(options, data)
        examples = read(other, with_target=has_target(other)).examples
    if examples.targets is not None:
        found = predict(opened.task, opened.network, opened.task.encode(examples))[0]
        return predictions_csv(examples, found)
    return written_table(Writer(opened.task, opened.network, WHERE), examples)


def has_target(options: DataOptions) -> bool:
    """Whether the first file of the options has the target; a line of a text is one."""
    if are_texts(options):
        return True
    piece = read_one(options.paths[0], options, with_target=False)
    return (
        options.target in piece.frame.columns
        if isinstance(piece, Table)
        else isinstance(piece, Rows) and piece.targets is not None
    )


def written_table(writer: Writer, examples: Examples) -> str:
    """id, the values of each row, and an item that is written for them; the seed is 0."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow([table_cell(cell) for cell in ("id", *examples.channels, "written")])
    for row, values in enumerate(examples.inputs):
        named = named_values(examples.channels, values)
        text = writer.write(Request(given=named), row).text
        table.writerow([table_cell(cell) for cell in (row_name(examples, row), *named.values(), text)])
    return file.getvalue()


def line_answer(opened: Model, line: str, number: int) -> str:
    """The answer to a line: an item for its values, tabs between them; of a model without a condition, its nats."""
    task: Any = opened.task
    columns = task.conditions.columns
    if not columns:
        examples = Examples("given", [()], "text", [line])
        nats = predict(task, opened.network, task.encode(examples))[0].values[0]
        return nats_answer(nats)
    writer = Writer(task, opened.network, WHERE)
    given = dict(zip(columns, line.split("\t")))
    return writer.write(Request(given=given), number).text
