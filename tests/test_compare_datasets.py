"""Distances between datasets: a row for each pair that can be compared."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from flexpose_core.measures.distributions import distribution_metrics
from flexpose_core.poses.cache import load_cache, plain_batch, write_cache
from flexpose_core.skeletons import BODY15, FACE68
from flexpose_core.stages.compare_datasets import compare_datasets


def test_only_sets_of_one_skeleton_are_compared(tmp_path):
    rng = np.random.default_rng(0)

    def cache(name, split, skeleton):
        path = tmp_path / f"{name}_{split}.h5"
        # Of another number and spread each, or real and fake could be exchanged.
        low = rng.uniform(0.1, 0.4)
        poses = rng.uniform(low, 0.9, (rng.integers(60, 90), len(skeleton), 2)).astype(np.float32)
        write_cache(path, [plain_batch(poses)], skeleton, {"dataset": name, "split": split})
        return path

    people, faces = (cache(name, "train", skeleton) for name, skeleton in (("people", BODY15), ("faces", FACE68)))
    floors = [cache("people", "val", BODY15), cache("faces", "val", FACE68)]
    sources = [cache("far", "train", BODY15), cache("videos", "train", FACE68)]
    compare_datasets(sources, [people, faces], floors, tmp_path / "distances.csv")
    table = pd.read_csv(tmp_path / "distances.csv")
    assert list(zip(table.target, table.poses, strict=True)) == [
        ("people", "people (val)"),
        ("people", "far (train)"),
        ("faces", "faces (val)"),
        ("faces", "videos (train)"),
    ]
    held = {name: load_cache(tmp_path / f"{name}_train.h5").poses for name in ("people", "far")}
    for name, expected in distribution_metrics(held["people"], held["far"]).items():
        assert table[name][1] == pytest.approx(expected, abs=1e-4), name
    compare_datasets(
        [people, *sources], [people, faces], floors, tmp_path / "again.csv"
    )  # the source of some other target
    assert pd.read_csv(tmp_path / "again.csv").equals(table)
    write_cache(
        sources[0], [replace(plain_batch(np.zeros((3, 15, 2))), visibility=np.zeros((3, 15), np.uint8))], BODY15, {}
    )
    compare_datasets(sources, [people, faces], floors, tmp_path / "distances.csv")
    assert "far (train)" not in pd.read_csv(tmp_path / "distances.csv").poses.tolist()
