"""Baselines of translations: what they say of made pairs, where they are cut, and that they are repeated exactly."""

import numpy as np
import pytest

from ostinato.errors import InputError
from ostinato.program.data.examples import Examples
from ostinato.program.tasks.baselines import translations, word_table
from ostinato.program.tasks.baselines.translations import CopySource, NearestSource, WordByWord, for_translations

COLOURS = {"red": "rouge", "blue": "bleu", "green": "vert"}
THINGS = {"car": "voiture", "house": "maison", "hat": "chapeau", "cup": "tasse"}


def rows(pairs):
    sources, targets = zip(*pairs)
    return Examples("text", list(sources), "translation", list(targets))


def scenes():
    return rows(
        (f"I see the {c} {t}.", f"Je vois {french} {couleur} !")
        for c, couleur in COLOURS.items()
        for t, french in THINGS.items()
    )


def said(model, train, *sources):
    return model.fit(train).predict(Examples("text", list(sources), "translation", None)).values


def test_the_trivial_one_comes_first_and_copies():
    found = for_translations()
    assert [model.name for model in found] == ["copy of the source", "nearest training source", "word by word"]
    assert [model.trivial for model in found] == [True, False, False]
    assert said(CopySource(), scenes(), "I see.", "") == ["I see.", ""]


def test_the_nearest_source_shares_the_rare_words():
    train = rows([("I see a cat here .", "un"), ("I see a dog now .", "deux"), ("You eat .", "trois")])
    assert said(NearestSource(), train, "a dog", "You eat soup .", "Cat !") == ["deux", "trois", "un"]


def test_the_nearest_source_has_its_most_frequent_translation_and_nothing_shared_the_most_frequent_of_all():
    train = rows(
        [("go on now please", "a"), ("go on now please", "b"), ("go on now please", "b"), *[("x y z", "c")] * 3]
    )
    assert said(NearestSource(), train, "go on now please", "nothing at all", "") == ["b", "b", "b"][:1] + ["c", "c"]


def test_the_blocks_and_the_frequent_words_change_nothing(monkeypatch):
    draw = np.random.default_rng(0)
    vocabulary = [f"w{k}" for k in range(40)]
    texts = [" ".join(draw.choice(vocabulary, 6, p=np.arange(40, 0, -1) / 820)) for _ in range(300)]
    train = rows([(text, f"t{k}") for k, text in enumerate(texts[:200])])
    expected = said(NearestSource(), train, *texts[200:])
    monkeypatch.setattr(translations, "FREQUENT", 3)
    monkeypatch.setattr(translations, "BLOCK", 7)
    assert said(NearestSource(), train, *texts[200:]) == expected
    model = NearestSource().fit(train)
    weights = model._weighed.transform(Examples("text", texts, "translation", None)).toarray()
    nearest = (weights[200:] @ weights[:200].T).argmax(1)
    best = weights[200:] @ weights[:200].T
    chosen = [int(value[1:]) for value in expected]
    assert np.allclose(best[np.arange(100), chosen], best[np.arange(100), nearest], atol=1e-6)


def test_short_texts_are_compared_by_their_letters():
    train = rows([("Katherine", "a"), ("Bob", "b"), ("Jonathan", "c")])
    assert said(NearestSource(), train, "Kathrin", "Jon", "Bo") == ["a", "c", "b"]


def test_a_search_among_the_first_sources_is_said(monkeypatch):
    monkeypatch.setattr(translations, "MOST_SOURCES", 2)
    model = NearestSource().fit(rows([("a b c", "x"), ("a b c", "y"), ("d e f", "z"), ("g h i", "u")]))
    assert model.note == "looked for in the first 2 of 3 training sources"
    assert NearestSource().fit(rows([("a b c", "x")])).note == ""


def test_each_word_has_its_own_translation():
    found = said(WordByWord(), scenes(), "red house", "a blue cup", "Zebra", "")
    assert found == ["rouge maison", "a bleu tasse", "Zebra", ""]


def test_model_one_converges_to_the_words_that_belong_together():
    """The example of Knight's workbook: b c → x y and b → y leave c → x."""
    table = word_table.WordTable("word", "word").fit(["b c", "b"], ["x y", "y"])
    assert (table.translated("b"), table.translated("c"), table.translated("c b")) == ("y", "x", "x y")


def test_signs_stand_as_they_do_in_the_training_targets():
    pairs = [("yes .", "oui."), ("no ?", "non ?"), ("yes", "oui"), ("no", "non")]
    table = word_table.WordTable("word", "word").fit(*zip(*pairs))
    assert (table.translated("yes."), table.translated("no?"), table.translated("?.")) == ("oui.", "non ?", "?.")


def test_strings_are_translated_letter_by_letter():
    train = rows([("abc", "123"), ("ab", "12"), ("b", "2"), ("ca", "31"), ("c", "3"), ("a", "1")])
    assert said(WordByWord(), train, "cab", "bz") == ["312", "2z"]


def test_a_table_of_the_first_rows_is_said(monkeypatch):
    monkeypatch.setattr(word_table, "MOST_CELLS", 20)
    model = WordByWord().fit(rows([("a b c", "x y z")] * 3))
    assert model.note == "counted in the first 1 of 3 training rows"


@pytest.mark.parametrize("model", [CopySource(), NearestSource(), WordByWord()])
def test_baselines_need_targets(model):
    with pytest.raises(InputError, match="rows with targets"):
        model.fit(Examples("text", ["a"], "translation", None))


def test_targets_without_a_word_are_no_trouble():
    train = rows([("a b c", ""), ("", "x y z"), ("   ", "  ")])
    for model in (NearestSource(), WordByWord()):
        assert len(said(model, train, "a b c", "", "q")) == 3
