"""Claims: verdicts against closed forms, on metrics files written by hand."""

import math

import msgspec
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_grid import raw_config
from test_tabulate import write_run

from flexpose_core.errors import ConfigError, DataError
from flexpose_core.files import write_json
from flexpose_core.grid import Grid
from flexpose_core.measures.comparisons import judge, log_ratios, lower_pct, t_interval
from flexpose_core.options.claims import ClaimOptions, written_out
from flexpose_core.options.config import load_config
from flexpose_core.options.grid import Cell
from flexpose_core.stages.claims import COLUMNS, claims


def test_the_interval_is_scipys():
    values = np.array([0.3, -0.1, 0.7, 0.2])
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = t_interval(values)
    np.testing.assert_allclose([found.mean, found.low, found.high], [values.mean(), low, high])
    assert t_interval(np.array([1.0])).high == math.inf


@pytest.mark.parametrize(
    ("ratios", "expects", "verdict", "good"),
    [
        ([[-0.5, -0.6, -0.55]], "better", "holds", 1),
        ([[0.5, 0.6, 0.55]], "better", "does not hold", 0),
        ([[-0.5, 0.6, 0.1]], "better", "undecided", 0),
        ([[-0.5]], "better", "undecided", 1),  # one seed decides nothing
        # The mean is clear, yet one pair is clearly the other way.
        ([[-1.0, -1.01, -0.99], [0.2, 0.21, 0.19]], "better", "does not hold", 1),
        # ... or a little so, which its own interval cannot tell.
        ([[-1.0, -1.01, -0.99], [0.3, -0.2, 0.01]], "better", "undecided", 1),
        ([[0.01, 0.02, 0.015]], "better", "does not hold", 0),
        ([[0.01, 0.02, 0.015]], "not-worse", "holds", 1),
        ([[-0.5, -0.6, -0.55]], "not-worse", "holds", 1),
        ([[-0.5, -0.6, -0.55]], "alike", "does not hold", 0),
        ([[0.01, 0.02, -0.015]], "alike", "holds", 1),
        ([[0.3, 0.31, 0.32]], "not-worse", "does not hold", 0),
    ],
)
def test_verdicts_follow_the_rule(ratios, expects, verdict, good):
    _, found, said = judge(np.array(ratios), expects, 0.1)
    assert (said, found) == (verdict, good)


def test_effects_are_percent_of_the_second():
    assert lower_pct(float(log_ratios([75.0], [100.0])[0])) == pytest.approx(25.0)
    assert lower_pct(float(log_ratios([150.0], [100.0])[0])) == pytest.approx(-50.0)
    with pytest.raises(DataError, match="positive"):
        log_ratios([0.0], [1.0])


def test_a_row_a_claim_from_the_files(tmp_path):
    figures = {"a": [50.0, 55.0, 60.0], "b": [100.0, 100.0, 100.0], "c": [101.0, 99.0, 100.0]}
    runs = [
        write_run(tmp_path, name, name, ["near"], seed, 2 * value, value)
        for name, values in figures.items()
        for seed, value in enumerate(values)
    ]
    # A seed that the others lack is left out.
    runs.append(write_run(tmp_path, "a", "a", ["near"], 3, 999.0, 999.0))
    adaptations = {}
    for cell, after in {"l1": 0.2, "l2": 0.8}.items():
        for seed in range(2):
            path = tmp_path / f"{cell}_{seed}.json"
            write_json(path, {"loss": {"before": 2.0, "after": after + 0.01 * seed}})
            adaptations[path] = (cell, seed)
    options = {
        "lower": ClaimOptions(says="a is better", comparisons=(("a", "b"), ("a", "gone"))),
        "same": ClaimOptions(says="b is like c", expects="alike", comparisons=(("b", "c"),)),
        "early": ClaimOptions(says="early", measure="adaptation", layers=True, comparisons=(("l1", "l2"),)),
        "faces": ClaimOptions(says="faces too", comparisons=(("f", "g"),)),
    }
    claims(options, runs, adaptations, {"mse": [], "adaptation": []}, tmp_path / "c.csv", tmp_path / "c.md")
    table = pd.read_csv(tmp_path / "c.csv").set_index("claim")
    assert (*table.reset_index().columns,) == COLUMNS
    assert table.verdict.to_dict() == {"lower": "holds", "same": "holds", "early": "holds"}
    assert table.seeds.tolist() == [3, 3, 2]
    logs = np.log(np.array(figures["a"]) / 100)
    low, high = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    expected = 100 * (1 - np.exp([logs.mean(), high, low]))
    np.testing.assert_allclose(
        table.loc["lower", ["effect_pct", "low_pct", "high_pct"]].astype(float), expected, rtol=1e-3
    )
    text = (tmp_path / "c.md").read_text()
    assert "- faces too: f, g." in text
    assert "- a is better: gone." in text


