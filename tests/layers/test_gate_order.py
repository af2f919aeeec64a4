"""The order of gates travels with the weights, whatever way a state_dict takes, or the weights are refused by name."""

import copy
import io
import warnings

import pytest
import safetensors.torch
import torch
import torch.distributed.checkpoint as dcp
from torch import nn, sigmoid, tanh
from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict
from torch.nn.utils import prune, spectral_norm
from torch.optim.swa_utils import AveragedModel

import ostinato
from layers.two_orders import written_first, written_later
from ostinato.errors import InputError
from tolerance import check

ENTRY = "rnn.gate_order._extra_state"


@ostinato.cell
def renamed(W, U, b, x, h):
    """The first one with other names: keep cand."""
    keep = sigmoid(W.keep @ x + b.keep + U.keep @ h)
    cand = tanh(W.cand @ x + b.cand + U.cand @ h)
    return keep * h + (1 - keep) * cand


@ostinato.cell(gates="n r z")
def backwards_gru(W, U, b, d, x, h):
    """torch's GRU with its lines, and so its gates, in another order: n r z."""
    n = tanh(W.n @ x + b.n + sigmoid(W.r @ x + b.r + U.r @ h + d.r) * (U.n @ h + d.n))
    z = sigmoid(W.z @ x + b.z + U.z @ h + d.z)
    return (1 - z) * n + z * h


def model(cell=written_first, **options):
    return nn.ModuleDict({"rnn": ostinato.Recurrent(cell, 3, 4, **options)})


def through_safetensors(state, folder):
    safetensors.torch.save_file(state, folder / "weights.safetensors")
    return safetensors.torch.load_file(folder / "weights.safetensors")


def through_a_prefix(state, folder):
    whole = nn.ModuleDict({"module": copy.deepcopy(GIVER)}).state_dict()
    return {key.removeprefix("module."): value for key, value in whole.items()}


def through_torch_save(state, folder):
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def through_an_average(state, folder):
    averaged = AveragedModel(GIVER, use_buffers=True)
    averaged.update_parameters(GIVER)
    return {key.removeprefix("module."): v for key, v in averaged.state_dict().items() if key != "n_averaged"}


WAYS = {
    "as it is": lambda state, folder: state,
    "dict": lambda state, folder: dict(state),
    "safetensors": through_safetensors,
    "a stripped prefix": through_a_prefix,
    "torch.save of a dict": through_torch_save,
    "an averaged model": through_an_average,
    "averages of entries": lambda state, folder: {key: 0.75 * value + 0.25 * value for key, value in state.items()},
    "another type": lambda state, folder: {key: value.double() for key, value in state.items()},
    "torch.distributed": lambda state, folder: get_model_state_dict(GIVER),
    "metadata alone": lambda state, folder: (state.pop(ENTRY), state)[1],
}
GIVER = model()
X = torch.randn(5, 2, 3)


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_weights_load_right_whatever_way_they_took(way, assign, tmp_path):
    state = WAYS[way](GIVER.state_dict(), tmp_path)
    for taker in (model(written_later), model()):
        taker.load_state_dict(state, assign=assign)
        taker.float()
        check("outputs", {"y": taker["rnn"](X)[0]}, {"y": GIVER["rnn"](X)[0]})


