"""The task of items: frames and masks, losses and nats, what the condition gains, and what is cut or unknown."""

import math

import numpy as np
import pytest
import torch

from ostinato.errors import InputError
from ostinato.program.data.examples import Examples
from ostinato.program.options import NetworkOptions
from ostinato.program.tasks.texts import items
from ostinato.program.tasks.texts.conditions import Conditions
from ostinato.program.tasks.texts.generate import IGNORED, Generate
from ostinato.program.training.evaluate import predict
from program.tasks.made_items import letters, trained

NETWORK = NetworkOptions(hidden=6, embedding=5, dropout=0.0, both_directions=False, unit="char")


@pytest.fixture(scope="module")
def learned():
    examples = letters()
    return examples, *trained(examples)


def of(texts, given=None):
    rows = [()] * len(texts) if given is None else [(value,) for value in given]
    return Examples("given", rows, "text", texts, () if given is None else ("kind",), "word")


def test_an_item_is_read_after_the_mark_and_ends_with_it():
    examples = of(["ab", "b"])
    task = Generate.encode_from(examples, NETWORK)
    b, a = (task.units.encode(c)[0] for c in "ba")
    batch = task.batch(task.encode(examples), [0, 1])
    assert batch.x["units"].T.tolist() == [[task.mark, a, b], [task.mark, b, 0]]
    assert batch.target.T.tolist() == [[a, b, task.mark], [b, task.mark, IGNORED]]
    assert batch.lengths.tolist() == [3, 2] and batch.weight == 5


def test_the_loss_is_the_mean_of_the_nats_that_decode_gives():
    examples = letters(20)
    task = Generate.encode_from(examples, NETWORK)
    network = task.network(NETWORK).eval()
    batch = task.batch(task.encode(examples), list(range(20)))
    with torch.no_grad():
        outputs = network(batch.x, batch.lengths)
        nats = task.decode(outputs, batch).values
        assert float(task.loss(outputs, batch)) == pytest.approx(np.concatenate(nats).mean(), rel=1e-6)
    assert [len(row) for row in nats] == [len(text) + 1 for text in examples.targets]


def test_other_rows_of_the_batch_change_no_nats(learned):
    examples, task, network, _ = learned
    together = predict(task, network, task.encode(examples))[0].values
    for row in (0, 3, 8):
        alone = predict(task, network, task.encode(examples.take([row])))[0].values[0]
        np.testing.assert_allclose(alone, together[row], rtol=1e-5)


def test_the_network_comes_near_the_entropy_given_and_not_given_the_condition(learned):
    examples, task, network, _ = learned

    def said(encoded):
        return predict(task, network, encoded)[0]

    counts = np.bincount([len(text) for text in examples.targets])[1:]
    share = counts / counts.sum()
    entropy = float(-(share * np.log(share)).sum())  # of the length alone
    steps = np.mean([len(text) + 1 for text in examples.targets])
    given = task.score(examples, said(task.encode(examples)))
    marginal = task.score(examples, task.without_condition(examples, said)[0])
    assert entropy / steps <= given < 1.05 * entropy / steps
    # Not given, the first unit also says which of the two letters it is.
    assert marginal == pytest.approx((given * steps + math.log(2)) / steps, rel=0.01)


def test_the_probability_without_the_condition_is_the_weighted_sum_over_its_values(learned):
    examples, task, network, _ = learned
    few = examples.take(range(6))
    found, note = task.without_condition(few, lambda encoded: predict(task, network, encoded)[0])
    counts = dict(task.conditions.counts)
    total = sum(counts.values())
    for row, text in enumerate(few.targets):
        p = 0.0
        for values, count in counts.items():
            one = Examples("given", [values], "text", [text], ("letter",))
            p += count / total * math.exp(-predict(task, network, task.encode(one))[0].values[0].sum())
        assert found.values[row].sum() == pytest.approx(-math.log(p), rel=1e-5)
    assert note == "" and task.passes == 3


def test_bits_per_character_count_the_end_as_a_character_and_nats_as_a_unit():
    examples = of(["ab", "b"])
    task = Generate.encode_from(examples, NETWORK)
    nats = [np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0])]
    tally = items.tally_of_items([items.framed(t, task.units) for t in examples.targets], nats, task.units, ["x", "y"])
    assert tally.value("nats_per_character") == pytest.approx(3.0)
    assert tally.value("bits_per_character") == pytest.approx(15 / 5 / math.log(2))


def test_words_are_units_of_their_own_and_bits_are_still_of_characters():
    examples = of(["the cat", "the dog"])
    task = Generate.encode_from(examples, NetworkOptions(unit="word", both_directions=False))
    assert task.metric == "nats_per_word" and task.encode(examples).lengths.tolist() == [3, 3]
    rows = [items.framed(text, task.units) for text in examples.targets]
    tally = items.tally_of_items(rows, [np.ones(3), np.ones(3)], task.units, ["x", "y"])
    assert tally.value("bits_per_character") == pytest.approx(6 / 16 / math.log(2))


