"""Files run by ONNX Runtime, and layers run row by row by the reference."""

import onnxruntime
import torch

from ostinato.cells.reference import sequence

LENGTHS = torch.tensor([3, 7, 0, 5, 1])
STEPS = 7


def session_of(path):
    """A file, loaded to run on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(path, **feeds):
    """output name → tensor"""
    session = session_of(path)
    names = [o.name for o in session.get_outputs()]
    found = session.run(None, {name: t.numpy() for name, t in feeds.items()})
    return {name: torch.from_numpy(t) for name, t in zip(names, found, strict=True)}


def call(layer, steps=STEPS, rows=5, seed=0):
    """(x laid out for the layer, a state for each of its states), random."""
    generator = torch.Generator().manual_seed(seed)
    dtype = next(layer.parameters()).dtype
    lead = (rows, steps) if layer.batch_first else (steps, rows)
    x = torch.randn(*lead, layer.input_size, generator=generator, dtype=dtype)
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    sizes = [layer.cell.width(w, 0, layer.hidden_size, layer.proj_size) for w in layer.cell.state_widths]
    states = [torch.rand(count, rows, n, generator=generator, dtype=dtype) + 0.3 for n in sizes]
    return x, states


def named(layer, output, finals):
    finals = finals if isinstance(finals, tuple | list) else (finals,)
    found = {"output": output, **{f"final_{s}": f for s, f in zip(layer.cell.states, finals, strict=True)}}
    return {name: t.detach() for name, t in found.items()}


def initial(layer, states):
    return {f"initial_{s}": t for s, t in zip(layer.cell.states, states, strict=True)}


def by_reference(layer, x, states, lengths):
    """The layer, each row by itself, in plain torch: output and final states by name."""
    x = x.transpose(0, 1) if layer.batch_first else x
    directions = 2 if layer.bidirectional else 1
    outputs, finals = [], []
    for row, length in enumerate(lengths.tolist()):
        y, ends = x[:length, row : row + 1], []
        for k in range(layer.num_layers):
            sides = []
            for d in range(directions):
                place = k * directions + d
                weights = [getattr(layer, name) for name in layer._weight_names()[place]]
                start = [s[place, row : row + 1] for s in states]
                out, last, _ = sequence(layer.cell, y, start, weights, reverse=d == 1)
                sides.append(out)
                ends.append(last)
            y = torch.cat(sides, -1)
        outputs.append(torch.cat([y, y.new_zeros(len(x) - length, 1, y.shape[-1])]))
        finals.append([torch.cat(s) for s in zip(*ends)])
    output = torch.cat(outputs, 1)
    output = output.transpose(0, 1) if layer.batch_first else output
    return named(layer, output, [torch.stack(s, 1) for s in zip(*finals)])
