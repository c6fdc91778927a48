import numpy as np
import pandas as pd
import pytest

from flexpose_core.errors import ConfigError, DataError
from flexpose_core.files import read_json, write_json
from flexpose_core.paper_tables import PAPER_TABLES
from flexpose_core.stages.table_kinds import DISTANCES, KINDS, RESULTS, SAMPLES
from flexpose_core.stages.tabulate import tabulate


def metrics(mse, flip, pck=0.5):
    flat = {"mean_distance": mse**0.5, "pck": {"0.1": pck, "0.2": pck + 0.1}}
    return {"as_is": {"mse": mse, **flat}, "flip_aware": {"mse": flip, **flat}}


def write_run(folder, name, method, sources, seed, mse, flip, target="upright", size=33000, more=None, **factors):
    path = folder / f"{name}_s{seed}.json"
    write_json(
        path,
        {
            "name": name,
            "cell": {"method": method, "target": target, "sources": sources, **factors},
            "seed": seed,
            "annotation_set_size": size,
            "test": metrics(mse, flip),
            "test_new_subjects": None,
            "test_mean_pose": metrics(900.0, 800.0),
            **(more or {}),
        },
    )
    return path


def table(folder, runs, title="table1", kind="results", rho=0.1, rows=(), name="t", wanted=()):
    """Tabulate, and read the CSV file back; `wanted` are the runs that there should be, if not those there are."""
    rhos = {"upright": rho, "all": 0.2}
    tabulate(title, kind, wanted, runs, rhos, rows, folder / f"{name}.csv", folder / f"{name}.md")
    return pd.read_csv(folder / f"{name}.csv")


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
    found = table(tmp_path, runs)
    assert tuple(found.columns) == RESULTS.columns
    assert found.method.tolist() == ["aligned", "direct", "flexpose", "flexpose"]
    assert found.source.tolist() == ["upright", "near", "near", "far+near"]
    np.testing.assert_allclose(found.mse_pixel, [100, 310, 120, 200])
    np.testing.assert_allclose(found.mse_pixel_flip, [60, 260, 110, 190])
    np.testing.assert_allclose(found.mse_pixel_sd, [200**0.5, 200**0.5, 800**0.5, np.nan], rtol=1e-4)
    assert found.seeds.tolist() == [2, 2, 2, 1]
    np.testing.assert_allclose(found.improvement_over_direct_pct, [np.nan, np.nan, 100 * 150 / 260, np.nan], rtol=1e-4)
    np.testing.assert_allclose(found.gap_closed_pct, [np.nan, np.nan, 75.0, np.nan], rtol=1e-4)
    assert found.pck.tolist() == [0.5] * 4


def test_the_error_on_new_subjects_has_a_column(tmp_path):
    new = {"test_new_subjects": metrics(70.0, 65.0)}
    found = table(tmp_path, [write_run(tmp_path, "a", "aligned", [], 0, 90.0, 50.0, more=new)])
    assert found.mse_pixel_flip_new[0] == 65.0
    assert text_row(tmp_path, "| aligned")[5:7] == ["50.0", "65.0"]


def test_gains_are_over_the_direct_of_the_same_shots(tmp_path):
    runs = [
        write_run(tmp_path, "a", "aligned", [], 0, 90.0, 50.0),
        write_run(tmp_path, "d12", "direct", ["near"], 0, 300.0, 250.0, shots=12),
        write_run(tmp_path, "d24", "direct", ["near"], 0, 300.0, 200.0, shots=24),
        write_run(tmp_path, "f12", "flexpose", ["near"], 0, 100.0, 100.0, shots=12),
        write_run(tmp_path, "f24", "flexpose", ["near"], 0, 100.0, 80.0, shots=24),
        write_run(tmp_path, "f48", "flexpose", ["near"], 0, 100.0, 80.0, shots=48),
    ]
    found = table(tmp_path, runs)
    np.testing.assert_allclose(found.improvement_over_direct_pct, [np.nan] * 3 + [60.0, 60.0, np.nan], rtol=1e-4)
    np.testing.assert_allclose(found.gap_closed_pct, [np.nan] * 3 + [75.0, 80.0, np.nan], rtol=1e-4)
    # A single row of Direct is of other shots than this one too.
    assert table(tmp_path, [runs[1], runs[5]]).improvement_over_direct_pct.isna().all()
    # Two rows of Aligned leave no one gap, and none is there where Direct is as good.
    runs.append(write_run(tmp_path, "b", "aligned", [], 0, 90.0, 40.0))
    assert table(tmp_path, runs).gap_closed_pct.isna().all()
    runs[-1:] = []
    runs[1] = write_run(tmp_path, "d12", "direct", ["near"], 0, 300.0, 50.0, shots=12)
    found = table(tmp_path, runs)
    np.testing.assert_allclose(found.improvement_over_direct_pct[3], -100.0)
    assert found.gap_closed_pct.isna().tolist() == [True, True, True, True, False, True]


