import numpy as np
import pandas as pd
import pytest

from flexpose_core.errors import DataError
from flexpose_core.files import write_json
from flexpose_core.stages.tabulate import COLUMNS, tabulate


def metrics(mse, flip, pck=0.5):
    flat = {"mean_distance": mse**0.5, "pck": {"0.1": pck, "0.2": pck + 0.1}}
    return {"as_is": {"mse": mse, **flat}, "flip_aware": {"mse": flip, **flat}}


def write_run(folder, name, method, sources, seed, mse, flip, target="upright"):
    path = folder / f"{name}_s{seed}.json"
    write_json(
        path,
        {
            "name": name,
            "cell": {"method": method, "target": target, "sources": sources},
            "seed": seed,
            "annotation_set_size": 33000,
            "test": metrics(mse, flip),
            "test_floor": metrics(900.0, 800.0),
        },
    )
    return path


@pytest.fixture
def runs(tmp_path):
    return [
        write_run(tmp_path, "a", "aligned", [], 0, 90.0, 50.0),
        write_run(tmp_path, "a", "aligned", [], 1, 110.0, 70.0),
        write_run(tmp_path, "d", "direct", ["near"], 0, 300.0, 250.0),
        write_run(tmp_path, "d", "direct", ["near"], 1, 320.0, 270.0),
        write_run(tmp_path, "f", "flexpose", ["near"], 0, 100.0, 90.0),
        write_run(tmp_path, "f", "flexpose", ["near"], 1, 140.0, 130.0),
        write_run(tmp_path, "g", "flexpose", ["far", "near"], 0, 200.0, 190.0),
    ]


def test_columns_means_deviations_and_gains(runs, tmp_path):
    tabulate("table1", runs, {"upright": 0.1}, tmp_path / "t.csv", tmp_path / "t.md")
    table = pd.read_csv(tmp_path / "t.csv")
    assert tuple(table.columns) == COLUMNS
    assert table.method.tolist() == ["aligned", "direct", "flexpose", "flexpose"]
    assert table.source.tolist() == ["upright", "near", "near", "far+near"]
    np.testing.assert_allclose(table.mse_pixel, [100, 310, 120, 200])
    np.testing.assert_allclose(table.mse_pixel_flip, [60, 260, 110, 190])
    np.testing.assert_allclose(table.mse_pixel_sd, [200**0.5, 200**0.5, 800**0.5, np.nan], rtol=1e-4)
    assert table.seeds.tolist() == [2, 2, 2, 1]
    np.testing.assert_allclose(table.improvement_over_direct_pct, [np.nan, np.nan, 100 * 150 / 260, np.nan], rtol=1e-4)
    np.testing.assert_allclose(table.gap_closed_pct, [np.nan, np.nan, 75.0, np.nan], rtol=1e-4)
    assert table.pck.tolist() == [0.5] * 4


def test_markdown_shows_the_floor_and_the_papers_rows(runs, tmp_path):
    tabulate("table1", runs, {"upright": 0.2}, tmp_path / "t.csv", tmp_path / "t.md")
    text = (tmp_path / "t.md").read_text()
    assert "900.0" in text
    assert "0.600 (ρ = 0.2)" in text
    for figure in ("12.07", "17.86", "13.19", "0.706", "0.467", "0.499"):
        assert figure in text


def test_same_files_same_bytes(runs, tmp_path):
    for name in "ab":
        tabulate("table1", runs, {"upright": 0.1}, tmp_path / f"{name}.csv", tmp_path / f"{name}.md")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_a_foreign_json_is_named(tmp_path):
    write_json(tmp_path / "x.json", {"cell": {}})
    with pytest.raises(DataError, match=r"x\.json: expected a cell's metrics, found no 'name'"):
        tabulate("table1", [tmp_path / "x.json"], {}, tmp_path / "t.csv", tmp_path / "t.md")
