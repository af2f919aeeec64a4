"""How far back the log-odds of a verb's forms reach by their gradient: its share at the subject.

Pairs of which as many entries are read before and after the subject are read together. Letters: N pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ....lens import gradient_by_lag
from .odds import Forms, at_the_parting


def shares_at_the_subject(network: nn.Module, forms: Sequence[Forms], ends: np.ndarray) -> np.ndarray:
    """float64 [N], each from 0 to 1: ‖∂ log-odds / ∂s‖ of the state s that has just read the subject, over its largest
    value among the states from there to the verb.

    The log-odds are those of how the two forms go on where they part, with the entry just before as the last step. 1
    where the subject is that step.
    """
    language: Any = network
    device = next(network.parameters()).device
    found = np.ones(len(forms))
    alike: dict[tuple[int, int], list[int]] = {}
    for k, form in enumerate(forms):
        alike.setdefault((form.same, min(form.subject, form.same - 1)), []).append(k)
    for (same, subject), places in alike.items():
        rows = [forms[k] for k in places]
        read = torch.from_numpy(np.stack([f.right[:same] for f in rows], 1).astype(np.int64)).to(device)
        with torch.no_grad():
            x = language.embedding(read)
            state = language.layers(x[:subject])[1] if subject else None
        by_lag = gradient_by_lag(language.layers, x[subject:], at_the_parting(rows, language.head, ends), state=state)
        norms = by_lag.whole
        largest = norms.max(0).values
        found[places] = torch.where(largest > 0, norms[-1] / largest, 0.0).double().cpu().numpy()
    return found
