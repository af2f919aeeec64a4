"""One pass forward and back under `lens.watch`, and what a page says besides the record.

Letters: T steps, B rows, N characters of a text.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ostinato.apps.models import CharModel
from ostinato.apps.training import windows
from ostinato.layers import convert
from ostinato.lens import Report, fold, gate_values, watch
from ostinato.loss import sequence_loss

from .user_example import Example, loss_of

ROWS, STEPS = 16, 100
READ = 80
"""Steps of the picture of the gates, so many that the characters below it can be read."""


def text_page(
    model: CharModel,
    alphabet: str,
    ids: Tensor,
    *,
    title: str,
    about: Mapping[str, object],
    rows: int = ROWS,
    steps: int = STEPS,
) -> tuple[Report, dict[str, Any]]:
    """The report of a character model on ids [N], and what `Report.to_html` takes besides: title, facts, pictures.

    B = `rows` windows of T = `steps` characters, fewer in a shorter text, evenly spread; the loss is the mean cross
    entropy of each next character, as in training. Nothing is learned, and gradients are as before afterwards.
    """
    read = windows(ids, rows, min(steps + 1, len(ids)))
    kept = [p.grad for p in model.parameters()]
    model.zero_grad()
    with watch(model) as looking:
        loss = sequence_loss(model(read[:-1])[0], read[1:])
        loss.backward()
    for p, grad in zip(model.parameters(), kept):
        p.grad = grad
    first = read[:READ, :1]
    with torch.no_grad():
        values = gate_values(model.layer, model.embedding(first))
    pictures: dict[str, Any] = {"The model, folded": fold(model, first)}
    tokens = [alphabet[k] for k in first[:, 0].tolist()]
    if values:
        # matplotlib takes half a second to import
        from ostinato.lens.pictures import gates_picture

        pictures["The gates while it reads"] = gates_picture(
            {name: v[:, 0] for name, v in values.items()}, tokens, title=""
        )
    facts = {**about, "bits per character of what was read here": loss.item() / math.log(2)}
    return looking.report(), {"title": title, "about": facts, "pictures": pictures}


def example_page(given: Example, name: str) -> tuple[Report, dict[str, Any]]:
    """The same of a model and a batch of the user's; recurrent layers of torch.nn become ostinato's first."""
    conversion = convert(given.model)
    with watch(given.model) as looking:
        loss = loss_of(given, name)
        loss.backward()
    facts: dict[str, object] = {"loss": loss.item()}
    if conversion.swapped or conversion.left:
        facts["recurrent layers of torch.nn"] = str(conversion).replace("\n", "; ")
    pictures = {"The model, folded": fold(given.model, *given.batch)}
    return looking.report(), {"title": name, "about": facts, "pictures": pictures}
