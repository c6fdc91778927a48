"""Distances between pose sets in shards: the same bytes for any number of them, and the figures of the measures themselves."""

import json
from dataclasses import replace

import numpy as np
import pytest

from flexpose_core import seeds
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.files import read_json, write_json
from flexpose_core.measures import sharded
from flexpose_core.measures.distributions import distribution_metrics
from flexpose_core.measures.shapes import joint_angle_distance, length_ratio_distance, mean_pairwise_distance
from flexpose_core.measures.sharded import TASKS, draw_samples, gather, measure
from flexpose_core.poses.cache import plain_batch, write_cache
from flexpose_core.skeletons import BODY15, FACE68
from flexpose_core.stages.measure_poses import KEYS, measure_poses, measured, read_parts

SIZES = {"val": 900, "train": 1300, "poses": 6100, "shots": 5}


def some(name, skeleton=BODY15):
    seed = list(SIZES).index(name)
    low = 0.2 + 0.05 * seed
    return np.random.default_rng(seed).uniform(low, 0.8, (SIZES[name], len(skeleton), 2)).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("caches")
    paths = {}
    for name in SIZES:
        paths[name] = folder / f"{name}.h5"
        write_cache(paths[name], [plain_batch(some(name))], BODY15, {})
    return paths


def as_text(figures):
    return json.dumps(figures, sort_keys=True)


def in_shards(files, folder, shards):
    parts = [folder / f"{shards}-{shard}.json" for shard in range(shards)]
    for shard, part in enumerate(parts):
        measure_poses(files["poses"], files["train"], files["val"], part, files["shots"], shard, shards)
    return read_parts(parts)


@pytest.fixture(scope="module")
def whole(files):
    samples = draw_samples(files["val"], files["poses"], files["shots"])
    return gather([measure(samples)])


@pytest.mark.parametrize("shards", [1, 3, len(TASKS) + 2])
def test_any_number_of_shards_gives_the_same_bytes(files, tmp_path, whole, shards):
    found = in_shards(files, tmp_path, shards)
    assert tuple(found) == KEYS
    assert as_text(found["distribution"]) == as_text(whole)
    alone = gather([measured(files["poses"], files["train"], files["val"], files["shots"])["distribution_floor"]])
    assert as_text(found["distribution_floor"]) == as_text(alone)
    assert alone["fake_sample"] == 1300


def test_the_figures_are_those_of_the_measures(whole):
    expected = distribution_metrics(some("val"), some("poses"))
    assert {name: whole[name] for name in expected} == expected
    random = seeds.rng(0, "shape_metrics")
    real, fake = (poses[random.permutation(len(poses))[:5000]] for poses in (some("val"), some("poses")))
    nearest = 128 * np.linalg.norm(fake[:1000, None] - some("shots")[None], axis=-1).mean(-1).min(1).mean()
    assert whole["length_ratio_pp"] == length_ratio_distance(real, fake, BODY15)
    assert whole["joint_angle_deg"] == joint_angle_distance(real, fake, BODY15)
    assert whole["pairwise_px"] == mean_pairwise_distance(fake[:1000])
    assert whole["real_pairwise_px"] == mean_pairwise_distance(real[:1000])
    assert whole["nearest_shot_px"] == pytest.approx(nearest, rel=1e-6)


def test_figures_are_plain_and_tell_their_samples(files, whole):
    assert all(type(value) is float for value in whole.values())
    assert (whole["real_sample"], whole["fake_sample"]) == (900, 5000)
    assert (whole["kernel_sample"], whole["neighbour_sample"]) == (900, 700)
    assert (whole["real_shape_sample"], whole["fake_shape_sample"]) == (900, 5000)
    assert (whole["real_pair_sample"], whole["fake_pair_sample"]) == (900, 1000)
    without = gather([measure(draw_samples(files["val"], files["poses"]))])
    assert set(whole) - set(without) == {"nearest_shot_px"}
    other = gather([measure(draw_samples(files["val"], files["poses"], seed=5))])
    assert other["sliced_wasserstein_px"] != without["sliced_wasserstein_px"]


