"""The name of a new model folder."""

from pathlib import Path

import pytest

from ostinato.errors import StorageError
from ostinato.program.folder.names import default_folder, new_folder


@pytest.mark.parametrize("path", ["", ".", "..", "/"])
def test_a_folder_without_a_name_is_refused(path):
    with pytest.raises(StorageError) as refused:
        new_folder(Path(path))
    assert str(refused.value) == (
        f"train: the folder of the model must be the name of a new one, got {str(Path(path))!r}. "
        "Write --out model, say."
    )


@pytest.mark.parametrize(
    "paths, task, name",
    [
        (["reviews.csv.gz"], None, "reviews-model"),
        (["chorales/001.mid", "chorales/002.mid"], "music", "chorales-model"),
        (["chorales/001.mid"], "music", "001-model"),
        (["001.mid", "002.mid"], "music", "001-model"),
        (["a/001.mid", "b/002.mid"], "music", "001-model"),
        (["novels/one.txt", "novels/two.txt"], "language-model", "one-model"),
    ],
)
def test_a_model_is_named_after_its_first_file_or_the_folder_of_its_music(paths, task, name):
    assert default_folder([Path(path) for path in paths], task) == Path(name)
