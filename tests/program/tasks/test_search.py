"""Beam search: against every output of a small network, and against tables of made probabilities."""

import itertools
import math

import pytest
import torch

from ostinato.program.options import NetworkOptions
from ostinato.program.tasks.translating.network import Hypotheses, TranslationNetwork
from ostinato.program.tasks.translating.search import Search, search

MARK = 3
"""Of outputs of the entries 0, 1 and 2."""


class Table:
    """Scores of the next unit by what is written: {units: probabilities}; it does not depend on the row."""

    def __init__(self, rows, table):
        self.table, self.written = table, [[()] for _ in range(rows)]

    def step(self, units):
        for row, own in enumerate(self.written):
            self.written[row] = [h if u == MARK else (*h, int(u)) for h, u in zip(own, units[:, row].tolist())]
        return torch.tensor([[self.table(h) for h in row] for row in self.written]).log().transpose(0, 1)

    def keep(self, rows, parents):
        self.written = [[self.written[r][p] for p in parents[:, k]] for k, r in enumerate(rows.tolist())]


def network(attention="additive", cell="gru", layers=1, seed=0):
    """Of sources of 4 entries, with weights large enough for clear preferences."""
    torch.manual_seed(seed)
    options = NetworkOptions(cell=cell, hidden=5, layers=layers, embedding=4, dropout=0.0, attention=attention)
    made = TranslationNetwork(4, MARK + 1, options).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.mul_(4)
    return made


def sources():
    return torch.tensor([[0, 1, 2], [1, 2, 0], [2, 0, 0]]), torch.tensor([3, 2, 1])


@torch.no_grad()
def log_probability(made, units, row):
    """Of an output with its end, by teacher forcing, the row alone."""
    x, lengths = sources()
    steps = torch.tensor([len(units)])
    given = {"source": x[: lengths[row], row : row + 1], "units": torch.tensor([[MARK, *units[:-1]]]).T, "steps": steps}
    return -float(made(given, lengths[row : row + 1]).read.nats(torch.tensor([units]).T).double().sum())


@torch.no_grad()
def found(made, rows=(0, 1, 2), limits=(5, 5, 5), **how):
    x, lengths = sources()
    rows = torch.tensor(rows)
    made_of = made({"source": x[: int(lengths[rows].max()), rows]}, lengths[rows])
    return search(Hypotheses(made_of), limits, Search(MARK, **how))


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
@pytest.mark.parametrize(("attention", "cell"), [("additive", "lstm"), ("multiplicative", "gru"), ("none", "elman")])
def test_a_wide_beam_finds_the_best_of_all_outputs_of_up_to_four_units(attention, cell, power):
    made = network(attention, cell)
    outputs = [units for n in range(5) for units in itertools.product(range(MARK), repeat=n)]
    assert len(outputs) == 121
    for row, output in enumerate(found(made, beam=400, length_penalty=power)):
        scores = {u: log_probability(made, [*u, MARK], row) / (len(u) + 1) ** power for u in outputs}
        best = max(scores, key=scores.__getitem__)
        assert tuple(output.units) == best and output.ended
        assert output.score == pytest.approx(scores[best], rel=1e-5)


def test_a_beam_of_one_follows_the_most_probable_unit():
    made = network(seed=1)
    for row, output in enumerate(found(made, limits=(9, 9, 9), beam=1)):
        units = []
        while len(units) < 9 and units[-1:] != [MARK]:
            scores = [log_probability(made, [*units, u], row) for u in range(MARK + 1)]
            units.append(max(range(MARK + 1), key=scores.__getitem__))
        ended = units[-1] == MARK
        assert (output.units, output.ended) == (units[:-1] if ended else units, ended)


def garden(written):
    """0 begins more probably, and no output that begins with it is probable; 1 is followed by the end."""
    return {(): [0.6, 0.4, 0.0, 0.0], (1,): [0.05, 0.05, 0.0, 0.9]}.get(written, [0.3, 0.3, 0.1, 0.3])


def test_a_beam_of_two_finds_what_the_most_probable_first_unit_hides():
    greedy, two = (search(Table(1, garden), [6], Search(MARK, beam=k, length_penalty=0.0))[0] for k in (1, 2))
    assert greedy.units[0] == 0
    assert two.units == [1] and two.score == pytest.approx(math.log(0.36))


def test_a_longer_output_wins_by_its_mean_and_loses_by_its_sum():
    def long(written):
        return {(): [0.5, 0.0, 0.0, 0.5], (0,): [0.9, 0.0, 0.0, 0.1]}.get(written, [0.0, 0.0, 0.1, 0.9])

    by_sum, by_mean = (search(Table(1, long), [9], Search(MARK, beam=2, length_penalty=a))[0] for a in (0.0, 1.0))
    assert by_sum.units == [] and by_sum.score == pytest.approx(math.log(0.5))
    assert by_mean.units == [0, 0] and by_mean.score == pytest.approx(math.log(0.5 * 0.9 * 0.9) / 3)


def test_an_output_without_an_end_is_cut_at_its_limit():
    endless = search(Table(2, lambda written: [0.5, 0.3, 0.2, 0.0]), [3, 1], Search(MARK, beam=2))
    assert [(o.units, o.ended) for o in endless] == [([0, 0, 0], False), ([0], False)]
    assert endless[0].score == pytest.approx(math.log(0.5))


def test_barred_entries_are_in_no_output_and_keep_their_probability():
    output = search(Table(1, garden), [6], Search(MARK, (0,), beam=3, length_penalty=0.0))[0]
    assert output.units == [1] and output.score == pytest.approx(math.log(0.36))


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("layers", [1, 2])
def test_other_rows_of_the_batch_change_no_output(beam, layers):
    made = network(cell="lstm", layers=layers, seed=2)
    together = found(made, limits=(7, 5, 12), beam=beam)
    for row, limit in enumerate((7, 5, 12)):
        alone = found(made, (row,), (limit,), beam=beam)[0]
        assert (alone.units, alone.ended) == (together[row].units, together[row].ended)
        assert alone.score == pytest.approx(together[row].score, rel=1e-5)


def test_a_search_of_no_rows_finds_nothing():
    assert search(Table(0, garden), [], Search(MARK)) == []