def test_samples_are_read_in_pieces_and_are_those_of_the_whole_array(files, monkeypatch):
    monkeypatch.setattr(sharded, "_ROWS", 70)
    samples = draw_samples(files["val"], files["poses"])
    random = seeds.rng(0, "distribution_metrics")
    expected = [some(name)[random.permutation(SIZES[name])[:5000]] for name in ("val", "poses")]
    assert np.array_equal(samples.real, expected[0])
    assert np.array_equal(samples.fake, expected[1])


def test_a_pose_that_lacks_a_joint_is_not_measured(files, tmp_path, monkeypatch):
    monkeypatch.setattr(sharded, "_ROWS", 70)
    missing = np.arange(SIZES["val"]) % 3 == 1
    visibility = np.where(missing[:, None], np.arange(15) != 4, 1).astype(np.uint8)
    caches = {name: tmp_path / f"{name}.h5" for name in ("holes", "whole")}
    write_cache(
        caches["holes"], [replace(plain_batch(some("val") * visibility[..., None]), visibility=visibility)], BODY15, {}
    )
    write_cache(caches["whole"], [plain_batch(some("val")[~missing])], BODY15, {})
    figures = [gather([measure(draw_samples(caches[name], files["poses"]))]) for name in caches]
    assert as_text(figures[0]) == as_text(figures[1])
    write_cache(caches["holes"], [replace(plain_batch(some("shots")), visibility=visibility[[1] * 5])], BODY15, {})
    figures = gather([measure(draw_samples(caches["holes"], files["poses"], files["shots"]))])
    assert {name for name in figures if not name.endswith("sample")} == {"pairwise_px", "nearest_shot_px"}
    assert (figures["real_sample"], figures["fake_sample"]) == (0, 5000)


@pytest.mark.parametrize(
    ("count", "absent"),
    [(1, {"mmd_squared", "density", "coverage", "real_pairwise_px"}), (5, {"density", "coverage"}), (6, set())],
)
def test_what_asks_for_more_poses_than_there_are_is_left_out(files, tmp_path, whole, count, absent):
    few = tmp_path / "few.h5"
    write_cache(few, [plain_batch(some("val")[:count])], BODY15, {})
    figures = gather([measure(draw_samples(few, files["poses"], files["shots"]))])
    assert set(whole) - set(figures) == absent
    assert np.isfinite(list(figures.values())).all()
    apart = distribution_metrics(some("val")[:count], some("poses"))
    assert {"mmd_squared", "density", "coverage"} - set(apart) == absent - {"real_pairwise_px"}


def test_parts_that_are_not_whole_are_named(files, tmp_path):
    parts = [measure(draw_samples(files["val"], files["train"]), shard, 2) for shard in range(2)]
    with pytest.raises(DataError, match=r"^poses: expected each of wasserstein, .* once, found no 'mmd'$"):
        gather(parts[:1], "poses")
    with pytest.raises(DataError, match="found 'wasserstein' again or unknown"):
        gather([*parts, parts[0]])
    with pytest.raises(ConfigError, match=r"expected 0 <= shard < shards, found 2 and 2"):
        measured(files["poses"], files["train"], files["val"], shard=2, shards=2)
    damaged = tmp_path / "part.json"
    measure_poses(files["train"], files["train"], files["val"], damaged)
    assert set(read_json(damaged)) == set(KEYS)
    damaged.write_text(damaged.read_text().replace("5", "6", 1))
    with pytest.raises(DataError, match=r"part\.json"):
        read_parts([damaged])
    write_json(tmp_path / "other.json", {"distribution": {}})
    whole = tmp_path / "whole.json"
    measure_poses(files["train"], files["train"], files["val"], whole)
    message = r"other\.json: expected a part of the distances between poses, found no 'distribution_floor'"
    with pytest.raises(DataError, match=message):
        read_parts([whole, tmp_path / "other.json"])


def test_sets_that_cannot_be_compared_are_named(files, tmp_path):
    faces = tmp_path / "faces.h5"
    write_cache(faces, [plain_batch(some("shots", FACE68))], FACE68, {})
    with pytest.raises(DataError, match=r"faces\.h5: expected skeleton body15 as in .*val\.h5, found face68"):
        draw_samples(files["val"], faces)
