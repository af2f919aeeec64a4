"""The fit: updates, evaluations, early stopping and the best weights, within a budget of time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from ...errors import InputError, phrase
from ..digest import examples_sha256, json_sha256, weights_sha256
from ..options import FitOptions
from ..tasks.task import Task
from .batches import usual_batch
from .evaluate import predict
from .loop import Loop
from .records import Evaluation, Fitted, Part, Surroundings
from .state import State, parts_of, read_state, state_of
from .threads import ThreadCount, torch_on_one_thread
from .world import check_same, check_size

__all__ = ["Evaluation", "Fitted", "Part", "Surroundings", "fit"]


def fit(
    task: Task,
    network: nn.Module,
    train: Part,
    valid: Part,
    options: FitOptions,
    surroundings: Surroundings | None = None,
) -> Fitted:
    """Trains `network` in place on the rows of `train`, and leaves it with the best weights by the rows of `valid`.

    Its task's `calibrate` follows, with the best weights and these rows.

    The same arguments and the same number of updates give the same bits of the weights, on any number of threads of one
    kind of machine, in one run or in several that a kill divides. Evaluation points, learning rate and early stopping
    are functions of the count of updates; the time can only end the run, and then the result is as of the last
    evaluation point. Several processes, each of which calls this with its own `surroundings.world`, share every batch:
    the weights are those of one process but for rounding, and the same bits for one number of processes.

    Raises InputError for a part without rows, for class weights that the task does not have, and for a state to resume
    that belongs to something else; NotFiniteError for a loss that is inf or NaN; StorageError where the first state
    cannot be written (a later one that cannot is noted and the fit goes on).
    """
    where = surroundings or Surroundings()
    for name, part in (("training", train), ("validation", valid)):
        if not len(part.examples) or part.examples.targets is None:
            remedy = "Give more rows, or change --valid and --test."
            received = "none" if not len(part.examples) else "rows without targets"
            raise InputError(phrase("fit", f"the {name} rows", "at least one, with a target", received, remedy))
    if options.class_weights == "balanced":
        task.balance(train.examples)
    elif options.class_weights != "none":
        remedy = "Write --class-weights balanced."
        raise InputError(phrase("fit", "class_weights", "none or balanced", repr(options.class_weights), remedy))
    if train.encoded.streams is None:
        lengths = (train.encoded.training or train.encoded).lengths
        options = replace(options, batch=options.batch or usual_batch(lengths))
    identity = {
        "options": json_sha256({name: getattr(options, name) for name in decisive(options)}),
        "training rows": examples_sha256(train.examples),
        "validation rows": examples_sha256(valid.examples),
        "network": json_sha256([[n, str(t.dtype), list(t.shape)] for n, t in network.state_dict().items()]),
    }
    if where.test_rows is not None:
        identity["test rows"] = where.test_rows
    if where.settings is not None:
        check_size("fit", where.settings, where.world.size)
    state = _resumed(where, identity)
    recorded = state.threads if state is not None else (where.settings or {}).get("threads")
    given = options.threads or recorded
    most = where.world.agree(where.world.threads())
    threads = ThreadCount.fixed(given) if given else ThreadCount.chosen_by_time(most)
    devices = [] if options.device == "cpu" else [torch.device(options.device)]
    network.to(options.device)
    if state is None and where.world.size > 1:
        check_same(where.world, {**identity, "first weights": weights_sha256(network.state_dict())})
    with torch.random.fork_rng(devices=devices), torch_on_one_thread(threads.count):
        judged = judged_rows(task, valid)
        found = Loop(task, network, train, judged, options, where, identity, threads).run(state)
        task.calibrate(valid.examples, lambda encoded: predict(task, network, encoded, options.device)[0])
        return found


def judged_rows(task: Task, valid: Part) -> Part:
    """The validation rows that the evaluations of a fit read: all, or `most_judged` of the task, evenly spaced."""
    most, count = task.most_judged, len(valid.examples)
    if most is None or count <= most:
        return valid
    few = valid.examples.take([k * count // most for k in range(most)])
    return Part(few, task.encode(few))


DECISIVE = ("updates", "batch", "learning_rate", "clip", "patience", "k1", "k2", "class_weights", "seed")
"""The options that the weights depend on, the time apart."""


def decisive(options: FitOptions) -> tuple[str, ...]:
    """`DECISIVE`, and the decay where there is one: a state that was saved without this option goes on."""
    return (*DECISIVE, "weight_decay") if options.weight_decay else DECISIVE


def _resumed(where: Surroundings, identity: Mapping[str, str]) -> State | None:
    """The state to go on from, which rank 0 reads for all; None: from the beginning.

    The other ranks may wait here while rank 0 fits baselines.
    """
    if not where.world.agree(where.resume, patient=True):
        return None
    state = None
    if where.world.rank == 0:
        if where.folder is None:
            raise InputError(phrase("fit", "folder", "the folder of the state to resume", "none"))
        state = read_state(where.folder, identity)
    if where.world.size == 1:
        return state
    document, tensors = where.world.agree(None if state is None else parts_of(state))
    return state_of(json.loads(document), tensors)
