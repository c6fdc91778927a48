"""Every kind of file that one stage passes to another, with bits flipped and ends cut off: named, or read as it was written.

Bits are flipped in all parts: headers, attributes, data, images, ids, checksums. CSV files are passed to no stage.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_adaptation import small_generator
from test_cache import batches
from test_training_loop import Regression
from torch.utils.tensorboard import SummaryWriter

from flexpose_core.errors import CheckpointError, DataError
from flexpose_core.files import write_json
from flexpose_core.models.adapters import build_adapter, load_adapter
from flexpose_core.models.discriminators import POSE_KIND, load_discriminator, new_discriminator, save_discriminator
from flexpose_core.models.keypoint_gan import Detector, ImageToSkeleton, SkeletonToKeypoints
from flexpose_core.models.regressor import Regressor, RegressorArchitecture
from flexpose_core.options.adaptation import AdaptationOptions
from flexpose_core.options.detector import DetectorArchitecture
from flexpose_core.options.generator import PoseGanOptions
from flexpose_core.poses.cache import load_cache, write_cache
from flexpose_core.poses.seal import check_seal
from flexpose_core.rendering.pictures import read_png, write_png
from flexpose_core.skeletons import BODY15
from flexpose_core.stages.contact_sheet import contact_sheet
from flexpose_core.stages.convert import gather_shards
from flexpose_core.stages.evaluate import load_detector
from flexpose_core.stages.figures import layer_losses
from flexpose_core.stages.priors import load_generator, load_regressor, save_generator, save_regressor
from flexpose_core.stages.tabulate import read_metrics
from flexpose_core.stages.train_detector import DETECTOR_KIND, ETA_KIND, described
from flexpose_core.training.checkpoint import load_weights, save_weights
from flexpose_core.training.health import Health
from flexpose_core.training.log import read_scalars
from flexpose_core.training.resuming import Checkpoints

GENERATOR = small_generator()
DETECTOR = DetectorArchitecture(joints=15, size=16, image_widths=(4, 4), eta_widths=(4, 4), decoder_widths=(4, 4))
REGRESSOR = RegressorArchitecture(skeleton="body15", channels=1, resolution=16, width=4)


def state_of(network):
    return {name: value.numpy().tobytes() for name, value in network.state_dict().items()}


def with_originals(images):
    for number, batch in enumerate(batches(np.random.default_rng(0), images=images)):
        yield replace(batch, source=np.array([f"{number}/{row // 9}.jpg" for row in range(len(batch))], object))


def write_poses(path):
    write_cache(
        path, with_originals(False), BODY15, {"counts": {"read": 150, "kept": 150, "dropped": {}, "examples": {}}}
    )


def write_images(path):
    write_cache(
        path, with_originals(True), BODY15, {"counts": {"read": 150, "kept": 150, "dropped": {}, "examples": {}}}
    )


def cache_content(path, images):
    held = load_cache(path, images=images)
    content = [held.skeleton.name, held.attributes, held.clip.tolist(), held.source[:].tolist(), held.image_checksum]
    names = ("poses", "visibility", "subject", "camera", "sequence", "frame", "crop", "background")
    content += [None if getattr(held, name) is None else getattr(held, name).tobytes() for name in names]
    if images:
        content += [held.images[:].tobytes(), held.backgrounds[:].tobytes(), held.images.size]
    return content


def write_generator(path):
    save_generator(path, GENERATOR, {"seed": 0})


def write_regressor(path):
    save_regressor(path, Regressor(REGRESSOR), {"seed": 0})


def write_detector(path):
    network = Detector(ImageToSkeleton(DETECTOR), SkeletonToKeypoints(DETECTOR))
    tensors = {f"detector.{name}": value for name, value in network.state_dict().items()}
    save_weights(path, tensors, DETECTOR_KIND, described(DETECTOR, BODY15), {"seed": 0})


def read_detector(path):
    network, psi, *rest = load_detector(path, torch.device("cpu"))
    return state_of(network), psi, rest


def write_eta(path):
    save_weights(path, SkeletonToKeypoints(DETECTOR).state_dict(), ETA_KIND, described(DETECTOR, BODY15), {"seed": 0})


def read_eta(path):
    tensors, header = load_weights(path, ETA_KIND)
    return {name: value.numpy().tobytes() for name, value in tensors.items()}, header


def read_discriminator(path):
    network, options = load_discriminator(path, GENERATOR.architecture)
    return state_of(network), options


def write_adaptation(path):
    write_json(path, {"loss": {"before": 2.5, "after": 0.125}})


def write_picture(path):
    write_png(path, np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8))


def write_discriminator(path):
    options = PoseGanOptions(discriminator_width=8)
    network = new_discriminator(POSE_KIND, GENERATOR.architecture, 8)
    save_discriminator(path, network, GENERATOR.architecture, options, {})


def read_state(path):
    objective, health = Regression(), Health(1000.0, 20)
    target = path.parent / "state.safetensors"
    target.write_bytes(path.read_bytes())
    steps = Checkpoints(path.parent, FINGERPRINT).resume(objective, health)
    if not steps:
        raise CheckpointError(f"{path}: not resumed")  # what the loop then says is tested there
    return steps, health, [state_of(network) for network in objective.networks.values()]


FINGERPRINT = {"stage": "toy", "seed": 0, "steps": 9, "identity": "x"}


def write_state(path):
    objective, health = Regression(), Health(1000.0, 20)
    health.observe(0, {"loss": 1.5})
    Checkpoints(path.parent, FINGERPRINT).save(objective, 7, health)
    (path.parent / "state.safetensors").rename(path)


def write_metrics(path):
    score = {"mse": 45.8125, "pck": {"0.1": 0.88}, "joint_distance": {"left ankle": 3.25}}
    write_json(
        path,
        {
            "name": "a",
            "cell": {"seed": 1},
            "seed": 0,
            "annotation_set_size": 5,
            "test": {"flip_aware": score},
            "test_new_subjects": None,
            "test_mean_pose": {},
        },
    )


def write_log(path):
    folder = path.parent / "log"
    with SummaryWriter(str(folder)) as writer:
        for step in range(20):
            writer.add_scalar("eta/loss", 1 / (step + 1), step)
    next(folder.iterdir()).rename(path)


def adapter(**options):
    def write(path):
        build_adapter(AdaptationOptions(**options), GENERATOR, 0).save(path, {"seed": 0})

    return write, lambda path: state_of(load_adapter(path, GENERATOR))


FILES = {
    "poses.h5": (write_poses, lambda path: cache_content(path, False)),
    "images.h5": (write_images, lambda path: cache_content(path, True)),
    "poses of images.h5": (write_images, lambda path: cache_content(path, False)),
    "generator.safetensors": (write_generator, lambda path: state_of(load_generator(path))),
    "regressor.safetensors": (write_regressor, lambda path: state_of(load_regressor(path))),
    "transfer.safetensors": adapter(layers="all"),
    "low-rank.safetensors": adapter(trained="low-rank", layers="all", rank=2),
    "tuned.safetensors": adapter(trained="generator"),
    "discriminator.safetensors": (write_discriminator, read_discriminator),
    "detector.safetensors": (write_detector, read_detector),
    "eta.safetensors": (write_eta, read_eta),
    "training state": (write_state, read_state),
    "metrics.json": (write_metrics, read_metrics),
    "adaptation.json": (write_adaptation, lambda path: layer_losses([path], [1])),
    "adaptation.png": (write_picture, lambda path: read_png(path).tobytes()),
    "events.out.tfevents.1": (write_log, lambda path: read_scalars(path.parent)),
}


def changed(whole, random, flips=240, cuts=40):
    """Yield the file with one bit flipped, half of the times near its start or end, and cut off."""
    edge = min(3000, len(whole))
    places = [
        random.integers(0, edge, flips // 4),
        len(whole) - 1 - random.integers(0, edge, flips // 4),
        random.integers(0, len(whole), flips - 2 * (flips // 4)),
    ]
    for place in np.concatenate(places):
        data = bytearray(whole)
        data[place] ^= 1 << random.integers(8)
        yield f"bit flipped at {place} of {len(whole)}", bytes(data)
    for length in random.integers(0, len(whole), cuts):
        yield f"cut off at {length} of {len(whole)}", whole[:length]


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_or_reads_as_it_was(tmp_path, name):
    write, read = FILES[name]
    path = tmp_path / name
    with torch.random.fork_rng():
        torch.manual_seed(0)
        write(path)
    whole, random = path.read_bytes(), np.random.default_rng(len(name))
    expected, refusals, slipped = read(path), [], []
    for what, data in changed(whole, random):
        path.write_bytes(data)
        try:
            found = read(path)
        except (DataError, CheckpointError) as error:
            refusals.append(str(error))
            continue
        if name.startswith("events") and "cut off" in what:
            # A log's last record may be cut off by a kill; what stands before it is used.
            points = found.get("eta/loss", {})
            found = expected if list(points.items()) == list(expected["eta/loss"].items())[: len(points)] else found
        if found != expected:
            slipped.append(what)
    assert slipped == []
    assert len(refusals) > 100
    assert [text for text in refusals if name not in text or "\n" in text] == []


def damaged_images(path):
    """An image cache whose images alone have a flipped bit."""
    write_images(path)
    content = bytearray(path.read_bytes())
    content[content.find(load_cache(path, images=True).images.encoded(3)) + 50] ^= 1
    path.write_bytes(content)
    check_seal(path, images=False)


STAGES = {
    "contact sheet": lambda path: contact_sheet(path, 0, path.parent / "out.png"),
    "gather": lambda path: gather_shards(
        "x", "y", "train", None, 0, [path], path.parent / "out.h5", path.parent / "card.json"
    ),
}


@pytest.mark.parametrize("stage", STAGES)
def test_damaged_images_are_neither_shown_nor_passed_on_under_a_new_checksum(tmp_path, stage):
    path = tmp_path / "train.h5"
    damaged_images(path)
    with pytest.raises(DataError, match=r"train\.h5: damaged images"):
        STAGES[stage](path)
    assert [file.name for file in tmp_path.iterdir()] == ["train.h5"]


def test_a_seal_of_another_file_does_not_fit(tmp_path):
    write_poses(tmp_path / "a.h5")
    write_images(tmp_path / "b.h5")
    own, other = ((tmp_path / name).read_bytes() for name in ("a.h5", "b.h5"))
    (tmp_path / "a.h5").write_bytes(own[: own.rindex(b'{"size"')] + other[other.rindex(b'{"size"') :])
    with pytest.raises(DataError, match=r"a\.h5: damaged pose cache: expected \d+ bytes before its seal"):
        load_cache(tmp_path / "a.h5")
