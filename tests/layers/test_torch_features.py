"""Transforms, modes, subclasses, checkpointing and several processes, by values."""

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jacrev, jvp, vmap
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import ostinato
from layers.small import CELLS, Half, Net, agree, draw, flat, gradients, loss, run
from ostinato.errors import InputError
from ostinato.execution import routing
from processes import in_two_processes

pytestmark = pytest.mark.slow

OPERATOR = torch.ops.ostinato.sequence.default
OPERATOR_BACKWARD = torch.ops.ostinato.sequence_backward.default


@pytest.mark.parametrize("name", CELLS)
def test_grad_vmap_and_jvp(name):
    cell, x, states, weights = draw(name, dtype=torch.float64)
    n = len(states)

    def total(x, *rest):
        return loss(flat(run(cell, x, rest[:n], rest[n:], histories=True)))

    inputs = (x, *states, *weights)
    places = tuple(range(len(inputs)))
    found = grad(total, argnums=places)(*inputs)
    leaves = [t.clone().requires_grad_() for t in inputs]
    expected = torch.autograd.grad(total(*leaves), leaves)
    agree(found, expected, gradients=True)

    tangents = tuple(torch.randn_like(t) for t in inputs)
    value, slope = jvp(total, inputs, tangents)
    agree([value, slope], [total(*inputs), sum((g * t).sum() for g, t in zip(expected, tangents))], gradients=True)

    several = torch.stack([x, 2 * x, -x])
    agree(
        vmap(total, in_dims=(0, *[None] * (len(inputs) - 1)))(several, *inputs[1:])[None],
        torch.stack([total(one, *inputs[1:]) for one in several])[None],
    )


def test_gradients_of_each_sample():
    cell, x, _, weights = draw("lstm", dtype=torch.float64)

    def total(weights, row):
        zeros = [row.new_zeros(1, 6)] * 2
        return loss([run(cell, row[:, None], zeros, weights)[0]])

    found = vmap(grad(total), in_dims=(None, 1))(weights, x)
    for row in range(3):
        leaves = [w.clone().requires_grad_() for w in weights]
        agree([g[row] for g in found], torch.autograd.grad(total(leaves, x[:, row]), leaves), gradients=True)


def test_a_jacobian_through_a_module():
    net = Net("gru", dtype=torch.float64)
    _, x, _, _ = draw("gru", dtype=torch.float64, rows=1)
    found = jacrev(lambda p: functional_call(net, p, (x,))[1])(dict(net.named_parameters()))
    last = net(x)[1]
    for unit in range(6):
        expected = torch.autograd.grad(last[0, unit], list(net.weights), retain_graph=True)
        agree([j[0, unit] for j in found.values()], expected, gradients=True)


@pytest.mark.parametrize("gradients", [False, True])
def test_dual_numbers(gradients):
    cell, x, states, weights = draw("gru", dtype=torch.float64, gradients=gradients)
    direction = torch.randn_like(x)
    with forward_ad.dual_level():
        output = run(cell, forward_ad.make_dual(x, direction), states, weights)[0]
        value, slope = forward_ad.unpack_dual(output)
    with torch.no_grad():
        ahead, behind = (run(cell, x + e * direction, states, weights)[0] for e in (1e-6, -1e-6))
        torch.testing.assert_close(slope, (ahead - behind) / 2e-6, rtol=1e-6, atol=1e-8)
        agree([value], [run(cell, x, states, weights)[0]])


def test_the_operator_by_itself_refuses_forward_mode():
    cell, x, states, weights = draw("gru")
    refusal = "ostinato.sequence: the operator must be called without forward-mode differentiation"
    with forward_ad.dual_level(), pytest.raises(InputError, match=refusal):
        torch.ops.ostinato.sequence(forward_ad.make_dual(x, x), states, weights, None, cell.text, False, False, False)