def test_one_seed_has_no_interval(tmp_path):
    runs = [write_run(tmp_path, name, name, [], 0, value, value) for name, value in {"a": 1.0, "b": 9.0}.items()]
    options = {"x": ClaimOptions(says="a", comparisons=(("a", "b"),))}
    claims(options, runs, {}, {"mse": [("a", 0), ("b", 0)]}, tmp_path / "c.csv", tmp_path / "c.md")
    row = pd.read_csv(tmp_path / "c.csv").iloc[0]
    assert row.verdict == "undecided"
    assert np.isnan(row.low_pct)
    assert "88.9 % (no interval)" in (tmp_path / "c.md").read_text()


def run_claims(folder, figures, options, seeds=3):
    """Test claims on figures by cell and seed, of which those that are None are missing."""
    files = [
        write_run(folder, cell, cell, ["near"], seed, 2 * value, value)
        for cell, values in figures.items()
        for seed, value in enumerate(values)
        if value is not None
    ]
    expected = {"mse": [(cell, seed) for cell in figures for seed in range(seeds)]}
    claims(options, files, {}, expected, folder / "c.csv", folder / "c.md")
    return pd.read_csv(folder / "c.csv").set_index("claim"), (folder / "c.md").read_text()


def test_several_pairs_have_the_interval_of_their_means_and_each_its_own(tmp_path):
    rng = np.random.default_rng(3)
    figures = {name: rng.uniform(50, 100, 4).tolist() for name in "abcd"}
    options = {"x": ClaimOptions(says="x", comparisons=(("a", "b"), ("c", "d"), ("a", "d")))}
    table, text = run_claims(tmp_path, figures, options, seeds=4)
    logs = [np.log(np.array(figures[first]) / figures[second]) for first, second in options["x"].comparisons]
    low, high = stats.ttest_1samp(np.mean(logs, axis=0), 0).confidence_interval(0.95)
    expected = 100 * (1 - np.exp([np.mean(logs), high, low]))
    np.testing.assert_allclose(table.loc["x", ["effect_pct", "low_pct", "high_pct"]].astype(float), expected, rtol=1e-3)
    for (first, second), own in zip(options["x"].comparisons, logs, strict=True):
        low, high = stats.ttest_1samp(own, 0).confidence_interval(1 - 0.05 / 3)
        effect, low, high = 100 * (1 - np.exp([own.mean(), high, low]))
        cells = [cell.strip() for cell in next(line for line in text.splitlines() if f"| {first}  " in line
                                               and f"| {second}  " in line).split("|")[1:-1]]  # fmt: skip
        assert cells[3:5] == [f"{np.mean(figures[name]):.1f}" for name in (first, second)]
        lower = np.array(figures[second]) - figures[first]
        expected = [f"{effect:.1f} % ({low:.1f} to {high:.1f})", f"{lower.mean() / lower.std(ddof=1):.1f}"]
        assert cells[5:] == [*expected, "yes" if effect > 0 else "no"]


