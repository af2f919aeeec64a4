"""Layers whose parameters `torch.distributed.fsdp.fully_shard` divides among processes, on a CPU."""

import pytest
import torch

import ostinato
from processes import in_two_processes
from tolerance import check

PROCESS = """
import ostinato, pytest
from ostinato.errors import InputError
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

torch.manual_seed(0)
layer = ostinato.LSTM(3, 4, num_layers=2)
fully_shard(layer, mesh=init_device_mesh("cpu", (count,)))
x = torch.load(f"{place}/x.pt")[rank]
found = {}
for name, given in (("dense", {}), ("lengths", {"lengths": [2, 5]})):
    layer.zero_grad()
    output = layer(x, **given)[0]
    output.square().sum().backward()
    found[name] = [p.grad.full_tensor() for p in layer.parameters()]
    found[f"{name} output"] = output.detach()
layer.reshard()
named = "the weights must be whole tensors, got DTensors, .*register_fsdp_forward_method.module, .step.."
with pytest.raises(InputError, match=named):
    layer.step(x[0])
layer.unshard()
found["step"] = layer.step(x[0])[0].detach()
layer.reshard()
register_fsdp_forward_method(layer, "step")
assert torch.equal(layer.step(x[0])[0], found["step"])
with pytest.raises(InputError, match="x must be a tensor, got a DTensor. Write x.to_local"):
    layer(torch.distributed.tensor.distribute_tensor(x, init_device_mesh("cpu", (count,))))
torch.save(found, f"{place}/found{rank}.pt")
"""


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_sharded_layers(count, tmp_path):
    torch.manual_seed(0)
    layer = ostinato.LSTM(3, 4, num_layers=2)
    x = torch.randn(count, 5, 2, 3)
    torch.save(x, tmp_path / "x.pt")
    in_two_processes(PROCESS, tmp_path, count)
    for name, given in (("dense", {}), ("lengths", {"lengths": [2, 5]})):
        outputs = [layer(one, **given)[0] for one in x]
        each = [torch.autograd.grad(y.square().sum(), list(layer.parameters())) for y in outputs]
        names = [n for n, _ in layer.named_parameters()]
        mean = dict(zip(names, [sum(g) / count for g in zip(*each)]))
        for rank in range(count):
            found = torch.load(tmp_path / f"found{rank}.pt")
            check("gradients", dict(zip(names, found[name])), mean)
            check("outputs", {"y": found[f"{name} output"]}, {"y": outputs[rank]})
            check("outputs", {"step": found["step"]}, {"step": layer.step(x[rank][0])[0]})
