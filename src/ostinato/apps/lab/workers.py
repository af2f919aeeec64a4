"""Trains cases one after the other in this process, or in parallel in worker processes."""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from threading import current_thread, main_thread

import torch

from ostinato.errors import OstinatoError, phrase

from .experiment import Result, TrainingRun
from .record import CheckpointStore
from .settings import WHERE, Case

SAVED_EVERY = 20.0
"""Seconds between two checkpoints of a running case: the most that a crash loses."""
ShouldStop = Callable[[], bool]
"""Whether running cases must be saved and stopped now."""


@dataclass(frozen=True)
class CaseProgress:
    """The progress of a running case: its updates so far, its error, and at the end its result."""

    case: Case
    updates: int
    error: float
    result: Result | None = None


def train(case: Case, store: CheckpointStore, should_stop: ShouldStop) -> Iterator[CaseProgress]:
    """Trains one case and yields its progress. When `should_stop()` is true, it saves the case and returns."""
    run = TrainingRun(case)
    kept = store.load(case)
    if kept is not None:
        run.load_state_dict(kept)
    saved = time.monotonic()
    while run.result is None:
        ending = should_stop()
        if ending or time.monotonic() - saved > SAVED_EVERY:
            store.save(case, run.state_dict())
            saved = time.monotonic()
        if ending:
            return
        run.advance(should_stop)
        yield CaseProgress(case, run.updates, run.error, run.result)


def in_sequence(cases: Iterable[Case], folder: Path, should_stop: ShouldStop) -> Iterator[CaseProgress]:
    """Trains one case after the other in this process, with one thread as `in_parallel` does.

    Orthogonal initial weights come from a matrix decomposition whose last bits depend on the number of threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for case in cases:
            if should_stop():
                return
            yield from train(case, CheckpointStore(folder), should_stop)
    finally:
        torch.set_num_threads(threads)


def in_parallel(cases: Iterable[Case], folder: Path, should_stop: ShouldStop, count: int) -> Iterator[CaseProgress]:
    """Trains the cases in `count` processes and yields progress as it arrives. An error in a process is raised here."""
    context = multiprocessing.get_context("spawn")
    stop, waiting = context.Event(), iter(cases)
    processes: dict[Connection, BaseProcess] = {}
    busy: dict[Connection, Case] = {}

    def assign(pipe: Connection) -> None:
        case = None if should_stop() else next(waiting, None)
        busy.pop(pipe, None)
        if case is not None:
            busy[pipe] = case
            pipe.send(case)

    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process: BaseProcess = context.Process(target=_worker, args=(theirs, folder, stop), daemon=True)
            with _ignoring_sigint():
                process.start()
            theirs.close()
            processes[ours] = process
            assign(ours)
        while busy:
            for pipe in [pipe for pipe in wait(list(busy), timeout=0.1) if isinstance(pipe, Connection)]:
                try:
                    message = pipe.recv()
                except EOFError:
                    processes[pipe].join()
                    received = f"exit status {processes[pipe].exitcode} during {busy[pipe]}"
                    remedy = "Finished cases are kept; run the same command again to continue."
                    raise OstinatoError(
                        phrase(WHERE, "a worker process", "running until its last case", received, remedy)
                    ) from None
                if isinstance(message, CaseProgress):
                    yield message
                elif message is None:
                    assign(pipe)
                else:
                    raise message
            if should_stop():
                stop.set()
    finally:
        stop.set()
        for pipe, process in processes.items():
            if process.is_alive():
                pipe.send(None)
        for process in processes.values():
            process.join()


@contextmanager
def _ignoring_sigint() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C, which a terminal sends to all of them; the parent stops them."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _worker(pipe: Connection, folder: Path, stop: Event) -> None:
    """Trains the cases received from the pipe. Sends their progress, then None, or the exception that was raised."""
    torch.set_num_threads(1)
    store = CheckpointStore(folder)
    try:
        while (case := pipe.recv()) is not None:
            try:
                for progress in train(case, store, stop.is_set):
                    pipe.send(progress)
                pipe.send(None)
            except Exception as error:
                pipe.send(error)
    except (EOFError, BrokenPipeError):
        return  # the parent process has ended
