"""Agreement of verbs with subjects: pairs of a treebank, other forms of verbs, log-odds, the gradient, the report."""

import json
import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import nn

from ostinato.apps.lab.sentences import made_pairs
from ostinato.errors import InputError
from ostinato.program.options import NetworkOptions
from ostinato.program.page.agreement import agreement_picture
from ostinato.program.running.agreement.odds import at_the_parting, by_network, by_ngram, forms_of, word_ends
from ostinato.program.running.agreement.pairs import Pair, Pairs
from ostinato.program.running.agreement.reach import shares_at_the_subject
from ostinato.program.running.agreement.report import Share, agreement_of, by_rules
from ostinato.program.running.agreement.treebank import pairs_of_treebank
from ostinato.program.running.agreement.verb_forms import VerbForms
from ostinato.program.tasks.baselines.ngrams import WittenBell
from ostinato.program.tasks.texts.units import TextUnits
from program.commands import ostinato
from program.tasks.made import data

ROWS = """
The the DET DT _ 2 det _
key key NOUN NN Number=Sing 7 nsubj _
to to ADP IN _ 5 case _
the the DET DT _ 5 det _
cabinets cabinet NOUN NNS Number=Plur 2 nmod _
is be AUX VBZ _ 7 cop _
old old ADJ JJ _ 0 root SpaceAfter=No
. . PUNCT . _ 7 punct _

Dogs dog NOUN NNS Number=Plur 4 nsubj _
2-3 don't _ _ _ _ _ _ _
do do AUX VBP _ 4 aux _
n't not PART RB _ 4 advmod _
run run VERB VB _ 0 root SpaceAfter=No
. . PUNCT . _ 4 punct _

It it PRON PRP Number=Sing 2 nsubj _
ends end VERB VBZ _ 0 root SpaceAfter=No
, , PUNCT , _ 2 punct _
men man NOUN NNS Number=Plur 5 nsubj _
agree agree VERB VBP _ 2 parataxis _

1-2 dog's _ _ _ _ _ _ _
dog dog NOUN NN Number=Sing 3 nsubj _
's be AUX VBZ _ 3 cop _
here here ADV RB _ 0 root _
"""


def treebank(path, text=ROWS):
    """Rows of form, lemma, upos, xpos, feats, head, deprel and misc as CoNLL-U; `a-b form …` is a multi-word token."""
    lines, number = [], 0
    for row in text.strip("\n").split("\n"):
        cells = row.split()
        if not cells:
            lines, number = [*lines, ""], 0
        elif cells[0][0].isdigit():
            lines.append("\t".join([cells[0], cells[1], *["_"] * 7, cells[-1]]))
        else:
            number += 1
            lines.append("\t".join([str(number), *cells[:7], "_", cells[7]]))
    path.write_text("\n".join([*lines, "", ""]), encoding="utf-8")
    return path


def test_pairs_of_a_treebank_are_found_with_their_text_distance_and_nouns(tmp_path):
    found = pairs_of_treebank(treebank(tmp_path / "made.conllu"))
    key, dogs, men, dog = found.pairs
    assert key == Pair("The key to the cabinets ", "is", "are", False, 7, 4, 1, (False, True))
    assert dogs == Pair("Dogs ", "don't", "doesn't", True, 4, 1, 0, (True,))
    assert men == Pair("It ends, men ", "agree", "agrees", True, 12, 1, 0, (True,))
    assert dog == Pair("dog", "'s", "'re", False, 3, 1, 0, (False,))
    assert found.notes == [
        "made.conllu has 4 pairs of a subject and its verb; in 0 the verb's number is not the noun's.",
        "The other form of 0 verbs is in the file; of 4 it is known or made by rule; 0 pairs without one are left out.",
    ]


def test_a_treebank_without_such_pairs_is_refused(tmp_path):
    path = treebank(tmp_path / "none.conllu", "Los el DET _ _ 2 det _\nperros perro NOUN _ Number=Plur 0 root _")
    with pytest.raises(InputError) as error:
        pairs_of_treebank(path)
    assert str(error.value).endswith(
        "--agreement must be a treebank with subjects and verbs in the present, got none. "
        "Give an English treebank with the tags VBZ and VBP in its fifth column."
    )


def test_the_pairs_of_ewt_are_those_that_were_counted():
    pairs = pairs_of_treebank(data("tagging/en_ewt-ud-test.conllu.gz")).pairs
    misled = [k for k, pair in enumerate(pairs) if pair.misleading]
    last = by_rules(pairs)["last noun"]
    assert (len(pairs), sum(p.distance >= 2 for p in pairs), sum(p.distance >= 4 for p in pairs)) == (422, 113, 66)
    assert len(misled) == 32 and round(last.mean(), 2) == 0.91 and round(last[misled].mean(), 2) == 0.34