def test_equal_texts_are_one_unit_of_the_resampling():
    examples = of(["ab", "ab", "b"], ["x", "y", "x"])
    task = Generate.encode_from(examples, NETWORK)
    nats = [np.ones(3), np.ones(3), np.ones(2)]
    from ostinato.program.tasks.task import Predictions

    assert task.metrics(examples, Predictions(nats))[0].n == 2


def test_long_items_are_cut_without_an_end_and_counted(monkeypatch):
    monkeypatch.setattr(items, "LONGEST", 3)
    monkeypatch.setattr("ostinato.program.tasks.texts.generate.LONGEST", 3)
    examples = of(["abc", "abca", "c"])
    task = Generate.encode_from(examples, NETWORK)
    rows = [row for _, row in task.encode(examples).rows]
    assert [len(row) for row in rows] == [5, 4, 3] and rows[1][-1] != task.mark
    assert task.part_notes(examples, "train") == ["1 item of train is cut after 3 characters."]


def test_unknown_units_are_counted():
    task = Generate.encode_from(of(["ab", "b"]), NETWORK)
    assert task.part_notes(of(["axb", "yz"]), "test") == ["3 characters of 5 in test are not in the vocabulary."]
    assert task.part_notes(of(["ab"]), "test") == []


def test_numbers_are_scaled_and_learned_as_conditions():
    examples = letters(kind="features")
    task, network, fitted = trained(examples, 150)
    assert fitted.history[-1].metric < 0.5
    assert task.without_condition(examples, lambda encoded: predict(task, network, encoded)[0]) is None
    x = task.batch(task.encode(examples), [0, 1]).x["numbers"]
    assert x.tolist() == [[1.0, 0.0], [-1.0, 0.0]]  # the second number is the same in every row


def test_rows_of_another_kind_are_refused():
    with pytest.raises(InputError) as refused:
        Conditions.of(Examples("text", ["a"], "text", ["b"]))
    assert str(refused.value) == (
        "generate: the rows must be given values or features, got text. Name the columns by --given, or columns of "
        "numbers by --features."
    )


def test_a_task_is_the_same_after_json():
    for examples in (letters(20), letters(20, kind="features"), of(["ab", "c"])):
        task = Generate.encode_from(examples, NETWORK)
        again = Generate.from_json({name: dict(content) for name, content in task.to_json().items()})
        assert again.to_json() == task.to_json()
        for (a, b), (c, d) in zip(task.encode(examples).rows, again.encode(examples).rows, strict=True):
            assert a.tolist() == c.tolist() and b.tolist() == d.tolist()


def test_a_value_that_training_rows_lack_adds_nothing_to_the_input():
    task = Generate.encode_from(letters(20), NETWORK)
    network = task.network(NETWORK)
    assert network.condition({"columns": torch.zeros(1, 1, dtype=torch.int64)}).tolist() == [[0.0] * 5]


def test_a_condition_that_is_left_out_is_drawn_by_the_frequency_of_rows():
    rows = [("a", "x")] * 6 + [("b", "x")] * 2 + [("b", "y")] * 2
    conditions = Conditions.of(Examples("given", rows, "text", ["t"] * 10, ("one", "two")))
    drawn = [conditions.completed({}, (k + 0.5) / 10) for k in range(10)]
    assert sorted(drawn) == sorted(rows)
    assert [conditions.completed({"one": "b"}, p) for p in (0.1, 0.9)] == [("b", "x"), ("b", "y")]
    assert conditions.completed({"one": "a", "two": "y"}, 0.5) == ("a", "y")


@pytest.mark.parametrize(
    "given, message",
    [
        ({"langage": "a"}, "g: --given must be a column of the training, letter, got 'langage'."),
        ({"letter": "c"}, "g: --given letter must be a value of the training rows, a, b, got 'c'."),
    ],
)
def test_unknown_columns_and_values_are_refused_with_the_known_ones(given, message):
    with pytest.raises(InputError) as refused:
        Conditions.of(letters(10)).chosen(given, "g")
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "given, message",
    [
        (
            {"sign": "1"},
            "g: --given must be a number for each column, got none for same. Write --given same=1.5, say.",
        ),
        (
            {"sign": "up", "same": "7"},
            "g: --given sign must be a number, got 'up'. Write --given sign=1.5, say.",
        ),
    ],
)
def test_numbers_that_are_missing_or_none_are_refused(given, message):
    with pytest.raises(InputError) as refused:
        Conditions.of(letters(10, kind="features")).chosen(given, "g")
    assert str(refused.value) == message


def test_a_condition_for_a_model_without_one_is_refused():
    with pytest.raises(InputError) as refused:
        Conditions.of(of(["a"])).chosen({"letter": "a"}, "g")
    assert str(refused.value) == "g: --given must be left out, got 'letter'. The model was trained without --given."
