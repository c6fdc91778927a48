"""A training that diverges is stopped, with a checkpoint from before; one that only looks odd goes on."""

import math
import re

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_training_loop import Regression, assert_same, weights

from flexpose_core import streams
from flexpose_core.errors import TrainingError
from flexpose_core.models.keypoint_gan import SkeletonToKeypoints
from flexpose_core.models.pose_gan import PoseDiscriminator
from flexpose_core.models.style_generator import GeneratorArchitecture, MappingNetwork
from flexpose_core.options.detector import DetectorArchitecture, EtaOptions
from flexpose_core.options.generator import PoseGanOptions
from flexpose_core.skeletons import BODY15
from flexpose_core.stages.train_detector import untrained
from flexpose_core.training import loop
from flexpose_core.training.checkpoint import load_weights, read_header
from flexpose_core.training.eager import eager
from flexpose_core.training.health import SUSPICIOUS, WEIGHTS, Health
from flexpose_core.training.log import read_scalars
from flexpose_core.training.loop import LoopOptions, train
from flexpose_core.training.objectives.eta import EtaObjective, PosePrior
from flexpose_core.training.objectives.pose_gan import PoseGanObjective

NETWORK = {"resolution": 16, "latent_width": 8, "mapping_widths": [16, 16], "synthesis_widths": [12, 12, 8]}
ARCHITECTURE = msgspec.convert({**NETWORK, "skeleton": "body15"}, GeneratorArchitecture)
CPU = torch.device("cpu")
EAGER = LoopOptions(checkpoint_seconds=0.0)


def observed(values, patience=20):
    """Return the step at which a training with these losses is stopped, or None."""
    health = Health(1000.0, patience)
    for step, value in enumerate(values):
        try:
            health.observe(step, {"loss": float(value)})
        except TrainingError:
            return step
    return None


@pytest.mark.parametrize("rate", [1.01, 1.1, 1.5, 3.0])
def test_growth_without_end_is_stopped_at_any_rate(rate):
    values = [0.3 * rate**step for step in range(int(80 / math.log(rate)))]
    step = observed(values)
    assert step is not None
    assert values[step] < 1e30


def test_growth_after_a_long_healthy_time_is_stopped():
    values = [1 / (1 + step / 100) for step in range(2000)]
    values += [values[-1] * 1.2**step for step in range(200)]
    assert 2000 < observed(values) < 2100


@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(-9, 6),
    spread=st.floats(0, 1),
    rise=st.floats(-4, 1),
    every=st.integers(2, 40),
)
def test_noise_falls_rises_and_spikes_of_healthy_trainings_do_not_stop_them(seed, scale, spread, rise, every):
    """Log-normal noise, a trend over up to four decades down or one up, and a penalty every so many steps."""
    random, steps = np.random.default_rng(seed), 400
    values = 10 ** (scale + rise * np.linspace(0, 1, steps) + spread * random.normal(size=steps).clip(-3, 3) / 3)
    values[::every] *= 10**4
    assert observed(values) is None


def test_a_loss_that_begins_at_nothing_may_grow_to_its_scale():
    assert observed([0.0] * 300 + [5.0] * 300) is None
    assert observed([1e-12] * 30 + [5.0] * 300) is None


def test_weights_that_begin_at_nothing_may_grow_to_their_scale():
    health = Health(1000.0, 20)
    for step, norm in enumerate([0.0, 0.5, 20.0, 300.0]):
        health.observe(step, {WEIGHTS: norm})
    with pytest.raises(TrainingError, match=r"weights is 1\.1e\+03 at step 4.*: expected at most 1e\+03"):
        health.observe(4, {WEIGHTS: 1100.0})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_stopped_at_once(value):
    assert observed([1.0, 1.0, value]) == 2


def test_a_health_that_is_taken_up_again_judges_alike():
    random = np.random.default_rng(0)
    values = random.lognormal(size=60).tolist() + [1e5] * 30
    whole, parts = Health(1000.0, 20), Health(1000.0, 20)
    for step, value in enumerate(values[:75]):
        whole.observe(step, {"loss": value})
        parts.observe(step, {"loss": value})
        again = Health(1000.0, 20)
        again.restore(parts.state())
        parts = again
    assert parts == whole
    assert parts.suspicious == {"loss"}


class Exploding(Regression):
    """Gradient descent with a rate beyond what the problem's curvature allows, from a step on."""

    def __init__(self, diverge_at, rate=3.0, stop_at=None):
        super().__init__(stop_at=stop_at)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = torch.nn.Linear(4, 1)
        self.networks = {"network": self.network}
        self.optimisers = {"sgd": eager(torch.optim.SGD)(self.network.parameters(), 1e-2)}
        self.diverge_at, self.rate = diverge_at, rate

    def step(self, step, random):
        if step == self.stop_at:
            raise KeyboardInterrupt
        loop.set_learning_rate(self.optimisers["sgd"], self.rate if step >= self.diverge_at else 1e-2)
        x = random.normal(64, 4)
        loss = (self.network(x) - x.sum(1, keepdim=True) - 1).square().mean()
        self.optimisers["sgd"].zero_grad()
        loss.backward()
        self.optimisers["sgd"].step()
        return {"loss": loss}


