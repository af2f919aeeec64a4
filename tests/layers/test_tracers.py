"""compile, export, make_fx, fake tensors: what torch traces is one operator, and computes the same."""

import warnings

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.rnn import pack_padded_sequence

from layers.small import CELLS, Net, agree, draw, flat, gradients, loss, run

pytestmark = pytest.mark.slow

OPERATOR = torch.ops.ostinato.sequence.default
OPERATOR_BACKWARD = torch.ops.ostinato.sequence_backward.default


@pytest.mark.parametrize("name, backend", [*((name, "aot_eager") for name in CELLS), ("lstm", "inductor")])
def test_compile_fullgraph(name, backend):
    net, x = Net(name, directions=2), draw(name, gradients=True)[1]
    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, backend=backend)
    expected = net(x)
    found = compiled(x)
    agree(found, expected)
    agree(gradients(net, x, found), gradients(net, x, expected), gradients=True)
    with torch.no_grad():
        agree(compiled(x), net(x))


def test_compile_sees_new_lengths_and_new_weights():
    net, x = Net("gru"), draw("gru")[1]
    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager", dynamic=True)
    for steps in (5, 3, 4):
        agree(compiled(x[:steps]), net(x[:steps]))
    net.weights[1].data.neg_()
    agree(compiled(x), net(x))


def test_compile_of_packed_rows():
    cell, x, states, weights = draw("lstm")
    packed = pack_padded_sequence(x, [5, 3, 2])
    weights = [w.requires_grad_() for w in weights]
    torch._dynamo.reset()

    def call(rows, sizes):
        return flat(run(cell, rows, states, weights, sizes))

    found = torch.compile(call, fullgraph=True, backend="aot_eager")(packed.data, packed.batch_sizes)
    expected = call(packed.data, packed.batch_sizes)
    agree(found, expected)
    agree(torch.autograd.grad(loss(found), weights), torch.autograd.grad(loss(expected), weights), gradients=True)


@pytest.mark.parametrize("name", ["gru", "lstm_projected"])
def test_export_has_one_node_for_each_direction(name):
    net, x = Net(name, directions=2), draw(name)[1]
    steps = torch.export.Dim("steps", min=2, max=1000)
    program = torch.export.export(net, (x,), dynamic_shapes=({0: steps},))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its tree specifications
        lowered = program.run_decompositions()
    for one in (program, lowered):
        targets = [node.target for node in one.graph.nodes if node.op == "call_function"]
        assert targets.count(OPERATOR) == 2
        assert not any("mm" in str(t) or "linear" in str(t) or "to.dtype" in str(t) for t in targets)
        for steps in (2, 7):
            longer = torch.randn(steps, 3, 4)
            agree(one.module()(longer), net(longer))


def test_an_exported_program_saves_loads_and_trains(tmp_path):
    net, x = Net("lstm"), draw("lstm", gradients=True)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its tree specifications
        torch.export.save(torch.export.export(net, (x,)), tmp_path / "net.pt2")
        loaded = torch.export.load(tmp_path / "net.pt2").module()
    found, expected = loaded(x), net(x)
    agree(found, expected)
    own = [dict(loaded.named_parameters())[f"weights.{k}"] for k in range(len(net.weights))]
    agree(torch.autograd.grad(loss(found), own), torch.autograd.grad(loss(expected), list(net.weights)), gradients=True)


def test_make_fx_and_jit_trace_see_the_operator():
    cell, x, states, weights = draw("gru")

    def call(x):
        return run(cell, x, states, weights)[0]

    traced = make_fx(call)(x)
    assert [n.target for n in traced.graph.nodes].count(OPERATOR) == 1
    scripted = torch.jit.trace(call, (x,))
    assert "ostinato::sequence" in str(scripted.graph)
    for other in (x, torch.randn(5, 3, 4)):
        agree([traced(other), scripted(other)], [call(other)] * 2)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("sizes", [None, torch.tensor([3, 3, 2, 1, 1])], ids=["padded", "packed"])
@pytest.mark.parametrize("name", ["gru", "lstm_projected"])
def test_opcheck(name, sizes, keep):
    cell, x, states, weights = draw(name, dtype=torch.float64, gradients=True)
    if sizes is not None:
        x = torch.cat([x_t[:n] for x_t, n in zip(x.detach(), sizes.tolist())]).requires_grad_()
    torch.library.opcheck(OPERATOR, (x, states, weights, sizes, cell.text, False, True, keep))


def test_opcheck_of_the_backward_operator():
    cell, x, states, weights = draw("lstm", dtype=torch.float64)
    output, finals, histories, kept = torch.ops.ostinato.sequence(x, states, weights, None, cell.text, True, True, True)
    arguments = (x, states, weights, None, output, kept, output, [None, finals[1]], histories, cell.text, True)
    for needs in ([True, True, True], [False, False, True], [True, False, False]):
        torch.library.opcheck(OPERATOR_BACKWARD, (*arguments, needs))


def test_fake_tensors_know_every_shape():
    with FakeTensorMode():
        for name in CELLS:
            cell, x, states, weights = draw(name, gradients=True)
            output, finals, histories = run(cell, x, states, weights, histories=True)
            width = 2 if name == "lstm_projected" else 6
            assert output.shape == (5, 3, width) and output.dtype == torch.float32
            assert [f.shape for f in finals] == [s.shape for s in states]
            assert [h.shape for h in histories] == [(5, *s.shape) for s in states[1:]]
            found = torch.autograd.grad(output.sum(), [x, *weights])
            assert [g.shape for g in found] == [t.shape for t in (x, *weights)]


def test_meta_tensors_know_every_shape():
    cell, x, states, weights = draw("lstm_projected")
    output, finals, _ = run(cell, x.to("meta"), [s.to("meta") for s in states], [w.to("meta") for w in weights])
    assert output.is_meta and output.shape == (5, 3, 2) and [f.shape for f in finals] == [(3, 2), (3, 6)]
