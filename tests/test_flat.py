"""Parameters as views of one vector: the same training but for rounding, the same networks, the same memory."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from flexpose_core.training.eager import Adam
from flexpose_core.training.flat import FlatParameters


def a_network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 2, 1), nn.Flatten(), nn.Linear(8, 4)
        )
    return network.to(memory_format=torch.channels_last)


def images() -> torch.Tensor:
    return torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(1)).contiguous(
        memory_format=torch.channels_last
    )


def test_a_training_is_that_of_the_parameters_themselves() -> None:
    ours, plain = a_network(), a_network()
    flat = FlatParameters(ours.parameters())
    optimisers = Adam([flat.vector], 1e-2, fused=True), Adam(plain.parameters(), 1e-2, fused=True)
    for _ in range(5):
        flat.differentiate(ours(images()).square().sum())
        for parameter, gradient in zip(
            plain.parameters(),
            torch.autograd.grad(plain(images()).square().sum(), list(plain.parameters())),
            strict=True,
        ):
            parameter.grad = gradient
        # The sum of all squares is the same however they are ordered, but for rounding.
        norms = [nn.utils.clip_grad_norm_(of, torch.inf) for of in (flat.vector, plain.parameters())]
        torch.testing.assert_close(*norms)
        for optimiser in optimisers:
            optimiser.step()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name], rtol=1e-5, atol=1e-6, msg=name)
    assert not torch.equal(ours[0].weight, a_network()[0].weight)


def test_gradients_of_other_parameters_are_left_alone() -> None:
    first, second = a_network(), nn.Linear(4, 1)
    flat = FlatParameters(second.parameters())
    loss = second(first(images())).sum()
    flat.differentiate(loss, retain=True)
    assert all(parameter.grad is None for parameter in first.parameters())
    assert flat.vector.grad is not None
    torch.testing.assert_close(flat.vector.grad[:4], first(images()).sum(0))
    # Kept, the graph serves again, and the gradient is set, not added up.
    flat.differentiate(loss)
    torch.testing.assert_close(flat.vector.grad[4:], torch.full((1,), 6.0))


def test_networks_stay_what_they_were() -> None:
    network, before = a_network(), a_network()
    flat = FlatParameters(network.parameters())
    assert len(flat.vector) == sum(parameter.numel() for parameter in before.parameters())
    for (name, parameter), old in zip(network.named_parameters(), before.parameters(), strict=True):
        assert torch.equal(parameter, old), name
        assert parameter.stride() == old.stride(), name
        # One memory, of which each is a part.
        assert parameter.untyped_storage().data_ptr() == flat.vector.untyped_storage().data_ptr(), name
    assert torch.equal(network(images()), before(images()))


def test_what_is_loaded_is_in_the_vector() -> None:
    network, other = a_network(), a_network()
    flat = FlatParameters(network.parameters())
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    expected = flat.vector.detach() + 1
    network.load_state_dict(other.state_dict())
    torch.testing.assert_close(flat.vector.detach(), expected)


def test_a_copy_is_a_network_of_its_own() -> None:
    network = a_network()
    flat = FlatParameters(network.parameters())
    copied = copy.deepcopy(network)
    with torch.no_grad():
        flat.vector.zero_()
    assert all(parameter.abs().sum() == 0 for parameter in network.parameters())
    assert copied[0].weight.abs().sum() > 0


def test_a_parameter_that_the_loss_does_not_depend_on_is_refused() -> None:
    flat = FlatParameters([*nn.Linear(2, 2).parameters()])
    with pytest.raises(RuntimeError):
        flat.differentiate(torch.ones(1, requires_grad=True).sum())