@pytest.mark.slow
def test_the_pairs_of_the_training_part_of_ewt_are_those_that_were_counted():
    found = pairs_of_treebank(data("tagging/en_ewt-ud-train.conllu.gz"))
    assert len(found.pairs) + found.left_out == 3550


@pytest.mark.parametrize(
    "form, lemma, plural, other",
    [
        ("is", "be", False, "are"), ("Were", "be", True, "Was"), ("HAS", "have", False, "HAVE"),
        ("do", "do", True, "does"),
        ("'s", "be", False, "'re"), ("’s", "have", False, "’ve"), ("'re", "be", True, "'s"),
        ("run", "run", True, "runs"), ("goes", "go", False, "go"), ("flies", "fly", False, "fly"),
        ("try", "try", True, "tries"),
        ("plays", "play", False, "play"), ("watch", "watch", True, "watches"), ("pass", "pass", True, "passes"),
        ("uses", "use", False, "use"), ("tries", "_", False, "try"), ("passes", "_", False, "pass"),
        ("ai", "be", True, None), ("r", "be", True, None), ("'m", "be", True, None), ("pass", "pass", False, None),
    ],
)  # fmt: skip
def test_the_other_form_of_a_verb_by_rule(form, lemma, plural, other):
    assert VerbForms([]).other(form, lemma, plural) == (None if other is None else (other, False))


def test_a_form_of_the_treebank_comes_before_the_rule_and_the_most_frequent_first():
    forms = VerbForms([("photos", "photo", False), ("photos", "photo", False), ("photoes", "photo", False)])
    assert forms.other("photo", "photo", True) == ("photos", True)
    assert forms.other("echo", "echo", True) == ("echoes", False)


def test_shares_have_the_intervals_of_wilson():
    for right, n in ((0, 5), (3, 7), (41, 41), (380, 422)):
        expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
        assert Share(right, n).interval == pytest.approx((expected.low, expected.high), abs=1e-12)


TEXT = "the dogs run. the dog runs. the dogs near the old dog run. the dog near the dogs runs fast. a dog's day.\n"
PAIRS = [
    Pair("the dogs ", "run", "runs", True, 8, 1, 0, (True,)),
    Pair("the dog near the dogs ", "runs", "run", False, 7, 4, 1, (False, True)),
    Pair("the old dog ", "runs", "run", False, 11, 1, 0, (False,)),
]


def units_of(unit):
    return TextUnits.of([TEXT * 3], NetworkOptions(unit=unit))


class Counted(nn.Module):
    """A network whose scores are the log-probabilities of an n-gram."""

    def __init__(self, model):
        super().__init__()
        self.model, self.none = model, nn.Parameter(torch.zeros(1))

    def forward(self, x):
        columns = []
        for column in x["units"].T.numpy():
            after = self.model.histories(np.append(column, 0))[:, 1:]
            columns.append(np.log(self.model.distributions(after)))
        return torch.from_numpy(np.stack(columns, 1))


@pytest.mark.parametrize("unit", ["char", "word", "bpe:300"])
def test_a_network_with_the_scores_of_an_n_gram_has_its_log_odds(unit):
    units = units_of(unit)
    model = WittenBell(2, len(units)).fit([units.encode(TEXT)])
    forms = [forms_of(pair, units) for pair in PAIRS]
    ends = word_ends(units)
    counted = by_ngram(model, forms, ends)
    assert np.isfinite(counted).all() and counted[0] > 0
    assert by_network(Counted(model), forms, ends) == pytest.approx(counted, rel=1e-9)


def test_a_form_is_not_favoured_as_the_beginning_of_the_other():
    units = units_of("char")
    texts = [units.pieces([k])[0] for k in range(len(units))]
    p = np.full(len(units), 1e-3)
    p[texts.index("s")] = 0.6  # after run, s is likelier than any end of the word
    for end in " .\n":
        p[texts.index(end)] = 0.1
    scores = torch.log(torch.from_numpy(p / p.sum()))

    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.none = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return scores.expand(*x["units"].shape, -1)

    ends = word_ends(units)
    assert {t for t, end in zip(texts, ends) if end} >= {" ", ".", "\n", "'"} and not ends[texts.index("s")]
    found = by_network(Constant(), [forms_of(PAIRS[0], units)], ends)[0]
    assert found == pytest.approx(-math.log(p[texts.index("s")] / p.sum()))  # run and an end, over run, s and an end
    assert found > 0  # without the end run would have all of what begins with run: odds of 1 over p(s), too


def test_a_pair_whose_form_the_vocabulary_lacks_is_unknown():
    units = units_of("word")
    assert forms_of(PAIRS[0], units).known
    assert not forms_of(Pair("the dogs ", "walk", "walks", True, 8, 1, 0, (True,)), units).known


