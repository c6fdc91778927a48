import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from flexpose_core import devices, seeds, streams
from flexpose_core.errors import CheckpointError, OutputError, StoppedError, TrainingError
from flexpose_core.training import resuming
from flexpose_core.training.checkpoint import load_into, load_weights, read_header, save_weights
from flexpose_core.training.eager import Adam
from flexpose_core.training.loop import LoopOptions, train, warmup_cosine, warmup_linear
from flexpose_core.training.resuming import remove_checkpoints


class Regression:
    """Fits a batch-normalised network to noisy sums with Adam and an EMA: every kind of state a checkpoint must hold."""

    def __init__(self, stop_at=None, break_at=None, terminate_at=None):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1))
        self.average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(0.9))
        self.networks = {"network": self.network, "average": self.average}
        self.optimisers = {"adam": Adam(self.network.parameters(), 1e-2)}
        self.stop_at, self.break_at, self.terminate_at = stop_at, break_at, terminate_at
        self.steps = []

    def step(self, step, random):
        if step == self.stop_at:
            raise KeyboardInterrupt
        if step == self.terminate_at:
            os.kill(os.getpid(), signal.SIGTERM)
        self.steps.append(step)
        x = random.normal(16, 4)
        y = x.sum(1, keepdim=True) + float(random.numpy.normal())
        loss = (self.network(x) - y).square().mean()
        self.optimisers["adam"].zero_grad()
        loss.backward()
        self.optimisers["adam"].step()
        self.average.update_parameters(self.network)
        return {"loss": loss * float("nan") if step == self.break_at else loss}

    def picture(self, random):
        return np.zeros((4, 4, 3), np.uint8)


EAGER = LoopOptions(checkpoint_seconds=0.0, log_every=1, picture_every=10)


class Convolution(Regression):
    """Fits a convolution that is laid out channels last, with fused Adam."""

    def __init__(self, stop_at=None):
        super().__init__(stop_at)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = torch.nn.Conv2d(6, 5, 3).to(memory_format=torch.channels_last)
        self.networks, self.average = {"network": self.network}, AveragedModel(self.network)
        self.optimisers = {"adam": Adam(self.network.parameters(), 1e-2, fused=True)}

    def step(self, step, random):
        if step == self.stop_at:
            raise KeyboardInterrupt
        loss = self.network(random.normal(2, 6, 8, 8)).square().mean()
        self.optimisers["adam"].zero_grad()
        loss.backward()
        self.optimisers["adam"].step()
        return {"loss": loss}