def test_markdown_shows_the_floor_and_the_papers_rows(runs, tmp_path):
    table(tmp_path, runs, rho=0.2)
    text = (tmp_path / "t.md").read_text()
    assert "900.0" in text
    assert "0.600 (ρ = 0.2)" in text
    for figure in ("12.07", "17.86", "13.19", "0.706", "0.467", "0.499"):
        assert figure in text


def test_same_files_same_bytes(runs, tmp_path):
    for name in "ab":
        table(tmp_path, runs, name=name)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_a_foreign_json_is_named(tmp_path):
    write_json(tmp_path / "x.json", {"cell": {}})
    with pytest.raises(DataError, match=r"x\.json: expected a cell's metrics, found no 'annotation_set_size'"):
        table(tmp_path, [tmp_path / "x.json"])


@pytest.fixture
def knobs(tmp_path):
    paper = {"channels": 3, "shots": 12, "layers": [3]}
    return [
        write_run(tmp_path, "a", "aligned", [], 0, 40.0, 30.0, size=800_000, channels=3, shots=None, layers=None),
        write_run(tmp_path, "b", "flexpose-paper", ["near"], 0, 50.0, 40.0, **paper),
        write_run(tmp_path, "b", "flexpose-paper", ["near"], 1, 54.0, 44.0, **paper),
        write_run(tmp_path, "c", "flexpose-paper", ["near"], 0, 60.0, 50.0, size=121_000, **paper | {"layers": [1, 3]}),
        write_run(tmp_path, "d", "flexpose-paper", ["far", "near"], 0, 70.0, 60.0, **paper | {"layers": "all"}),
    ]


def test_an_ablation_tells_a_cells_knobs_beside_the_papers_figures(knobs, tmp_path):
    found = table(tmp_path, knobs, "table2", "ablation", rows=[0, 1, 6, 11])
    assert tuple(found.columns) == KINDS["ablation"].columns
    assert found.row.tolist() == [0, 1, 6, 11]
    assert found.source.tolist() == ["upright", "near", "near", "far+near"]
    assert found.annotation_set_size.tolist() == [800_000, 33_000, 121_000, 33_000]
    assert found.channels.tolist() == [1, 3, 3, 3]
    assert found.shots.fillna(0).tolist() == [0, 12, 12, 12]
    assert found.layers.fillna("").tolist() == ["", "3", "1, 3", "all"]
    np.testing.assert_allclose(found.mse_pixel, [40, 52, 60, 70])
    np.testing.assert_allclose(found.mse_pixel_flip_sd, [np.nan, 8**0.5, np.nan, np.nan], rtol=1e-4)
    np.testing.assert_allclose(found.paper_mse_pixel, [2.96, 4.61, 3.82, 5.28])
    np.testing.assert_allclose(found.paper_pck, [0.84, 0.71, 0.78, 0.59])
    text = (tmp_path / "t.md").read_text()
    assert "The paper's own Table 2" in text
    assert "52.0 ± 2.8" in text


def search(layers, **scores):
    rows = [
        {"layers": name.split("_"), "score": score, "excess": score - 60, "excess_error": 0.5}
        for name, score in scores.items()
    ]
    return {"layer_search": {"layers": layers, "loss": "energy score", "folds": 4, "steps": 75, "candidates": rows}}


