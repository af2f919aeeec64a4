"""What a missing package of the program says."""

import pytest

from ostinato.errors import MissingPackageError
from ostinato.program import tasks


@pytest.mark.parametrize(("package", "name"), [("sklearn", "scikit-learn"), ("scipy", "scipy")])
def test_a_missing_package_is_named_with_what_to_install(monkeypatch, package, name):
    monkeypatch.setattr(tasks, "_find_spec", lambda wanted: None if wanted == package else object())
    expected = f"the package {name} must be installed, got none. Install .* pip install 'ostinato\\[program\\]'"
    with pytest.raises(MissingPackageError, match=expected):
        tasks._refuse_missing()


def test_nothing_is_said_where_all_are_there():
    tasks._refuse_missing()
