"""The network of a training with torch.nn's layers in place of ours: what the same updates cost there."""

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import ostinato
from ostinato.program.data.found import read_data
from ostinato.program.options import TrainOptions
from ostinato.program.running.prepare import prepare
from ostinato.program.tasks.registry import task_named
from ostinato.program.tasks.task import Batch
from ostinato.program.training.feeds import feed_of
from ostinato.program.training.seeds import new_network
from ostinato.program.training.threads import torch_on_one_thread
from ostinato.program.training.updates import Updater

LAYERS: dict[str, Any] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


class Packed(nn.Module):
    """torch.nn's layer over packed sequences, called as ours is with lengths."""

    def __init__(self, layer: ostinato.Recurrent, kind: Any) -> None:
        super().__init__()
        self.bidirectional, self.cell, self.input_size = layer.bidirectional, layer.cell, layer.input_size
        self.hidden_size, self.num_layers, self.proj_size = layer.hidden_size, layer.num_layers, layer.proj_size
        self.layer = kind(
            layer.input_size,
            layer.hidden_size,
            layer.num_layers,
            dropout=layer.dropout,
            bidirectional=layer.bidirectional,
        )

    def forward(self, x: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if lengths is None:
            return self.layer(x, state)
        packed = pack_padded_sequence(x, lengths.clamp(min=1), enforce_sorted=False)
        output, state = self.layer(packed, state)
        return pad_packed_sequence(output, total_length=x.shape[0])[0], state


def twin(network: nn.Module) -> nn.Module:
    """A copy of the network with every recurrent layer replaced by torch.nn's of the same size."""
    made = copy.deepcopy(network)
    for module in list(made.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, ostinato.Recurrent):
                setattr(module, name, Packed(child, LAYERS[child.cell.name]))
    return made


@dataclass(frozen=True)
class Compared:
    """Seconds of one update, the median over batches, and how many times longer torch.nn takes on the same batches."""

    ours: float
    theirs: float
    ratio: float
    updates: int
    threads: int


def compare(options: TrainOptions, updates: int, threads: int, where: str = "results") -> Compared:
    """Times the same updates of both networks in turns, on the same number of threads.

    Ours runs as a fit does: torch's own operations on one thread, the kernels on all. The twin gives torch all threads.
    """
    data = read_data(options.data)
    options = options.for_task(task_named(data.dataset.task).defaults)
    prepared = prepare(data, options.network, where)
    network = new_network(prepared.task, options.network, options.fit.seed)
    pair = [Updater(prepared.task, made, options.fit) for made in (network, twin(network))]
    feed = feed_of(prepared.task, prepared.train.encoded, options.fit)
    seconds: list[tuple[float, float]] = []
    for update in range(updates + 1):
        read = feed.batch(update)
        assert read is not None  # one process reads every row
        # Windows of streams begin with states of zeros in both: TruncatedBPTT carries states of our layers alone.
        batch = replace(read, resets=None)
        with torch_on_one_thread(threads):
            ours = timed(pair[0], batch, update, options.fit.learning_rate)
        torch.set_num_threads(threads)
        theirs = timed(pair[1], batch, update, options.fit.learning_rate)
        if update:  # the first one compiles
            seconds.append((ours, theirs))
    columns = list(zip(*seconds, strict=True))
    ratio = median(theirs / ours for ours, theirs in seconds)
    return Compared(median(columns[0]), median(columns[1]), ratio, updates, threads)


def timed(updater: Updater, batch: Batch, update: int, rate: float) -> float:
    begun = time.perf_counter()
    updater.step(batch, update, rate)
    return time.perf_counter() - begun


def options_given(given: Mapping[str, Any], where: str = "results") -> TrainOptions:
    """The options of `ostinato train` that are written as words."""
    lists = {name: str(given[name]).split(",") for name in ("columns", "given", "series", "features") if name in given}
    paths = {name: Path(given[name]) for name in ("valid", "test") if name in given}
    return TrainOptions.of(where, {**given, **lists, **paths, "paths": tuple(given["paths"])})
