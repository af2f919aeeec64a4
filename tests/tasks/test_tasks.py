"""Every task, by rules that hold for all of them, and each one against its definition read off the sequences again."""

import itertools
import re
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.apps.problems import TASKS, named
from ostinato.apps.problems.agreement import CLASSES, PLURAL, SINGULAR, WORDS
from ostinato.apps.problems.reber import strings
from ostinato.apps.problems.task import Examples
from ostinato.errors import InputError


def generator(seed):
    return torch.Generator().manual_seed(seed)


def ids(examples, row):
    """The symbols of one row as numbers, -1 where a step is all zeros."""
    return [int(step.argmax()) if step.any() else -1 for step in examples.inputs[:, row]]


drawn = given(seed=st.integers(0, 2**40), further=st.integers(0, 60), batch=st.integers(1, 6))
few = settings(max_examples=15, deadline=None)


@pytest.mark.parametrize("name", TASKS)
@drawn
@few
def test_shapes_and_ranges(name, seed, further, batch):
    task = named(name)
    lag = task.shortest + further
    features, outputs = task.sizes(lag)
    examples = task.draw(lag, batch, generator(seed))
    steps = len(examples.inputs)
    assert examples.inputs.shape == (steps, batch, features) and examples.inputs.dtype == torch.float32
    assert examples.loss_mask.shape == examples.eval_mask.shape == (steps, batch)
    assert (examples.loss_mask | ~examples.eval_mask).all(), "a tested step that is not trained"
    assert len(set(examples.eval_mask.sum(0).tolist())) == 1 and examples.eval_mask.any()
    if task.loss == "squared error":
        assert examples.targets.shape == (steps, batch, outputs)
    else:
        assert examples.targets.shape == (steps, batch)
        trained = examples.targets[examples.loss_mask]
        assert 0 <= trained.min() and trained.max() < outputs
        # One symbol at a step: a single 1, or nothing behind a row's end.
        assert set(examples.inputs.sum(2).unique().tolist()) <= {0.0, 1.0}
        assert set(examples.inputs.unique().tolist()) <= {0.0, 1.0}
    assert bool(task.grouped_by) == (examples.group is not None)


