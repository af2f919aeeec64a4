"""One vector of a sequence: mean, maximum, last output; padding is never read."""

import torch

from ostinato.program.tasks.pooling import last_output, pool


def test_known_values_of_a_row_of_two_steps_in_a_batch_of_three():
    y = torch.tensor([[[1.0, -5.0]], [[3.0, 7.0]], [[99.0, 99.0]]])  # [T, B, 2], the third step is padding
    found = pool(y, torch.tensor([2]), directions=2)
    assert found.tolist() == [[2.0, 1.0, 3.0, 7.0, 3.0, -5.0]]  # mean, maximum, forward at its end, backward at step 0


def test_a_row_without_steps_gives_zeros():
    assert pool(torch.full((3, 1, 4), -2.0), torch.tensor([0])).abs().sum() == 0
    assert pool(torch.zeros(0, 2, 4), torch.tensor([0, 0])).tolist() == [[0.0] * 12] * 2
    assert last_output(torch.zeros(0, 2, 4), torch.tensor([0, 0]), 2).tolist() == [[0.0] * 4] * 2


def test_nan_past_a_rows_end_changes_no_bit_of_values_and_gradients():
    lengths = torch.tensor([5, 0, 2, 3])
    y = torch.randn(5, 4, 6, generator=torch.Generator().manual_seed(0))
    spoiled = torch.where(torch.arange(5)[:, None, None] < lengths[None, :, None], y, float("nan"))
    results = []
    for whole in (y, spoiled):
        whole = whole.clone().requires_grad_()
        found = pool(whole, lengths, 2)
        found.square().sum().backward()
        results.append((found.detach(), whole.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert torch.isfinite(results[1][1]).all()


def test_the_last_output_is_the_layers_own_final_state():
    import ostinato

    layer = ostinato.GRU(3, 5, bidirectional=True)
    x, lengths = torch.randn(6, 3, 3), torch.tensor([6, 1, 4])
    y, state = layer(x, lengths=lengths)
    assert torch.equal(last_output(y, lengths, 2), torch.cat([state[0], state[1]], -1))
