"""The metrics of translations: sacrebleu's own figures, all references of a source, intervals by source."""

import random

import numpy as np
import pytest
import sacrebleu

from ostinato.program.tasks.intervals import resampled
from ostinato.program.tasks.translating import metrics
from ostinato.program.tasks.translating.metrics import (
    definitions_of,
    details_of_translations,
    sentence_chrf,
    tally_of_translations,
    tokenizer_of,
)

WORDS = "the a dog cat sees likes big small not never , . ? house in on".split()


def drawn(seed, sources, most):
    """Rows of `sources` sources with up to `most` references, and a translation of each source."""
    draw = random.Random(seed)

    def sentence():
        return " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, 12)))

    rows, said = [], {}
    for number in range(sources):
        texts = [sentence() for _ in range(draw.randint(1, most))]
        rows += [(f"source {number}", text) for text in texts]
        words = draw.choice(texts).split()
        kept = [word if draw.random() < 0.7 else draw.choice(WORDS) for word in words][: draw.randint(0, 12)]
        said[f"source {number}"] = texts[0] if draw.random() < 0.2 else " ".join(kept)
    draw.shuffle(rows)
    return rows, said


def as_sacrebleu(rows, said):
    """(translations, references as sacrebleu has them: None where a source has fewer)."""
    references = {}
    for source, target in rows:
        if target not in references.setdefault(source, []):
            references[source].append(target)
    most = max(map(len, references.values()))
    columns = [[texts[k] if k < len(texts) else None for texts in references.values()] for k in range(most)]
    return [said[source] for source in references], columns


def tally(rows, said):
    sources, targets = zip(*rows)
    return tally_of_translations(sources, targets, [said[source] for source in sources])


@pytest.mark.parametrize("seed, sources, most", [(0, 40, 1), (1, 60, 4), (2, 1, 3), (3, 2, 1), (4, 200, 7)])
def test_figures_are_those_of_sacrebleu(seed, sources, most):
    rows, said = drawn(seed, sources, most)
    found, (values, columns) = tally(rows, said), as_sacrebleu(rows, said)
    assert found.units == sources
    assert found.value("bleu") == pytest.approx(sacrebleu.corpus_bleu(values, columns).score, abs=1e-9)
    assert found.value("chrf") == pytest.approx(sacrebleu.corpus_chrf(values, columns).score, abs=1e-9)


@pytest.mark.parametrize(
    "values", [["", ""], ["x", "y"], ["the", "cat"], ["the cat sees the dog", ""], ["the the the the the", "the"]]
)
def test_empty_short_and_wrong_translations_count_as_in_sacrebleu(values):
    rows, said = [("a", "the cat sees the dog"), ("b", "the")], dict(zip("ab", values))
    found = tally(rows, said)
    columns = [["the cat sees the dog", "the"]]
    assert found.value("bleu") == pytest.approx(sacrebleu.corpus_bleu(values, columns).score, abs=1e-9)
    assert found.value("chrf") == pytest.approx(sacrebleu.corpus_chrf(values, columns).score, abs=1e-9)


def test_a_resample_is_the_figure_of_the_sources_that_are_drawn():
    rows, said = drawn(5, 6, 2)
    found = tally(rows, said)
    weights = np.array([2, 0, 1, 0, 3, 0])
    sums = np.asarray(weights @ found.sums.toarray())
    values, columns = as_sacrebleu(rows, said)
    places = [place for place, count in enumerate(weights) for _ in range(count)]
    again = [values[p] for p in places], [[column[p] for p in places] for column in columns]
    assert found.values["bleu"][0](sums) == pytest.approx(sacrebleu.corpus_bleu(*again).score, abs=1e-9)
    assert found.values["chrf"][0](sums) == pytest.approx(sacrebleu.corpus_chrf(*again).score, abs=1e-9)
    draws = resampled(found.sums, 0)
    assert found.values["bleu"][0](draws).shape == (len(draws),)


def test_the_gain_over_the_same_translations_is_nothing_and_over_worse_ones_something():
    rows, said = drawn(6, 80, 2)
    assert tally(rows, said).gain(tally(rows, said), "chrf", 0) == (0.0, 0.0, 0.0)
    value, low, high = tally(rows, said).gain(tally(rows, dict.fromkeys(said, "zzz")), "chrf", 0)
    assert 0 < low < value < high


def test_a_translation_is_right_where_it_is_any_reference_in_any_kind_of_space():
    rows = [("Hi !", "Salut\u202f!"), ("Hi !", "E\u0301coute\u00a0!"), ("Go.", "Va.")]
    found = tally_of_translations(*zip(*rows), ["\u00c9coute !", "never read", " Va. "])
    assert (found.value("exact_match"), found.value("chrf"), found.units) == (1.0, 100.0, 2)


def test_rows_of_one_group_are_resampled_together():
    found = tally_of_translations(["a", "b", "a"], ["x", "y", "z"], ["x", "y", "x"], ["one", "one", "one"])
    assert (found.units, found.value("exact_match")) == (1, 1.0)


def test_no_rows_have_no_figures():
    found = tally_of_translations([], [], [])
    assert np.isnan([found.value(name) for name in ("chrf", "bleu", "exact_match")]).all()


def test_definitions_have_the_signature_of_sacrebleu():
    said = definitions_of(["a", "a", "b"], ["x", "y", "z"])
    version = sacrebleu.__version__
    assert said["bleu"] == (
        "as sacrebleu computes it, 0 to 100, against all references of each source; signature "
        f"nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|version:{version}"
    )
    assert said["chrf"].endswith(f"nrefs:var|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{version}")
    two = definitions_of(["a", "a"], ["x", "y"])
    assert "nrefs:2|" in two["bleu"] and "nrefs:2|" in two["chrf"]
    counted = details_of_translations(["a", "a", "b"], ["x", "y", "z"])
    assert (counted["sources"], counted["references"], counted["most_references"]) == (2, 3, 2)


def test_scripts_without_spaces_are_compared_by_characters():
    japanese = ["\u79c1\u306f\u5b66\u751f\u3067\u3059\u3002"]
    assert tokenizer_of(japanese) == "char" and tokenizer_of(["Va !", "\u041f\u0440\u0438\u0432\u0435\u0442"]) == "13a"
    found = tally_of_translations(["a"], japanese, japanese)
    assert found.value("bleu") == pytest.approx(100.0)
    assert "tok:char" in definitions_of(["a"], japanese)["bleu"]


def test_a_sentence_has_a_chrf_of_its_own():
    expected = sacrebleu.sentence_chrf("le chat voit", ["le chien voit", "un chat"]).score
    assert sentence_chrf("le chat voit", ["le chien voit", "un chat"]) == pytest.approx(expected, abs=1e-9)


def test_without_sacrebleu_what_to_install_is_said(monkeypatch):
    import sys

    from ostinato.errors import MissingPackageError

    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    metrics.counts_of.cache_clear()
    with pytest.raises(MissingPackageError) as error:
        tally_of_translations(["a"], ["b"], ["c"])
    assert str(error.value) == (
        "translation: the package sacrebleu must be installed, got none. "
        "Install it: pip install sacrebleu, or pip install 'ostinato[program]' for all that training needs."
    )
