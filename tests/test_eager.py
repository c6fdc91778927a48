"""Optimisers without PyTorch's compiler: the same steps, and no import of it."""

import subprocess
import sys

import pytest
import torch

from flexpose_core.training.eager import Adam, eager
from flexpose_core.training.optimisers import SinglePrecisionMuon

TRAINS = """
import sys
import torch
from flexpose_core.training.eager import Adam, eager
from flexpose_core.training.optimisers import SinglePrecisionMuon

for kind in (Adam, eager(torch.optim.Muon), eager(SinglePrecisionMuon)):
    weights = torch.nn.Parameter(torch.ones(3, 2))
    optimiser = kind([weights], 0.1)
    for _ in range(2):
        optimiser.zero_grad()
        weights.square().sum().backward()
        optimiser.step()
    optimiser.load_state_dict(optimiser.state_dict())
print("torch._dynamo" in sys.modules)
"""


def trained(kind, **options):
    """Weights after three steps and a reload between them."""
    random = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(shape, generator=random)) for shape in ((4, 7), (7, 3))]
    optimiser = kind(weights, 0.1, **options)
    for _ in range(3):
        optimiser.zero_grad()
        sum(((weight - 1) ** 4).sum() for weight in weights).backward()
        optimiser.step()
        again = kind(weights, 0.1, **options)
        again.load_state_dict(optimiser.state_dict())
        optimiser = again
    return [weight.detach() for weight in weights]


@pytest.mark.parametrize(
    ("own", "torchs", "options"),
    [
        (Adam, torch.optim.Adam, {"fused": True, "betas": (0.5, 0.99)}),
        (Adam, torch.optim.Adam, {"foreach": True}),
        (Adam, torch.optim.Adam, {}),
        (eager(torch.optim.Muon), torch.optim.Muon, {}),
        (eager(SinglePrecisionMuon), SinglePrecisionMuon, {}),
    ],
)
def test_steps_are_the_same(own, torchs, options):
    assert issubclass(own, torchs)
    for ours, theirs in zip(trained(own, **options), trained(torchs, **options), strict=True):
        assert torch.equal(ours, theirs)


def test_steps_leave_no_graph_and_gradients_as_they_were():
    weight = torch.nn.Parameter(torch.ones(3))
    optimiser = Adam([weight], 0.1)
    weight.sum().backward()
    optimiser.step()
    assert torch.is_grad_enabled()
    assert weight.is_leaf
    assert weight.grad.tolist() == [1, 1, 1]


def test_a_step_recomputes_what_it_is_given():
    weight = torch.nn.Parameter(torch.ones(3))
    optimiser = Adam([weight], 0.1)

    def loss():
        optimiser.zero_grad()
        value = weight.square().sum()
        value.backward()
        return value

    assert optimiser.step(loss).item() == 3


def test_hooks_are_called():
    weight = torch.nn.Parameter(torch.ones(3))
    optimiser = Adam([weight], 0.1)
    called = []
    optimiser.register_step_pre_hook(lambda *_: called.append("before"))
    optimiser.register_step_post_hook(lambda *_: called.append("after"))
    weight.sum().backward()
    optimiser.step()
    assert called == ["before", "after"]


def test_the_compiler_is_not_imported():
    done = subprocess.run([sys.executable, "-c", TRAINS], capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr
