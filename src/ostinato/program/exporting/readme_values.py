"""The programs of README.txt that go on with numbers: forecasts and music."""

from __future__ import annotations

from typing import Any

from ..running.model import Model
from ..tasks.forecasting.guess import growth_steps
from ..tasks.music.heads import JointHead
from .readme_texts import BEGIN, Lines


def forecasts(model: Model) -> Lines:
    """The quantiles of what follows a window."""
    task: Any = model.task
    own, s = task.scaling, task.scaling.shape
    lines = [
        's = model["files"]["scaling.json"]',
        f"mean, deviation = np.zeros({s.series}), np.ones({s.series})  # of the values of a new series, or as here:",
        'for scale in list(s["scales"].values())[:1]:  # by the name of a series of the training',
        '    mean, deviation = np.array(scale["mean"]), np.array(scale["deviation"])',
        f"values = mean + deviation * np.sin(np.arange({s.length}))[:, None]  # [L, K]: the last values, none missing",
    ]
    if own.log:
        lines[-1] = lines[-1].replace("values = ", "values = np.exp(").replace("[:, None]  ", "[:, None])  ")
    lines += [
        f"z = ({'np.log(values)' if own.log else 'values'} - mean) / deviation",
        'given = {"own": (z - z[-1])[None, :, :, None].astype(np.float32)}',
    ]
    if own.flagged:
        lines.append('given["own"] = np.concatenate([given["own"], np.ones_like(given["own"])], -1)')
    if s.past:
        lines.append(f'given["past"] = np.zeros((1, {s.length}, {s.past}), np.float32)  # as model.json says')
    if s.known:
        shape = (1, s.length + s.horizon, s.known)
        lines.append(f'given["known"] = np.zeros({shape}, np.float32)  # as model.json says')
    return [
        *lines,
        *_guess(own.guess, s.horizon, own.season),
        "errors = session.run(None, given)[0][0]",
        'inside = guess[..., None] + np.array(s["error"])[:, None] * errors',
        "answer = mean[:, None] + deviation[:, None] * inside  # [H, K, Q]",
        *(["answer = np.exp(answer)"] if own.log else []),
        'print(model["preprocessing"]["forecast"]["quantiles"], answer.round(3), sep="\\n")',
    ]


def _guess(name: str, horizon: int, season: int) -> Lines:
    """Lines that compute the guess [H, K] of scaled values z [L, K]: `guess` of forecasting/guess.py."""
    if name == "last":
        return [f"guess = np.repeat(z[-1:], {horizon}, 0)"]
    if name == "mean":
        return [f"guess = np.repeat(z.mean(0, keepdims=True), {horizon}, 0)"]
    ahead = f"np.arange({horizon})"
    lines = [f"guess = z[len(z) - {season} + {ahead} % {season}]"]
    if name != "season":
        steps = growth_steps(name, season)
        growth = f"(z[-{steps}:] - z[len(z) - {season + steps} : len(z) - {season}]).mean(0)"
        lines.append(f"guess = guess + {growth} * (1 + {ahead} // {season})[:, None]")
    return lines


def composes(model: Model) -> Lines:
    """Frames after the first, each key as is more probable."""
    network: Any = model.network
    keys = network.layers.input_size
    joint = isinstance(network.head, JointHead)
    inputs, first = '{"frames": roll[-1:], "numbers": numbers, **state}', "keys, chances"
    chord, after = [], []
    if joint:
        inputs, first = '{"frames": roll[-1:], **state}', "read"
        chord = ['chord = onnxruntime.InferenceSession("chord.onnx")']
        after = ['    keys, chances = chord.run(None, {"read": read, "numbers": numbers})']
    return [
        *chord,
        *BEGIN,
        f"roll, numbers = np.zeros((1, 1, {keys}), np.float32), np.full((1, {keys}), 0.5)  # or draws from 0 to 1",
        "for _ in range(8):",
        f"    {first}, *after = session.run(None, {inputs})",
        *after,
        "    state, roll = dict(zip(state, after)), np.concatenate([roll, keys[None].astype(np.float32)])",
        'names = model["files"]["keys.json"]["keys"]',
        "answer = [[names[k] for k in np.flatnonzero(frame)] for frame in roll[1:, 0]]",
        "print(answer)",
    ]