class Carrying(nn.Module):
    """A language network of one linear cell, h' = a·h + x, whose gradient at lag k is a to the k."""

    def __init__(self, entries, a):
        super().__init__()
        self.embedding = nn.Embedding(entries, 1)
        self.layers = Linear(a)
        self.head = nn.Linear(1, entries)


class Linear(nn.Module):
    """h' = a·h + x with torch.nn's calling convention."""

    def __init__(self, a):
        super().__init__()
        self.a = a

    def forward(self, x, state=None):
        h, found = x.new_zeros(1, *x.shape[1:]) if state is None else state, []
        for step in x:
            h = self.a * h + step[None]
            found.append(h[0])
        return torch.stack(found), h


def test_the_gradient_at_the_subject_of_a_linear_network_is_known():
    units = units_of("word")
    forms = [forms_of(pair, units) for pair in (PAIRS[1], PAIRS[0], PAIRS[1])]
    shares = shares_at_the_subject(Carrying(len(units), 0.5), forms, word_ends(units))
    assert shares == pytest.approx([0.5**3, 1.0, 0.5**3], rel=1e-5)  # three words between subject and verb
    assert shares_at_the_subject(Carrying(len(units), 2.0), forms[:1], word_ends(units))[0] == pytest.approx(1.0)


def test_where_the_forms_part_the_log_odds_are_those_of_the_next_unit():
    units = units_of("char")
    head, output = nn.Linear(3, len(units)).requires_grad_(False), torch.randn(1, 3)
    ends = word_ends(units)
    form = forms_of(PAIRS[0], units)
    scores = head(output)[0]
    s = next(k for k in range(len(units)) if units.pieces([k])[0] == "s")
    expected = scores[torch.from_numpy(ends)].logsumexp(0) - scores[s]
    assert at_the_parting([form], head, ends)(output).detach().tolist() == pytest.approx([expected.item()])


def test_the_report_counts_by_distance_and_by_misleading_nouns_and_draws_them():
    right = {"network": np.array([True, False, True]), **by_rules(PAIRS)}
    found = agreement_of(Pairs("a file", PAIRS, ["a note"]), right, np.array([1.0, 0.25, 0.5]), ["another"])
    assert [(row.name, row.shares["network"].n) for row in found.by_distance] == [("1", 2), ("4 to 6", 1)]
    assert [(row.name, row.shares["last noun"].right) for row in found.by_misleading] == [("0", 2), ("1", 0)]
    assert [row.shares["always singular"].value for row in found.by_misleading] == [0.5, 1.0]
    assert found.whole.reach == 0.5 and found.content()["by_distance"][1]["network"]["right"] == 0
    assert "Verbs in the right number on 3 pairs of a file." in found.text() and "a note\nanother\n" in found.text()
    assert [axes.get_xlabel() for axes in agreement_picture(found).axes][1] == "misleading nouns"


def test_made_pairs_are_those_of_the_grammar_of_the_lab():
    found = made_pairs()
    assert len(found.pairs) == 2000 and {p.distance for p in found.pairs} == set(range(1, 21))
    for pair in found.pairs[::97]:
        words = pair.before.split()
        assert len(words) == pair.distance + 1 and pair.before[: pair.subject_end].split()[-1] == words[1]
        assert (words[1] in ("children", "horses") or words[1].endswith("s")) == pair.plural == (pair.right == "were")
        assert len(pair.nouns) >= 1 + pair.misleading and pair.nouns[0] == pair.plural
    assert 0.45 < np.mean([pair.plural for pair in found.pairs]) < 0.55


def test_sentences_are_written_once_and_the_same_for_a_seed(tmp_path):
    for name, seed in (("a.txt", 1), ("b.txt", 1), ("c.txt", 2)):
        assert ostinato(tmp_path, "lab", "sentences", "--out", name, "--count", 50, "--seed", seed).status == 0
    a, b, c = ((tmp_path / name).read_text() for name in ("a.txt", "b.txt", "c.txt"))
    assert a == b != c and len(a.splitlines()) == 50 and all(line.startswith("the ") for line in a.splitlines())
    again = ostinato(tmp_path, "lab", "sentences", "--out", "a.txt")
    assert again.status == 2 and again.err.strip() == (
        "ostinato lab sentences: --out must be a new file, got a.txt, which exists."
    )
    few = ostinato(tmp_path, "lab", "sentences", "--out", "d.txt", "--count", 0)
    assert few.err.strip() == "ostinato lab sentences: --count and --longest must be 1 or more, got 0 and 10."


LEARNING = (
    "--task", "language-model", "--unit", "word", "--hidden", 48, "--embedding", 16, "--learning-rate", 0.01,
    "--batch", 16, "--k1", 32, "--dropout", 0, "--no-lens", "--no-baselines", "--quiet",
)  # fmt: skip


