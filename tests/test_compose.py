"""Annotation sets: what they are composed of, how large they are, and what happens where there is too little."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from conftest import ROOT

from flexpose_core.errors import ConfigError, DataError
from flexpose_core.options.config import load_config
from flexpose_core.poses.cache import load_cache, plain_batch, write_cache
from flexpose_core.skeletons import BODY15, FACE68
from flexpose_core.stages.compose import compose_adapted, compose_source, compose_target, draw_evenly

SIZES = {"many": 50, "few": 7, "mixup": 5, "samples": 60}


@pytest.fixture
def caches(tmp_path):
    """Caches whose poses are all different, and say by their numbers where they come from."""
    paths = {}
    for place, (name, size) in enumerate(SIZES.items()):
        paths[name] = tmp_path / f"{name}.h5"
        poses = np.full((size, 15, 2), 0.1 * place) + np.arange(size)[:, None, None] / 1000
        write_cache(paths[name], [plain_batch(poses)], BODY15, {})
    return paths


def rows(path):
    return {tuple(pose.ravel().tolist()) for pose in load_cache(path).poses}


@pytest.mark.parametrize(
    ("wanted", "held", "expected"),
    [
        (10, [50, 50], [5, 5]),
        (11, [50, 50, 50], [4, 4, 3]),
        (40, [50, 7], [33, 7]),
        (30, [4, 50, 6], [4, 20, 6]),
        (99, [50, 7], [50, 7]),
        (9, [0, 50], [0, 9]),
        (9, [0, 0], [0, 0]),
    ],
)
def test_piles_are_drawn_from_evenly_as_long_as_they_last(wanted, held, expected):
    assert draw_evenly(wanted, held) == expected


@pytest.mark.parametrize("take_all", [False, True])
def test_sources_that_suffice_give_the_size_asked_for(tmp_path, caches, take_all, capsys):
    out = tmp_path / "out.h5"
    compose_source([caches["many"], caches["few"]], caches["mixup"], 17, take_all, 0, out)
    composed = load_cache(out)
    assert (len(composed), len(rows(out))) == (17, 17)
    assert [len(rows(out) & rows(caches[name])) for name in ("many", "few", "mixup")] == [6, 6, 5]
    assert composed.attributes == {"source": {"source": 12, "mixup": 5}, "missing": 0}
    assert capsys.readouterr().out == ""


def test_a_short_source_is_an_error_unless_the_cell_says_otherwise(tmp_path, caches, capsys):
    sources, out = [caches["many"], caches["few"]], tmp_path / "out.h5"
    message = (
        r"few\.h5, .*many\.h5: expected at least 95 poses for an annotation set of 100, found 57 .*take_all_if_short"
    )
    with pytest.raises(DataError, match=message):
        compose_source(sources[::-1], caches["mixup"], 100, False, 0, out)
    compose_source(sources, caches["mixup"], 60, False, 0, out)
    assert [len(rows(out) & rows(caches[name])) for name in ("many", "few", "mixup")] == [48, 7, 5]
    compose_source(sources, caches["mixup"], 100, True, 0, out)
    assert rows(out) == rows(caches["many"]) | rows(caches["few"]) | rows(caches["mixup"])
    assert load_cache(out).attributes["missing"] == 38
    assert "62 poses, 38 fewer than the 100 asked for" in capsys.readouterr().out


def test_generated_poses_are_as_many_as_direct_finds(tmp_path, caches):
    out, direct = tmp_path / "out.h5", tmp_path / "direct.h5"
    for sources in ([caches["few"]], [caches["many"], caches["few"]]):
        compose_adapted(caches["samples"], caches["mixup"], 65, sources, out)
        compose_source(sources, caches["mixup"], 65, True, 0, direct)
        assert len(load_cache(out)) == len(load_cache(direct)) < 65
        assert load_cache(out).attributes["missing"] == load_cache(direct).attributes["missing"]
    compose_adapted(caches["samples"], caches["mixup"], 65, None, out)
    assert len(load_cache(out)) == 65
    with pytest.raises(DataError, match=r"samples\.h5: expected at least 61 poses"):
        compose_adapted(caches["samples"], caches["mixup"], 66, None, out)


def test_other_skeletons_and_mixups_larger_than_the_set_are_refused(tmp_path, caches):
    faces, out = tmp_path / "faces.h5", tmp_path / "out.h5"
    write_cache(faces, [plain_batch(np.full((30, 68, 2), 0.5))], FACE68, {})
    message = r"faces\.h5: expected skeleton body15 as in .*mixup\.h5, found face68"
    with pytest.raises(DataError, match=message):
        compose_source([caches["many"], faces], caches["mixup"], 17, True, 0, out)
    with pytest.raises(DataError, match=message):
        compose_adapted(faces, caches["mixup"], 17, None, out)
    message = r"mixup\.h5: expected at most the 4 poses of the annotation set, found 5"
    with pytest.raises(DataError, match=message):
        compose_source([caches["many"]], caches["mixup"], 4, True, 0, out)
    with pytest.raises(DataError, match=message):
        compose_adapted(caches["samples"], caches["mixup"], 4, None, out)
    assert not out.exists()
    compose_adapted(caches["samples"], caches["mixup"], 5, None, out)
    assert rows(out) == rows(caches["mixup"])


def test_a_target_gives_its_own(tmp_path, caches):
    out = tmp_path / "out.h5"
    compose_target(caches["few"], None, False, 0, out)
    assert rows(out) == rows(caches["few"])
    with pytest.raises(DataError, match="expected at least 9 poses for the annotation set, found 7"):
        compose_target(caches["few"], 9, False, 0, out)
    compose_target(caches["few"], 9, True, 0, out)
    assert (len(load_cache(out)), load_cache(out).attributes["missing"]) == (7, 2)


def test_poses_that_lack_a_joint_are_left_out_and_counted(tmp_path, caches, capsys):
    # As `complete: false` keeps them: a missing joint stands in the corner.
    whole, visibility = load_cache(caches["many"]).poses, np.ones((50, 15), np.uint8)
    visibility[:40, 3] = 0
    batch = replace(plain_batch(np.where(visibility[..., None] > 0, whole, 0)), visibility=visibility)
    write_cache(caches["many"], [batch], BODY15, {})
    out = tmp_path / "out.h5"
    compose_target(caches["many"], None, False, 0, out)
    assert rows(out) == {tuple(pose.ravel().tolist()) for pose in whole[40:]}
    assert "many.h5: 40 of 50 poses lack a joint and are left out" in capsys.readouterr().out
    with pytest.raises(DataError, match="expected at least 11 poses for the annotation set, found 10"):
        compose_target(caches["many"], 11, False, 0, out)
    compose_source([caches["many"], caches["few"]], caches["mixup"], 17, False, 0, out)
    assert [len(rows(out) & rows(caches[name])) for name in ("many", "few", "mixup")] == [6, 6, 5]
    compose_adapted(caches["samples"], caches["mixup"], 40, [caches["many"]], out)
    assert len(load_cache(out)) == 15


def test_the_configuration_may_ask_for_more_than_a_drawn_source_holds_only_if_it_says_so():
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    cell = config["cells"]["upright-everyday-direct"]
    cell["annotation_set_size"] = 40_000
    with pytest.raises(ConfigError, match=r"annotation_set_size: expected at most 37000 .*found 40000"):
        load_config(config)
    cell["take_all_if_short"] = True
    assert load_config(config).cells["upright-everyday-direct"].take_all_if_short
