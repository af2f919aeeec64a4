"""The places that name a task agree: what is inferred, what is trained, what is an estimator."""

from ostinato.program.data.infer import TRAINED
from ostinato.program.estimator_table import ESTIMATORS
from ostinato.program.tasks.registry import TASKS


def test_every_task_is_inferred_trained_and_an_estimator():
    assert set(TASKS) == set(TRAINED) == set(ESTIMATORS)
    assert all(task.name == name for name, task in TASKS.items())
    assert all(name in estimator.names() for name, estimator in ESTIMATORS.items())
