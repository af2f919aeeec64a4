"""What the tests of the inline cache share: layers, their states, and calls that no entry answers."""

import torch

import ostinato
from ostinato.layers import inline_cache

T, B, C, H = 5, 3, 6, 8


def uncached(layer, *arguments, **named):
    """A call that no entry answers."""
    inline_cache._ENTRIES.clear()
    return layer(*arguments, **named)


def flat(result):
    output, state = result
    return [output, *(state if isinstance(state, tuple) else (state,))]


def same(a, b):
    assert len(a) == len(b)
    for one, other in zip(a, b):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)


KINDS = {
    "rnn": lambda **o: ostinato.RNN(C, H, **o),
    "lstm": lambda **o: ostinato.LSTM(C, H, **o),
    "gru": lambda **o: ostinato.GRU(C, H, **o),
    "projected": lambda **o: ostinato.LSTM(C, H, proj_size=4, **o),
    "cell": lambda **o: ostinato.Recurrent("mingru", C, H, **o),
}


def states_of(layer, batch=B):
    widths = {"H": H, "P": layer.proj_size or H}
    found = tuple(torch.randn(1, batch, widths[w]) for w in layer.cell.state_widths)
    return found if len(found) > 1 else found[0]
