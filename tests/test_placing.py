"""Poses of a source, or of its generator, where the shots are: what is placed, where, and what is refused."""

import numpy as np
import pytest
from test_sampling import PLAIN, draw, small_blocks, weights

from flexpose_core import seeds
from flexpose_core.errors import CheckpointError, DataError
from flexpose_core.options.adaptation import AlignmentOptions
from flexpose_core.poses.alignment import placed
from flexpose_core.poses.cache import load_cache, plain_batch, write_cache
from flexpose_core.skeletons import BODY15, FACE68
from flexpose_core.stages import place_samples as sampling
from flexpose_core.stages import place_source as sources
from flexpose_core.stages.place_samples import place_samples
from flexpose_core.stages.place_source import place_source

assert small_blocks
assert weights

OPTIONS = AlignmentOptions(bone_shrinkage=2.0)


def cache(path, count, seed, skeleton=BODY15):
    random = np.random.default_rng(seed)
    base = np.random.default_rng(99).uniform(0.2, 0.8, (1, len(skeleton), 2))
    poses = (base + random.normal(0, 0.05, (count, len(skeleton), 2))).astype(np.float32)
    write_cache(path, [plain_batch(poses, "walk", 0)], skeleton, {})
    return path


@pytest.fixture
def shots(tmp_path):
    return {"shots": cache(tmp_path / "shots.h5", 6, 1), "mixup": cache(tmp_path / "mixup.h5", 40, 2)}


@pytest.fixture(autouse=True)
def few(monkeypatch, small_blocks):
    monkeypatch.setattr(sampling, "COUNT", 150)
    monkeypatch.setattr(sampling, "BLOCK", 100)
    monkeypatch.setattr(sources, "COUNT", 150)


def test_samples_are_the_generators_without_an_adapter(tmp_path, weights, shots):
    out = tmp_path / "placed.h5"
    given = weights["generator"], weights["regressor"], *shots.values(), out
    place_samples(OPTIONS, PLAIN, *given, seed=5)
    plain = load_cache(draw(tmp_path / "plain.h5", weights, count=150, transfer=None)).poses
    mixed = load_cache(shots["mixup"]).poses
    expected = placed(plain, mixed, 6, BODY15, OPTIONS, seeds.rng(5, "place"))
    found = load_cache(out)
    np.testing.assert_array_equal(found.poses, expected)
    assert found.visibility.all()
    assert found.attributes["source"] == {"placed": 150}
    first = out.read_bytes()
    place_samples(OPTIONS, PLAIN, *given, seed=5)
    assert out.read_bytes() == first
    place_samples(OPTIONS, PLAIN, *given, seed=6)
    assert out.read_bytes() != first
    with pytest.raises(CheckpointError, match=r"foreign.*resolution"):
        place_samples(OPTIONS, PLAIN, weights["generator"], weights["foreign"], *shots.values(), out, seed=5)


@pytest.mark.parametrize("count", [90, 400])
def test_of_the_sources_as_many_as_are_wanted_are_placed(tmp_path, shots, count):
    caches = [cache(tmp_path / f"{number}.h5", count // 2, number) for number in (3, 4)]
    out = tmp_path / "placed.h5"
    place_source(OPTIONS, caches, *shots.values(), out, seed=5)
    found = load_cache(out).poses
    assert len(found) == min(count, 150)
    # Directions of bones tell which pose it was.
    own = np.concatenate([load_cache(source).poses for source in caches])
    ends = np.array(BODY15.tree_ends)

    def directions(poses):
        bones = poses[:, ends[:, 1]] - poses[:, ends[:, 0]]
        return bones / np.linalg.norm(bones, axis=2, keepdims=True)

    off = np.abs(directions(found)[:, None] - directions(own)).max(axis=(2, 3))
    assert off.min(axis=1).max() < 1e-3
    assert len(set(off.argmin(axis=1).tolist())) == len(found)


def test_another_skeleton_is_refused(tmp_path, shots):
    faces = cache(tmp_path / "faces.h5", 30, 3, FACE68)
    with pytest.raises(DataError, match=r"faces\.h5: expected skeleton body15 as in .*mixup\.h5, found face68"):
        place_source(OPTIONS, [faces], *shots.values(), tmp_path / "placed.h5", seed=0)
    assert not (tmp_path / "placed.h5").exists()


def test_a_pose_without_any_length_is_named(tmp_path, shots):
    poses = load_cache(cache(tmp_path / "source.h5", 30, 3)).poses
    poses[7] = (0.25, 0.5)
    write_cache(tmp_path / "source.h5", [plain_batch(poses, "walk", 0)], BODY15, {})
    with pytest.raises(
        DataError, match=r"source\.h5: expected poses with bones of some length, found 1 .* \[0\.25, 0\.5\]"
    ):
        place_source(OPTIONS, [tmp_path / "source.h5"], *shots.values(), tmp_path / "placed.h5", seed=0)
    assert not (tmp_path / "placed.h5").exists()
