"""The table of translations: each row with its source, safe to open in a spreadsheet."""

from ostinato.program.data.examples import Examples, Origin
from ostinato.program.folder.documents import predictions_csv
from ostinato.program.tasks.task import Predictions


def test_translations_are_written_beside_their_sources():
    origins = [Origin("a.txt", 3, 1), Origin("a.txt", 4, 2)]
    truth = Examples("text", ["Go.", "=1+1"], "translation", ["Va !", 'deux, "2"'], ("en",), "fr", origins)
    assert predictions_csv(truth, Predictions(["Va.", "2"])) == (
        'id,source,truth,prediction\na.txt:3,Go.,Va !,Va.\na.txt:4,\'=1+1,"deux, ""2""",2\n'
    )
    bare = Examples("text", ["Go."], "translation", None)
    assert predictions_csv(bare, Predictions(["Va."])) == "id,source,truth,prediction\n0,Go.,,Va.\n"
