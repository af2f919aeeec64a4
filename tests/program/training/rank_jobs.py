"""What a rank does in the tests of several processes; runs in forked processes, which write what they found."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch.distributed import TCPStore

from ostinato.apps.cli import main
from ostinato.program.commands.ranks import ranks
from ostinato.program.data.examples import Examples
from ostinato.program.data.text.files import each_text
from ostinato.program.options import FitOptions, NetworkOptions
from ostinato.program.running import train as training
from ostinato.program.tasks.registry import task_named
from ostinato.program.training import roll_call
from ostinato.program.training.evaluate import predict, predict_shared
from ostinato.program.training.feeds import feed_of
from ostinato.program.training.loop import Loop
from ostinato.program.training.records import Part, Silent
from ostinato.program.training.seeds import new_network
from ostinato.program.training.updates import Updater
from program.tasks import made_transcripts, made_windows
from program.training import made
from program.training.test_streams import NextUnit, Predictor, run, text


def run_all(place: str, jobs: str) -> None:
    """Runs the jobs one after another; writes status, output and result of each rank."""
    torch.set_num_threads(1)
    os.chdir(place)
    made.fitted(FitOptions(updates=1))  # the ranks inherit the compiled kernels and the imports
    for job in json.loads(jobs):
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # torchrun holds the store, too
        children = []
        for rank in range(job["size"]):
            child = os.fork()
            if not child:
                _begin(job, rank, store.port)
            children.append(child)
        for rank, child in enumerate(children):
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            _folder(job["name"], rank).joinpath("status").write_text(str(status))


def _folder(name: str, rank: int) -> Path:
    folder = Path("ranks") / f"{name} {rank}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _begin(job, rank: int, port: int) -> None:
    """The life of one rank, to its end."""
    folder = _folder(job["name"], rank)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), number)
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": job["size"], "LOCAL_WORLD_SIZE": job["size"]}
    os.environ |= {name: str(value) for name, value in variables.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    _signals(job.get("do", ()), rank)
    status = 0
    try:
        if "words" in job:
            sys.argv = ["ostinato", *job["words"]]
            main()
        else:
            found = globals()[job["function"]]()
            (folder / "result.json").write_text(json.dumps(found))
    except SystemExit as ended:
        status = ended.code or 0
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        status = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _signals(plans, rank: int) -> None:
    """Sends this rank signals before updates of its fit."""
    plain = Loop._one_update

    def one(self, updater, update, threads=None):
        for whose, at, name in plans:
            if updater is self.updater and (whose, at) == (rank, update):
                os.kill(os.getpid(), getattr(signal, name))
        return plain(self, updater, update, threads)

    Loop._one_update = one


WORDS = ("the", "film", "was", "long", "loud", "plain", "short", "bright", "slow", "new")


def sentences(count: int, seed: int):
    """Lists of 1 to 9 words."""
    draw = np.random.default_rng(seed)
    return [[str(w) for w in draw.choice(WORDS, int(draw.integers(1, 10)))] for _ in range(count)], draw


def examples(task: str, count: int, seed: int) -> Examples:
    """Rows of unequal length with targets of a task."""
    if task == "forecast":
        values = made_windows.seasonal(count + 40, seed=seed)
        values[::7] = np.nan  # the truth of some steps is missing, so that shares differ in their units
        return made_windows.examples(made_windows.windows(made_windows.series(values), 24, count + 23, 24, 3))
    if task == "transcribe":
        return made_transcripts.codes(count, seed)
    rows, draw = sentences(count, seed)
    if task == "music":
        rolls = [(draw.random((3 + len(row), 5)) < 0.4).astype(np.uint8) for row in rows]
        return Examples("roll", rolls, "frames", rolls, ("60", "62", "64", "65", "67"))
    if task == "fill":
        return each_text([" ".join(row) for row in rows])
    if task == "translate":
        return Examples("text", [" ".join(r) for r in rows], "translation", [" ".join(r[::-1][:4]) for r in rows])
    texts = [" ".join(row) for row in rows]
    if task == "tag":
        return Examples("tokens", rows, "tags", [["V" if len(w) > 4 else "N" for w in row] for row in rows])
    if task == "regress":
        return Examples(
            "series", [draw.normal(size=(len(r), 2)) for r in rows], "number", [float(len(r)) for r in rows]
        )
    if task == "labels":
        some = [tuple(w for w in ("film", "slow") if w in row) or ("film",) for row in rows]
        return Examples("text", texts, "labels", some)
    return Examples("text", texts, "class", ["even" if len(row) % 2 else "odd" for row in rows])


NETWORK = NetworkOptions(hidden=6, embedding=5, dropout=0.0)
ONE_DIRECTION = replace(NETWORK, both_directions=False)


def setting(kind: str, batch: int):
    """(task, network, encoded rows, options) of a kind of task; the same on all ranks."""
    options = FitOptions(updates=10, batch=batch, seed=4, k1=3, class_weights="none")
    if kind == "streams":
        task, rows = NextUnit(), text(40, 0)
        torch.manual_seed(7)
        return task, Predictor(), task.encode(Examples("series", rows, "text", rows, successive=True)), options
    train, own = examples(kind, 50, 1), ONE_DIRECTION if kind == "music" else NETWORK
    task = task_named("classify" if kind == "labels" else kind).encode_from(train, own)
    if kind == "classify":
        task.balance(train)
    network = new_network(task, own, 4)
    if kind == "tag":
        network.seen_once = 1000  # no word is read as unknown at random, which is noise as dropout is
    if kind == "fill":
        network.unread = 0.0
    return task, network, task.encode(train), options


KINDS = ("classify", "labels", "regress", "tag", "forecast", "fill", "translate", "transcribe", "music", "streams")


def steps() -> dict[str, list[float]]:
    """Kind and rows of a batch → relative errors: of the first gradient, and of the weights after ten steps of SGD.

    One step has clipping, so that its order counts. Rank 0 compares with one process, on the rows of all.
    """
    found = {}
    with ranks() as world:
        for kind in KINDS:
            for batch in (7, 1):
                trained = []
                for own in (world, None) if world.rank == 0 else (world,):
                    task, network, encoded, options = setting(kind, batch)
                    network.train()
                    feed = feed_of(task, encoded, options, own)
                    updater = Updater(task, network, options, own)
                    sgd = torch.optim.SGD(network.parameters(), lr=0.5)
                    gradient, losses = None, []
                    for update in range(10):
                        losses.append(updater.gradient(feed.batch(update), update))
                        flat = torch.cat([p.grad.reshape(-1) for p in network.parameters()])
                        gradient = flat.clone() if gradient is None else gradient
                        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1)
                        sgd.step()
                    weights = torch.cat([p.detach().reshape(-1) for p in network.parameters()])
                    trained.append((gradient, weights, torch.tensor(losses)))
                if world.rank == 0:
                    found[f"{kind} {batch}"] = [float((a - b).norm() / b.norm()) for a, b in zip(*trained)]
    return found


class ThenStop(Silent):
    """Ends the fit on every rank after an update, as a kill does."""

    def __init__(self, last):
        self.last = last

    def updated(self, update):
        if update == self.last:
            raise RuntimeError("stopped")


def _fit(world, **around):
    """A fit of the made task with dropout; rank 0 has the folder."""
    options = around.pop("options", FitOptions(updates=24, seed=3))
    found, _ = made.fitted(options, world=world, **around)
    return [found.sha256, found.updates, found.stopped, found.planned_updates, [e.metric for e in found.history]]


def fits():
    """Two fits with noise; one by a clock that runs at another speed on each rank; one that rank 1 interrupts."""
    found = {}
    with ranks() as world:
        found["twice"] = [_fit(world), _fit(world)]
        now = [0.0]

        def tick(rows):
            now[0] += 1e-3 * (1 + 2 * world.rank)

        task, first = made.Signs(tick=tick), made.FirstStep
        task.made = first
        options = FitOptions(minutes=1 / 60, seed=3, patience=10_000)
        found["minutes"] = _fit(world, options=options, task=task, clock=lambda: now[0])
        asked = SimpleNamespace(requested=False)

        class Ask(Silent):
            def updated(self, update):
                asked.requested = world.rank == 1 and update >= 7

        found["interrupted"] = _fit(world, listener=Ask(), interruption=asked)
    return found


def resumed_streams():
    """Hashes of a fit on streams that was stopped and resumed, and of one that was not; k2 reaches past a window."""
    found = []
    with ranks() as world:
        for k2 in (None, 7):
            options = FitOptions(updates=40, k1=3, k2=k2, batch=5, learning_rate=0.02, seed=5)
            whole = run(options, dropout=0.2, world=world)
            folder = Path(f"streams-{k2}")
            if world.rank == 0:
                folder.mkdir()
            around = {"folder": folder if world.rank == 0 else None, "world": world}
            try:
                run(options, dropout=0.2, listener=ThenStop(17), **around)
            except RuntimeError as error:
                assert str(error) == "stopped"
            again = run(options, dropout=0.2, resume=world.rank == 0, **around)
            found.append([whole.sha256, again.sha256])
    return found


def shared_predictions():
    """Whether rank 0's predictions and loss, read by all ranks, have the bits of one process."""
    same = {}
    with ranks() as world:
        for kind in KINDS:
            task, network, _, _ = setting(kind, 7)
            rows = text(30, 3) * 40 if kind == "streams" else None
            given = Examples("series", rows, "text", rows) if rows else examples(kind, 150, 9)
            encoded = task.encode(given)
            found = predict_shared(task, network, encoded, "cpu", world, quick=False)
            if found is not None:
                (ours, loss), (theirs, expected) = found, predict(task, network, encoded)
                equal = loss == expected
                for name in ("values", "probabilities", "quantiles", "ranks"):
                    a, b = getattr(ours, name), getattr(theirs, name)
                    equal &= a is b is None or all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
                same[kind] = bool(equal)
            else:
                same[kind] = True
    return same


