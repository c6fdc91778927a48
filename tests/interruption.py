"""A training that is stopped and started again, beside one that is not."""

from pathlib import Path

import pytest
import torch

from flexpose_core.training.loop import LoopOptions, train


def check_that_it_resumes(make, folder: Path, steps: int, at: int):
    """Check that a training stopped before step `at` goes on from there, to the weights of an uninterrupted one.

    `make` returns the same objective at every call. Returns the uninterrupted and the resumed one.
    """
    often = LoopOptions(checkpoint_seconds=0)
    whole, stopped, resumed = make(), make(), make()
    train(whole, steps, "test", 3, folder / "whole", options=often)

    step_of_stopped, step_of_resumed, taken = stopped.step, resumed.step, []

    def stop(number, random):
        if number == at:
            raise KeyboardInterrupt
        return step_of_stopped(number, random)

    stopped.step = stop
    with pytest.raises(KeyboardInterrupt):
        train(stopped, steps, "test", 3, folder / "parts", options=often)
    resumed.step = lambda number, random: taken.append(number) or step_of_resumed(number, random)
    train(resumed, steps, "test", 3, folder / "parts", options=often)
    assert taken == list(range(at, steps))
    for name, network in whole.networks.items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, resumed.networks[name].state_dict()[key]), (name, key)
    return whole, resumed
