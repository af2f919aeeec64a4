"""One file a task: its encoding, network, loss, predictions, metrics and baselines."""

from importlib.util import find_spec as _find_spec

from ...errors import MissingPackageError, phrase


def _refuse_missing() -> None:
    """Says what to install where a package that metrics and baselines import is not there."""
    for package, name in (("sklearn", "scikit-learn"), ("scipy", "scipy")):
        if _find_spec(package) is None:
            remedy = "Install what training from files needs: pip install 'ostinato[program]'."
            raise MissingPackageError(phrase("ostinato.program", f"the package {name}", "installed", "none", remedy))


_refuse_missing()
