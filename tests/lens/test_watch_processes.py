"""A watch in each of two processes that train one model, beside a watch in one process on the same rows. By values."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

import ostinato
from ostinato import lens
from processes import in_two_processes

pytestmark = pytest.mark.slow

RATE, BOUND = 0.5, 0.05


class Branching(nn.Module):
    """Ragged rows, two directions; a layer that only the first process calls, and one that nobody does."""

    def __init__(self, first):
        super().__init__()
        torch.manual_seed(5)
        self.first = first
        self.module, self.extra = ostinato.LSTM(4, 6, bidirectional=True), ostinato.GRU(12, 5)
        self.unused = ostinato.GRU(4, 6)

    def forward(self, x):
        output = self.module(x, lengths=[len(x), 2, 0])[0]
        return self.extra(output)[0] if self.first else output


def loss(model, x):
    return model(x).square().sum()


def train(model, x, watched):
    """(losses, gradients and weights of some steps, the report of the first step)."""
    optimiser = torch.optim.SGD(model.parameters(), RATE, momentum=0.9)
    found, reports = [], []
    for _ in range(3):
        looking = lens.watch(model)
        if watched:
            looking.__enter__()
        optimiser.zero_grad()
        one = loss(model, x)
        one.backward()
        clip_grad_norm_(model.parameters(), BOUND)
        optimiser.step()
        if watched:
            looking.__exit__(None, None, None)
            reports.append(looking.report())
        found += [one.detach(), *[p.grad.clone() for p in model.parameters() if p.grad is not None]]
        found += [p.detach().clone() for p in model.parameters()]
    return found, reports[:1]


PROCESS = """
from lens.test_watch_processes import Branching, train
x = torch.load(f"{place}/x.pt")[rank]
made = [nn.parallel.DistributedDataParallel(Branching(rank == 0), find_unused_parameters=True) for _ in range(2)]
alone, _ = train(made[0], x, False)
seen, reports = train(made[1], x, True)
torch.save((alone, seen, reports), f"{place}/{rank}.pt")
"""


def leaves(thing, path=""):
    """(path, value) of all that a record holds."""
    if dataclasses.is_dataclass(thing):
        for field in dataclasses.fields(thing):
            yield from leaves(getattr(thing, field.name), f"{path}.{field.name}")
    elif isinstance(thing, tuple):
        for k, one in enumerate(thing):
            yield from leaves(one, f"{path}.{k}")
    else:
        yield path, thing


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """(x of both, what each process wrote)."""
    place = tmp_path_factory.mktemp("ranks")
    torch.manual_seed(0)
    x = torch.randn(2, 9, 3, 4)
    torch.save(x, place / "x.pt")
    in_two_processes(PROCESS, place)
    return x, [torch.load(place / f"{rank}.pt", weights_only=False) for rank in range(2)]


def test_looking_on_changes_no_bit_of_training_in_two_processes(ranks):
    _, written = ranks
    for alone, seen, _ in written:
        assert len(alone) == len(seen) > 30
        assert all(torch.equal(a.view(torch.int32), b.view(torch.int32)) for a, b in zip(alone, seen, strict=True))
    own = [t for t in zip(written[0][0], written[1][0]) if t[0].dim()]
    assert all(torch.equal(a, b) for a, b in own), "the processes train two models"


def test_each_process_sees_what_a_single_one_sees_on_its_rows(ranks):
    x, written = ranks
    for rank, (_, _, (report,)) in enumerate(written):
        model = Branching(rank == 0)
        with lens.watch(model) as looking:
            loss(model, x[rank]).backward()
        found, expected = dict(leaves(report.layers)), dict(leaves(looking.report().layers))
        assert list(found) == list(expected) and len(report.layers) == 3 - rank
        for path, value in expected.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(found[path].nan_to_num(-1.0), value.nan_to_num(-1.0)), path
            else:
                assert found[path] == value or math.isnan(value), path
        labels = ["module layer 0", "module layer 0, reversed", "extra layer 0"]
        assert [layer.label for layer in report.layers] == labels[: 3 - rank]
        names = [w.parameter for w in report.layers[1].weight_gradients]
        assert names == ["module.weight_ih_l0_reverse", "module.weight_hh_l0_reverse"]


def test_clipping_and_updates_are_those_of_the_mean_gradient(ranks):
    x, written = ranks
    each = [Branching(rank == 0) for rank in range(2)]
    for model, one in zip(each, x):
        loss(model, one).backward()
    mean = {}
    for (name, a), (_, b) in zip(*[model.named_parameters() for model in each]):
        parts = [p.grad for p in (a, b) if p.grad is not None]  # where a process has none, it counts as 0
        mean |= {name: sum(parts) / 2} if parts else {}
    before = torch.stack([g.norm() for g in mean.values()]).norm().item()
    for _, _, (report,) in written:
        assert report.clipping.norms_before == pytest.approx((before,), rel=1e-5)
        assert report.clipping.norms_after == pytest.approx((BOUND,), rel=1e-4)
        assert report.clipping.rate == 1
        part = mean["module.weight_hh_l0"][6:12].norm().item() * BOUND / before
        weights = {(w.parameter, w.gate): w for w in report.weights}
        found = weights["module.weight_hh_l0", "f"]
        assert found.gradient_norm == pytest.approx(part, rel=1e-4)
        assert found.update_norm == pytest.approx(RATE * part, rel=1e-4)
        assert weights["extra.weight_hh_l0", "r"].update_norm > 0
        unseen = weights["unused.weight_hh_l0", "r"]
        assert unseen.gradient_norm is None and unseen.update_norm == 0


@pytest.mark.parametrize("wrapper", [DataParallel, lambda m: torch.compile(DataParallel(m)), lambda m: m])
def test_names_are_those_the_user_gave_whatever_the_model_is_wrapped_in(wrapper):
    inner = nn.ModuleDict({"module": ostinato.GRU(3, 4)})
    with lens.watch(nn.ModuleDict({"part": wrapper(inner)})) as looking:
        inner["module"](torch.randn(5, 2, 3))[0].sum().backward()
    report = looking.report()
    assert [layer.module for layer in report.layers] == ["part.module"]
    assert report.weights[0].parameter == "part.module.weight_ih_l0"
    assert [w.parameter for w in report.layers[0].weight_gradients][0] == "part.module.weight_ih_l0"


@pytest.mark.parametrize("share", [False, True])
def test_in_one_process_the_wrapper_keeps_nothing_from_being_seen(share):
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        model = DistributedDataParallel(ostinato.Recurrent("gru", 3, 6), gradient_as_bucket_view=share)
        x = torch.randn(5, 2, 3)
        with lens.watch(model) as looking, model.no_sync():
            model(x)[0].sum().backward()
        kept = [p.grad.clone() for p in model.parameters()]
        with lens.watch(model) as looking:
            model(x)[0].sum().backward()  # on top of what no_sync left
            clip_grad_norm_(model.parameters(), 0.01)
            torch.optim.SGD(model.parameters(), 0.0).step()
    finally:
        torch.distributed.destroy_process_group()
    report = looking.report()
    assert report.layers[0].module == "" and report.layers[0].label == "Recurrent layer 0"
    norm = 2 * torch.cat([g.flatten() for g in kept]).norm().item()
    assert report.clipping.norms_before == pytest.approx((norm,), rel=1e-5)
    assert report.clipping.rate == 1


def test_an_optimiser_that_steps_inside_of_backward_says_that_clipping_was_not_seen():
    layer = ostinato.GRU(3, 4)
    optimiser = torch.optim.SGD(layer.parameters(), 0.1)
    layer.weight_ih_l0.register_post_accumulate_grad_hook(lambda p: optimiser.step())
    with lens.watch(layer) as looking:
        for _ in range(2):
            layer(torch.randn(5, 2, 3))[0].sum().backward()
    clipping = looking.report().clipping
    assert all(map(math.isnan, clipping.norms_before)) and clipping.steps == 2