def test_effects_with_other_figures_stand_beside(tmp_path):
    """Here a is better than b, on new subjects too, but not with left and right as annotated; c has no new subjects."""
    as_labelled = {"a": [300.0, 310.0, 305.0], "b": [150.0, 160.0, 140.0], "c": [150.0, 160.0, 140.0]}
    new = {"a": [60.0, 61.0, 63.0], "b": [90.0, 80.0, 85.0]}
    flip = {"a": [50.0, 52.0, 51.0], "b": [100.0, 101.0, 99.0], "c": [100.0, 101.0, 99.0]}
    files = [
        write_run(
            tmp_path, cell, cell, ["near"], seed, as_labelled[cell][seed], value,
            more={"test_new_subjects": {"flip_aware": {"mse": new[cell][seed]}} if cell in new else None},
        )
        for cell, values in flip.items()
        for seed, value in enumerate(values)
    ]  # fmt: skip
    options = {name: ClaimOptions(says=name, comparisons=(("a", name),)) for name in "bc"}
    claims(options, files, {}, {"mse": [], "adaptation": []}, tmp_path / "c.csv", tmp_path / "c.md")
    found = pd.read_csv(tmp_path / "c.csv").set_index("claim")
    assert found.verdict.tolist() == ["holds", "holds"]
    for name, figures in (("new_subjects", new), ("as_labelled", as_labelled)):
        logs = np.log(np.array(figures["a"]) / figures["b"])
        low, high = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
        columns = [f"{name}_pct", f"{name}_low_pct", f"{name}_high_pct"]
        np.testing.assert_allclose(
            found.loc["b", columns].astype(float), 100 * (1 - np.exp([logs.mean(), high, low])), rtol=1e-3
        )
    assert found.new_subjects_pct["b"] > 0 > found.as_labelled_pct["b"]
    assert np.isnan(found.new_subjects_pct["c"])


def test_a_missing_seed_is_left_out_and_named(tmp_path):
    figures = {"a": [50.0, None, 52.0], "b": [100.0, 101.0, 99.0]}
    table, text = run_claims(tmp_path, figures, {"x": ClaimOptions(says="a is better", comparisons=(("a", "b"),))})
    assert (table.seeds["x"], table.verdict["x"], table.missing["x"]) == (2, "holds", "a seed 1")
    assert "- a is better: a seed 1." in text
    figures["a"][1] = 51.0
    whole, complete = run_claims(tmp_path, figures, {"x": ClaimOptions(says="a is better", comparisons=(("a", "b"),))})
    assert pd.isna(whole.missing["x"])
    assert "Incomplete" not in complete


def test_a_claim_of_which_a_pair_is_missing_cannot_hold_but_can_fail(tmp_path):
    figures = {"a": [50.0, 51.0, 52.0], "b": [100.0, 101.0, 99.0], "c": [None, None, None]}
    options = {
        "up": ClaimOptions(says="up", comparisons=(("a", "b"), ("a", "c"))),
        "down": ClaimOptions(says="down", comparisons=(("b", "a"), ("c", "a"))),
        "none": ClaimOptions(says="none", comparisons=(("b", "c"),)),
    }
    table, text = run_claims(tmp_path, figures, options)
    assert table.verdict.to_dict() == {"up": "undecided", "down": "does not hold"}
    assert table.comparisons.to_dict() == {"up": 1, "down": 1}
    assert "- none: c seed 0, 1, 2. Nothing is left to test it on." in text
    assert "in no table" not in text


def test_cells_without_a_seed_in_common_are_not_compared(tmp_path):
    figures = {"a": [50.0, None], "b": [None, 99.0]}
    table, text = run_claims(tmp_path, figures, {"x": ClaimOptions(says="x", comparisons=(("a", "b"),))}, seeds=2)
    assert not len(table)
    assert "- x: a seed 1; b seed 0. Nothing is left to test it on." in text


