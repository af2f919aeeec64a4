"""The state of a fit as a file: everything that the updates after it depend on, so that a killed run goes on exactly.

`state.safetensors` holds the tensors and, in its metadata, the rest as JSON; one rename replaces both together.
`state.json` repeats the JSON for people and is not read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ...errors import InputError, phrase
from ..storage import read_safetensors, write_bytes
from .nested import with_tensors, without_tensors
from .plan import Plan, Speed
from .records import Evaluation

FORMAT = 1
TENSORS, READABLE = "state.safetensors", "state.json"
LIMIT = 1 << 36
WHERE = "resume"


@dataclass(frozen=True)
class State:
    """A fit after `update` updates."""

    update: int
    plan: Plan
    threads: int
    history: list[Evaluation]
    loss_sum: float
    """Of the batches read since the last evaluation, each times its units."""
    loss_units: int
    seconds: float
    """Of the fit so far, over all its runs."""
    speed: Speed
    """As last measured."""
    higher_is_better: bool
    """Of the task's metric."""
    identity: Mapping[str, str]
    """What the state belongs to: hashes of the options, the rows and the network, by name."""
    weights: Mapping[str, Tensor]
    """By name in the network's state_dict, of any shape."""
    best: Mapping[str, Tensor]
    """The best weights so far, likewise."""
    moments: Mapping[str, Tensor]
    """Adam's averages and counts, as `Updater.moments` gives them."""
    carried: Mapping[str, Any] | None = None
    """What the next window of a stream depends on, as `Updater.carried` gives it; None of rows."""


def write_state(folder: Path, state: State) -> None:
    """Replaces the state in a folder. A kill at any moment leaves the state before it or this one, whole.

    Raises StorageError where the disk is full or the folder cannot be written.
    """
    written, tensors = parts_of(state)
    write_bytes(folder / TENSORS, save(tensors, {"state": written}), "train")
    write_bytes(folder / READABLE, written.encode(), "train")


def parts_of(state: State) -> tuple[str, dict[str, Tensor]]:
    """The state as a JSON document and as tensors by name, from which `state_of` makes it again."""
    document = {
        "format": FORMAT,
        "update": state.update,
        "plan": asdict(state.plan),
        "threads": state.threads,
        "history": [line(e) for e in state.history],
        "loss_sum": state.loss_sum,
        "loss_units": state.loss_units,
        "seconds": state.seconds,
        "speed": asdict(state.speed),
        "higher_is_better": state.higher_is_better,
        "identity": dict(state.identity),
    }
    carried: dict[str, Tensor] = {}
    document["carried"] = without_tensors(state.carried, carried)
    groups = {"weights": state.weights, "best": state.best, "moments": state.moments, "carried": carried}
    tensors = {f"{group}/{n}": t.detach().cpu().clone() for group, ts in groups.items() for n, t in ts.items()}
    return json.dumps(document, indent=1), tensors


def read_state(folder: Path, identity: Mapping[str, str]) -> State:
    """The state in a folder.

    Raises InputError where there is none, where it is damaged or of a newer version, and where it belongs to other
    options, rows or weights than `identity` names.
    """
    if not (folder / TENSORS).exists():
        remedy = "Start without --resume; the state is written at the first evaluation."
        raise InputError(phrase(WHERE, "the folder", f"one with {TENSORS}", folder, remedy))
    tensors, metadata = read_safetensors(folder / TENSORS, LIMIT, WHERE)
    try:
        document = json.loads(metadata["state"])
        if document["format"] > FORMAT:
            remedy = "Install the version of ostinato that wrote it, or a later one."
            raise InputError(phrase(WHERE, "the state's format", f"at most {FORMAT}", document["format"], remedy))
        found = state_of(document, tensors)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        received = f"{folder / TENSORS} ({type(error).__name__}: {error})"
        raise InputError(phrase(WHERE, "the state", "one that `ostinato train` wrote", received, "")) from None
    recorded = {"test rows": identity.get("test rows"), **found.identity}  # which earlier versions did not record
    changed = [name for name in identity if recorded.get(name) != identity[name]]
    if changed:
        expected = f"of the same {', '.join(identity)} as this command"
        remedy = "Give the same options and data, or start without --resume in a new folder."
        raise InputError(phrase(WHERE, "the state", expected, f"one of another {', '.join(changed)}", remedy))
    return found


def line(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation as JSON knows it: NaN, which JSON has not, is null."""
    found = asdict(evaluation)
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in found.items()}


def evaluation_of(found: Mapping[str, Any]) -> Evaluation:
    """The evaluation that `line` wrote."""
    values: dict[str, Any] = {k: math.nan if v is None else v for k, v in found.items()}
    return Evaluation(**values)


def state_of(document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> State:
    """The state of which `parts_of` gave the parts."""
    groups: dict[str, dict[str, torch.Tensor]] = {"weights": {}, "best": {}, "moments": {}, "carried": {}}
    for name, tensor in tensors.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = tensor
    carried = with_tensors(document.get("carried"), groups.pop("carried"))
    return State(
        carried=carried,
        update=int(document["update"]),
        plan=Plan(**document["plan"]),
        threads=int(document["threads"]),
        history=[evaluation_of(e) for e in document["history"]],
        loss_sum=float(document["loss_sum"]),
        loss_units=int(document["loss_units"]),
        seconds=float(document["seconds"]),
        speed=Speed(**document["speed"]),
        higher_is_better=bool(document["higher_is_better"]),
        identity=document["identity"],
        **groups,
    )