@pytest.mark.parametrize("diverge_at", [30, 160])
@pytest.mark.parametrize("rate", [1.02, 1.3, 3.0])
def test_a_diverging_training_is_stopped_and_keeps_a_checkpoint_from_before(tmp_path, diverge_at, rate):
    with pytest.raises(TrainingError) as caught:
        train(Exploding(diverge_at, rate), 5000, "toy", 3, tmp_path, options=EAGER)
    text = str(caught.value)
    assert "\n" not in text
    found = re.fullmatch(
        r"(loss|gradient/sgd|weights) is (\S+) at step (\d+)(, and has been for \d+ steps)?: expected .*; "
        r"the last good checkpoint is (\S+), after (\d+) steps",
        text,
    )
    assert found, text
    stopped_at, state, good_after = int(found[3]), found[5], int(found[6])
    assert math.isfinite(float(found[2]))
    assert diverge_at < stopped_at
    # Of that checkpoint the weights are what a training has that stops there, and no larger than they should be.
    tensors, header = load_weights(state, "training_state")
    assert header["extra"]["step"] == good_after <= stopped_at
    assert not header["extra"]["health"]["suspicious"]
    assert float(tensors["network/network/weight"].norm()) < 2 * SUSPICIOUS
    replayed = Exploding(diverge_at, rate, stop_at=good_after)
    with pytest.raises(KeyboardInterrupt):
        train(replayed, 5000, "toy", 3, tmp_path / "replayed")
    assert torch.equal(replayed.network.weight, tensors["network/network/weight"])
    assert sorted(path.name for path in tmp_path.glob("*.safetensors*")) == ["state.safetensors"]
    # The same command comes to the same end.
    with pytest.raises(TrainingError) as again:
        train(Exploding(diverge_at, rate), 5000, "toy", 3, tmp_path, options=EAGER)
    assert str(again.value) == text


def test_a_training_that_diverges_from_the_first_step_has_no_good_checkpoint(tmp_path):
    with pytest.raises(
        TrainingError, match=r"weights is \S+ at step 0.*expected at most .*; there is no checkpoint yet"
    ):
        train(Exploding(0, rate=1e6), 50, "toy", 3, tmp_path, options=EAGER)
    assert not list(tmp_path.glob("*.safetensors*"))


class NanGradient(Regression):
    """Its loss is finite, but the gradient of a step is not, and so the weights after it."""

    def __init__(self, break_at):
        super().__init__()
        self.poisoned_at = break_at

    def step(self, step, random):
        self.hook = step == self.poisoned_at and self.network[0].weight.register_hook(lambda g: g * math.nan)
        scalars = super().step(step, random)
        if self.hook:
            self.hook.remove()
        return scalars


@pytest.mark.parametrize("options", [EAGER, LoopOptions(log_every=1)])
def test_a_gradient_that_is_not_finite_poisons_no_checkpoint(tmp_path, options):
    kept = r"the last good checkpoint is .*, after 6 steps" if options is EAGER else "there is no checkpoint yet"
    with pytest.raises(TrainingError, match=rf"gradient/adam is nan at step 6: expected a finite number; {kept}"):
        train(NanGradient(6), 20, "toy", 3, tmp_path, options=options)
    if options is EAGER:
        tensors, _ = load_weights(tmp_path / "state.safetensors", "training_state")
        assert all(value.isfinite().all() for value in tensors.values() if value.is_floating_point())


class Bumpy(Regression):
    """Its loss is reported fifty times as large for a while."""

    def step(self, step, random):
        loss = super().step(step, random)["loss"]
        return {"loss": torch.full_like(loss.detach(), 50.0 if 40 <= step < 60 else 1.0)}


@pytest.mark.parametrize("stop_at", [35, 50, 70])
def test_a_suspicious_time_leaves_both_checkpoints_and_resumes_as_ever(tmp_path, stop_at):
    whole, resumed = Bumpy(), Bumpy()
    train(whole, 90, "toy", 3, tmp_path / "a", options=EAGER)
    assert [path.name for path in (tmp_path / "a").glob("*.safetensors*")] == ["state.safetensors"]
    with pytest.raises(KeyboardInterrupt):
        train(Bumpy(stop_at=stop_at), 90, "toy", 3, tmp_path / "b", options=EAGER)
    state, before = (tmp_path / "b" / name for name in ("state.safetensors", "before.safetensors"))
    assert read_header(state)["extra"]["step"] == stop_at
    assert before.exists() == (40 < stop_at <= 60)
    if before.exists():
        assert read_header(before)["extra"]["step"] == 40
        # And if the newer one is lost, the older one serves.
        state.write_bytes(b"lost")
    train(resumed, 90, "toy", 3, tmp_path / "b", options=EAGER)
    assert resumed.steps[0] == (40 if 40 < stop_at <= 60 else stop_at)
    assert_same(weights(whole), weights(resumed))


