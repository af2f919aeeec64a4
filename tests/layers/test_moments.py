"""An optimiser's state follows weights that were permuted on loading, or its next step is refused."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

import ostinato
from layers.two_orders import written_first, written_later
from ostinato.errors import InputError
from tolerance import check

X = torch.randn(6, 3, 4)


OPTIMISERS = {
    "Adam": lambda p: torch.optim.Adam(p, lr=0.05, amsgrad=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.05),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "Rprop": lambda p: torch.optim.Rprop(p),
    "Adafactor": lambda p: torch.optim.Adafactor(p, lr=0.05),
}


def model(cell=written_first):
    return nn.ModuleDict({"rnn": ostinato.Recurrent(cell, 4, 5, num_layers=2), "head": nn.Linear(5, 2)})


def step(model, optimiser):
    optimiser.zero_grad()
    model["head"](model["rnn"](X)[0]).square().sum().backward()
    optimiser.step()


def trained(make, steps=4):
    torch.manual_seed(0)
    first = model()
    optimiser = make(first.parameters())
    for _ in range(steps):
        step(first, optimiser)
    return first, optimiser


def resumed(make, first, optimiser):
    second = model(written_later)
    second.load_state_dict(dict(first.state_dict()))
    again = make(second.parameters())
    again.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    return second, again


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_training_goes_on_as_if_the_gates_had_never_moved(kind):
    make = OPTIMISERS[kind]
    first, optimiser = trained(make)
    second, again = resumed(make, first, optimiser)
    names = [f"rnn.{name}_l{k}" for k in (0, 1) for name in ("weight_ih", "weight_hh", "bias_ih")]
    assert ostinato.permute_optimizer_state(again, second) == names
    assert ostinato.permute_optimizer_state(again, second) == []
    for _ in range(3):
        step(first, optimiser)
        step(second, again)
    check("outputs", {"y": second["rnn"](X)[0]}, {"y": first["rnn"](X)[0]})


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_a_step_with_a_state_in_the_old_order_is_refused(kind):
    make = OPTIMISERS[kind]
    second, again = resumed(make, *trained(make))
    before = copy.deepcopy(second.state_dict())
    message = (
        rf"{kind}.step: the state of weight_ih_l0 must be in the order of the layer's gates \(n z\), got one that was "
        r"not permuted .* call ostinato.permute_optimizer_state\(optimizer, model\)"
    )
    for subject in (second, copy.deepcopy(second)):
        again.param_groups[0]["params"][:] = list(subject.parameters())
        again.state = dict(zip(subject.parameters(), again.state.values()))
        with pytest.raises(InputError, match=message):
            step(subject, again)
    assert all(torch.equal(v, before[k]) for k, v in second.state_dict().items())
    second["rnn"].moved = {}
    again.param_groups[0]["params"][:] = list(second.parameters())
    again.state = dict(zip(second.parameters(), again.state.values()))
    step(second, again)


def test_an_optimiser_that_starts_anew_steps():
    first, _ = trained(OPTIMISERS["Adam"])
    second = model(written_later)
    second.load_state_dict(dict(first.state_dict()))
    optimisers = [OPTIMISERS["Adam"](m.parameters()) for m in (first, second)]
    seen = []
    hook = register_optimizer_step_pre_hook(lambda optimiser, *_: seen.append(optimiser))
    for _ in range(2):
        for subject, optimiser in zip((first, second), optimisers):
            step(subject, optimiser)
    hook.remove()
    assert seen == 2 * optimisers
    check("outputs", {"y": second["rnn"](X)[0]}, {"y": first["rnn"](X)[0]})


def test_other_optimisers_and_weights_in_order_are_left_alone():
    first, optimiser = trained(OPTIMISERS["Adam"])
    second, again = resumed(OPTIMISERS["Adam"], first, optimiser)
    step(first, optimiser)
    assert ostinato.permute_optimizer_state(optimiser, second) == []
    third = model(written_later)
    third.load_state_dict(dict(second.state_dict()))
    state = copy.deepcopy(again.state_dict())
    assert ostinato.permute_optimizer_state(again, third) == []
    assert all(torch.equal(v["exp_avg"], state["state"][k]["exp_avg"]) for k, v in again.state_dict()["state"].items())


def test_what_cannot_be_permuted_is_refused():
    make = torch.optim.LBFGS
    first = model()
    optimiser = make(first.parameters())

    def closure():
        optimiser.zero_grad()
        loss = first["head"](first["rnn"](X)[0]).square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    second, again = resumed(make, first, optimiser)
    message = (
        r"permute_optimizer_state: optimizer must be one whose state of a weight .* has its shape, got LBFGS, whose"
    )
    with pytest.raises(InputError, match=message):
        ostinato.permute_optimizer_state(again, second)
    with pytest.raises(InputError, match=r"LBFGS.step: the state of weight_ih_l0 must be"):
        again.step(closure)
    message = r"optimizer must be one whose state is loaded, got no state. Call it after optimizer.load_state_dict"
    with pytest.raises(InputError, match=message):
        ostinato.permute_optimizer_state(torch.optim.Adam(second.parameters()), second)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((nn.Linear(2, 2), nn.Linear(2, 2)), "optimizer must be a torch Optimizer, got Linear"),
        ((torch.optim.SGD(nn.Linear(2, 2).parameters()), 3), "model must be a torch Module, got int"),
    ],
)
def test_arguments_of_another_kind_are_refused(arguments, message):
    with pytest.raises(InputError, match=f"permute_optimizer_state: {message}. Give the optimiser, then the model."):
        ostinato.permute_optimizer_state(*arguments)