def test_methods_are_compared_on_the_same_target_and_sources():
    def cell(method, target="t", sources=("s",), shots=12, size=33):
        return Cell(method=method, target=target, sources=sources, shots=shots, annotation_set_size=size)

    cells = {
        "f": cell("flexpose"), "f-far": cell("flexpose", sources=("far",), size=121), "f-24": cell("flexpose", shots=24),
        "d": cell("direct"), "d-far": cell("direct", sources=("far",), size=99), "k": cell("kde", sources=()),
        "k-u": cell("kde", target="u", sources=()),
    }  # fmt: skip
    options = {"x": ClaimOptions(says="better than {method}", method="flexpose", against=("direct", "kde"))}
    found = written_out(options, cells, (), {})
    assert found["x-direct"].comparisons == (("f", "d"),)
    assert found["x-kde"].comparisons == (("f", "k"), ("f-far", "k"))
    assert found["x-kde"].says == "better than kde"


def test_cells_of_other_tables_are_not_compared_where_a_table_is_named():
    cells = {
        name: Cell(method=method, target="t", sources=sources, shots=12, annotation_set_size=size)
        for name, method, sources, size in (
            ("f", "flexpose", ("s",), 33), ("f-61", "flexpose", ("s",), 61), ("f-two", "flexpose", ("s", "u"), 61),
            ("k", "kde", (), 33),
        )
    }  # fmt: skip
    tables = {"table2": ("f", "f-61", "f-two"), "baselines": ("f", "k")}
    claim = ClaimOptions(says="better than {method}", method="flexpose", against=("kde",))
    found = written_out({"x": claim}, cells, (), tables)["x"]
    assert found.comparisons == (("f", "k"), ("f-61", "k"), ("f-two", "k"))
    claim = msgspec.structs.replace(claim, among=("baselines",))
    assert written_out({"x": claim}, cells, (), tables)["x"].comparisons == (("f", "k"),)
    claim = msgspec.structs.replace(claim, among=("table9",))
    # As with a method that no cell has.
    assert not written_out({"x": claim}, cells, (), tables)
    with pytest.raises(ConfigError, match=r"claims\.x\.among: expected method and against, found none"):
        written_out({"x": ClaimOptions(says="x", comparisons=(("f", "k"),), among=("baselines",))}, cells, (), tables)


def test_the_papers_recipe_meets_what_has_no_source_once_a_pair():
    config = load_config(raw_config("config/paper.yaml"))
    for rival in ("mixup", "kde", "supervised"):
        firsts = [first for first, _ in config.claims[f"flexpose-against-{rival}"].comparisons]
        assert firsts == [f"{pair}-flexpose-paper" for pair in config.grids["real"].pairs]


def test_the_strongest_rival_is_the_one_of_each_pair(tmp_path):
    """On one pair b is the best of the others, on the other c; the claim is tested on these two alone."""
    figures = {
        "near-a": [50.0, 52.0, 51.0], "near-b": [60.0, 61.0, 65.0], "near-c": [70.0, 71.0, 50.5],
        "far-a": [50.0, 52.0, 51.0], "far-b": [90.0, 95.0, 91.0], "far-c": [80.0, 81.0, 85.0],
    }  # fmt: skip
    cells = {
        name: Cell(method=name[-1], target="t", sources=(name[:-2],), shots=12, annotation_set_size=9)
        for name in figures
    }
    options = {"x": ClaimOptions(says="best", method="a", against=("b", "c"), strongest=True)}
    options = written_out(options, cells, (), {})
    assert len(options["x"].comparisons) == 4
    table, _ = run_claims(tmp_path, figures, options)
    assert table.cells["x"] == "near-a : near-b; far-a : far-c"
    assert (table.comparisons["x"], table.as_claimed["x"], table.verdict["x"]) == (2, 2, "holds")
    figures["near-c"] = [None, None, None]
    (tmp_path / "more").mkdir()
    assert run_claims(tmp_path / "more", figures, options)[0].verdict["x"] == "undecided"


