"""CoNLL-U and files of columns with blank lines between sentences."""

import pytest

from ostinato.program.data.examples import Origin
from ostinato.program.data.read import read
from program.data.made import options, read_made, real, refusal

TREEBANK = """# sent_id = 1
# text = Don't go
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tAUX\tVB\tMood=Imp|VerbForm=Fin\t3\taux\t_\t_
2\tn't\tnot\tPART\tRB\t_\t3\tadvmod\t_\tGloss=neg
3\tgo\tgo\tVERB\tVB\tMood=Imp\t0\troot\t_\t_
8.1\tthere\tthere\tADV\tRB\t_\t_\t_\t_\t_

# sent_id = 2
1\tYes\tyes\tINTJ\t_\t_\t0\troot\t_\t_
"""


def test_a_treebank_gives_words_without_ranges_and_empty_nodes(tmp_path):
    found = read_made(tmp_path, "a.conllu", TREEBANK)
    assert found.task == "tag"
    assert found.because == "The task is tag: a.conllu is a CoNLL-U treebank."
    assert found.examples.inputs == [["Do", "n't", "go"], ["Yes"]]
    assert found.examples.targets == [["AUX", "PART", "VERB"], ["INTJ"]]
    assert found.examples.origins == [Origin("a.conllu", 3), Origin("a.conllu", 10)]
    assert found.options.target == "upos"
    assert "1 multi-word token and 1 empty node left out" in found.notes[0]


@pytest.mark.parametrize(
    "target, tags",
    [
        ("xpos", [["VB", "RB", "VB"], ["_"]]),
        ("deprel", [["aux", "advmod", "root"], ["root"]]),
        ("Mood", [["Imp", "_", "Imp"], ["_"]]),
        ("Gloss", [["_", "neg", "_"], ["_"]]),
    ],
)
def test_any_column_or_feature_can_be_the_tag(tmp_path, target, tags):
    assert read_made(tmp_path, "a.conllu", TREEBANK, target=target).examples.targets == tags


@pytest.mark.parametrize(
    "content, named, message",
    [
        (TREEBANK, {"target": "Number"}, "--target must be a column or feature that the words have, got 'Number'"),
        (TREEBANK.replace("Yes\tyes\t", "Yes\t"), {}, "line 10 must be 10 columns, got 9 columns"),
        (TREEBANK.replace("3\tgo", "x\tgo"), {}, "the id at line 6 must be such as 1, 1-2 or 8.1, got 'x'"),
        (TREEBANK.replace("3\tgo", "_\tgo"), {}, "the id at line 6 must be"),
        ("# only a comment\n", {}, "a treebank with at least one sentence"),
    ],
)
def test_a_broken_treebank_is_refused_with_its_line(tmp_path, content, named, message):
    assert message in refusal(tmp_path, "a.conllu", content, **named)


def test_a_treebank_without_tags_can_be_read_for_predictions(tmp_path):
    bare = "1\tYes\t_\t_\t_\t_\t_\t_\t_\t_\n"
    (tmp_path / "a.conllu").write_text(bare)
    found = read(options(tmp_path / "a.conllu", task="tag", target="upos"), with_target=False)
    assert found.examples.inputs == [["Yes"]]
    assert found.examples.targets is None


COLUMNS = "EU B-ORG\nrejects O\n\nPeter B-PER\nBlackburn I-PER\n"


@pytest.mark.parametrize("name", ["a.conll", "a.bio", "a.txt"])
def test_two_columns_are_token_and_tag(tmp_path, name):
    found = read_made(tmp_path, name, COLUMNS)
    assert found.task == "tag"
    assert found.because == f"The task is tag: {name} has 2 columns with blank lines between sentences."
    assert found.examples.inputs == [["EU", "rejects"], ["Peter", "Blackburn"]]
    assert found.examples.targets == [["B-ORG", "O"], ["B-PER", "I-PER"]]
    assert found.examples.origins == [Origin(name, 1), Origin(name, 4)]


def test_tabs_and_document_marks_are_read(tmp_path):
    content = "-DOCSTART-\tO\n\n" + COLUMNS.replace(" ", "\t")
    assert read_made(tmp_path, "a.tsv", content).examples.inputs == [["EU", "rejects"], ["Peter", "Blackburn"]]


def test_more_columns_need_names_and_a_target(tmp_path):
    content = "EU NNP B-ORG\nrejects VBZ O\n\nPeter NNP B-PER\n"
    assert "--columns token,pos,ner --target ner" in refusal(tmp_path, "a.conll", content)
    names = ("token", "pos", "ner")
    assert "one of pos, ner, got none given" in refusal(tmp_path, "a.conll", content, columns=names)
    assert "one of pos, ner, got 'nex'" in refusal(tmp_path, "a.conll", content, columns=names, target="nex")
    found = read_made(tmp_path, "a.conll", content, columns=names, target="ner")
    assert found.examples.targets == [["B-ORG", "O"], ["B-PER"]]


def test_a_broken_file_of_columns_is_refused_with_its_line(tmp_path):
    assert "line 2 must be 2 columns, got 3 columns" in refusal(tmp_path, "a.conll", "EU B\nrejects O O\n")
    assert "a token and its tag, got one column" in refusal(tmp_path, "a.conll", "EU\nrejects\n")
    assert "at least one sentence" in refusal(tmp_path, "a.conll", "-DOCSTART- O\n")


def test_tokens_alone_can_be_read_for_predictions(tmp_path):
    (tmp_path / "a.conll").write_text("EU\nrejects\n\nPeter\n")
    found = read(options(tmp_path / "a.conll", task="tag", target="tag"), with_target=False)
    assert found.examples.inputs == [["EU", "rejects"], ["Peter"]]


def test_the_english_web_treebank_has_the_counts_of_its_description():
    paths = {part: real(f"tagging/en_ewt-ud-{part}.conllu.gz") for part in ("dev", "test")}
    found = read(options(paths["dev"], test=paths["test"]))
    lengths = {
        part: [len(x) for x, p in zip(found.examples.inputs, found.examples.parts) if p == part]
        for part in ("train", "test")
    }
    assert (len(lengths["train"]), sum(lengths["train"])) == (2001, 25_147)
    assert (len(lengths["test"]), sum(lengths["test"]), max(lengths["test"])) == (2077, 25_094, 81)
    assert len({tag for tags in found.examples.targets for tag in tags}) == 17