def other_weights():
    """A fit whose first weights are others on rank 1."""
    with ranks() as world:
        task = made.Signs()
        network = new_network(task, made.SMALL, world.rank)
        _fit(world, network=network, task=task)


def other_rows():
    """A fit whose training rows are others on rank 2."""
    with ranks() as world:
        task = made.Signs()
        data = made.parts(task)
        if world.rank == 2:
            rows = made.rows(65, 5)
            data = [Part(rows, task.encode(rows)), data[1]]
        _fit(world, task=task, data=data)


def error_of_one():
    """Rank 1 has an error of its own, the others wait for it."""
    from ostinato.errors import InputError

    with ranks() as world:
        if world.rank == 1:
            raise InputError("data: the file must be there, got none.")
        world.agree(3)


def dies():
    """Rank 1 ends without a word in the middle of a fit."""
    with ranks() as world:
        world.name_folder("model")

        class Die(Silent):
            def updated(self, update):
                if world.rank == 1 and update == 5:
                    os.kill(os.getpid(), signal.SIGKILL)

        _fit(world, listener=Die())


def not_finite():
    """The loss of rank 1 is NaN at the fourth update."""
    with ranks() as world:
        task, plain = made.Signs(), Updater._own_gradient

        def own(self, batch, update):
            loss, units = plain(self, batch, update)
            return (float("nan") if (world.rank, update) == (1, 3) else loss), units

        Updater._own_gradient = own
        _fit(world, task=task)


def lost_in_baselines():
    """Rank 1 ends while rank 0 fits baselines; rank 0 then gets the signal that torchrun sends."""

    def busy(*_):
        while not Path("ended").exists() or roll_call._runs(int(Path("ended").read_text())):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal has not ended the command")

    def end(*_):
        Path("ending").write_text(str(os.getpid()))
        Path("ending").rename("ended")
        os.kill(os.getpid(), signal.SIGKILL)

    training.fit_baselines, training.fitted_network = busy, end
    sys.argv = ["ostinato", "train", "reviews.csv", "--target", "label", "--out", "early", "--quiet", "--no-lens"]
    main()


def gone_before():
    """Rank 1 ends while rank 0 is busy; what rank 0 then finds out without waiting."""
    with ranks() as world:
        world.agree(0)
        if world.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        while world.all_run():
            pass


def agreed():
    """Values of all kinds that rank 0 sends, and what ranks send it."""
    with ranks() as world:
        long = {"text": "é" * 5000, "pair": (1, 2.5), "none": None, "array": np.arange(3.0), "nan": float("nan")}
        found = world.agree(long if world.rank == 0 else None)
        short = world.agree([world.rank, True], patient=True)
        assert isinstance(found["pair"], tuple) and isinstance(found["array"], np.ndarray)
        gathered = world.gather({"rank": world.rank, "tensor": torch.ones(world.rank, 2)})
        shapes = None if gathered is None else [[g["rank"], list(g["tensor"].shape)] for g in gathered]
        return [len(found["text"]), found["array"].tolist(), found["nan"] != found["nan"], short, shapes]
