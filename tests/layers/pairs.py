"""Layers of torch.nn beside ours, and results by name."""

import torch
from torch import nn

import ostinato

STEPS, BATCH, FEATURES, HIDDEN = 5, 3, 4, 6
PAIRS = [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("GRU", {}), ("LSTM", {}), ("LSTM", {"proj_size": 2})]


def pair(kind, **options):
    """(torch.nn's layer, ours), same weights"""
    torch.manual_seed(1)
    theirs = getattr(nn, kind)(FEATURES, HIDDEN, **options)
    ours = getattr(ostinato, kind)(FEATURES, HIDDEN, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def named(output, state, *more):
    return {"output": output} | {f"{k} {i}": t for k, s in enumerate((state, *more)) for i, t in enumerate(parts(s))}
