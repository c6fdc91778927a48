"""Pose-space baselines against closed forms, the moments they promise, and what they refuse."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from flexpose_core.errors import DataError
from flexpose_core.geometry import flip, inside_image, pose_size
from flexpose_core.options.baselines import ONE_EACH, BaselineOptions
from flexpose_core.poses.baselines import (
    affine,
    baseline_poses,
    kernel_density,
    nearest,
    pca_gaussian,
    repeated,
    similarity,
)
from flexpose_core.poses.cache import load_cache, plain_batch, write_cache
from flexpose_core.skeletons import BODY15, FACE68
from flexpose_core.stages.compose_baseline import compose_baseline


def cloud(count, seed, centre=0.5, spread=0.05):
    base = np.random.default_rng(99).uniform(-0.2, 0.2, (1, 15, 2))
    return (centre + base + np.random.default_rng(seed).normal(0, spread, (count, 15, 2))).astype(np.float32)


SOURCE, SHOTS, MIXUP = cloud(500, 0, 0.4, 0.08), cloud(12, 1), cloud(40, 2)
# The leftmost joint of their mean is so near the border that many are outside.
NEAR_THE_BORDER = SHOTS - [SHOTS.mean(0)[:, 0].min() - 0.03, 0]
RNG = np.random.default_rng


def rows_of(poses, known):
    """Whether each pose is one of the known ones."""
    known = {row.tobytes() for row in known.astype(np.float32)}
    return np.array([row.tobytes() in known for row in poses.astype(np.float32)])


def compose(kind, size=300, **options):
    return baseline_poses(BaselineOptions(kind=kind, **options), SOURCE, SHOTS, 12, MIXUP, size, RNG(0))


@pytest.mark.parametrize("kind", ["source", "mixup", "kde", "similarity", "affine", "nearest", "pca"])
def test_every_set_has_its_size_repeats_and_holds_the_guidance_but_for_the_bare_source(kind):
    poses = compose(kind)
    assert poses.shape == (300, 15, 2)
    assert poses.dtype == np.float32
    np.testing.assert_array_equal(poses, compose(kind))
    assert rows_of(MIXUP, poses).all() == (kind != "source")


@pytest.mark.parametrize("kind", ["kde", "pca"])
def test_poses_are_drawn_until_enough_are_inside_the_image(kind):
    """As many as were asked for, and what the first draw has inside comes first, as it came."""
    near = NEAR_THE_BORDER
    poses = baseline_poses(BaselineOptions(kind=kind), SOURCE, near, 12, near, 3012, RNG(0))[:3000]
    assert inside_image(poses).all()
    drawn = {
        "kde": lambda: kernel_density(near, 3000, BaselineOptions(kind="kde").bandwidth, RNG(0)),
        "pca": lambda: pca_gaussian(
            SOURCE, near, 12, 3000, BaselineOptions(kind="pca").variance, BaselineOptions(kind="pca").shrinkage, RNG(0)
        ),
    }[kind]()
    first = drawn[inside_image(drawn)].astype(np.float32)
    assert 100 < len(first) < 2900
    np.testing.assert_array_equal(poses[: len(first)], first)
    far = SHOTS + 5
    with pytest.raises(DataError, match=rf"baseline {kind}: expected 30 of 600 poses drawn inside the image, found 0"):
        baseline_poses(BaselineOptions(kind=kind), SOURCE, far, 12, far, 42, RNG(0))


def test_aligned_poses_outside_the_image_are_taken_last():
    near = NEAR_THE_BORDER
    aligned = affine(SOURCE, near)
    within = int(inside_image(aligned).sum())
    assert 50 < within < 450
    for count in (within - 20, within + 20):
        poses = baseline_poses(BaselineOptions(kind="affine"), SOURCE, near, 12, near, count + 12, RNG(0))
        assert inside_image(poses[:count]).sum() == min(count, within)
        assert rows_of(poses[:count], aligned).all()
        assert len(np.unique(poses[:count], axis=0)) == count


@pytest.mark.parametrize(
    ("kind", "source", "shots", "found"),
    [
        ("kde", SOURCE, np.repeat(SHOTS[:1], 5, axis=0), "shots or more, mirror images counted, .* found 5 all alike"),
        ("affine", SOURCE, np.repeat(SHOTS[:1], 5, axis=0), "shots or more, .* found 5 all alike"),
        ("pca", SOURCE, np.repeat(SHOTS[:1], 5, axis=0), "shots or more, .* found 5 all alike"),
        ("pca", np.repeat(SOURCE[:1], 400, axis=0), SHOTS, "source poses or more that differ, found 400 all alike"),
        ("affine", np.repeat(SOURCE[:1], 400, axis=0), SHOTS, "source poses or more that differ, found 400 all alike"),
    ],
)
def test_what_does_not_vary_is_refused(kind, source, shots, found):
    with pytest.raises(DataError, match=rf"baseline {kind}: expected two {found}"):
        baseline_poses(BaselineOptions(kind=kind), source, shots, 5, MIXUP, 300, RNG(0))


@pytest.mark.parametrize("kind", ["kde", "affine", "pca"])
def test_how_one_shot_varies_is_not_known(kind):
    with pytest.raises(DataError, match=rf"baseline {kind}: expected two shots or more, .* found 1"):
        baseline_poses(BaselineOptions(kind=kind), SOURCE, SHOTS[:1], 1, MIXUP, 300, RNG(0))


def test_the_bare_source_is_distinct_source_poses():
    poses = compose("source", 500)
    np.testing.assert_array_equal(np.sort(poses, axis=0), np.sort(SOURCE, axis=0))
    assert len(np.unique(compose("source", 400), axis=0)) == 400
    for kind, most in {"source": 500, "similarity": 540, "affine": 540}.items():
        assert len(compose(kind, most)) == most
        with pytest.raises(DataError, match=rf"baseline {kind}: expected at least 501 source poses, found 500"):
            compose(kind, most + 1)


def test_repeating_is_even():
    poses = repeated(MIXUP, 95, RNG(0))
    _, counts = np.unique(poses, axis=0, return_counts=True)
    assert sorted(counts) == [2] * 25 + [3] * 15


def test_similarity_gives_the_shots_place_and_size_and_keeps_shape():
    moved = similarity(SOURCE, SHOTS)
    np.testing.assert_allclose(moved.mean((0, 1)), SHOTS.mean((0, 1)), atol=1e-6)
    assert pose_size(moved) == pytest.approx(pose_size(SHOTS), rel=1e-5)
    ratio = np.linalg.norm(moved[:, 1] - moved[:, 0], axis=-1) / np.linalg.norm(SOURCE[:, 1] - SOURCE[:, 0], axis=-1)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)


def test_affine_gives_each_coordinate_the_shots_moments():
    moved = affine(SOURCE.astype(np.float64), SHOTS)
    np.testing.assert_allclose(moved.mean(0), SHOTS.mean(0), atol=1e-6)
    np.testing.assert_allclose(moved.std(0, ddof=1), SHOTS.std(0, ddof=1), rtol=1e-5)


def test_nearest_are_distinct_aligned_source_poses_near_the_guidance():
    aligned = similarity(SOURCE, SHOTS)
    chosen = nearest(SOURCE, SHOTS, MIXUP, 500, RNG(0))
    assert rows_of(chosen, aligned).all()
    assert len(np.unique(chosen, axis=0)) == len(MIXUP)
    # One to one and in order: nobody gains by swapping source poses with another.
    cost = cdist(MIXUP.reshape(40, -1), chosen.reshape(40, -1), "sqeuclidean")
    swapped = cost + cost.T
    assert (swapped >= np.add.outer(cost.diagonal(), cost.diagonal()) - 1e-9).all()
    assert cost.diagonal().mean() < np.square(MIXUP - aligned[:40]).sum((1, 2)).mean()
    half = compose("nearest", 301)
    assert rows_of(half, MIXUP).sum() == 150
    assert rows_of(half, chosen).sum() == 151


@pytest.mark.parametrize("bandwidth", ["scott", "silverman"])
def test_kernel_density_stays_in_the_shots_span_and_keeps_their_moments(bandwidth):
    drawn = kernel_density(SHOTS, 40_000, bandwidth, RNG(0))
    mean = SHOTS.mean(0)
    vectors = (SHOTS - mean).reshape(12, -1)
    _, _, directions = np.linalg.svd(vectors)
    outside = (drawn - mean).reshape(len(drawn), -1) @ directions[11:].T
    assert np.abs(outside).max() < 1e-5
    np.testing.assert_allclose(drawn.mean(0), mean, atol=2e-3)
    # Kernels of covariance h² S about points of covariance (1 - 1/M) S, brought back to S.
    assert drawn.var(0).sum() == pytest.approx(SHOTS.var(0, ddof=1).sum(), rel=0.02)
    # A draw is a shot and a kernel of width h: brought back, it is (shot + h n) / c, whose nearest shot tells h.
    factor = {"scott": 12 ** (-1 / 15), "silverman": (12 * 13 / 4) ** (-1 / 15)}[bandwidth]
    near = np.sqrt(cdist(drawn[:4000].reshape(4000, -1), SHOTS.reshape(12, -1), "sqeuclidean").min(1)).mean()
    random = RNG(1)
    covariance = np.linalg.cholesky(np.cov((vectors @ directions[:11].T), rowvar=False))
    kernels = random.normal(size=(4000, 11)) @ covariance.T @ directions[:11]
    again = (vectors[random.integers(12, size=4000)] + factor * kernels) / np.sqrt(11 / 12 + factor**2)
    expected = np.sqrt(cdist(again, vectors, "sqeuclidean").min(1)).mean()
    assert near == pytest.approx(expected, rel=0.02)


def test_pca_gaussian_has_the_shots_mean_and_a_covariance_between_shots_and_source():
    def moments(shrinkage, variance=1.0, n_shots=12):
        drawn = pca_gaussian(SOURCE, SHOTS, n_shots, 60_000, variance, shrinkage, RNG(0)).reshape(60_000, -1)
        return drawn.mean(0), np.cov(drawn, rowvar=False)

    shots, own = SHOTS.reshape(12, -1), SOURCE.reshape(500, -1)
    found, prior = np.cov(shots, rowvar=False), np.cov(own, rowvar=False)
    prior *= np.trace(found) / np.trace(prior)
    for shrinkage, trust in ((0.0, 1.0), (12.0, 0.5), (1e9, 0.0)):
        mean, covariance = moments(shrinkage)
        np.testing.assert_allclose(mean, shots.mean(0), atol=2e-3)
        expected = trust * found + (1 - trust) * prior
        np.testing.assert_allclose(covariance, expected, atol=0.05 * expected.max())
    assert np.linalg.matrix_rank(moments(12.0, 0.5)[1], tol=1e-9) < 30
    # Mirror images are not annotations: the trust is by M, here 4 of the 12.
    np.testing.assert_allclose(moments(12.0, n_shots=4)[1], 0.25 * found + 0.75 * prior, atol=0.05 * expected.max())


def test_pca_keeps_no_more_components_than_the_share_needs():
    rng = RNG(0)
    flat = np.zeros((300, 30))
    flat[:, 0], flat[:, 7] = rng.normal(0, 0.3, 300), rng.normal(0, 0.01, 300)
    drawn = pca_gaussian(0.5 + flat.reshape(300, 15, 2), SHOTS, 12, 50, 0.9, 6.0, rng)
    spread = (drawn - SHOTS.mean(0)).reshape(50, -1).std(0)
    assert spread[0] > 0.01
    assert np.abs(spread[1:]).max() < 0.05 * spread[0]


@pytest.fixture
def files(tmp_path):
    for name, poses, skeleton, attributes in (
        ("near", SOURCE[:300], BODY15, {}),
        ("far", SOURCE[300:], BODY15, {}),
        ("face", RNG(0).random((20, 68, 2), np.float32), FACE68, {}),
        ("shots", SHOTS, BODY15, {}),
        ("mixup", MIXUP, BODY15, {"symmetry": "flip"}),
        ("plain", MIXUP, BODY15, {"symmetry": "none"}),
    ):
        write_cache(tmp_path / f"{name}.h5", [plain_batch(poses)], skeleton, attributes)
    return {path.stem: path for path in tmp_path.iterdir()}


def composed(files, folder, kind, sources=("near", "far"), mixup="mixup", size=300, take_all=False):
    out = folder / f"{kind}_{mixup}.h5"
    shots = None if kind == "source" else files["shots"]
    guidance = None if kind == "source" else files[mixup]
    chosen = [files[name] for name in sources]
    compose_baseline(BaselineOptions(kind=kind), chosen, shots, guidance, size, take_all, 3, out)
    return load_cache(out)


@pytest.mark.parametrize("kind", ["kde", "affine", "mixup"])
def test_a_set_without_room_for_the_mixup_is_refused(files, tmp_path, kind):
    with pytest.raises(DataError, match=r"mixup\.h5: expected at most the 30 poses of the annotation set, found 40"):
        composed(files, tmp_path, kind, size=30)


def test_the_stage_pools_sources_and_says_what_it_wrote(files, tmp_path):
    found = composed(files, tmp_path, "source", size=500)
    np.testing.assert_array_equal(np.sort(found.poses, axis=0), np.sort(SOURCE, axis=0))
    assert found.attributes == {"source": {"baseline source": 500}, "missing": 0}


@pytest.mark.parametrize("kind", ["source", "affine", "nearest"])
def test_a_short_source_gives_all_there_are_only_if_the_cell_says_so(files, tmp_path, kind):
    held = 500 + (0 if kind == "source" else len(MIXUP))
    found = composed(files, tmp_path, kind, size=held + 60, take_all=True)
    assert (len(found), found.attributes["missing"]) == (held, 60)
    if kind in ONE_EACH:
        with pytest.raises(DataError, match="expected at least 560 source poses, found 500"):
            composed(files, tmp_path, kind, size=held + 60)


def test_a_source_with_fewer_poses_than_the_guidance_is_named(files, tmp_path):
    write_cache(tmp_path / "few.h5", [plain_batch(SOURCE[:30])], BODY15, {})
    known = {**files, "few": tmp_path / "few.h5"}
    with pytest.raises(DataError, match=r"few\.h5: expected at least 40 poses .*pose-mixup \(mixup_size\), found 30"):
        composed(known, tmp_path, "nearest", sources=["few"])
    assert not (tmp_path / "nearest_mixup.h5").exists()


def test_the_guidances_symmetry_is_the_shots(files, tmp_path):
    """With the flip, a set made from the shots' moments is symmetric; without, it has the shots' own."""
    mirrored = np.concatenate([SHOTS, flip(SHOTS, BODY15)])
    for mixup, shots in (("mixup", mirrored), ("plain", SHOTS)):
        made = composed(files, tmp_path, "affine", mixup=mixup, size=540).poses[:500]
        np.testing.assert_allclose(made.mean(0), shots.mean(0), atol=1e-5)


def test_shots_alone_need_no_source_and_skeletons_must_agree(files, tmp_path):
    assert len(composed(files, tmp_path, "kde", sources=())) == 300
    with pytest.raises(DataError, match=r"face\.h5: expected skeleton body15 as in .*shots\.h5, found face68"):
        composed(files, tmp_path, "affine", sources=("face",))
    with pytest.raises(DataError, match="expected sources or shots"):
        composed(files, tmp_path, "source", sources=())