def test_layers_that_were_chosen_are_told_with_the_scores_of_all(knobs, tmp_path):
    auto = {"channels": 3, "shots": 12, "layers": "auto"}
    more = [search(["f1"], f1=60.0, f1_f3=61.25), search(["f1", "f3"], f1=63.5, f1_f3=60.0)]
    seeds = [
        write_run(tmp_path, "e", "flexpose-paper", ["near"], seed, 45.0 + seed, 35.0, more=more[seed], **auto)
        for seed in (0, 1)
    ]
    found = table(tmp_path, [*knobs, *seeds], "table2", "ablation", rows=[0, 1, 6, 11, None])
    assert found.layers.fillna("").tolist() == ["", "3", "1, 3", "all", "auto: f1 or f1, f3"]
    assert found.row.tolist()[:4] == [0, 1, 6, 11]
    assert np.isnan([found.row[4], found.paper_mse_pixel[4], found.paper_pck[4]]).all()
    assert found.seeds[4] == 2
    lines = [[part.strip() for part in line.split("|")[1:-1]] for line in (tmp_path / "t.md").read_text().splitlines()]
    assert ["e", "0", "f1", "60.00", "0.00 ± 0.50", "yes"] in lines
    assert ["e", "1", "f1", "63.50", "3.50 ± 0.50", ""] in lines
    assert ["e", "1", "f1, f3", "60.00", "0.00 ± 0.50", "yes"] in lines
    table(tmp_path, knobs, "table2", "ablation", rows=[0, 1, 6, 11], name="fixed")
    assert "chosen from the shots" not in (tmp_path / "fixed.md").read_text()
    # A table that does not show layers does not show how they were chosen.
    table(tmp_path, seeds, name="results")
    assert "chosen from the shots" not in (tmp_path / "results.md").read_text()


def test_the_papers_figures_are_the_issues():
    printed = [row[-2:] for row in PAPER_TABLES["table2"]]
    mse = [2.96, 4.61, 4.96, 3.79, 3.80, 3.73, 3.82, 4.02, 4.50, 5.98, 6.47, 5.28, 5.19, 4.15]
    pck = [0.84, 0.71, 0.69, 0.77, 0.75, 0.70, 0.78, 0.61, 0.66, 0.47, 0.50, 0.59, 0.59, 0.79]
    assert printed == list(zip(mse, pck, strict=True))


def test_rows_that_the_paper_lacks_are_named(knobs, tmp_path):
    with pytest.raises(ConfigError, match=r"tables\.table2\.paper_rows: expected rows of 0\.\.13, found 14"):
        table(tmp_path, knobs, "table2", "ablation", rows=[0, 1, 2, 14])
    # Of one cell two rows, as its seeds' annotation sets have different sizes: each would stand beside another's figures.
    two = [write_run(tmp_path, "two", "aligned", [], seed, 1.0, 1.0, size=100 + seed) for seed in range(2)]
    with pytest.raises(DataError, match="table2: expected a row a cell, 1, to stand beside the paper's, found 2"):
        table(tmp_path, two, "table2", rows=[0])
    with pytest.raises(ConfigError, match=r"tables\.table1\.paper_rows: expected none"):
        table(tmp_path, knobs, "table1", "ablation", rows=[0, 1, 2, 3])


def distances(start, **more):
    names = (*DISTANCES, *SAMPLES)
    return {name: start + place for place, name in enumerate(names)} | more


def test_baselines_tell_distances_by_pair_and_end_with_the_floor(tmp_path):
    def run(name, method, sources, seed, start, target="upright", **factors):
        more = {"distribution": distances(start), "distribution_floor": distances(0.5, nearest_shot_px=3.0 + seed)}
        return write_run(tmp_path, name, method, sources, seed, 50.0, 40.0, target, more=more, **factors)

    shots = {"shots": 12, "guidance": "symmetric"}
    runs = [
        run("a", "aligned", [], 0, 1.0),
        run("b", "aligned", [], 0, 2.0, target="all"),
        run("k", "kde", [], 0, 3.0, **shots),
        run("f", "flexpose", ["near"], 0, 4.0, **shots),
        run("f", "flexpose", ["near"], 1, 6.0, **shots),
        run("g", "flexpose", ["near"], 0, 7.0, target="all", **shots),
        run("p", "pca", ["near"], 0, 8.0, **shots | {"guidance": "plain"}),
    ]
    found = table(tmp_path, runs, "baselines", "baselines")
    assert tuple(found.columns) == KINDS["baselines"].columns
    assert found.method.tolist() == ["aligned", "kde", "flexpose", "pca", "aligned", "flexpose", "real", "real"]
    assert found.target.tolist() == ["upright"] * 4 + ["all"] * 2 + ["upright", "all"]
    assert found.source.tolist() == ["upright", "none", "near", "near", "all", "near", "upright", "all"]
    assert found.guidance.fillna("").tolist()[:4] == ["", "symmetric", "symmetric", "plain"]
    np.testing.assert_allclose(found.sliced_wasserstein_px, [1, 3, 5, 8, 2, 7, 0.5, 0.5])
    assert found.sliced_wasserstein_px_sd[2] == pytest.approx(2**0.5, rel=1e-4)
    # The floor has no detector, and its distance from the shots is the mean over all seeds' shots.
    assert found.mse_pixel[6:].isna().all()
    assert found.nearest_shot_px[6] == pytest.approx(3.2)
    assert found.kernel_sample[0] == distances(1.0)["kernel_sample"]
    assert found.seeds.fillna(0).tolist() == [1, 1, 2, 1, 1, 1, 0, 0]
    assert "33000.0" not in (tmp_path / "t.md").read_text()
    assert "real against real" in (tmp_path / "t.md").read_text()


