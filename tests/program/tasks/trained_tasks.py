"""A short training of a task on made rows."""

from ostinato.program.options import TrainOptions
from ostinato.program.training.fit import fit
from ostinato.program.training.records import Part
from ostinato.program.training.seeds import new_network


def trained_task(Task, train, valid, options):
    """(task, network, fitted) by options of a training, in place of the task's defaults."""
    made = TrainOptions.of("test", options).for_task(Task.defaults)
    task = Task.encode_from(train, made.network)
    network = new_network(task, made.network, made.fit.seed)
    parts = Part(train, task.encode(train)), Part(valid, task.encode(valid))
    return task, network, fit(task, network, *parts, made.fit)