@pytest.mark.parametrize("name", TASKS)
def test_a_generator_decides_everything(name):
    task = named(name)
    lag = task.shortest + 8
    before = torch.random.get_rng_state()
    first, again, other = (task.draw(lag, 20, generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first.inputs, again.inputs) and torch.equal(first.targets, again.targets)
    assert first.inputs.shape != other.inputs.shape or not torch.equal(first.inputs, other.inputs)


@pytest.mark.parametrize("name", TASKS)
def test_what_cannot_be_drawn(name):
    task = named(name)
    with pytest.raises(InputError, match=f"the task {name}: the lag must be at least {task.shortest} steps, got"):
        task.draw(task.shortest - 1, 4, generator(0))
    with pytest.raises(InputError, match=f"the task {name}: batch must be at least 1 sequence, got 0"):
        task.draw(task.shortest, 0, generator(0))


def test_an_unknown_task_is_refused_with_the_list():
    with pytest.raises(
        InputError, match=r"a task must be one of the list, got 'parity'. There are adding, minimal-lag"
    ):
        named("parity")


def test_every_task_says_what_it_is():
    for name, task in TASKS.items():
        assert name == task.name and len(task.text) > 100 and task.source and task.criterion
        assert 0 < task.bound < task.chance <= 1


def test_losses_and_errors_by_hand():
    adding, order = named("adding"), named("temporal-order")
    outputs, targets = torch.tensor([[1.5], [0.0]]), torch.tensor([[1.0], [2.0]])
    assert adding.loss_of(outputs, targets).tolist() == adding.errors_of(outputs, targets).tolist() == [0.25, 4.0]
    outputs, targets = torch.tensor([[2.0, 0, 0, 0], [2.0, 0, 0, 0]]), torch.tensor([0, 3])
    assert order.errors_of(outputs, targets).tolist() == [0.0, 1.0]
    total = torch.tensor(2.0).exp() + 3
    torch.testing.assert_close(order.loss_of(outputs, targets), torch.stack([total.log() - 2, total.log()]))


def test_rows_are_cut_after_their_last_counted_step():
    examples = named("distractors").draw(6, 50, generator(1))
    last = examples.loss_mask.int().argmax(0)
    index = last.argsort()[:3]
    some = examples.rows(index)
    assert isinstance(some, Examples) and len(some.inputs) == int(last[index].max()) + 1 < len(examples.inputs)
    for row, original in enumerate(index.tolist()):
        assert torch.equal(some.inputs[:, row], examples.inputs[: len(some.inputs), original])
        assert some.eval_mask[:, row].nonzero().item() == last[original]


# Each task, read off its sequences.


@drawn
@few
def test_adding(seed, further, batch):
    lag = 2 + further
    examples = named("adding").draw(lag, batch, generator(seed))
    for row in range(batch):
        total, marks = 0.0, 0
        for value, mark in examples.inputs[:, row].tolist():
            assert 0 <= value < 1 and mark in (0, 1)
            total, marks = total + mark * value, marks + mark
        assert marks == 2
        assert examples.targets[-1, row, 0].item() == pytest.approx(total, abs=1e-6)
        assert examples.eval_mask[:, row].tolist() == [False] * (lag - 1) + [True]


def test_marks_stand_anywhere_and_chance_is_what_it_is():
    examples = named("adding").draw(7, 20_000, generator(0))
    places = examples.inputs[..., 1].mean(1)
    torch.testing.assert_close(places, torch.full((7,), 2 / 7), atol=0.02, rtol=0)
    assert examples.targets[-1].var().item() == pytest.approx(named("adding").chance, rel=0.03)


@drawn
@few
def test_minimal_lag(seed, further, batch):
    lag = 2 + further
    examples = named("minimal-lag").draw(lag, batch, generator(seed))
    for row in range(batch):
        cue, *between = ids(examples, row)
        assert cue in (lag - 1, lag) and between == list(range(lag - 1))
        assert examples.targets[:, row].tolist() == [*between, cue]
        assert examples.loss_mask[:, row].all() and examples.eval_mask[:, row].nonzero().tolist() == [[lag - 1]]


@drawn
@few
def test_distractors(seed, further, batch):
    lag = 2 + further
    kinds = min(50, max(1, lag - 2))
    examples = named("distractors").draw(lag, batch, generator(seed))
    for row in range(batch):
        asked = examples.eval_mask[:, row].nonzero().item()
        begin, cue, *between, end = ids(examples, row)[: asked + 1]
        assert (begin, end) == (kinds, kinds + 1) and cue in (kinds + 2, kinds + 3)
        assert all(0 <= symbol < kinds for symbol in between)
        assert len(between) >= lag - 2 and asked - 1 >= lag - 1
        assert examples.targets[asked, row] == cue - (kinds + 2)
        assert examples.loss_mask[:, row].sum() == 1 and not examples.inputs[asked + 1 :, row].any()


def test_distractors_go_on_with_probability_nine_tenths():
    examples = named("distractors").draw(10, 20_000, generator(3))
    further = examples.eval_mask.int().argmax(0) - 10
    assert further.min() == 0
    assert further.double().mean().item() == pytest.approx(9, abs=0.3)
    assert (further == 0).double().mean().item() == pytest.approx(0.1, abs=0.01)


@drawn
@few
def test_temporal_order(seed, further, batch):
    lag = 10 + further
    examples = named("temporal-order").draw(lag, batch, generator(seed))
    for row in range(batch):
        symbols = "".join("abcdXYEB"[symbol] for symbol in ids(examples, row))
        found = [(place, symbol) for place, symbol in enumerate(symbols) if symbol in "XY"]
        (first, one), (second, two) = found
        assert re.fullmatch("E[abcdXY]+B", symbols)
        assert lag // 10 <= first <= 2 * (lag // 10) and 5 * lag // 10 <= second <= 5 * lag // 10 + lag // 10
        assert examples.targets[-1, row] == ["XX", "XY", "YX", "YY"].index(one + two)


@drawn
@few
def test_copy(seed, further, batch):
    lag = 11 + further
    examples = named("copy").draw(lag, batch, generator(seed))
    for row in range(batch):
        read, said = ids(examples, row), examples.targets[:, row].tolist()
        assert all(symbol < 8 for symbol in read[:10])
        assert read[10:] == [8] * (lag - 11) + [9] + [8] * 9
        assert said == [8] * (lag - 1) + read[:10]
        # Dated t + 1, the answer at step t is the symbol read lag steps before.
        assert all(said[step] == read[step + 1 - lag] for step in examples.eval_mask[:, row].nonzero()[:, 0].tolist())
    assert examples.loss_mask.all() and (examples.eval_mask.sum(0) == 10).all()


# Reber's language, worked out of the graph by hand: after the upper loop, or by the lower one.
UPPER = "(?:XT*VP)*(?:SE|XT*VVE)"
REBER = re.compile(f"B(?:TS*X{UPPER}|PT*V(?:VE|P{UPPER}))")


@drawn
@few
def test_reber(seed, further, batch):
    lag = 6 + further
    examples = named("reber").draw(lag, batch, generator(seed))
    for row in range(batch):
        text = "".join("BTPSXVE"[symbol] for symbol in ids(examples, row))
        following = "".join("BTPSXVE"[symbol] for symbol in examples.targets[:, row].tolist())
        assert text[1:] == following[:-1]
        whole = text + following[-1]
        assert len(whole) == lag + 3 and whole[0] == "B" and whole[-1] == "E"
        assert whole[1] == whole[-2] and whole[1] in "TP"
        assert REBER.fullmatch(whole[2:-2]), whole
        (step,) = examples.eval_mask[:, row].nonzero()[:, 0].tolist()
        assert following[step] == whole[-2] and step == lag


@pytest.mark.parametrize("length", [5, 6, 7, 8])
def test_every_reber_string_of_a_length_is_drawn_as_often(length):
    inner = itertools.product("TPSXV", repeat=length - 2)
    possible = {"B" + "".join(each) + "E" for each in inner if REBER.fullmatch("B" + "".join(each) + "E")}
    count = 3000
    found = Counter(
        "".join("BTPSXVE"[s] for s in column) for column in strings(length, count, generator(0)).t().tolist()
    )
    assert set(found) == possible and len(possible) > 1
    expected = count / len(possible)
    assert all(abs(times - expected) < 5 * expected**0.5 for times in found.values())


def either(name):
    return f"(?:{'|'.join(CLASSES[name])})"


NOUN = f"the(?: {either('adjective')})? {either('noun')}"
PERSON = f"(?:{either('first name')}|{either('title')} {either('surname')})"
PHRASE = f"(?:{either('preposition')} {NOUN}|{either('participle')} by (?:{PERSON}|{NOUN}))"
SENTENCE = re.compile(f"the {either('noun')}(?: {PHRASE})*(?: {either('adverb')}){{0,2}}")


@drawn
@few
def test_agreement(seed, further, batch):
    lag = 1 + further
    examples = named("agreement").draw(lag, batch, generator(seed))
    for row in range(batch):
        words = [WORDS[symbol] for symbol in ids(examples, row)]
        assert len(words) == lag + 1 and SENTENCE.fullmatch(" ".join(words)), words
        plural = words[1] in PLURAL
        assert examples.targets[-1, row] == plural
        singular = {*SINGULAR, *CLASSES["surname"], *CLASSES["first name"]}
        misleading = sum(word in (singular if plural else PLURAL) for word in words[2:])
        assert examples.group[row] == misleading
    assert examples.eval_mask.sum() == batch and examples.eval_mask[-1].all()


def test_agreement_uses_all_of_its_words_and_short_distances():
    examples = named("agreement").draw(30, 500, generator(0))
    assert examples.inputs.sum((0, 1)).min() > 0
    assert [len(named("agreement").draw(lag, 3, generator(0)).inputs) for lag in (1, 2, 3, 4, 5, 6)] == [
        2,
        3,
        4,
        5,
        6,
        7,
    ]
