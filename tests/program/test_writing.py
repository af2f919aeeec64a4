"""Texts that a network writes: greedy steps against the whole prefix, cycles, seeds, prompts, and texts to stop at."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ostinato.errors import InputError
from ostinato.program.data.examples import Examples
from ostinato.program.options import NetworkOptions
from ostinato.program.running.writing import Request, Writer
from ostinato.program.tasks.texts.generate import Generate
from ostinato.program.tasks.texts.language_network import LanguageNetwork
from ostinato.program.tasks.texts.sampling import Sampling
from ostinato.program.tasks.texts.units import TextUnits
from program.tasks.made_items import letters, trained

WHERE = "ostinato generate"
GREEDY = Sampling(temperature=0)


@pytest.fixture(scope="module")
def writer():
    task, network, _ = trained(letters())
    return Writer(task, network.eval(), WHERE)


def cycle(text="abcd", unit="char"):
    """A writer whose network answers each unit with the next one of a cycle, without any training."""
    units = TextUnits.of([text + text], NetworkOptions(unit=unit))

    class Next(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.none = torch.nn.Parameter(torch.zeros(1))
            order = [int(e) for e in units.encode(text)]
            self.after = dict(zip(order, [*order[1:], order[0]]))

        def reader(self, rows):
            assert rows == 1
            return self

        def fork(self, given=None):
            return self

        def step(self, entries):
            scores = torch.full((1, len(units)), -30.0)
            scores[0, self.after.get(int(entries[0]), 1)] = 0.0
            return scores

    return Writer(SimpleNamespace(units=units), Next(), WHERE)


def test_items_obey_their_condition(writer):
    for letter in "ab":
        texts = {writer.write(Request(given={"letter": letter}, how=Sampling(top_p=0.95)), n).text for n in range(40)}
        assert texts == {letter, 2 * letter, 3 * letter}


def test_lengths_of_items_are_drawn_as_the_training_rows_have_them(writer):
    n = 300
    lengths = [len(writer.write(Request(given={"letter": "a"}), number).text) for number in range(n)]
    counts = np.bincount(lengths, minlength=4)[1:4]
    assert counts.sum() >= 0.95 * n
    assert (np.abs(counts - n / 3) < 5 * np.sqrt(n * 2 / 9) + 0.05 * n).all()


def test_a_condition_that_is_left_out_is_drawn_and_said(writer):
    samples = [writer.write(Request(how=Sampling(top_p=0.95)), number) for number in range(60)]
    assert all(set(sample.text) == {sample.given["letter"]} for sample in samples)
    share = np.mean([sample.given["letter"] == "a" for sample in samples])
    assert abs(share - 0.5) < 5 * np.sqrt(0.25 / 60)


def test_greedy_steps_are_the_most_probable_units_of_the_whole_prefix():
    torch.manual_seed(0)
    options = NetworkOptions(hidden=12, embedding=6, dropout=0.3, both_directions=False, cell="lstm", layers=2)
    units = TextUnits.of(["the quick brown fox"], NetworkOptions(unit="char"))
    network = LanguageNetwork(len(units), options).eval()
    sample = Writer(SimpleNamespace(units=units), network, WHERE).write(Request("the ", length=25, how=GREEDY), 0)
    read, reader = [int(e) for e in units.encode("the ")], network.reader(1)
    for entry in read:
        stepped = reader.step(torch.tensor([entry]))
    for letter in sample.text:
        with torch.no_grad():
            scores = network({"units": torch.tensor(read)[:, None]})[-1, 0]
        torch.testing.assert_close(stepped[0], scores, rtol=1e-5, atol=1e-5)
        scores[0] = -torch.inf
        read.append(int(scores.argmax()))
        assert units.decode(read[-1:]) == letter
        stepped = reader.step(torch.tensor(read[-1:]))
    assert len(sample.text) == 25


def test_a_cycle_goes_on_after_the_prompt():
    assert cycle().write(Request("abcdab", length=9, how=GREEDY), 0).text == "cdabcdabc"
    assert cycle("the cat sat \n", "word").write(Request("the cat", length=4, how=GREEDY), 0).text == " sat \nthe"


def test_without_a_prompt_a_text_begins_as_after_a_line_break():
    assert cycle("ab\n").write(Request(length=4, how=GREEDY), 0).text == "ab\na"


def test_the_seed_and_the_number_decide_a_sample_whatever_the_others_are(writer):
    asked = Request(seed=3)
    every = [writer.write(asked, number).text for number in range(12)]
    assert [writer.write(asked, number).text for number in (11, 4)] == [every[11], every[4]]
    assert [writer.write(Request(seed=4), number).text for number in range(12)] != every


def test_a_text_stops_before_the_text_to_stop_at_and_is_given_out_in_the_meantime():
    asked = Request("a", length=40, stop="cda", how=GREEDY)
    sample, pieces = cycle().begin(asked, 0)
    assert "".join(pieces) == sample.text == "b" and sample.ended
    sample, pieces = cycle().begin(Request("a", length=6, stop="xyz", how=GREEDY), 0)
    assert list(pieces) == ["b", "c", "d", "a", "bc"] and not sample.ended
    sample, pieces = cycle().begin(Request("a", length=6, how=GREEDY), 0)
    assert list(pieces) == list("bcdabc")


def test_an_item_ends_by_itself_or_at_the_length(writer):
    assert writer.write(Request(given={"letter": "b"}, how=GREEDY), 0).ended
    cut = writer.write(Request("aa", given={"letter": "a"}, length=1, how=Sampling(top_k=1)), 0)
    assert not cut.ended or cut.text == ""


def test_an_item_is_never_empty_unless_the_prompt_is_all_of_it(writer):
    assert all(writer.write(Request(), number).text for number in range(100))


def test_sub_word_units_are_written_when_their_characters_are_whole():
    pytest.importorskip("tokenizers")
    text = "naïve café — “déjà vu” " * 4
    writer = cycle_of_bytes(text)
    sample, pieces = writer.begin(Request(text[0], length=len(writer.network.order), how=GREEDY), 0)
    pieces = list(pieces)
    assert "".join(pieces) == sample.text and "\ufffd" not in sample.text
    assert sample.text.startswith(text[1:40])


def cycle_of_bytes(text):
    """A writer of sub-word units, nearly all of them bytes, that writes a text unit after unit."""
    units = TextUnits.of([text], NetworkOptions(unit="bpe:256"))

    class Order(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.none, self.order, self.place = torch.nn.Parameter(torch.zeros(1)), list(units.encode(text)), 0

        def reader(self, rows):
            return self

        def fork(self, given=None):
            return self

        def step(self, entries):
            self.place += 1
            scores = torch.full((1, len(units)), -30.0)
            scores[0, int(self.order[self.place % len(self.order)])] = 0.0
            return scores

    return Writer(SimpleNamespace(units=units), Order(), WHERE)


@pytest.mark.parametrize(
    "text, unit, prompt, message",
    [
        (
            "cafe Aa",
            "char",
            "café",
            "ostinato generate: --prompt must be of characters that the training texts have, got 'é', character 4. "
            "Write 'e' instead.",
        ),
        (
            "cafe",
            "char",
            "caFe",
            "ostinato generate: --prompt must be of characters that the training texts have, got 'F', character 3. "
            "Write 'f' instead.",
        ),
        (
            "ab \n",
            "char",
            "a?",
            "ostinato generate: --prompt must be of characters that the training texts have, got '?', character 2. "
            "Known are '\\n', ' ', a, b.",
        ),
        (
            "the cat sat",
            "word",
            "the cot sat",
            "ostinato generate: --prompt must be of words that the training texts have, got ' cot', word 2. "
            "Did you mean 'cat'? Write words that the training has.",
        ),
    ],
)
def test_a_prompt_with_unknown_units_is_refused_with_what_to_write_instead(text, unit, prompt, message):
    with pytest.raises(InputError) as refused:
        cycle(text, unit).write(Request(prompt), 0)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "asked, message",
    [
        (Request(length=0), "ostinato generate: --length must be a whole number of 1 or more, got 0."),
        (
            Request(stop=""),
            "ostinato generate: --stop must be a text of one character or more, got an empty one. Leave it out to "
            "write until --length.",
        ),
        (
            Request(given={"letter": "a"}),
            "ostinato generate: --given must be left out for a language model, got letter. Train with --given to have "
            "such columns.",
        ),
    ],
)
def test_a_wish_that_cannot_be_fulfilled_is_refused(asked, message):
    with pytest.raises(InputError) as refused:
        cycle().write(asked, 0)
    assert str(refused.value) == message


def test_items_of_numbers_are_written_for_the_numbers():
    task, network, _ = trained(letters(kind="features"))
    writer = Writer(task, network.eval(), WHERE)
    for value, letter in (("1", "a"), ("-1", "b")):
        sample = writer.write(Request(given={"sign": value, "same": "7"}, how=Sampling(top_p=0.95)), 0)
        assert set(sample.text) == {letter} and sample.given == {"sign": float(value), "same": 7.0}


def test_items_without_a_condition_are_written():
    texts = ["ab", "abab"] * 30
    task, network, _ = trained(Examples("given", [()] * 60, "text", texts, (), "line"), 120)
    assert isinstance(task, Generate)
    writer = Writer(task, network.eval(), WHERE)
    found = {writer.write(Request(how=Sampling(top_p=0.9)), number).text for number in range(20)}
    assert found == {"ab", "abab"}