@pytest.mark.parametrize("times", [1, 2])
def test_weights_load_right_through_a_distributed_checkpoint(times, tmp_path):
    """It reads into the layer's own memory, so the entry is corrected once the weights there are permuted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about a single process
        dcp.save(GIVER.state_dict(), checkpoint_id=tmp_path / "saved")
        taker = model(written_later)
        state = taker.state_dict()
        dcp.load(state, checkpoint_id=tmp_path / "saved")
    for _ in range(times):
        taker.load_state_dict(state)
    check("outputs", {"y": taker["rnn"](X)[0]}, {"y": GIVER["rnn"](X)[0]})
    assert torch.equal(state[ENTRY], ostinato.gate_order(written_later))


def test_weights_load_right_by_torch_distributed_and_into_a_function():
    taker = model(written_later)
    set_model_state_dict(taker, get_model_state_dict(GIVER))
    check("outputs", {"y": taker["rnn"](X)[0]}, {"y": GIVER["rnn"](X)[0]})
    layer = GIVER["rnn"]
    found = torch.func.functional_call(layer, layer.state_dict(), (X,))
    assert torch.equal(found[0], layer(X)[0])


def test_weights_of_an_own_cell_load_into_torchs_by_name():
    giver = ostinato.Recurrent(backwards_gru, 3, 4, num_layers=2, bidirectional=True)
    for taker in (
        ostinato.GRU(3, 4, num_layers=2, bidirectional=True),
        ostinato.Recurrent("gru", 3, 4, num_layers=2, bidirectional=True),
    ):
        taker.load_state_dict(dict(giver.state_dict()))
        check("outputs", {"y": taker(X)[0]}, {"y": giver(X)[0]})
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "gate_order._extra_state"'):
        nn.GRU(3, 4, num_layers=2, bidirectional=True).load_state_dict(giver.state_dict())


def test_weights_without_an_order_are_refused_until_it_is_said():
    giver, taker = nn.GRU(3, 4), ostinato.Recurrent(backwards_gru, 3, 4)
    before = taker.weight_ih_l0.clone()
    message = (
        r"Recurrent.load_state_dict: state_dict must be weights that come with the order of their gates, in the entry "
        r'gate_order._extra_state, got none. .* set state_dict\["gate_order._extra_state"\] = ostinato.gate_order'
    )
    for strict in (True, False):
        with pytest.raises(RuntimeError, match=message):
            taker.load_state_dict(giver.state_dict(), strict=strict)
    assert torch.equal(taker.weight_ih_l0, before)
    taker.load_state_dict({**giver.state_dict(), "gate_order._extra_state": ostinato.gate_order("gru")})
    check("outputs", {"y": taker(X)[0]}, {"y": giver(X)[0]})


def test_other_names_in_the_same_order_are_refused_until_it_is_said():
    taker, state = model(renamed), dict(GIVER.state_dict())
    message = r"gates keep cand for W, as in the cell renamed, got z n. .* ostinato.gate_order\(layer\)"
    with pytest.raises(RuntimeError, match=message):
        taker.load_state_dict(state)
    taker.load_state_dict({**state, ENTRY: ostinato.gate_order(taker["rnn"])})
    check("outputs", {"y": taker["rnn"](X)[0]}, {"y": GIVER["rnn"](X)[0]})


@pytest.mark.parametrize(
    "entry",
    [
        torch.full((7,), 300.0),
        torch.full((7,), float("nan")),
        torch.tensor(list(b"[1, 2"), dtype=torch.uint8),
        torch.tensor(list(b'{"W":3}'), dtype=torch.uint8),
    ],
)
def test_an_entry_that_is_no_order_is_refused(entry):
    message = r"state_dict must be a state_dict whose entry rnn.gate_order._extra_state is an order of gates, got torch"
    with pytest.raises(RuntimeError, match=message):
        model().load_state_dict({**GIVER.state_dict(), ENTRY: entry})


def test_an_order_that_leaves_out_a_weight_is_refused():
    giver = model(bias=False).state_dict()
    with pytest.raises(RuntimeError, match="gates z n for b, as in the cell light, got no names"):
        model().load_state_dict({**GIVER.state_dict(), ENTRY: giver[ENTRY]})


def test_cells_of_the_catalogue_take_weights_in_their_own_order():
    """Their order is documented; only torch's cells have no entry of their own."""
    giver, taker = ostinato.Recurrent("mingru", 3, 4), ostinato.Recurrent("mingru", 3, 4)
    assert list(giver.state_dict())[-1] == "gate_order._extra_state"
    taker.load_state_dict(dict(giver.named_parameters()))
    assert torch.equal(taker(X)[0], giver(X)[0])


def test_a_cell_of_one_gate_has_no_order():
    @ostinato.cell
    def single(W, U, b, x, h):
        return tanh(W.h @ x + b.h + U.h @ h)

    giver, taker = nn.RNN(3, 4), ostinato.Recurrent(single, 3, 4)
    assert list(taker.state_dict()) == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0"]
    taker.load_state_dict(giver.state_dict(), strict=False)
    assert torch.equal(taker.weight_hh_l0, giver.weight_hh_l0)


def test_the_entry_is_no_parameter_and_no_buffer():
    layer = model(num_layers=2)
    assert [name for name, _ in layer.named_buffers()] == []
    assert [name for name in layer.state_dict() if "order" in name] == [ENTRY]
    assert str(layer["rnn"]) == "Recurrent(light, 3, 4, num_layers=2)"
    assert bytes(ostinato.gate_order(layer["rnn"]).tolist()) == b'{"W":["z","n"],"U":["z","n"],"b":["z","n"]}'
    with pytest.raises(InputError, match="gate_order: cell must be a cell, got int. Write @ostinato.cell"):
        ostinato.gate_order(3)


def test_entries_that_hooks_made_of_a_weight_are_permuted_by_their_rows():
    for hook in (
        lambda layer: prune.l1_unstructured(layer, "weight_hh_l0", 0.5),
        lambda layer: spectral_norm(layer, "weight_hh_l0"),
    ):
        giver, taker = model()["rnn"], model(written_later)["rnn"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hook(giver)
            hook(taker)
        taker.load_state_dict(dict(giver.state_dict()))
        check("outputs", {"y": taker.eval()(X)[0]}, {"y": giver.eval()(X)[0]})
    state = {**giver.state_dict(), "weight_hh_l0_odd": torch.zeros(2, 2, 2)}
    with pytest.raises(RuntimeError, match="got weight_hh_l0_odd in another order"):
        taker.load_state_dict(state)
