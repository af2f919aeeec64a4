"""The name of a new model folder."""

from pathlib import Path

import pytest

from ostinato.errors import StorageError
from ostinato.program.folder.names import new_folder


@pytest.mark.parametrize("path", ["", ".", "..", "/"])
def test_a_folder_without_a_name_is_refused(path):
    with pytest.raises(StorageError) as refused:
        new_folder(Path(path))
    assert str(refused.value) == (
        f"train: the folder of the model must be the name of a new one, got {str(Path(path))!r}. "
        "Write --out model, say."
    )
