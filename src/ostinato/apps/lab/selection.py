"""The results of the experiment, and the finished runs of one place in a table."""

from collections.abc import Mapping

from .experiment import Result
from .settings import Case, Settings, Variant

Results = Mapping[Case, Result]


def runs_of(results: Results, task: str, lag: int, variant: Variant) -> list[Result]:
    """The finished runs of one place in a table, one for each seed."""
    return [r for c, r in results.items() if (c.task, c.lag, c.variant) == (task, lag, variant)]


def finished_tasks(settings: Settings, results: Results) -> list[str]:
    """The tasks that have a finished run."""
    return [task for task in settings.tasks if any(case.task == task for case in results)]
