"""Layers of Keras and cells of Flax with random weights, and what these libraries compute with them.

    python tests/export/libraries.py        # where keras, jax and flax are installed: writes libraries.npz anew

Each case is a dict of arrays: "weights/…", x [T, B, C], "state0", …, output [T, B, ·], "final0", …; states [D·L, B, H],
in the order of this package. The file holds what was made so; a test runs the functions again where the libraries are.
"""

import os
from pathlib import Path

import numpy as np

T, B, C, H = 5, 2, 3, 4
FILE = Path(__file__).with_name("libraries.npz")
KERAS = {
    "simple": ("SimpleRNN", {}, 1, False),
    "simple relu without bias": ("SimpleRNN", {"activation": "relu", "use_bias": False}, 1, False),
    "lstm": ("LSTM", {}, 1, False),
    "gru": ("GRU", {}, 1, False),
    "gru reset before": ("GRU", {"reset_after": False}, 1, False),
    "deep two-way lstm": ("LSTM", {}, 2, True),
}
FLAX = {
    "linen simple": ("linen", "SimpleCell"),
    "linen lstm": ("linen", "LSTMCell"),
    "linen optimized lstm": ("linen", "OptimizedLSTMCell"),
    "linen gru": ("linen", "GRUCell"),
    "nnx simple": ("nnx", "SimpleCell"),
    "nnx lstm": ("nnx", "LSTMCell"),
    "nnx optimized lstm": ("nnx", "OptimizedLSTMCell"),
    "nnx gru": ("nnx", "GRUCell"),
}


def draw(seed):
    generator = np.random.default_rng(seed)
    return lambda *shape: generator.normal(0, 0.7, shape).astype(np.float32)


def keras_case(name, weights=None):
    """The case, with weights of its own or with those given, for each layer a list of arrays."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    kind, options, layers, both = KERAS[name]
    make = draw(list(KERAS).index(name))
    options = {**options, "return_sequences": True, "return_state": True}
    states = 2 if kind == "LSTM" else 1
    directions = 2 if both else 1
    x = make(B, T, C)
    case = {"x": x.transpose(1, 0, 2)}
    starts = [make(layers * directions, B, H) for _ in range(states)]
    finals, y = [], x
    for k in range(layers):
        layer = getattr(keras.layers, kind)(H, **options)
        if both:
            layer = keras.layers.Bidirectional(layer)
        layer.build(y.shape)
        arrays = [make(*w.shape) for w in layer.get_weights()] if weights is None else weights[k]
        layer.set_weights(arrays)
        case.update({f"weights/{k}/{i}": a for i, a in enumerate(arrays)})
        given = [s[k * directions + d] for d in range(directions) for s in starts]
        y, *last = (np.asarray(a) for a in layer(y, initial_state=given))
        finals += [last[d * states : (d + 1) * states] for d in range(directions)]
    return finished(case, y.transpose(1, 0, 2), starts, [np.stack(f) for f in zip(*finals, strict=True)])


def flax_case(name, weights=None):
    """The case, with weights of its own or with those given: part → kernel, bias → array."""
    import jax
    from flax import linen, nnx

    api, kind = FLAX[name]
    make = draw(100 + list(FLAX).index(name))
    states = 2 if "LSTM" in kind else 1
    x, starts = make(T, B, C), [make(1, B, H) for _ in range(states)]
    carry = (starts[1][0], starts[0][0]) if states == 2 else starts[0][0]  # Flax has (c, h)
    if api == "linen":
        cell = getattr(linen, kind)(H)
        params = jax.tree.map(np.asarray, cell.init(jax.random.key(0), carry, x[0])["params"])
        params = {p: {k: make(*a.shape) for k, a in one.items()} for p, one in params.items()}
        params = params if weights is None else weights

        def step(carry, x_t):
            return cell.apply({"params": params}, carry, x_t)
    else:
        cell = getattr(nnx, kind)(C, H, rngs=nnx.Rngs(0))
        params = nnx.to_pure_dict(nnx.state(cell, nnx.Param))
        params = {p: {k: make(*a.shape) for k, a in one.items() if a is not None} for p, one in params.items()}
        params = params if weights is None else weights
        for part, one in params.items():
            for k, a in one.items():
                getattr(getattr(cell, part), k)[...] = jax.numpy.asarray(a)
        step = cell
    outputs = []
    for x_t in x:
        carry, y = step(carry, x_t)
        outputs.append(np.asarray(y))
    case = {f"weights/{part}/{k}": a for part, one in params.items() for k, a in one.items()}
    finals = [carry[1], carry[0]] if states == 2 else [carry]
    return finished({**case, "x": x}, np.stack(outputs), starts, [np.asarray(f)[None] for f in finals])


def finished(case, output, starts, finals):
    case.update({f"state{k}": s for k, s in enumerate(starts)}, output=output)
    return {**case, **{f"final{k}": f for k, f in enumerate(finals)}}


def kept(name):
    """A case as the file holds it."""
    with np.load(FILE) as file:
        return {key.partition("|")[2]: file[key] for key in file.files if key.startswith(f"{name}|")}


def keras_weights(case):
    """For each layer a list of arrays."""
    found = {}
    for key, array in case.items():
        if key.startswith("weights/"):
            found.setdefault(key.split("/")[1], []).append(array)
    return list(found.values())


def flax_weights(case):
    """part → kernel, bias → array."""
    found = {}
    for key, array in case.items():
        if key.startswith("weights/"):
            _, part, name = key.split("/")
            found.setdefault(part, {})[name] = array
    return found


if __name__ == "__main__":
    cases = {**{name: keras_case(name) for name in KERAS}, **{name: flax_case(name) for name in FLAX}}
    np.savez_compressed(FILE, **{f"{name}|{key}": a for name, case in cases.items() for key, a in case.items()})
