"""Poses chosen by what a detector finds in images: which ones, where they are put, and what is refused."""

import numpy as np
import pytest
import torch
from test_detector_stages import _run, caches
from test_keypoint_gan import CPU

from flexpose_core.errors import DataError
from flexpose_core.models.keypoint_gan import Detector
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import load_cache, plain_batch, write_cache
from flexpose_core.poses.choice import choose_like
from flexpose_core.poses.images import encode_images
from flexpose_core.rendering.pictures import read_png
from flexpose_core.skeletons import BODY15, FACE68
from flexpose_core.stages.compose_chosen import compose_chosen
from flexpose_core.stages.find_poses import MOST, find_poses
from flexpose_core.stages.train_detector import frames_of
from flexpose_core.training.both_views import found_in_both_views

assert caches  # the fixture


def poses(count, seed=0):
    return np.random.default_rng(seed).uniform(0.3, 0.7, (count, 15, 2)).astype(np.float32)


def shapes(of):
    """Poses without place and size."""
    centred = of - of.mean(1, keepdims=True)
    return centred / np.sqrt((centred**2).sum((1, 2), keepdims=True))


def by_hand(found, pool, number):
    """The pool's pose in each place of nearness to a found one, put over it by least squares."""
    squared = ((shapes(found)[:, None] - shapes(pool)[None]) ** 2).sum((2, 3))
    nearest = pool[squared.argsort(axis=1)[:, number]]
    placed = []
    for own, other in zip(found, nearest, strict=True):
        flat = (other - other.mean(0)).ravel()
        size = np.linalg.lstsq(flat[:, None], (own - own.mean(0)).ravel(), rcond=None)[0][0]
        placed.append(own.mean(0) + size * (other - other.mean(0)))
    return np.array(placed)


def test_each_found_pose_chooses_the_nearest_then_each_the_second_nearest():
    found, pool = poses(20), poses(60, seed=1)
    chosen = choose_like(found, pool, 40, np.random.default_rng(0))
    assert chosen.dtype == np.float32
    np.testing.assert_allclose(chosen[:20], by_hand(found, pool, 0), atol=1e-5)
    np.testing.assert_allclose(chosen[20:], by_hand(found, pool, 1), atol=1e-5)


def test_in_the_last_round_those_that_choose_are_drawn():
    found, pool = poses(20), poses(60, seed=1)
    chosen = choose_like(found, pool, 27, np.random.default_rng(0))
    second = by_hand(found, pool, 1)
    who = [int(np.abs(second - one).sum((1, 2)).argmin()) for one in chosen[20:]]
    np.testing.assert_allclose(chosen[20:], second[who], atol=1e-5)
    assert len(set(who)) == 7
    assert len(choose_like(found, pool, 3, np.random.default_rng(0))) == 3


def test_poses_of_the_pool_that_are_moved_and_scaled_are_found_again_exactly():
    pool = poses(30)
    found = 0.1 + 0.6 * pool[[4, 9, 2]]
    np.testing.assert_allclose(choose_like(found, pool, 3, np.random.default_rng(0)), found, atol=1e-6)


def test_joints_that_coincide_stay_finite():
    found = np.concatenate([poses(2), np.full((1, 15, 2), 0.5, np.float32)])
    pool = np.concatenate([poses(3, seed=1), np.full((1, 15, 2), 0.2, np.float32)])
    assert np.isfinite(choose_like(found, pool, 12, np.random.default_rng(0))).all()


@pytest.mark.parametrize(("found", "pool", "count"), [(0, 5, 3), (2, 1, 4)])
def test_too_few_to_choose_from_are_named(found, pool, count):
    with pytest.raises(DataError, match=rf"choosing {count} poses: .*found {found} and {pool}"):
        choose_like(poses(found), poses(pool), count, np.random.default_rng(0))


@pytest.fixture
def trained(tmp_path, caches):
    """A detector that was hardly trained, and the images it saw."""
    _run(caches, tmp_path)
    return tmp_path / "detector.safetensors", caches["images"]


def with_poses(cache, others, path):
    """Write a cache with the images of another and poses that are not theirs."""
    own = load_cache(cache, images=True)
    columns = {name: getattr(own, name) for name in ("visibility", "clip", "subject", "camera", "sequence", "frame")}
    images, backgrounds = own.images[np.arange(len(own))], own.backgrounds[own.background]
    columns |= {"images": encode_images(images, "png"), "backgrounds": encode_images(backgrounds, "png")}
    write_cache(path, [PoseBatch(poses=others, **columns)], own.skeleton, {})
    return path


def test_found_poses_are_the_images_and_do_not_depend_on_their_own_poses(tmp_path, trained):
    weights, images = trained
    out = tmp_path / "found.h5", tmp_path / "found.png"
    find_poses("cpu", weights, images, *out, 0)
    found, own = load_cache(out[0]), load_cache(images)
    assert len(found) == len(own) < MOST
    for name in ("clip", "subject", "sequence", "frame"):
        assert np.array_equal(getattr(found, name), getattr(own, name)), name
    assert found.visibility.all()
    assert found.attributes["images"] == len(own)
    assert read_png(out[1]).ndim == 3
    other = with_poses(images, poses(len(own), seed=9), tmp_path / "other.h5")
    again = tmp_path / "again.h5"
    find_poses("cpu", weights, other, again, tmp_path / "again.png", 0)
    assert np.array_equal(load_cache(again).poses, found.poses)
    find_poses("cpu", weights, images, again, tmp_path / "again.png", 0)
    assert again.read_bytes() == out[0].read_bytes()


