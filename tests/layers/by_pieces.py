"""The slow truth of ragged batches: every row cut by hand, every piece run alone."""

import torch

from layers.pairs import parts
from ostinato.cells.reference import sequence


def alone(layer, x, state):
    """A piece x [T, 1, C] through the layer itself: (output, states, states after every step)."""
    turned = x.transpose(0, 1) if layer.batch_first else x
    output, state, every = layer(turned, state, return_states=True)
    return (output.transpose(0, 1) if layer.batch_first else output), parts(state), parts(every)


def reference(layer, x, state):
    """The same in plain torch: layers and directions put together by hand."""
    cell, finals, every, k = layer.cell, [], [], 0
    for level in range(layer.num_layers):
        sides = []
        for suffix in ("", "_reverse")[: 1 + layer.bidirectional]:
            end = f"_l{level}{suffix}"
            sizes = [(s[0], s[-1]) for s in state_sizes(layer)]
            if state is not None:
                start = [s[k] for s in parts(state)]
            elif layer.options.learn_initial_state:
                start = [getattr(layer, f"initial_{s}{end}").unsqueeze(0) for s in cell.states]
            else:
                start = [x.new_zeros(1, width) for _, width in sizes]
            weights = [getattr(layer, name + end) for name in cell.parameters(1, 1)]
            output, final, history = sequence(cell, x, start, weights, reverse=bool(suffix))
            sides.append(output)
            finals.append(final)
            every.append(history)
            k += 1
        x = torch.cat(sides, -1)
    return x, tuple(map(torch.stack, zip(*finals, strict=True))), tuple(map(torch.stack, zip(*every, strict=True)))


def state_sizes(layer):
    """[D·L, width] of each state."""
    count = layer.num_layers * (1 + layer.bidirectional)
    sizes = (layer.input_size, layer.hidden_size, layer.proj_size)
    return [(count, layer.cell.width(symbol, *sizes)) for symbol in layer.cell.state_widths]


def pieces(length, resets):
    """(begin, end) of each piece of a row with its bools [T]."""
    cuts = [0, *[t for t in range(1, length) if resets is not None and resets[t]], length]
    return [(a, b) for a, b in zip(cuts, cuts[1:]) if a < b]


def by_pieces(layer, x, state, lengths, resets, run=alone):
    """x [T, B, C], resets [T, B] or None → (output, states, states after every step), steps first."""
    steps, batch = x.shape[:2]
    lengths = [steps] * batch if lengths is None else lengths
    rows = []
    for b in range(batch):
        marks = None if resets is None else resets[:, b].tolist()
        given = None if state is None else tuple(s[:, b : b + 1] for s in parts(state))
        now, outputs, every = given, [], []
        for begin, end in pieces(int(lengths[b]), marks):
            start = None if begin or (marks is not None and marks[0]) else given
            together = start[0] if start is not None and len(start) == 1 else start
            y, now, history = run(layer, x[begin:end, b : b + 1], together)
            outputs.append(y)
            every.append(history)
        rest = steps - int(lengths[b])
        if now is None:
            now = own(layer, x)
        width = (1 + layer.bidirectional) * layer.cell.width(
            layer.cell.output_width, layer.input_size, layer.hidden_size, layer.proj_size
        )
        output = torch.cat([*outputs, x.new_zeros(rest, 1, width)])
        gaps = [x.new_zeros(count, rest, 1, size) for count, size in state_sizes(layer)]
        histories = [torch.cat([*[h[k] for h in every], gap], 1) for k, gap in enumerate(gaps)]
        rows.append((output, now, histories))
    count = range(len(layer.cell.states))
    return (
        torch.cat([r[0] for r in rows], 1),
        tuple(torch.cat([r[1][k] for r in rows], 1) for k in count),
        tuple(torch.cat([r[2][k] for r in rows], 2) for k in count),
    )


def own(layer, x):
    """Where a row starts by itself, [D·L, 1, ·] of each state."""
    if not layer.options.learn_initial_state:
        return tuple(x.new_zeros(count, 1, width) for count, width in state_sizes(layer))
    ends = [f"_l{k}{s}" for k in range(layer.num_layers) for s in ("", "_reverse")[: 1 + layer.bidirectional]]
    return tuple(
        torch.stack([getattr(layer, f"initial_{name}{end}") for end in ends]).unsqueeze(1) for name in layer.cell.states
    )