def test_the_best_of_several_looks_better_than_it_is(tmp_path):
    """Against the one, it does not hold; against the lowest of two it may be chance, as it was chosen for being low."""
    figures = {"n-a": [50.0, 52.0, 51.0], "n-b": [40.0, 41.0, 41.5], "n-c": [90.0, 91.0, 95.0]}
    cells = {
        name: Cell(method=name[-1], target="t", sources=("n",), shots=12, annotation_set_size=9) for name in figures
    }
    claimed = {
        "one": ClaimOptions(says="better", method="a", against=("b",)),
        "best": ClaimOptions(says="best", method="a", against=("b", "c"), strongest=True),
    }
    table, _ = run_claims(tmp_path, figures, written_out(claimed, cells, (), {}))
    assert table.verdict.to_dict() == {"one": "does not hold", "best": "undecided"}
    assert table.cells["best"] == "n-a : n-b"


def test_rivals_without_a_cell_on_a_pair_are_named():
    methods = {"near": "abc", "far": "ab", "off": "a"}
    cells = {
        f"{pair}-{method}": Cell(method=method, target="t", sources=(pair,), shots=12, annotation_set_size=9)
        for pair, those in methods.items()
        for method in those
    }
    options = {"x": ClaimOptions(says="best", method="a", against=("b", "c"), strongest=True)}
    found = written_out(options, cells, (), {})["x"]
    assert found.says == "best (far-a without c; off-a without b, c)"
    assert found.comparisons == (("near-a", "near-b"), ("far-a", "far-b"), ("near-a", "near-c"))


def test_early_layers_meet_late_ones():
    options = {"x": ClaimOptions(says="early", measure="adaptation", layers=True)}
    assert written_out(options, {}, ("1", "2", "3", "4", "5"), {})["x"].comparisons == (("1", "4"), ("2", "5"))


@pytest.mark.parametrize("others", [(), ("config/paper.yaml",), ("config/experiments.yaml",)])
def test_every_claim_has_its_cells(others):
    config = load_config(raw_config(*others))
    names = set(config.tabled) | set(config.layer_study)
    without = {name for name, claim in config.claims.items() if not any(set(p) <= names for p in claim.comparisons)}
    assert not without
    # The paper's configuration has no recipe but the paper's.
    assert ("flexpose-against-direct" in config.claims) == ("config/paper.yaml" not in others)
    assert ("chosen-pairs-against-supervised" in config.claims) == ("config/experiments.yaml" in others)
    grid = Grid(config)
    assert [name for name, _ in grid.claims_params(grid.claim_adaptations)["claims"]] == list(config.claims)
    assert len(grid.claim_adaptations) == config.generator.architecture.style_layers
    assert grid.layer_params(grid.layer_runs)["layers"] == list(
        range(1, config.generator.architecture.style_layers + 1)
    )
    # What no table needs is not trained for a claim.
    tabled = {run for table in config.tables for run in grid.table_runs(table)}
    assert set(grid.claim_runs) <= tabled


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["claims"].update(x={"says": "?"}), "claims.x: expected comparisons, or method and against, or"),
        (lambda c: c["claims"].update(x={"says": "?", "method": "magic", "against": ["kde"]}), "claims.x: expected one of"),
        (lambda c: c["claims"].update({"flexpose-against": {"says": "?", "method": "flexpose", "against": ["direct", "kde"]}}),
         "claims.flexpose-against.against: expected no claim 'flexpose-against-direct' besides"),
        (lambda c: c["claims"].update(x={"says": "?", "method": "flexpose", "against": ["kde", "kde"]}),
         "claims.x.against: expected no claim 'x-kde' besides"),
        (lambda c: c["claims"]["colour"].update(strongest=True), "claims.colour.strongest: expected method and against"),
        (lambda c: c["claims"].update(x={"says": "?", "layers": True}), "claims.x.measure: expected 'adaptation'"),
        (lambda c: c["figures"].update(figure3="upright-aligned"), "figures.figure3: expected a cell of an adapted method"),
        (lambda c: c["figures"]["figure4"].update(cell="upright-everyday-tgan"), "figure4.cell: expected a method with pairs"),
        (lambda c: c["figures"]["figure5"].update(cell="upright-aligned"), "figures.figure5.cell: expected a cell of an adapted"),
        (lambda c: c["figures"]["figure5"].update(cycle_gan={"size": 50}), "cycle_gan: widths of (16, 32, 64) halve the size"),
        (lambda c: c["figures"].update(figure6=["faces-direct", "all-aligned"]), "figures.figure6: expected cells of one target"),
        (lambda c: c["figures"].update(joint_errors=["gone"]), "figures.joint_errors: expected one of"),
    ],
)  # fmt: skip
def test_wrong_claims_and_figures_are_named(change, message):
    raw = raw_config()
    change(raw)
    with pytest.raises(ConfigError) as error:
        load_config(raw)
    assert message in str(error.value)


