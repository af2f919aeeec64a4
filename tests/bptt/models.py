"""A model with two layers of different cells, and the same model one step at a time."""

import torch
from torch import nn

import ostinato

CHARACTERS = 7


class Model(nn.Module):
    """ids [T, B] → scores [T, B, 7]: an embedding, a GRU, something between, an LSTM of two layers, a head."""

    def __init__(self, between=None, learned=False, batch_first=False, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        options = {"batch_first": batch_first, "learn_initial_state": learned}
        self.embedding = nn.Embedding(CHARACTERS, 4)
        self.low = ostinato.GRU(4, 5, **options)
        self.between = between or nn.Tanh()
        self.high = ostinato.LSTM(5, 6, num_layers=2, **options)
        self.head = nn.Linear(6, CHARACTERS)
        self.double()
        if learned:
            with torch.no_grad():
                for name, parameter in self.named_parameters():
                    if "initial" in name:
                        parameter.normal_()

    def forward(self, ids):
        y, _ = self.low(self.embedding(ids))
        y, _ = self.high(self.between(y))
        return self.head(y)

    def step(self, x_t, state):
        """x_t = (ids [B], whether a row starts anew [B] or None, what stands between the layers) → scores, state."""
        ids, resets, between = x_t
        low, high = (None, None) if state is None else state
        if resets is None:
            resets = torch.full(ids.shape, state is None)
        low, high = anew(self.low, low, resets), anew(self.high, high, resets)
        y, low = self.low.step(self.embedding(ids), low)
        y, high = self.high.step(between(y), high)
        return self.head(y), (low, high)


def own_start(layer, rows):
    """The state that a call without one starts from, for each of the cell's states [L, B, H]."""
    states = []
    for name in layer.cell.states:
        if layer.options.learn_initial_state:
            rows_of = torch.stack([getattr(layer, f"initial_{name}_l{k}") for k in range(layer.num_layers)])
            states.append(rows_of[:, None].expand(-1, rows, -1))
        else:
            states.append(torch.zeros(layer.num_layers, rows, layer.hidden_size, dtype=torch.float64))
    return states


def anew(layer, state, resets):
    start = own_start(layer, len(resets))
    states = start if state is None else [state] if isinstance(state, torch.Tensor) else state
    mixed = [torch.where(resets[:, None], a, s) for a, s in zip(start, states)]
    return mixed[0] if len(mixed) == 1 else tuple(mixed)


def detach(state):
    if isinstance(state, tuple):
        return tuple(detach(s) for s in state)
    return state if state is None else state.detach()


def cross_entropy(scores, targets):
    """The sum over all steps and rows, in nats."""
    return nn.functional.cross_entropy(scores.flatten(0, -2), targets.flatten(), reduction="sum")


def stream(steps, rows, seed=1):
    made = torch.Generator().manual_seed(seed)
    ids = torch.randint(CHARACTERS, (steps + 1, rows), generator=made)
    return ids[:-1], ids[1:]


def in_chunks(tensors, sizes):
    """Tuples of the tensors' next steps, of the sizes given, over and over."""
    first, k = 0, 0
    while first < len(tensors[0]):
        size = sizes[k % len(sizes)]
        yield tuple(t[first : first + size] for t in tensors)
        first, k = first + size, k + 1


def gradients(model):
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
