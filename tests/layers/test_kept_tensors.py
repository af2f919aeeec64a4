"""Tensors that one call keeps for later ones are plain, whatever transform or mode the first call ran under."""

import ast
from pathlib import Path

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jvp, vmap
from torch.fx.experimental.proxy_tensor import make_fx

import ostinato
from ostinato.kernels.system import memory_pool
from ostinato.layers import dropout, stack_call

PACKAGE = Path(ostinato.__file__).parent
NOT_MADE = {"layers/stack_call.py _zeros": "of memory_pool.zeros"}
"""Caches whose tensors another cache makes."""


def under_grad(layer, x):
    weights = dict(layer.named_parameters())
    grad(lambda w: functional_call(layer, w, (x,))[0].square().sum())(weights)


def under_vmap(layer, x):
    vmap(lambda one: layer(one)[0], randomness="different")(torch.stack([x, x]))


def under_vmap_of_grad(layer, x):
    weights = dict(layer.named_parameters())
    loss = grad(lambda w, one: functional_call(layer, w, (one,))[0].square().sum())
    vmap(loss, (None, 0), randomness="different")(weights, torch.stack([x, x]))


def under_jvp(layer, x):
    jvp(lambda one: layer(one)[0], (x,), (torch.ones_like(x),))


def under_forward_ad(layer, x):
    with forward_ad.dual_level():
        layer(forward_ad.make_dual(x, torch.ones_like(x)))


def under_inference_mode(layer, x):
    with torch.inference_mode():
        layer(x)


def under_make_fx(layer, x):
    make_fx(lambda one: layer(one)[0])(x)


def under_make_fx_with_fake_tensors(layer, x):
    make_fx(lambda w, one: functional_call(layer, w, (one,))[0], tracing_mode="fake")(dict(layer.named_parameters()), x)


def under_fake_tensors(layer, x):
    """The layer's weights are real, the mode alone would make the zeros fake."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        layer(x)


FIRST = [
    under_grad,
    under_vmap,
    under_vmap_of_grad,
    under_jvp,
    under_forward_ad,
    under_inference_mode,
    under_make_fx,
    under_make_fx_with_fake_tensors,
    under_fake_tensors,
]


@pytest.mark.parametrize("options", [{}, {"input_dropout": 0.25, "weight_dropout": 0.25}], ids=["plain", "dropout"])
@pytest.mark.parametrize("first", FIRST)
def test_a_call_after_the_first_of_its_sizes_ran_under(first, options):
    torch.manual_seed(0)
    layer, x = ostinato.GRU(3, 5, **options).double(), torch.randn(6, 2, 3, dtype=torch.float64)
    for cache in (stack_call._zeros, memory_pool._zeros, memory_pool._requests, dropout._counters, dropout._vectors):
        cache.cache_clear()
    memory_pool.clear()
    for _ in range(3):  # the second request makes a prototype, the third uses it
        first(layer, x)
    for _ in range(3):
        layer.zero_grad()
        output, _ = layer(x)
        output.square().sum().backward()
    expected = ostinato.GRU(3, 5).double()
    expected.load_state_dict(layer.state_dict())
    layer.eval()
    assert torch.equal(layer(x)[0], expected(x)[0])


def test_cached_tensors_are_made_outside_of_transforms():
    found = {}
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                text = ast.get_source_segment(source, node)
                if any("tensor_bytes" in ast.unparse(d) for d in node.decorator_list):
                    found[f"{path.relative_to(PACKAGE).as_posix()} {node.name}"] = "untransformed()" in text
    assert len(found) > 5  # they are found
    assert {name for name, plain in found.items() if not plain} == set(NOT_MADE)