@pytest.fixture(scope="module")
def briefly(tmp_path_factory):
    """A model of made sentences that has hardly been trained."""
    place = tmp_path_factory.mktemp("agreement")
    ostinato(place, "lab", "sentences", "--out", "made.txt", "--count", 300, "--longest", 4)
    ostinato(place, "train", "made.txt", *LEARNING, "--updates", 4, "--out", "model")
    treebank(place / "made.conllu", ROWS)
    return place


def test_a_treebank_whose_verbs_the_vocabulary_lacks_and_data_beside_it_are_refused(briefly):
    ended = ostinato(briefly, "evaluate", "model", "--agreement", "made.conllu")
    assert ended.status == 2 and ended.err.strip() == (
        "ostinato evaluate: the vocabulary must be one with both forms of verbs of made.conllu, got none of 4 pairs. "
        "Train with units of characters, or on a text with such words."
    )
    ended = ostinato(briefly, "evaluate", "model", "made.txt", "--agreement", "lab")
    assert ended.err.strip() == (
        "ostinato evaluate: DATA must be left out beside --agreement, got made.txt. "
        "The sentences are those of --agreement."
    )


def test_a_picture_is_refused_without_agreement_and_where_it_exists(briefly):
    ended = ostinato(briefly, "evaluate", "model", "--picture", "a.png")
    assert ended.err.strip() == (
        "ostinato evaluate: --picture must be beside --agreement, got no --agreement. Add --agreement lab, say."
    )
    ended = ostinato(briefly, "evaluate", "model", "--agreement", "lab", "--picture", "made.txt")
    assert ended.err.strip() == (
        "ostinato evaluate: --picture must be a new file, .png, .svg, .pdf, got made.txt, which exists. Write "
        "--picture agreement.png, say."
    )
    ended = ostinato(briefly, "evaluate", "model", "--agreement", "lab", "--picture", "none/a.png")
    assert ended.status == 2 and ended.err.strip() == (
        "ostinato evaluate: --picture must be in a folder that is there, got none/a.png. Make the folder first."
    )


def test_a_model_of_another_task_is_refused(briefly):
    rows = "".join(f"{kind},{kind[0] * k}\n" for k in range(1, 41) for kind in ("tree", "herb"))
    (briefly / "list.csv").write_text(f"kind,name\n{rows}")
    words = ("--target", "name", "--given", "kind", "--hidden", 4, "--updates", 2, "--no-lens", "--no-baselines")
    ostinato(briefly, "train", "list.csv", *words, "--quiet", "--out", "other")
    ended = ostinato(briefly, "evaluate", "other", "--agreement", "lab")
    assert ended.err.strip() == (
        "ostinato evaluate: MODEL must be a language model where --agreement is given, got generate. "
        "Train one on a text: --task language-model."
    )


def test_without_the_training_text_the_report_has_no_n_gram_and_says_so(briefly):
    (briefly / "made.txt").rename(briefly / "moved.txt")
    try:
        found = ostinato(briefly, "evaluate", "model", "--agreement", "lab", "--json").document
    finally:
        (briefly / "moved.txt").rename(briefly / "made.txt")
    assert "n-gram" not in found["all"] and found["all"]["first noun"]["value"] == 1.0
    assert "made.txt is not there any more, so there is no n-gram of the training text." in found["notes"]


@pytest.mark.slow
def test_a_small_model_of_made_sentences_agrees_where_the_last_noun_misleads(tmp_path):
    ostinato(tmp_path, "lab", "sentences", "--out", "made.txt", "--count", 6000, "--longest", 10)
    assert ostinato(tmp_path, "train", "made.txt", *LEARNING, "--updates", 500, "--out", "model").status == 0
    ended = ostinato(tmp_path, "evaluate", "model", "--agreement", "lab", "--picture", "a.svg", "--json")
    found = ended.document
    near = {row["name"]: row for row in found["by_distance"]}
    assert all(row["network"]["value"] > 0.95 for row in (*found["by_distance"], *found["by_misleading"]))
    last = [row["last noun"]["value"] for row in found["by_misleading"]]
    assert last == sorted(last, reverse=True) and last[0] == 1.0 and last[-1] < 0.3
    for row in found["by_misleading"][1:]:
        assert row["network"]["low"] > max(row["last noun"]["high"], row["n-gram"]["high"])
    assert near["1"]["n-gram"]["value"] > 0.9 > 0.7 > near["4 to 6"]["n-gram"]["value"]
    assert near["1"]["gradient_at_the_subject"] == 1.0 and near["11 to 20"]["gradient_at_the_subject"] > 0.1
    assert (tmp_path / "a.svg").read_text().startswith("<?xml") and json.loads(ended.out) == found
