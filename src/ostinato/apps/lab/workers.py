"""Cases trained one after the other in this process, or several at a time in processes of their own."""

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

from .experiment import Result, Run
from .record import Shelf
from .settings import WHERE, Case

SAVED_EVERY = 20.0
"""Seconds after which a case that is running is put on the shelf, so that a crash loses no more than these."""
Over = Callable[[], bool]


@dataclass(frozen=True)
class Look:
    """What is known of a case that is running: its updates so far, the error, and at its end the result."""

    case: Case
    updates: int
    error: float
    result: Result | None = None


def train(case: Case, shelf: Shelf, over: Over) -> Iterator[Look]:
    """One case, a look after every few updates. When `over` says so, it is put on the shelf as it is."""
    run = Run(case)
    kept = shelf.take(case)
    if kept is not None:
        run.take_up(kept)
    saved = time.monotonic()
    while run.result is None:
        ending = over()
        if ending or time.monotonic() - saved > SAVED_EVERY:
            shelf.put(case, run.put_down())
            saved = time.monotonic()
        if ending:
            return
        run.advance(over)
        yield Look(case, run.updates, run.error, run.result)


def alone(cases: Iterable[Case], folder: Path, over: Over) -> Iterator[Look]:
    """One case after the other, in this process, with one thread as in `together`.

    The first values of orthogonal weights come from a decomposition whose last bits depend on the number of threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for case in cases:
            if over():
                return
            yield from train(case, Shelf(folder), over)
    finally:
        torch.set_num_threads(threads)


def together(cases: Iterable[Case], folder: Path, over: Over, count: int) -> Iterator[Look]:
    """The same by `count` processes, looks as they come. An error in a process is raised here."""
    context = multiprocessing.get_context("spawn")
    stop, waiting = context.Event(), iter(cases)
    crew: dict[Connection, BaseProcess] = {}
    busy: dict[Connection, Case] = {}

    def give(pipe: Connection) -> None:
        case = None if over() else next(waiting, None)
        busy.pop(pipe, None)
        if case is not None:
            busy[pipe] = case
            pipe.send(case)

    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process: BaseProcess = context.Process(target=_worker, args=(theirs, folder, stop), daemon=True)
            with _deaf():
                process.start()
            theirs.close()
            crew[ours] = process
            give(ours)
        while busy:
            for pipe in [pipe for pipe in wait(list(busy), timeout=0.1) if isinstance(pipe, Connection)]:
                try:
                    message = pipe.recv()
                except EOFError:
                    crew[pipe].join()
                    received = f"exit status {crew[pipe].exitcode} during {busy[pipe]}"
                    remedy = "What was finished is kept; the same command goes on."
                    raise OstinatoError(phrase(WHERE, "a worker", "alive to its end", received, remedy)) from None
                if isinstance(message, Look):
                    yield message
                elif message is None:
                    give(pipe)
                else:
                    raise message
            if over():
                stop.set()
    finally:
        stop.set()
        for pipe, each in crew.items():
            if each.is_alive():
                pipe.send(None)
        for each in crew.values():
            each.join()


@contextmanager
def _deaf() -> Iterator[None]:
    """A process that is started here does not hear Ctrl-C, which a terminal sends to all; this one tells it to stop."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _worker(pipe: Connection, folder: Path, stop: Event) -> None:
    """Trains the cases that come through the pipe: sends looks, then None, or what was raised."""
    torch.set_num_threads(1)
    shelf = Shelf(folder)
    try:
        while (case := pipe.recv()) is not None:
            try:
                for look in train(case, shelf, stop.is_set):
                    pipe.send(look)
                pipe.send(None)
            except Exception as error:
                pipe.send(error)
    except (EOFError, BrokenPipeError):
        return  # the process that had started this one is gone, and nobody waits for results
