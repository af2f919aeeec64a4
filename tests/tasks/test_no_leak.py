"""The answer lies at the cue and nowhere else: it cannot be told from the steps behind it.

A linear reading of all later steps, fitted on one half of many sequences, must do no better than chance on the other
half; with the cue among its inputs the same reading must succeed, or this test could not fail.
"""

import pytest
import torch

from ostinato.apps.problems import named

COUNT = 6000


def first_bit(examples):
    return examples.targets[-1] // 2


def cue(examples):
    asked = examples.eval_mask.int().argmax(0)
    return examples.targets[asked, torch.arange(len(asked))]


CASES = {
    # task: (lag, step of the cue, its answer as a bit)
    "minimal-lag": (12, 0, lambda examples: cue(examples) - 11),
    "distractors": (12, 1, cue),
    "temporal-order": (20, 4, first_bit),
    "copy": (14, 9, lambda examples: (cue(examples) >= 4).long()),
    "reber": (14, 1, lambda examples: cue(examples) - 1),
    "agreement": (16, 1, cue),
}


def fraction_right(features, answers):
    """Least squares on the first half of rows, judged on the second: features [N, F], answers [N] of 0 and 1."""
    features = torch.cat([features.double(), torch.ones(len(features), 1, dtype=torch.float64)], 1)
    half = len(features) // 2
    signs = 2.0 * answers.double() - 1
    ridge = 1e-3 * torch.eye(features.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(features[:half].T @ features[:half] + ridge, features[:half].T @ signs[:half])
    return ((features[half:] @ weights > 0) == (signs[half:] > 0)).double().mean().item()


@pytest.mark.parametrize("name", CASES)
def test_classes_need_the_cue(name):
    lag, step, answer = CASES[name]
    examples = named(name).draw(lag, COUNT, torch.Generator().manual_seed(2))
    answers = answer(examples)
    assert 0.45 < answers.double().mean() < 0.55
    # The steps up to the answer, aligned at their end where rows differ in length.
    asked = examples.eval_mask.int().argmax(0)
    at = asked - torch.arange(int(asked.min()) - step)[:, None]
    after = examples.inputs[at, torch.arange(COUNT)].permute(1, 0, 2).flatten(1)
    bound = 4 * (0.25 / (COUNT / 2)) ** 0.5
    assert abs(fraction_right(after, answers) - 0.5) < bound
    before = examples.inputs[: step + 1].permute(1, 0, 2).flatten(1)
    assert fraction_right(torch.cat([before, after], 1), answers) > 0.9


def test_the_sum_needs_both_values():
    examples = named("adding").draw(12, COUNT, torch.Generator().manual_seed(2))
    values, marks = examples.inputs.unbind(2)
    first = marks.argmax(0)
    rows = torch.arange(COUNT)
    high = (values[first, rows] > 0.5).long()
    later = (torch.arange(12)[:, None] > first)[..., None] * examples.inputs
    after = torch.cat([later, later.prod(2, keepdim=True)], 2).permute(1, 0, 2).flatten(1)
    assert abs(fraction_right(after, high) - 0.5) < 4 * (0.25 / (COUNT / 2)) ** 0.5
    assert fraction_right(torch.cat([after, examples.targets[-1]], 1), high) > 0.6
