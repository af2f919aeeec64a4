"""Lives of streams, drawn at random, beside what must be true of every row.

The inputs that a row has read since its last reset are kept beside it. Pushed at once into a fresh stream of one row,
they must give the bits of everything that the row has returned, and its states.
"""

import random

import numpy as np
import pytest
import torch

from ostinato import State
from ostinato.errors import InputError, ShapeError
from ostinato.streaming.streams import Stream

OPERATIONS = (
    ["step"] * 6 + ["push"] * 4 + ["reset", "join", "leave", "fork", "take", "restore", "drop", "same", "refuse"]
)
LARGE, SMALL = 1e30, 1e-40


class Row:
    """What a row has read, [T, C] or [T] in pieces, and returned, [T, O] in pieces, since its last reset."""

    def __init__(self, inputs=(), outputs=()):
        self.inputs, self.outputs = list(inputs), list(outputs)

    def copy(self):
        return Row(self.inputs, self.outputs)


class Alive:
    """A stream and its rows."""

    def __init__(self, stream, rows):
        self.stream, self.rows = stream, rows


class Life:
    """Some streams of one network and what is done with them."""

    def __init__(self, seed, network, operations=OPERATIONS):
        self.draw, self.generator = random.Random(seed), torch.Generator().manual_seed(seed)
        self.network, self.operations = network, operations
        self.alive = [self.fresh(self.draw.choice((0, 1, 1, 2, 3, 5)))]
        self.compared = 0

    def fresh(self, rows):
        return Alive(Stream(self.network, rows), [Row() for _ in range(rows)])

    def run(self, count):
        """Draws `count` operations, then compares all rows that are left."""
        for _ in range(count):
            getattr(self, self.draw.choice(self.operations))(self.draw.choice(self.alive))
        for one in self.alive:
            self.compare_all(one)

    # What must be true.

    def compare_all(self, one):
        assert one.stream.rows == len(one.rows)
        state = one.stream.state()
        for k, row in enumerate(one.rows):
            self.compare(row, {name: value[k] for name, value in state.items()})

    def compare(self, row, state=None):
        alone = Stream(self.network, 1)
        if row.inputs:
            assert_same_bits(torch.cat(row.outputs), alone.push(torch.cat(row.inputs)))
            self.compared += 1
        for name, value in (state or {}).items():
            assert_same_bits(value, alone.state()[name][0])

    # Inputs.

    def inputs(self, *shape):
        """Numbers [*shape, C], a few of them zero, very large, very small or NaN; tokens [*shape]."""
        x = self.network.input
        if x.tokens is not None:
            return torch.randint(x.tokens, shape, generator=self.generator)
        numbers = torch.randn(*shape, x.width, dtype=self.network.dtype, generator=self.generator)
        if self.draw.random() < 0.1 and numbers.numel():
            places = torch.randint(numbers.numel(), (2,), generator=self.generator)
            numbers.view(-1)[places] = self.draw.choice((0.0, -0.0, LARGE, SMALL, torch.inf, torch.nan))
        return numbers

    def any_rows(self, one, count=None, distinct=False):
        every = range(len(one.rows))
        if distinct:
            return self.draw.sample(every, self.draw.randint(0, len(every)))
        return self.draw.choices(every, k=self.draw.randint(0, 4) if count is None else count) if every else []

    # Steps.

    def step(self, one):
        """A step in one of the ways in which x and y may be given."""
        stream, x = one.stream, self.inputs(len(one.rows))
        shape, dtype = stream.output.shape, stream.output.dtype
        way = self.draw.choice(("torch", "out", "bound", "numpy", "numpy out", "strided", "single"))
        if way == "out":
            out = torch.empty(shape, dtype=dtype)
            assert stream.step(x, out=out) is out
            y = out
        elif way == "bound":
            stream.input.copy_(x)
            y = stream.step().clone()
        elif way == "numpy":
            y = torch.from_numpy(stream.step(x.numpy()))
        elif way == "numpy out":
            y = torch.empty(shape, dtype=dtype)
            stream.step(x.numpy(), out=y.numpy())
        elif way == "strided":
            y = stream.step(torch.stack([x, x], -1)[..., 0])
        elif way == "single" and len(one.rows) == 1:
            y = stream.step(x[0]).unsqueeze(0)
        else:
            y = stream.step(x)
        self.note(one, x.unsqueeze(0), y.unsqueeze(0))

    def push(self, one):
        """Several steps at once, or none."""
        stream = one.stream
        xs = self.inputs(self.draw.choice((0, 1, 2, 3, 7, 30)), len(one.rows))
        way = self.draw.choice(("torch", "out", "numpy", "single"))
        if way == "out":
            ys = torch.empty(len(xs), *stream.output.shape, dtype=stream.output.dtype)
            stream.push(xs, out=ys)
        elif way == "numpy":
            ys = torch.from_numpy(stream.push(xs.numpy()))
        elif way == "single" and len(one.rows) == 1:
            ys = stream.push(xs[:, 0]).unsqueeze(1)
        else:
            ys = stream.push(xs)
        self.note(one, xs, ys)

    def note(self, one, xs, ys):
        for k, row in enumerate(one.rows):
            if len(xs):
                row.inputs.append(xs[:, k])
                row.outputs.append(ys[:, k])

    # Rows.

    def reset(self, one):
        rows = self.any_rows(one)
        if self.draw.random() < 0.2:
            rows = range(len(one.rows))
            one.stream.reset()
        else:
            one.stream.reset(rows)
        for k in set(rows):
            self.compare(one.rows[k])
            one.rows[k] = Row()

    def join(self, one):
        count = self.draw.choice((0, 1, 1, 2)) if len(one.rows) < 8 else 0
        assert one.stream.join(count) == [*range(len(one.rows), len(one.rows) + count)]
        one.rows += [Row() for _ in range(count)]

    def leave(self, one):
        gone = self.any_rows(one, distinct=True)
        one.stream.leave(gone)
        for k in gone:
            self.compare(one.rows[k])
        one.rows = [row for k, row in enumerate(one.rows) if k not in gone]

    def fork(self, one):
        if self.draw.random() < 0.3:
            other = Alive(one.stream.fork(), [row.copy() for row in one.rows])
        else:
            index = self.any_rows(one)
            other = Alive(one.stream.fork(index), [one.rows[k].copy() for k in index])
        self.add(other)

    def take(self, one):
        index = self.any_rows(one, count=len(one.rows))
        one.stream.take(index)
        for k in set(range(len(one.rows))) - set(index):
            self.compare(one.rows[k])
        one.rows = [one.rows[k].copy() for k in index]

    def add(self, one):
        """Keeps three streams at most."""
        if len(self.alive) == 3:
            self.compare_all(self.alive.pop(self.draw.randrange(3)))
        self.alive.append(one)

    def drop(self, one):
        self.compare_all(one)
        self.alive.remove(one)
        if self.draw.random() < 0.5:
            one.stream.close()
        if not self.alive:
            self.alive.append(self.fresh(self.draw.choice((1, 2))))

    # States.

    def restore(self, one):
        """Saves some rows, and goes on with them in rows of another stream, or in a new one."""
        index = self.any_rows(one)
        saved = State.from_bytes(one.stream.state(index).to_bytes())
        if not index:
            return
        other = self.draw.choice(self.alive)
        if self.draw.random() < 0.5 or len(other.rows) < len(index):
            other = self.fresh(len(index))
            other.stream.load(saved, weights=self.draw.choice(("same", "any")))
            other.rows = [one.rows[k].copy() for k in index]
            self.add(other)
            return
        places = self.draw.sample(range(len(other.rows)), len(index))
        other.stream.load(saved if self.draw.random() < 0.5 else dict(saved), places)
        copies = [one.rows[k].copy() for k in index]
        for place, row in zip(places, copies):
            self.compare(other.rows[place])
            other.rows[place] = row

    # What changes nothing.

    def same(self, one):
        """Weights that have not changed, another number of threads, a look at the state."""
        one.stream.refresh()
        torch.set_num_threads(self.draw.choice((1, 2)))
        for value in one.stream.state().values():
            value.fill_(torch.nan)

    def refuse(self, one):
        """Calls that are refused."""
        count = len(one.rows)
        with pytest.raises(ShapeError):
            one.stream.step(self.inputs(count + 2))
        with pytest.raises(InputError):
            one.stream.leave([count])
        with pytest.raises(InputError):
            one.stream.take([0] * (count + 1))
        if self.network.input.tokens is not None and count:
            tokens = self.inputs(3, count)
            tokens[self.draw.randrange(3), self.draw.randrange(count)] = self.network.input.tokens
            with pytest.raises(InputError):
                one.stream.push(tokens)


def assert_same_bits(a, b):
    """All bits, but NaN is NaN whatever its payload."""
    assert a.shape == b.shape and a.dtype == b.dtype
    kind = np.int32 if a.dtype is torch.float32 else np.int64
    one, other = a.contiguous().numpy(), b.contiguous().numpy()
    assert np.array_equal(np.where(np.isnan(one), 0, one.view(kind)), np.where(np.isnan(other), 0, other.view(kind)))
    assert np.array_equal(np.isnan(one), np.isnan(other))