def test_baselines_are_shown_at_a_glance(tmp_path):
    def run(method, sources, mse, seed=0, target="upright", name=None, **options):
        origin = {"origin": {"options": {"methods": {method: {"poses": "baseline", "supervision": "none"} | options}}}}
        more = {"distribution_floor": {}} | origin
        name = name or f"{target}-{''.join(sources)}-{method}"
        return write_run(tmp_path, name, method, sources, seed, 2 * mse, mse, target, more=more, shots=12)

    runs = [
        run("aligned", [], 30.0, poses="target"),
        run("kde", [], 55.0),
        run("pca", ["near"], 60.0),
        run("pca", ["far", "near"], 66.0),
        run("aligned", [], 90.0, target="all", poses="target"),
        run("nearest", ["near"], 50.0),
        run("nearest", ["near"], 54.0, seed=1),
        run("supervised", [], 40.0, supervision="alone"),
        run("flexpose-pairs", ["near"], 40.01, supervision="added"),
        run("mixup-chosen", [], 45.0, chosen_by="flexpose-pairs"),
        run("nearest", ["near"], 52.0, name="more-shots"),
        run("nearest", ["near"], 80.0, target="all"),
    ]
    table(tmp_path, runs, "baselines", "baselines")
    text = (tmp_path / "t.md").read_text().split("In full:")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == ["", "upright", "upright from near", "upright from far+near", "all", "all from near"]
    assert rows[2:] == [
        ["*The target's own poses*", "", "", "", "", ""],
        ["aligned", "30.0", "", "", "90.0", ""],
        ["*Poses of the shots alone*", "", "", "", "", ""],
        ["kde", "55.0", "", "", "", ""],
        ["pca", "", "60.0", "66.0", "", ""],
        ["nearest", "", "**52.0 ± 2.8** / **52.0**", "", "", "**80.0**"],
        ["*Images of the shots too*", "", "", "", "", ""],
        ["supervised", "**40.0**", "", "", "", ""],
        ["mixup-chosen", "45.0", "", "", "", ""],
        ["flexpose-pairs", "", "**40.0**", "", "", ""],
    ]


def test_seeds_that_are_missing_are_counted_at_a_glance(tmp_path):
    runs = [
        write_run(tmp_path, "k", "kde", [], seed, 50.0, 40.0, more={"distribution_floor": {}}, shots=12)
        for seed in (0, 1)
    ]
    table(tmp_path, runs[:1], "baselines", "baselines", wanted=wanted(runs))
    assert "**40.0** (1 of 2)" in (tmp_path / "t.md").read_text()


def wanted(files):
    """What the runs of these files are."""
    kept = ("name", "seed", "cell")
    runs = [{key: value for key, value in read_json(path).items() if key in kept} for path in files]
    return [{**run, "cell": {"annotation_set_size": None, **run["cell"]}} for run in runs]


