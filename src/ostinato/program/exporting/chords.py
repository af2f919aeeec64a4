"""The joint head of music as an ONNX file: the keys of a frame one after another, in a Scan.

Traced by torch.onnx, each of K keys would copy what the keys before it left, which takes minutes. Here a key that is
down adds its weights to the hidden units and to the scores of the keys above it.

Letters: B rows, W numbers that the layers give of a frame, K keys, M hidden units.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ..._version import __version__
from ...export.onnx_graph import IR, OPSET, GraphBuilder
from ...export.packages import require
from ..tasks.music.heads import JointHead
from .check import WHERE


def write_chords(head: JointHead, path: Path) -> None:
    """Inputs read [B, W] and numbers float64 [B, K]; outputs keys uint8 [B, K] and probabilities [B, K]."""
    library = require("onnx", WHERE)
    nodes = GraphBuilder("chord/", torch.float32)
    width, (keys, units) = head.scores.in_features, head.from_hidden.shape
    with torch.no_grad():
        into, out_of, direct = (t.detach() for t in head.masked())
        affine = [(linear.weight.t().contiguous(), linear.bias.detach()) for linear in (head.hidden, head.scores)]
    before, scores = (nodes.make("Add", nodes.make("MatMul", "read", w.detach()), b) for w, b in affine)
    numbers = nodes.make("Transpose", "numbers", perm=[1, 0])
    scanned = [out_of, into.t().contiguous(), direct.t().contiguous(), torch.eye(keys)]
    names = [nodes.make("Identity", t) for t in scanned] + [numbers]
    outputs = [nodes.name(hint) for hint in ("hidden", "scores", "down", "chance")]
    nodes.make("Scan", before, scores, *names, out=outputs, body=_key(nodes, keys, units), num_scan_inputs=len(names))
    down = nodes.make("Transpose", outputs[2], perm=[1, 0])
    nodes.make("Cast", down, out="keys", to=nodes.kind(torch.uint8))
    nodes.make("Transpose", outputs[3], out="probabilities", perm=[1, 0])
    graph = nodes.helper.make_graph(
        nodes.nodes,
        "chord",
        [nodes.value("read", ("B", width)), nodes.value("numbers", ("B", keys), torch.float64)],
        [nodes.value("keys", ("B", keys), torch.uint8), nodes.value("probabilities", ("B", keys))],
        nodes.initializers(),
    )
    made = nodes.helper.make_model(
        graph,
        opset_imports=[nodes.helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="ostinato",
        producer_version=__version__,
    )
    library.checker.check_model(made, full_check=True)
    library.save(made, path)


def _key(nodes: GraphBuilder, keys: int, units: int) -> object:
    """One key: from the hidden units [B, M] and scores [B, K] to those after it, whether it is down, its chance [B]."""
    body = nodes.inner()
    before, scores, out_of, into, direct, own, number = (body.name(f"key_{k}") for k in range(7))
    hidden = body.make("MatMul", body.make("Relu", before), out_of)
    score = body.make("Add", body.make("MatMul", scores, own), hidden)
    chance = body.make("Sigmoid", score, out=body.name("chance_of_key"))
    exact = body.make("Sigmoid", body.make("Cast", score, to=body.kind(torch.float64)))
    down = body.make("Cast", body.make("Less", number, exact), out=body.name("down_of_key"), to=body.kind())
    column = body.unsqueeze(down, 1)
    after = [
        body.make("Add", old, body.make("Mul", column, weights), out=body.name("after_key"))
        for old, weights in ((before, into), (scores, direct))
    ]
    sizes = [("B", units), ("B", keys), (units,), (units,), (keys,), (keys,)]
    inputs = [body.value(n, s) for n, s in zip((before, scores, out_of, into, direct, own), sizes, strict=True)]
    inputs.append(body.value(number, ("B",), torch.float64))
    given = [("B", units), ("B", keys), ("B",), ("B",)]
    outputs = [body.value(n, s) for n, s in zip([*after, down, chance], given, strict=True)]
    return body.helper.make_graph(body.nodes, "key", inputs, outputs)