def test_a_detector_of_another_skeleton_is_named(tmp_path, trained, caches):
    own = load_cache(caches["images"], images=True)
    images, backgrounds = own.images[np.arange(5)], own.backgrounds[own.background[:5]]
    encoded = {"images": encode_images(images, "png"), "backgrounds": encode_images(backgrounds, "png")}
    batch = plain_batch(np.random.default_rng(0).random((5, 68, 2), np.float32))
    columns = {
        name: getattr(batch, name) for name in ("poses", "visibility", "clip", "subject", "camera", "sequence", "frame")
    }
    write_cache(tmp_path / "faces.h5", [PoseBatch(**columns, **encoded)], FACE68, {})
    with pytest.raises(DataError, match=r"faces\.h5: expected skeleton body15 as in .*\.safetensors, found face68"):
        find_poses("cpu", trained[0], tmp_path / "faces.h5", tmp_path / "f.h5", tmp_path / "f.png", 0)


class Centroid(Detector):
    """Finds all joints at the brightness's centre, a different bit off to the right each, as a biased detector would."""

    def __init__(self):
        torch.nn.Module.__init__(self)

    def forward(self, images, backgrounds):
        light = (images - backgrounds).clamp(min=0).mean(1)
        side = images.shape[-1]
        centres = (torch.arange(side) + 0.5) / side
        total = light.sum((1, 2))
        x, y = ((light.sum(axis) * centres).sum(1) / total for axis in (1, 2))
        return torch.stack([x, y], 1)[:, None] + torch.stack([torch.linspace(0, 0.1, 15), torch.zeros(15)], 1)


def test_both_views_are_averaged_with_left_and_right_swapped_back(trained):
    pictures = load_cache(trained[1], images=True)
    frames = frames_of(pictures, 16, "none")
    rows = np.arange(len(pictures))[::2]
    found = found_in_both_views(Centroid(), frames, rows, BODY15, CPU)
    plain = Centroid()(*frames.take(torch.from_numpy(rows), CPU)).numpy()
    # What is found in the mirror image, mirrored back: the bias points the other way, and is that of the other side's joint.
    bias = np.stack([np.linspace(0, 0.1, 15), np.zeros(15)], 1)
    expected = (plain + (plain - bias) - bias[BODY15.flip_permutation]) / 2
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float32


def test_of_many_images_some_are_drawn_by_the_seed(tmp_path, trained):
    weights, images = trained
    frames = []
    for seed in (0, 0, 1):
        find_poses("cpu", weights, images, tmp_path / "found.h5", tmp_path / "found.png", seed, most=5)
        found = load_cache(tmp_path / "found.h5")
        assert found.attributes["images"] == 12
        frames.append(found.frame.tolist())
        assert frames[-1] == sorted(set(frames[-1]))
    assert [len(some) for some in frames] == [5, 5, 5]
    assert frames[0] == frames[1] != frames[2]


def write(path, of, skeleton=BODY15):
    write_cache(path, [plain_batch(of)], skeleton, {})
    return path


def test_a_chosen_set_is_as_large_as_the_pool_and_has_the_mixup(tmp_path):
    pool, found, mixup = poses(50), poses(20, seed=1), poses(6, seed=2)
    files = [write(tmp_path / f"{name}.h5", of) for name, of in (("pool", pool), ("found", found), ("mixup", mixup))]
    compose_chosen(*files, 80, 3, tmp_path / "out.h5")
    composed = load_cache(tmp_path / "out.h5")
    assert composed.attributes == {"source": {"chosen": 44, "mixup": 6}, "missing": 30}
    assert np.array_equal(composed.poses[44:], mixup)
    np.testing.assert_allclose(composed.poses[:20], by_hand(found, pool, 0), atol=1e-5)
    compose_chosen(*files, 80, 3, tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "out.h5").read_bytes()
    compose_chosen(*files, 80, 4, tmp_path / "other.h5")
    assert not np.array_equal(load_cache(tmp_path / "other.h5").poses, composed.poses)


def test_mistakes_are_named(tmp_path):
    pool, mixup = write(tmp_path / "pool.h5", poses(6)), write(tmp_path / "mixup.h5", poses(6))
    face = write(tmp_path / "face.h5", np.random.default_rng(0).random((4, 68, 2), np.float32), FACE68)
    with pytest.raises(DataError, match=r"face\.h5: expected skeleton body15 as in .*pool\.h5, found face68"):
        compose_chosen(pool, face, mixup, 10, 0, tmp_path / "out.h5")
    with pytest.raises(DataError, match=r"pool\.h5: expected more than the 6 mixup poses, found 6"):
        compose_chosen(pool, write(tmp_path / "found.h5", poses(3)), mixup, 10, 0, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