@pytest.mark.parametrize("harm", [lambda path: path.write_bytes(b"lost"), lambda path: path.unlink()])
@pytest.mark.parametrize("kills", [1, 2])
def test_the_last_good_checkpoint_outlives_the_newer_one_however_often(tmp_path, harm, kills):
    whole, resumed = Bumpy(), Bumpy()
    train(whole, 90, "toy", 3, tmp_path / "a", options=EAGER)
    state, before = (tmp_path / "b" / name for name in ("state.safetensors", "before.safetensors"))
    for _ in range(kills):
        with pytest.raises(KeyboardInterrupt):
            train(Bumpy(stop_at=50), 90, "toy", 3, tmp_path / "b", options=EAGER)
        assert read_header(before)["extra"]["step"] == 40
        harm(state)
    # Stopped before it has saved anything.
    with pytest.raises(KeyboardInterrupt):
        train(Bumpy(stop_at=40), 90, "toy", 3, tmp_path / "b", options=EAGER)
    assert read_header(state)["extra"]["step"] == 40
    train(resumed, 90, "toy", 3, tmp_path / "b", options=EAGER)
    assert resumed.steps[0] == 40
    assert_same(weights(whole), weights(resumed))


def test_a_good_checkpoint_of_another_training_is_not_called_this_ones(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(Bumpy(stop_at=50), 90, "toy", 3, tmp_path, options=EAGER)
    with pytest.raises(TrainingError, match="there is no checkpoint yet"):
        train(Exploding(0, rate=1e6), 50, "toy", 3, tmp_path, "other", EAGER)
    assert not list(tmp_path.glob("*.safetensors*"))


def test_norms_of_gradients_and_weights_are_logged_and_true(tmp_path):
    objective = Regression()
    train(objective, 5, "toy", 3, tmp_path, options=LoopOptions(log_every=1))
    logged = read_scalars(tmp_path / "log")
    assert list(logged["toy/loss"]) == list(logged["health/toy/gradient/adam"]) == list(range(5))
    gradient = math.sqrt(sum(float(p.grad.square().sum()) for p in objective.network.parameters()))
    assert logged["health/toy/gradient/adam"][4] == pytest.approx(gradient, rel=1e-5)
    held = [v for n in objective.networks.values() for v in n.state_dict().values() if v.is_floating_point()]
    assert logged[f"health/toy/{WEIGHTS}"][4] == pytest.approx(
        math.sqrt(sum(float(v.square().sum()) for v in held)), rel=1e-5
    )


def pose_gan(rate, steps):
    poses = torch.rand(64, len(BODY15), 2, generator=streams.torch_generator(0, "poses"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mapping, discriminator = MappingNetwork(ARCHITECTURE), PoseDiscriminator(BODY15, 16)
    options = PoseGanOptions(steps=steps, batch=8, learning_rate=rate)
    return PoseGanObjective(mapping, discriminator, poses, BODY15, 8, options)


def eta(rate, steps):
    poses = np.random.default_rng(0).random((16, len(BODY15), 2), np.float32)
    architecture = DetectorArchitecture(joints=len(BODY15), size=16, eta_widths=(8, 8))
    network = untrained(SkeletonToKeypoints, architecture, 0, "eta", CPU)
    return EtaObjective(
        network, PosePrior(poses, BODY15, CPU), 16, EtaOptions(steps=steps, batch=4, learning_rate=rate), False
    )


@pytest.mark.parametrize("objective", [pose_gan, eta])
def test_real_objectives_diverge_with_absurd_rates_and_not_with_usual_ones(tmp_path, objective):
    train(objective(1e-3, 300), 300, "real", 0, tmp_path / "usual")
    with pytest.raises(TrainingError, match=r" at step \d+.*: expected "):
        train(objective(1e3, 300), 300, "real", 0, tmp_path / "absurd")


def test_a_clock_that_is_set_back_changes_neither_checkpoints_nor_curves(tmp_path, monkeypatch):
    """Wall time runs backwards by an hour a look, between and within sessions; the monotonic clock by a second a look."""
    wall, steady = iter(range(10**9, 0, -3600)), iter(range(10**6))
    monkeypatch.setattr("time.time", lambda: float(next(wall)))
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(steady)))
    options = LoopOptions(checkpoint_seconds=4.5, log_every=1)
    for stop_at in (13, 27):
        with pytest.raises(KeyboardInterrupt):
            train(Regression(stop_at), 40, "toy", 3, tmp_path / "b", options=options)
        saved = read_header(tmp_path / "b/state.safetensors")["extra"]["step"]
        assert 0 < stop_at - saved <= 7
    resumed = Regression()
    train(resumed, 40, "toy", 3, tmp_path / "b", options=options)
    monkeypatch.undo()
    whole = Regression()
    train(whole, 40, "toy", 3, tmp_path / "a", options=options)
    assert_same(weights(whole), weights(resumed))
    assert len(list((tmp_path / "b/log").iterdir())) == 3
    assert read_scalars(tmp_path / "b/log") == read_scalars(tmp_path / "a/log")