def test_moments_of_weights_that_are_laid_out_channels_last_are_too_after_resuming(tmp_path):
    """A fused step walks through memory: in another order it takes each weight's moments from another weight."""
    whole = Convolution()
    train(whole, 8, "toy", 0, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(Convolution(stop_at=4), 8, "toy", 0, tmp_path / "parts", options=LoopOptions(checkpoint_seconds=0))
    resumed = Convolution()
    train(resumed, 8, "toy", 0, tmp_path / "parts")
    assert torch.equal(resumed.network.weight, whole.network.weight)
    for parameter, state in resumed.optimisers["adam"].state.items():
        assert state["exp_avg"].stride() == parameter.stride()


def weights(objective):
    return {f"{n}/{k}": v for n, network in objective.networks.items() for k, v in network.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


def test_resumed_equals_uninterrupted(tmp_path):
    whole = Regression()
    train(whole, 40, "toy", 3, tmp_path / "a")
    for stop_at in (7, 23):
        with pytest.raises(KeyboardInterrupt):
            train(Regression(stop_at), 40, "toy", 3, tmp_path / "b", options=EAGER)
    resumed = Regression()
    train(resumed, 40, "toy", 3, tmp_path / "b", options=EAGER)
    assert resumed.steps == list(range(23, 40))
    assert_same(weights(whole), weights(resumed))


@pytest.mark.parametrize("kind", ["the same", "another"])
def test_a_training_that_goes_on_in_another_arithmetic_says_so(tmp_path, monkeypatch, capsys, kind):
    with pytest.raises(KeyboardInterrupt):
        train(Regression(5), 8, "toy", 3, tmp_path, options=EAGER)
    here = resuming.arithmetic(torch.device("cpu"))
    if kind == "another":
        monkeypatch.setattr(resuming, "arithmetic", lambda device, mixed: "an abacus")
    resumed = Regression()
    train(resumed, 8, "toy", 3, tmp_path, options=EAGER)
    assert resumed.steps == [5, 6, 7]
    said = f"was computed on {here}, here is an abacus: the result is of both" in capsys.readouterr().out
    assert said == (kind == "another")


@pytest.mark.parametrize("mixed", [True, False])
def test_a_checkpoint_says_in_which_precision_its_objective_computed(tmp_path, monkeypatch, mixed):
    monkeypatch.setattr(devices, "computes_bfloat16", lambda device: True)
    objective = Regression(5)
    objective.mixed = mixed
    with pytest.raises(KeyboardInterrupt):
        train(objective, 8, "toy", 3, tmp_path, options=EAGER)
    stated = read_header(tmp_path / "state.safetensors")["extra"]["arithmetic"]
    assert stated.endswith("with bfloat16" if mixed else "without bfloat16")


@pytest.mark.parametrize("last", [False, True])
def test_sigterm_writes_a_checkpoint_and_resumed_equals_uninterrupted(tmp_path, last):
    whole = Regression()
    train(whole, 40, "toy", 3, tmp_path / "a")
    seldom = LoopOptions(checkpoint_seconds=1e9)
    terminated = Regression(terminate_at=39 if last else 11)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(
        StoppedError, match=rf"toy: told to stop after step {terminated.terminate_at}; .*state\.safetensors"
    ):
        train(terminated, 40, "toy", 3, tmp_path / "b", options=seldom)
    assert signal.getsignal(signal.SIGTERM) is before
    resumed = Regression()
    train(resumed, 40, "toy", 3, tmp_path / "b", options=seldom)
    assert resumed.steps == list(range(terminated.terminate_at + 1, 40))
    assert_same(weights(whole), weights(resumed))


def test_sigterm_while_the_last_picture_is_made_is_not_lost(tmp_path):
    class Told(Regression):
        def picture(self, random):
            os.kill(os.getpid(), signal.SIGTERM)
            return super().picture(random)

    with pytest.raises(StoppedError, match="after step 9"):
        train(Told(), 10, "toy", 3, tmp_path, options=LoopOptions(checkpoint_seconds=1e9))
    again = Regression()
    train(again, 10, "toy", 3, tmp_path)
    assert again.steps == []


def test_the_last_checkpoint_stays_until_what_it_was_for_is_written(tmp_path):
    whole, again, anew = Regression(), Regression(), Regression()
    train(whole, 10, "toy", 3, tmp_path / "fit")
    # As after a full disk, or a kill while the result was written.
    train(again, 10, "toy", 3, tmp_path / "fit")
    assert again.steps == []
    assert_same(weights(whole), weights(again))
    remove_checkpoints(tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))
    train(anew, 10, "toy", 3, tmp_path / "fit")
    assert anew.steps == list(range(10))


def test_a_diverged_training_writes_no_checkpoint_on_sigterm(tmp_path):
    with pytest.raises(TrainingError, match=r"loss is nan at step 6: .* there is no checkpoint yet"):
        train(Regression(break_at=6, terminate_at=6), 20, "toy", 3, tmp_path, options=LoopOptions(log_every=1000))
    assert not (tmp_path / "state.safetensors").exists()


STAGE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from test_training_loop import Regression
from flexpose_core.stages.reporting import reporting
from flexpose_core.training.checkpoint import save_weights
from flexpose_core.training.loop import train

class Slow(Regression):
    def step(self, step, random):
        print("step", step, flush=True)
        time.sleep(float(sys.argv[3]))
        return super().step(step, random)

with reporting(sys.argv[4], 1, sys.argv[2] + "/training"):
    objective = Slow()
    train(objective, 60, "toy", 3, sys.argv[2] + "/training")
    save_weights(sys.argv[2] + "/out", objective.network.state_dict(), "toy", {})
"""


def test_a_stage_that_is_stopped_or_fails_says_so_in_one_line_and_ends_with_the_same_bytes(tmp_path):
    def run(name, sleep, log=None):
        log = log or tmp_path / name / "log"
        command = [sys.executable, "-c", STAGE, str(Path(__file__).parent), str(tmp_path / name), str(sleep), str(log)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    assert run("whole", 0).wait() == 0
    process = run("stopped", 0.05)
    for line in process.stdout:
        if line == "step 5\n":
            break
    process.send_signal(signal.SIGTERM)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 1
    assert [line for line in printed.splitlines() if "StoppedError: toy: told to stop after step" in line]
    assert "Traceback" not in printed
    assert not (tmp_path / "stopped/out").exists()
    again, _ = run("stopped", 0).communicate()
    assert int(again.split()[1]) >= 5
    assert (tmp_path / "stopped/out").read_bytes() == (tmp_path / "whole/out").read_bytes()
    assert not list(tmp_path.glob("*/training/*.safetensors"))
    # Its log could not be written: the job fails, and its outputs are removed, but nothing is trained again.
    process = run("refused", 0, "/dev/full")
    _, printed = process.communicate()
    assert process.returncode == 1
    assert "could not be written" in printed
    assert (tmp_path / "refused/training/state.safetensors").exists()
    again = Regression()
    train(again, 60, "toy", 3, tmp_path / "refused/training")
    assert again.steps == []


def test_the_seed_matters_and_the_global_state_does_not(tmp_path):
    runs = {}
    for name, seed, disturbance in [("a", 3, 1), ("b", 3, 2), ("c", 4, 1)]:
        torch.manual_seed(disturbance)
        np.random.seed(disturbance)  # noqa: NPY002 - the global state is what is tested
        runs[name] = Regression()
        train(runs[name], 5, "toy", seed, tmp_path / name)
    assert_same(weights(runs["a"]), weights(runs["b"]))
    assert not torch.equal(runs["a"].network[0].weight, runs["c"].network[0].weight)


def test_a_checkpoint_of_other_options_is_not_resumed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(Regression(10), 20, "toy", 3, tmp_path, identity="lr 1", options=EAGER)
    fresh = Regression()
    train(fresh, 20, "toy", 3, tmp_path, identity="lr 2", options=EAGER)
    assert fresh.steps == list(range(20))


def test_a_damaged_checkpoint_is_not_resumed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(Regression(10), 20, "toy", 3, tmp_path, options=EAGER)
    state = tmp_path / "state.safetensors"
    content = bytearray(state.read_bytes())
    content[-20] ^= 1
    state.write_bytes(content)
    fresh = Regression()
    train(fresh, 20, "toy", 3, tmp_path, options=EAGER)
    assert fresh.steps == list(range(20))


def test_a_loss_that_is_not_finite_names_step_and_checkpoint(tmp_path):
    with pytest.raises(TrainingError, match=r"loss is nan at step 6: .* last good checkpoint is .*state\.safetensors"):
        train(Regression(break_at=6), 20, "toy", 3, tmp_path, options=EAGER)


def test_scalars_and_pictures_reach_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(Regression(), 12, "toy", 3, tmp_path, options=EAGER)
    log = EventAccumulator(str(tmp_path / "log")).Reload()
    assert [event.step for event in log.Scalars("toy/loss")] == list(range(12))
    assert log.Tags()["images"] == ["toy"]


def test_learning_rate_schedules_rise_and_fall():
    for schedule in (warmup_cosine, warmup_linear):
        rates = [schedule(step, 1000) for step in range(1000)]
        assert rates[0] == pytest.approx(0.02, rel=0.01)
        assert max(rates) == pytest.approx(1.0, abs=0.01)
        assert rates[-1] < 0.03
        assert all(a >= b for a, b in pairwise(rates[60:]))


def test_seeds_differ_by_every_argument_and_repeat():
    drawn = [
        seeds.derive(*arguments) for arguments in [(0, "a"), (1, "a"), (0, "b"), (0, "a", 0), (0, "a", 1), (0, "a:0")]
    ]
    # A stage name that spells out a step is the one way to collide; no stage does.
    assert len(set(drawn)) == 5
    assert torch.equal(streams.StepRandom(1, "x", 2).normal(3), streams.StepRandom(1, "x", 2).normal(3))


class TestWeights:
    def test_round_trip_of_every_type(self, tmp_path):
        tensors = {
            "half": torch.randn(3, 4).to(torch.bfloat16),
            "count": torch.tensor(7),
            "image": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        }
        save_weights(tmp_path / "w.safetensors", tensors, "toy", {"width": 3}, {"step": 5})
        loaded, header = load_weights(tmp_path / "w.safetensors", "toy", {"width": 3})
        assert_same(tensors, loaded)
        assert header["extra"] == {"step": 5}

    def test_same_tensors_same_bytes(self, tmp_path):
        for name in "ab":
            save_weights(tmp_path / name, {"x": torch.arange(5.0), "y": torch.ones(2)}, "toy", {"b": 1, "a": 2})
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_wrong_kind_architecture_and_shape_are_named(self, tmp_path):
        path = tmp_path / "w.safetensors"
        save_weights(path, {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}, "toy", {"width": 3})
        with pytest.raises(CheckpointError, match=r"w\.safetensors: expected weights of kind 'other', found 'toy'"):
            load_weights(path, "other")
        with pytest.raises(CheckpointError, match="architecture differs in 'width': expected 4, found 3"):
            load_weights(path, "toy", {"width": 4})
        with pytest.raises(CheckpointError, match=r"tensor 'weight': expected shape \(2, 4\), found \(2, 3\)"):
            load_into(torch.nn.Linear(4, 2), load_weights(path, "toy")[0], path)

    def test_missing_truncated_foreign_and_damaged_files_are_named(self, tmp_path):
        from safetensors.torch import save_file

        path = tmp_path / "w.safetensors"
        with pytest.raises(CheckpointError, match="no such file"):
            load_weights(path, "toy")
        save_file({"x": torch.zeros(3)}, path)
        with pytest.raises(CheckpointError, match="found a foreign safetensors file"):
            load_weights(path, "toy")
        save_weights(path, {"x": torch.arange(100.0)}, "toy", {})
        whole = path.read_bytes()
        for cut in (4, 60, len(whole) - 8):
            path.write_bytes(whole[:cut])
            with pytest.raises(CheckpointError, match=r"w\.safetensors: expected a safetensors file"):
                load_weights(path, "toy")
        damaged = bytearray(whole)
        damaged[-3] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged: expected checksum"):
            load_weights(path, "toy")

    def test_a_full_disk_is_named_and_leaves_no_file(self, tmp_path, monkeypatch):
        from flexpose_core.training import checkpoint

        def full(tensors, path, metadata):
            path.write_bytes(b"half")
            raise SafetensorError("I/O error: No space left on device (os error 28)")

        monkeypatch.setattr(checkpoint, "save_file", full)
        with pytest.raises(OutputError, match=r"w\.safetensors: could not be written: .*No space left"):
            save_weights(tmp_path / "w.safetensors", {"x": torch.zeros(3)}, "toy", {})
        assert list(tmp_path.iterdir()) == []

    def test_a_pickle_is_refused_unread(self, tmp_path):
        path = tmp_path / "w.safetensors"
        torch.save({"x": torch.zeros(3)}, path)
        with pytest.raises(CheckpointError, match="expected a safetensors file"):
            load_weights(path, "toy")