def text_row(folder, start, name="t"):
    """Return the cells of a row of the table for reading."""
    text = (folder / f"{name}.md").read_text()
    line = next(line for line in text[text.index("| Method") :].splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_with_nothing_missing_the_table_is_as_it_was(runs, tmp_path):
    table(tmp_path, runs, name="a")
    table(tmp_path, runs, name="b", wanted=wanted(runs))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    assert (tmp_path / "a.md").read_bytes() == (tmp_path / "b.md").read_bytes()


def test_a_missing_cell_is_marked_and_a_missing_seed_counted(runs, tmp_path):
    # Both seeds of direct and the second of flexpose.
    left = [runs[0], runs[1], runs[4], runs[6]]
    found = table(tmp_path, left, wanted=wanted(runs))
    assert tuple(found.columns) == (*RESULTS.columns, "missing_seeds")
    assert found.method.tolist() == ["aligned", "direct", "flexpose", "flexpose"]
    assert found.source.tolist() == ["upright", "near", "near", "far+near"]
    assert found.seeds.tolist() == [2, 0, 1, 1]
    assert found.missing_seeds.fillna("").tolist() == ["", "0, 1", "1", ""]
    np.testing.assert_allclose(found.mse_pixel, [100, np.nan, 100, 200])
    # Nothing is put in the place of Direct's figures.
    figures = ["mse_pixel", "mse_pixel_flip", "mse_pixel_sd", "joint_distance", "pck", "pck_flip"]
    assert found.loc[1, figures].isna().all()
    assert found[["improvement_over_direct_pct", "gap_closed_pct"]].isna().all().all()
    assert text_row(tmp_path, "| direct")[4:11] == ["missing", "", "", "", "", "", "0 of 2"]
    assert text_row(tmp_path, "| flexpose")[4::6] == ["100.0", "1 of 2"]
    text = (tmp_path / "t.md").read_text()
    assert "**This table is incomplete.**" in text
    assert "- d: seed 0, 1\n- f: seed 1\n" in text
    assert "nan" not in text.lower().replace("finance", "")


def test_what_a_missing_cell_is_called_need_not_occur_in_the_others(tmp_path):
    """Only the ceiling is there, which has no guidance and no layers: columns of names without any."""
    floor = {"distribution": distances(1.0), "distribution_floor": distances(0.5)}
    runs = [
        write_run(tmp_path, "a", "aligned", [], 0, 90.0, 50.0, more=floor, guidance=None, layers=None, shots=None),
        write_run(tmp_path, "f", "flexpose", ["near"], 0, 1.0, 1.0, guidance="symmetric", layers="mapping", shots=12),
        write_run(tmp_path, "p", "flexpose-paper", ["near"], 0, 1.0, 1.0, guidance="plain", layers=[3], shots=12),
    ]
    for kind in sorted(KINDS):
        found = table(tmp_path, runs[:1], "table2", kind, wanted=wanted(runs), name=kind)
        found = found[found.method != "real"]
        assert found.method.tolist() == ["aligned", "flexpose", "flexpose-paper"]
        assert found.seeds.tolist() == [1, 0, 0]
        assert found.mse_pixel.isna().tolist() == [False, True, True]
        for column, expected in {"layers": ["", "mapping", "3"], "guidance": ["", "symmetric", "plain"]}.items():
            if column in found:
                assert found[column].fillna("").tolist() == expected


def test_an_ablation_keeps_its_rows_beside_the_papers(knobs, tmp_path):
    found = table(tmp_path, knobs[:3] + knobs[4:], "table2", "ablation", rows=[0, 1, 6, 11], wanted=wanted(knobs))
    assert found.row.tolist() == [0, 1, 6, 11]
    assert found.seeds.tolist() == [1, 2, 0, 1]
    assert found.layers.fillna("").tolist() == ["", "3", "1, 3", "all"]
    np.testing.assert_allclose(found.paper_mse_pixel, [2.96, 4.61, 3.82, 5.28])
    np.testing.assert_allclose(found.mse_pixel, [40, 52, np.nan, 70])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_table_without_any_metrics_has_its_rows(knobs, tmp_path, kind):
    found = table(tmp_path, [], "x", kind, wanted=wanted(knobs))
    assert found.method.tolist() == ["aligned", *["flexpose-paper"] * 3]
    assert found.seeds.tolist() == [0] * 4
    assert found.mse_pixel.isna().all()
    text = (tmp_path / "t.md").read_text()
    assert text.count("| missing") == 4
    assert "mean training pose" not in text


def test_baselines_without_a_targets_metrics_have_no_floor_of_it(tmp_path):
    more = {"distribution": distances(1.0), "distribution_floor": distances(0.5)}
    runs = [
        write_run(tmp_path, name, "kde", [], 0, 50.0, 40.0, target, more=more, shots=12)
        for name, target in {"a": "upright", "b": "all"}.items()
    ]
    found = table(tmp_path, runs[:1], "baselines", "baselines", wanted=wanted(runs))
    assert found.method.tolist() == ["kde", "kde", "real"]
    assert found.target.tolist() == ["upright", "all", "upright"]
    assert found.missing_seeds.isna().tolist() == [True, False, True]
    assert text_row(tmp_path, "| kde")[text_row(tmp_path, "| Method").index("MSE-Pixel")] == "50.0"