class Seen(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.operators = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.operators.append(operator)
        return operator(*args, **(kwargs or {}))


def test_a_dispatch_mode_sees_one_operator_each_way():
    net, x = Net("lstm"), draw("lstm", gradients=True)[1]
    expected = net(x)
    with Seen() as seen:
        found = net(x)
        found_gradients = torch.autograd.grad(loss(found), [x, *net.weights])
    assert seen.operators.count(OPERATOR) == 1 and seen.operators.count(OPERATOR_BACKWARD) == 1
    assert not any("mm" in str(o) or "sigmoid" in str(o) for o in seen.operators)
    agree(found, expected)
    agree(found_gradients, gradients(net, x, expected), gradients=True)


def test_double_backward_under_a_dispatch_mode():
    cell, x, states, weights = draw("gru", dtype=torch.float64, gradients=True)

    def second():
        first = torch.autograd.grad(loss([run(cell, x, states, weights)[0]]), [x, *weights], create_graph=True)
        return torch.autograd.grad(loss(first), [x, *states, *weights])

    expected = second()
    with Seen():
        agree(second(), expected, gradients=True)


class Named(torch.Tensor):
    """A subclass that wants to see which functions it meets."""

    met: list = []

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        cls.met.append(function)
        return super().__torch_function__(function, types, args, kwargs)


class Wrapped(torch.Tensor):
    """A subclass that holds another tensor and sees operators below autograd."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner):
        made = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, operator, types, args=(), kwargs=None):
        inside = torch.utils._pytree.tree_map(lambda t: t.inner if isinstance(t, Wrapped) else t, (args, kwargs or {}))
        return torch.utils._pytree.tree_map(
            lambda t: Wrapped(t) if isinstance(t, torch.Tensor) else t, operator(*inside[0], **inside[1])
        )


@pytest.mark.parametrize("place", ["x", "state", "weight"])
@pytest.mark.parametrize("kind", [Named, Wrapped])
def test_subclasses_are_respected_wherever_they_stand(kind, place):
    cell, x, states, weights = draw("gru")
    expected = run(cell, x, states, weights)

    def wrap(t):
        return t.as_subclass(Named) if kind is Named else Wrapped(t)

    Named.met.clear()
    if place == "x":
        x = wrap(x)
    elif place == "state":
        states = [wrap(s) for s in states]
    else:
        weights[2] = wrap(weights[2])
    output, finals, _ = run(cell, x, states, weights)
    assert type(output) is kind and type(finals[0]) is kind
    if kind is Named:
        assert sum("ostinato" in str(f) for f in Named.met) == 1
        agree([output.as_subclass(torch.Tensor)], [expected[0]])
    else:
        agree([output.inner, finals[0].inner], [expected[0], expected[1][0]])


def test_the_backend_is_chosen():
    cell, x, states, weights = draw("gru")

    def choose(tensors):
        return routing.choose_backend(tensors, x.dtype)

    plain = choose([x, *states, *weights])
    assert plain == (routing.KERNELS if routing.backends.compiled(x) else routing.REFERENCE)
    assert choose([nn.Parameter(t) for t in (x, *states, *weights)]) == plain
    assert choose([x, *states, *weights[:-1], weights[-1].as_subclass(Named)]) == routing.OPERATOR
    assert choose([x, Wrapped(states[0]), *weights]) == routing.OPERATOR
    with Seen():
        assert choose([x, *states, *weights]) == routing.OPERATOR
    with forward_ad.dual_level():
        assert choose([x, *states, *weights]) == routing.REFERENCE
    found = []
    vmap(lambda x: found.append(choose([x, *states, *weights])) or x)(x[None])
    assert found == [routing.REFERENCE]
    assert choose([t.to("meta") for t in (x, *states, *weights)]) == routing.REFERENCE


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointing_gives_the_same_gradients(use_reentrant):
    net, x = Net("lstm"), draw("lstm", gradients=True)[1]
    found = checkpoint(lambda x: tuple(net(x)), x, use_reentrant=use_reentrant)
    loss(found).backward()
    kept = [x.grad, *(w.grad for w in net.weights)]
    agree(kept, gradients(net, x, net(x)), gradients=True)


PROCESS = """
from layers.small import Half, Net, loss
net = Net("lstm")
parallel = nn.parallel.DistributedDataParallel(net)
x = torch.load(f"{place}/x.pt")
loss(parallel(x[rank])).backward()
found = [w.grad for w in net.weights]
half = Half()
parallel = nn.parallel.DistributedDataParallel(half, find_unused_parameters=True)
for _ in range(2):  # the second time, the first has left nothing behind
    half.zero_grad()
    parallel(x[rank]).square().sum().backward()
assert all(w.grad is None for w in half.unused.parameters())
torch.save([*found, *(w.grad for w in half.used.parameters())], f"{place}/gradients{rank}.pt")
"""


def test_two_processes_get_the_mean_gradient(tmp_path):
    """Of a cell, and of a model with ragged rows, resets, and a layer that nobody calls."""
    net = Net("lstm")
    x = torch.randn(2, 5, 3, 4)
    torch.save(x, tmp_path / "x.pt")
    in_two_processes(PROCESS, tmp_path)
    half = Half()
    used = list(half.used.parameters())
    alone = [
        (*torch.autograd.grad(loss(net(one)), list(net.weights)), *torch.autograd.grad(half(one).square().sum(), used))
        for one in x
    ]
    mean = [(a + b) / 2 for a, b in zip(*alone)]
    for rank in range(2):
        agree(torch.load(tmp_path / f"gradients{rank}.pt"), mean, gradients=True)


@pytest.mark.parametrize("name", ["lstm", "gru", "elman"])
def test_second_derivatives_of_a_single_dense_layer(name):
    """The short way hands states on as [1, B, H]."""
    torch.manual_seed(0)
    layer = ostinato.Recurrent(name, 2, 3, dtype=torch.float64)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    states = [torch.randn(1, 2, 3, dtype=torch.float64, requires_grad=True) for _ in layer.cell.states]

    def call(x, states):
        output, final = layer(x, tuple(states) if len(states) > 1 else states[0] if states else None)
        return output, *(final if isinstance(final, tuple) else (final,))

    assert torch.autograd.gradgradcheck(lambda x, *s: call(x, s[: len(states)]), (x, *states, *layer.parameters()))
    assert torch.autograd.gradgradcheck(lambda x, *_: call(x, ()), (x, *layer.parameters()))


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"num_layers": 2, "bidirectional": True}])
@pytest.mark.parametrize("lengths", [[2, 3, 1], [1, 0, 3], [3, 2, 0]])
def test_second_derivatives_of_rows_that_end_early_in_any_order(lengths, options):
    """The first ones, made to be differentiated again, are those of an ordinary backward; and so are the second."""
    torch.manual_seed(0)
    layer = ostinato.LSTM(2, 3, dtype=torch.float64, **options)
    x = torch.randn((3, 3, 2), dtype=torch.float64, requires_grad=True)
    count = layer.num_layers * (1 + layer.bidirectional)
    h, c = (torch.randn(count, 3, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    inputs = (x, h, c, *layer.parameters())

    def call(x, h, c, *_):
        output, state = layer(x, (h, c), lengths=lengths)
        return output, *state

    first = [torch.autograd.grad(loss(call(*inputs)), inputs, create_graph=create) for create in (False, True)]
    agree(first[1], first[0], gradients=True)
    # one random direction in place of every number, where these are more than 300
    assert torch.autograd.gradgradcheck(call, inputs, fast_mode=count > 1)