def test_useless_pairs_do_not_hide_that_nothing_is_left(tmp_path):
    """a and b have no seed in common, c and d are useless: the claim has a row, and no pair in it."""
    floor = {"test_mean_pose": {"as_is": {"mse": 100.0}, "flip_aware": {"mse": 100.0}}}
    there = [("a", 0, 50.0), ("b", 1, 60.0), *((name, seed, 120.0) for name in "cd" for seed in range(2))]
    runs = [write_run(tmp_path, name, name, [], seed, value, value, more=floor) for name, seed, value in there]
    options = {"x": ClaimOptions(says="x", comparisons=(("a", "b"), ("c", "d")))}
    expected = {"mse": [(name, seed) for name in "abcd" for seed in range(2)], "adaptation": []}
    claims(options, runs, {}, expected, tmp_path / "c.csv", tmp_path / "c.md")
    row = pd.read_csv(tmp_path / "c.csv").iloc[0]
    assert (row.comparisons, row.useless, row.seeds, row.verdict) == (0, 1, 0, "undecided")
    assert pd.isna(row.cells)
    text = (tmp_path / "c.md").read_text()
    assert "0 of 0 (1 not counted)" in text
    assert "- x: a seed 1; b seed 0. Nothing is left to test it on." in text
    assert "The pairs, with means" not in text


def test_which_of_two_useless_detectors_is_the_less_so_says_nothing(tmp_path):
    """Always answering the mean pose has 100: b and c are no better than by 10 %, a is; for d it has 800."""
    floor = {"test_mean_pose": {"as_is": {"mse": 100.0}, "flip_aware": {"mse": 100.0}}}
    figures = {"a": (60.0, 62.0), "b": (91.0, 92.0), "c": (140.0, 150.0), "d": (400.0, 430.0)}
    runs = [
        write_run(tmp_path, name, name, [], seed, value, value, more={} if name == "d" else floor)
        for name, values in figures.items()
        for seed, value in enumerate(values)
    ]
    options = {
        "one": ClaimOptions(says="a beats c", comparisons=(("a", "c"),)),
        "some": ClaimOptions(says="the first beats c", comparisons=(("a", "c"), ("b", "c"))),
        "none": ClaimOptions(says="b beats c", comparisons=(("b", "c"),)),
        "other": ClaimOptions(says="c beats d", comparisons=(("c", "d"),)),
    }
    claims(options, runs, {}, {"mse": [], "adaptation": []}, tmp_path / "c.csv", tmp_path / "c.md")
    table = pd.read_csv(tmp_path / "c.csv").set_index("claim")
    assert table.verdict.to_dict() == {"one": "holds", "some": "undecided", "none": "undecided", "other": "holds"}
    assert table.comparisons.to_dict() == {"one": 1, "some": 1, "none": 0, "other": 1}
    assert table.useless.to_dict() == {"one": 0, "some": 1, "none": 1, "other": 0}
    assert table.effect_pct.isna().to_dict() == {"one": False, "some": False, "none": True, "other": False}
    text = (tmp_path / "c.md").read_text()
    assert "both detectors of the pair are useless (see above):" in text
    assert "0 of 0 (1 not counted)" in text
    assert "- the first beats c: b and c." in text
    assert "- b beats c: b and c." in text
    assert "at least 10 % better" in text
