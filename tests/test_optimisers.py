"""Muon in single precision, against torch's own and the closed form of its iterations."""

import numpy as np
import pytest
import torch

from flexpose_core.training import optimisers
from flexpose_core.training.optimisers import SinglePrecisionMuon, muon, orthogonalised

COEFFICIENTS = (3.4445, -4.775, 2.0315)
HOW = {"weight_decay": 0.1, "momentum": 0.9, "adjust_lr_fn": "match_rms_adamw"}


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (12, 12), (1, 9)])
def test_singular_values_go_through_the_polynomial_and_vectors_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left, values, right = np.linalg.svd(matrix.numpy(), full_matrices=False)
    values = values / np.linalg.norm(values)
    for _ in range(5):
        a, b, c = COEFFICIENTS
        values = a * values + b * values**3 + c * values**5
    expected = left * values @ right
    np.testing.assert_allclose(orthogonalised(matrix, COEFFICIENTS, 5, 1e-7), expected, atol=1e-9)
    np.testing.assert_allclose(orthogonalised(matrix.float(), COEFFICIENTS, 5, 1e-7), expected, atol=1e-4)


def test_nothing_becomes_of_nothing():
    assert torch.equal(orthogonalised(torch.zeros(3, 5), COEFFICIENTS, 5, 1e-7), torch.zeros(3, 5))


def test_steps_are_those_of_torch_but_for_its_rounding():
    def run(kind):
        random = torch.Generator().manual_seed(1)
        weights = [torch.nn.Parameter(torch.randn(shape, generator=random)) for shape in ((8, 60), (60, 8), (5, 5))]
        before = [weight.detach().clone() for weight in weights]
        optimiser = kind(weights, 0.1, **HOW)
        for _ in range(4):
            for weight in weights:
                weight.grad = torch.randn(weight.shape, generator=random)
            optimiser.step()
        return [(weight - old).detach() for weight, old in zip(weights, before, strict=True)]

    for own, other in zip(run(SinglePrecisionMuon), run(torch.optim.Muon), strict=True):
        assert (own - other).norm() < 0.02 * other.norm()


@pytest.mark.parametrize(("native", "kind"), [(True, torch.optim.Muon), (False, SinglePrecisionMuon)])
def test_which_of_them_is_taken(monkeypatch, native, kind):
    monkeypatch.setattr(optimisers, "computes_bfloat16", lambda device: native)
    taken = muon([torch.nn.Parameter(torch.ones(2, 2))], 0.1)
    assert isinstance(taken, kind)
    assert isinstance(taken, SinglePrecisionMuon) == (kind is SinglePrecisionMuon)


def test_weights_without_a_gradient_stay():
    used, unused = (torch.nn.Parameter(torch.ones(2, 3)) for _ in range(2))
    used.grad = torch.ones(2, 3)
    SinglePrecisionMuon([used, unused], 0.1, **HOW).step()
    assert torch.equal(unused.detach(), torch.ones(2, 3))
    assert not torch.equal(used.detach(), torch.ones(2, 3))
