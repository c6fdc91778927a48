"""The grid that the configuration spans: the paper's knobs, the baselines of every pair, shared jobs, and what is refused."""

import json

import pytest
import yaml
from conftest import ROOT

from flexpose_core.errors import ConfigError
from flexpose_core.grid import Grid
from flexpose_core.options.config import load_config
from flexpose_core.paper_tables import PAPER_TABLES


def update(base, other):
    """Merge as Snakemake merges configuration files."""
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            update(base[key], value)
        else:
            base[key] = value


def raw_config(*others):
    """The default configuration, with others over it."""
    # Aliases are copied, as Snakemake copies them.
    raw = json.loads(json.dumps(yaml.safe_load((ROOT / "config.yaml").read_text())))
    for name in others:
        update(raw, yaml.safe_load((ROOT / name).read_text()))
    return raw


def check_table2(config, names):
    """Compare each cell of Table 2 with the paper's row; `names` are the sources by the paper's names."""
    table = config.tables["table2"]
    assert table.kind == "ablation"
    rows = dict(zip(table.cells, table.paper_rows, strict=True))
    assert {config.cells[cell].layers for cell, row in rows.items() if row is None} <= {"auto"}
    papers = [cell for cell, row in rows.items() if row is not None]
    assert [rows[cell] for cell in papers] == [row[0] for row in PAPER_TABLES["table2"]]
    for cell_name, printed in zip(papers, PAPER_TABLES["table2"], strict=True):
        cell = config.cells[cell_name]
        _, source, size, channels, shots, layers, *_ = printed
        if source == "N/A":
            assert config.methods[cell.method].poses == "target"
            continue
        method = config.methods[cell.method]
        own = cell.layers or method.adaptation.layers
        assert cell.sources == tuple(names[name] for name in source.split(" + "))
        assert cell.annotation_set_size == int(size[:-1]) * 1000
        assert cell.channels == channels
        assert cell.shots == int(shots)
        assert (own if isinstance(own, str) else ", ".join(map(str, own))) == layers
        assert method.adaptation.trained == "transfer"
        assert method.adaptation.pairing == "random"


def test_table2_has_the_papers_knobs():
    check_table2(load_config(raw_config()), {"COCO": "everyday", "3DHP": "studio", "SURREAL": "synthetic"})


def test_every_baseline_is_run_on_every_pair_of_table1():
    config = load_config(raw_config())
    cells = [config.cells[name] for name in config.tables["baselines"].cells]
    table1 = [config.cells[name] for name in config.tables["table1"].cells]
    assert len(table1) == 14
    assert set(config.tables["table1"].cells) <= set(config.tables["baselines"].cells)
    kinds = {config.methods[cell.method].baseline.kind for cell in cells if config.methods[cell.method].baseline}
    assert kinds == {"source", "mixup", "kde", "similarity", "affine", "nearest", "pca"}
    for target in ("people-upright", "people-all"):
        alone = {cell.method for cell in cells if cell.target == target and not cell.sources}
        plain = {"mixup-plain", "kde-plain"} if target == "people-upright" else set()
        assert alone == {"aligned", "mixup", "kde", "supervised", "mixup-pairs", *plain}
    # On one pair besides.
    besides = set(config.grids["on-one-pair"].methods)
    assert besides <= {cell.method for cell in cells}
    with_sources = [cell for cell in cells if cell.sources and cell.method not in besides]
    methods = {cell.method for cell in with_sources}
    assert {
        "fine-tuned",
        "tgan",
        "freezed",
        "low-rank",
        "scale-shift",
        "flexpose-paper",
        "flexpose",
        "direct",
    } <= methods
    for cell in (cell for cell in table1 if cell.sources):
        same = [c for c in with_sources if (c.target, c.sources) == (cell.target, cell.sources)]
        assert {c.method for c in same} == methods
        # The same size and shots for all methods of a pair, or they could not be compared.
        assert {(c.annotation_set_size, c.shots) for c in same} == {(cell.annotation_set_size, cell.shots)}


def test_experiments_have_the_pairs_of_the_baselines():
    usual, config = load_config(raw_config()), load_config(raw_config("config/experiments.yaml"))
    assert config.grids["replaced"].pairs == usual.grids["baselines"].pairs
    assert config.grids["replaced-without-source"].pairs == usual.grids["shots-alone"].pairs
    for once, others, all_pairs in (
        ("on-one-pair", "on-other-pairs", "baselines"),
        ("shots-alone-on-one-pair", "shots-alone-on-another", "shots-alone"),
    ):
        pairs = usual.grids[once].pairs | config.grids[others].pairs
        assert pairs == usual.grids[all_pairs].pairs
        assert len(pairs) == len(usual.grids[once].pairs) + len(config.grids[others].pairs)
    again = set(config.tables["experiments"].cells) & set(usual.tabled)
    assert again == {"upright-aligned", "all-aligned"}
    assert config.grids["plain"].pairs == usual.grids["baselines"].pairs
    assert config.grids["plain-shots-alone"].pairs == usual.grids["shots-alone"].pairs
    plain = {method for grid in ("plain", "plain-shots-alone") for method in config.grids[grid].methods}
    assert plain == {method for method in config.methods if method.endswith("-plain")}
    # Faces have all baselines that people have, but for those that need limbs.
    animated = {method for method, options in config.methods.items() if options.animates}
    on_faces = {method for grid in ("faces", "faces-shots-alone") for method in config.grids[grid].methods}
    assert on_faces == {
        method
        for grid in ("baselines", "shots-alone")
        for method in usual.grids[grid].methods
        if method not in animated
    }
    # Between them they have all methods.
    assert {cell.method for cell in config.cells.values()} == set(config.methods)
    # What is laid over the default makes none of its cells anew.
    before, after = Grid(usual), Grid(config)
    for function in ("run_config", "run_params", "detector_params"):
        assert all(getattr(before, function)(name) == getattr(after, function)(name) for name in before.runs)


def test_plain_methods_differ_in_symmetry_alone():
    config = load_config(raw_config())
    plain = [name for name in config.methods if name.endswith("-plain")]
    assert len(plain) == 13
    for name in plain:
        own, twin = config.methods[name], config.methods[name.removesuffix("-plain")]
        assert (own.poses, own.adaptation, own.baseline) == (twin.poses, twin.adaptation, twin.baseline)
        assert (own.guidance, twin.guidance) == ("plain", "symmetric")
    symmetric, without = config.guidance["symmetric"], config.guidance["plain"]
    assert (symmetric.symmetry, without.symmetry) == ("auto", "none")
    names = [name for name in symmetric.__struct_fields__ if name != "symmetry"]
    assert [getattr(symmetric, name) for name in names] == [getattr(without, name) for name in names]


def test_a_written_cell_takes_the_place_of_the_grids():
    raw = raw_config()
    raw["cells"]["upright-studio-pca"] = {
        "method": "pca", "target": "people-upright", "sources": ["studio"], "annotation_set_size": 5000, "shots": 24,
    }  # fmt: skip
    config = load_config(raw)
    assert config.cells["upright-studio-pca"].shots == 24
    assert config.cells["upright-everyday-pca"].shots == 12
    assert config.tables["baselines"].cells.count("upright-studio-pca") == 1
    assert len(set(config.tables["baselines"].cells)) == len(config.tables["baselines"].cells)


def test_two_grids_have_no_cell_of_one_name_unless_it_is_the_same():
    raw = raw_config()
    pair = {"target": "people-upright", "sources": ["studio"], "annotation_set_size": 121000, "shots": 12}
    raw["grids"]["again"] = {"pairs": {"upright-studio": pair}, "methods": ["pca"]}
    assert load_config(raw).cells["upright-studio-pca"].shots == 12
    raw["grids"]["again"] = {"pairs": {"upright-studio": {**pair, "shots": 24}}, "methods": ["pca"]}
    with pytest.raises(
        ConfigError, match=r"grids.again: expected another name than 'upright-studio-pca'.* grids.baselines"
    ):
        load_config(raw)


def test_poses_are_shared_by_runs_that_differ_in_labels_alone():
    raw = raw_config()
    raw["seeds"] = 2
    grid = Grid(load_config(raw))
    for seed in range(2):
        assert grid.run(f"upright-everyday-flexpose-pairs_s{seed}").pose_set == f"upright-everyday-flexpose_s{seed}"
        assert grid.run(f"upright-supervised_s{seed}").pose_set == f"upright-mixup_s{seed}"
        assert grid.detector_params(f"upright-supervised_s{seed}")["supervision"] == "alone"
    assert grid.run("upright-everyday-nearest_s0").pose_set == "upright-everyday-nearest_s0"
    assert grid.pose_set_params("upright-mixup_s1")["options"]["kind"] == "mixup"
    assert "upright-supervised_s1" not in grid.pose_sets


def test_runs_with_labels_share_poses_also_if_no_run_is_without():
    raw = raw_config()
    cell = {**raw["cells"]["upright-everyday-flexpose-paper"], "layers": None, "shots": 9}
    # Whatever their order: that of an exported cell's own configuration is another one.
    methods = ("flexpose-renewed", "flexpose-pairs", "flexpose-animated")
    for method in methods:
        raw["cells"][f"own-{method}"] = {**cell, "method": method}
    raw["cells"]["own-flexpose-animated"]["shots"] = 10
    grid = Grid(load_config(raw))
    found = {method: grid.run(f"own-{method}_s0").pose_set for method in methods}
    assert found == {
        "flexpose-renewed": "own-flexpose-pairs_s0",
        "flexpose-pairs": "own-flexpose-pairs_s0",
        "flexpose-animated": "own-flexpose-animated_s0",
    }
    assert grid.adaptation_params("own-flexpose-pairs_s0")["options"]["pairing"] == "assignment"
    alone = Grid(load_config(grid.run_config("own-flexpose-renewed_s0")))
    assert alone.run("own-flexpose-renewed_s0").pose_set == "own-flexpose-pairs_s0"
    # Whose poses they are is then for all to see.
    raw["cells"]["own-flexpose"] = {**cell, "method": "flexpose"}
    assert Grid(load_config(raw)).run("own-flexpose-pairs_s0").pose_set == "own-flexpose_s0"


def test_measures_made_apart_are_of_the_runs_own_shots():
    raw = raw_config("config/experiments.yaml")
    raw["seeds"] = 2
    grid = Grid(load_config(raw))
    # One set of poses, which have no shots, or those of another seed.
    assert grid.run("upright-aligned-animated_s1").pose_set == grid.run("upright-aligned_s0").pose_set
    assert not grid.shares_guidance(grid.run("upright-aligned-animated_s1"))
    assert grid.shares_guidance(grid.run("upright-aligned_s1"))
    assert grid.shares_guidance(grid.run("upright-everyday-flexpose-animated_s1"))


def test_chosen_poses_come_from_the_run_that_is_alike_but_for_its_method():
    raw = raw_config("config/experiments.yaml")
    raw["seeds"] = 2
    grid = Grid(load_config(raw))
    run = grid.run("upright-studio-flexpose-chosen_s1")
    assert (run.pose_set, run.chooser.name) == (run.name, "upright-studio-flexpose-pairs_s1")
    assert run.chooser.pose_set == "upright-studio-flexpose_s1"
    labelled = grid.run("upright-studio-flexpose-chosen-pairs_s1")
    assert labelled.pose_set == run.name
    names = [of.name for of in grid.behind(labelled)]
    assert names == [
        "upright-studio-flexpose_s1",
        "upright-studio-flexpose-pairs_s1",
        "upright-studio-flexpose-chosen_s1",
        "upright-studio-flexpose-chosen-pairs_s1",
    ]
    assert grid.run("all-mixup-chosen_s0").chooser.name == "all-mixup-pairs_s0"
    # The same parameters as other pose sets have.
    assert grid.pose_set_params(run.name) == {
        "poses": "chosen", "seed": 1, "size": 121000, "take_all_if_short": False,
    }  # fmt: skip


def test_a_chooser_that_is_no_cell_becomes_one():
    raw = raw_config()
    raw["cells"] = {
        "mine": {
            "method": "flexpose-chosen",
            "target": "people-all",
            "sources": ["studio"],
            "annotation_set_size": 5000,
            "shots": 9,
        }
    }
    raw |= {"grids": {}, "tables": {}, "claims": {}, "figures": {}}
    grid = Grid(load_config(raw))
    assert set(grid.config.cells) == {"mine", "mine.flexpose-pairs"}
    chooser = grid.run("mine_s0").chooser
    assert (chooser.name, chooser.pose_set) == ("mine.flexpose-pairs_s0", "mine.flexpose-pairs_s0")
    assert chooser.cell.shots == 9
    assert grid.adaptation_params(chooser.pose_set)["options"]["pairing"] == "assignment"


def test_metrics_say_what_may_change():
    grid = Grid(load_config(raw_config()))
    layers = {
        "upright-everyday-flexpose-paper": [3],
        "upright-everyday-l1-3": [1, 3],
        "upright-everyday-freezed": "all",
        "upright-everyday-auto-layers": "auto",
        "upright-everyday-flexpose-auto": "auto",
        "upright-everyday-direct": None,
    }
    for name, expected in layers.items():
        assert grid.run_params(f"{name}_s0")["cell"]["layers"] == expected


def test_a_choice_of_layers_depends_on_how_the_shots_are_enriched_and_no_other_adaptation_does():
    raw = raw_config()
    before = Grid(load_config(raw))
    raw["guidance"]["symmetric"]["concentration"] = 0.25
    after = Grid(load_config(raw))
    changed = {
        name: before.adaptation_params(f"{name}_s0") != after.adaptation_params(f"{name}_s0")
        for name in ("upright-studio-flexpose", "upright-everyday-flexpose-auto", "upright-everyday-auto-layers")
    }
    assert [name for name, other in changed.items() if other] == ["upright-everyday-flexpose-auto"]
    assert before.adaptation_params("upright-everyday-auto-layers_s0")["guidance"]["mixup_size"] == 1000
    choosing = {name.removesuffix("_s0") for name, run in before.runs.items() if run.chooses_layers}
    assert choosing == {"upright-everyday-auto-layers", "upright-everyday-flexpose-auto"}


@pytest.mark.parametrize("others", [("config/tiny.yaml",), ("config/paper.yaml",)])
def test_other_configurations_load_over_the_default(others):
    grid = Grid(load_config(raw_config(*others)))
    assert all(grid.table_runs(table) for table in grid.config.tables)


def test_a_targets_own_detector_is_that_of_its_cells_alone():
    raw = raw_config()
    before = Grid(load_config(raw))
    raw["detectors"] = {"people-all": {"size": 64, "gan": {"steps": 7}}}
    after = Grid(load_config(raw))
    changed = {name for name in before.runs if before.detector_params(name) != after.detector_params(name)}
    assert {"all-aligned_s0", "all-everyday-flexpose_s0"} < changed
    assert {before.run(name).cell.target for name in changed} == {"people-all", "faces-wild"}
    assert before.eta_params("upright-aligned") == after.eta_params("upright-aligned")
    assert after.eta_params("all-aligned")["options"]["size"] == 64
    raw["detector"] = {"size": 48, "gan": {"batch": 4, "steps": 5}}
    options = Grid(load_config(raw)).detector_params("all-aligned_s0")["options"]
    assert (options["size"], options["gan"]["batch"], options["gan"]["steps"]) == (64, 4, 7)


def test_pretraining_does_not_depend_on_what_follows_it():
    raw = raw_config()
    before = Grid(load_config(raw))
    raw["detector"] = {"sketches": {"steps": 7}, "gan": {"steps": 7}, "supervision": {"weight": 3}}
    after = Grid(load_config(raw))
    assert before.eta_params("upright-aligned") == after.eta_params("upright-aligned")
    assert before.detector_params("upright-aligned_s0") != after.detector_params("upright-aligned_s0")
    raw["detector"] = {"eta": {"steps": 7}}
    assert before.eta_params("upright-aligned") != Grid(load_config(raw)).eta_params("upright-aligned")


@pytest.mark.parametrize(
    ("part", "trained"),
    [
        ({"supervision": {"batch": 7}}, {"supervised", "flexpose-pairs", "flexpose-renewed"}),
        ({"supervision": {"weight": 7}}, {"flexpose-pairs"}),
        ({"supervision": {"steps": 7}}, {"supervised"}),
        ({"supervision": {"learning_rate": 7e-4}}, {"supervised", "flexpose-renewed"}),
        ({"sketches": {"steps": 7}}, {"flexpose", "flexpose-pairs"}),
        ({"sketches": {"weight": 7}}, {"flexpose", "flexpose-pairs"}),
        ({"sketches": {"batch": 7, "share": 0.3, "learning_rate": 7e-4}}, set()),
        ({"gan": {"steps": 7}}, {"flexpose", "flexpose-pairs"}),
        ({"gan": {"average_decay": 0.7}}, {"flexpose", "supervised", "flexpose-pairs", "flexpose-renewed"}),
    ],
)
def test_a_detector_depends_on_the_options_of_its_own_kind_of_training(part, trained):
    raw = raw_config()
    before = Grid(load_config(raw))
    raw["detector"] = part
    after = Grid(load_config(raw))
    runs = {
        "flexpose": "upright-everyday-flexpose_s0",
        "supervised": "upright-supervised_s0",
        "flexpose-pairs": "upright-everyday-flexpose-pairs_s0",
        "flexpose-renewed": "upright-everyday-flexpose-renewed_s0",
    }
    changed = {name for name, run in runs.items() if before.detector_params(run) != after.detector_params(run)}
    assert changed == trained


@pytest.mark.parametrize("others", [(), ("config/tiny.yaml",), ("config/paper.yaml",)])
def test_a_cells_own_configuration_makes_the_same_jobs(others):
    raw = raw_config(*others)
    raw["seeds"] = 2
    grid = Grid(load_config(raw))
    for name, run in grid.runs.items():
        alone = Grid(load_config(json.loads(json.dumps(grid.run_config(name)))))
        own = alone.run(name)
        assert (own.pose_set, own.cell, own.method, own.seed) == (run.pose_set, run.cell, run.method, run.seed)
        assert own.chooser == run.chooser
        jobs = {
            "run_params": name,
            "detector_params": name,
            "eta_params": run.pose_set,
            "pose_set_params": run.pose_set,
            **({"finder_params": run.chooser.name} if run.chooser else {}),
            **({"guidance_params": run.guidance} if run.method.guidance else {}),
        }
        if run.method.poses == "adapted":
            jobs |= {"adaptation_params": run.pose_set, "regressor_params": run.prior, "generator_params": run.prior}
            # Not how many share the sampling, which changes no sample.
            shards = {"shards": grid.config.sample_shards}
            assert {**alone.sample_params(run.pose_set), **shards} == grid.sample_params(run.pose_set)
        for function, of in jobs.items():
            assert getattr(alone, function)(of) == getattr(grid, function)(of), (name, function)
        for dataset in (run.cell.target, *run.cell.sources):
            assert alone.dataset_params(dataset) == grid.dataset_params(dataset)


def test_jobs_do_not_depend_on_options_that_are_not_used():
    """More images to test on, the other way to train a generator, how layers would be chosen: nothing is trained anew for these."""
    before, raw = Grid(load_config(raw_config())), raw_config()
    raw["datasets"]["people-upright"]["frames"] = {"test": 2100}
    raw["datasets"]["faces-wild"]["subjects"] = {"val": [30], "test": [33, 34]}
    raw["generator"] = {**raw["generator"], "adversarial": {"steps": 7}}
    raw["methods"]["flexpose"]["adaptation"]["layer_search"] = {"folds": 3}
    after = Grid(load_config(raw))
    changed = {
        (dataset, split)
        for dataset in ("people-upright", "people-all", "faces-wild", "everyday")
        for split in before.splits(dataset)
        if before.drawn_params(dataset, split) != after.drawn_params(dataset, split)
    }
    assert changed == {("people-upright", "test"), ("faces-wild", "val"), ("faces-wild", "test")}
    assert before.generator_params("everyday_c3") == after.generator_params("everyday_c3")
    run = "upright-everyday-flexpose_s0"
    assert before.adaptation_params(run) == after.adaptation_params(run)
    chooser = "upright-everyday-flexpose-auto_s0"
    raw["methods"]["flexpose-auto"]["adaptation"]["layer_search"] = {"folds": 3}
    assert before.adaptation_params(chooser) != Grid(load_config(raw)).adaptation_params(chooser)
    raw["generator"]["distillation"] = {"steps": 7}
    assert before.generator_params("everyday_c3") != Grid(load_config(raw)).generator_params("everyday_c3")
    raw["generator"] |= {"training": "adversarial"}
    for method in raw["methods"].values():
        if (method.get("adaptation") or {}).get("joints") == "own":
            method["adaptation"]["joints"] = "read"
    other = Grid(load_config(raw)).generator_params("everyday_c3")["options"]
    assert other["adversarial"]["steps"] == 7
    assert other["distillation"]["steps"] != 7


def test_a_cells_own_configuration_leaves_out_what_it_does_not_depend_on():
    raw = raw_config()
    before = Grid(load_config(raw))
    raw["generator"] = {"distillation": {"steps": 7}}
    raw["datasets"]["studio"]["n_poses"] += 1
    after = Grid(load_config(raw))
    changed = {name for name in before.runs if before.run_config(name) != after.run_config(name)}
    assert "upright-everyday-flexpose_s0" in changed
    assert "upright-studio-direct_s0" in changed
    assert not changed & {"upright-aligned_s0", "upright-everyday-direct_s0", "upright-mixup_s0"}


@pytest.mark.parametrize(
    ("option", "supervisions"),
    [
        ({"steps": 7}, {"animated"}),
        ({"renewal": {"every": 7}}, {"renewed"}),
        ({"renewal": {"steps": 7}}, {"renewed"}),
        ({"renewal": {"placed": 0.1}}, {"renewed"}),
        ({"turn": 0.1}, {"animated", "renewed"}),
    ],
)
def test_options_of_animating_count_for_those_that_animate_so(option, supervisions):
    raw = raw_config("config/experiments.yaml")
    before = Grid(load_config(raw))
    raw["animation"] = option
    after = Grid(load_config(raw))
    expected = {name for name, run in before.runs.items() if run.method.supervision in supervisions}
    if "placed" in option.get("renewal", ()):
        expected = {name for name in expected if before.runs[name].sources}
    assert expected
    for function in ("detector_params", "run_config"):
        changed = {name for name in before.runs if getattr(before, function)(name) != getattr(after, function)(name)}
        assert changed == expected, function
    shown = before.animation_params() != after.animation_params()
    assert shown == ("turn" in option)


def test_poses_are_placed_for_renewed_runs_that_have_sources():
    raw = raw_config("config/experiments.yaml")
    grid = Grid(load_config(raw))
    renewed = {name for name, run in grid.runs.items() if run.method.supervision == "renewed"}
    without = {"upright-mixup-renewed_s0", "all-mixup-renewed_s0"}
    assert {name for name, run in grid.runs.items() if run.sees_placed} == renewed - without
    raw["animation"] = {"renewal": {"placed": 0}}
    grid = Grid(load_config(raw))
    assert not any(run.sees_placed for run in grid.runs.values())


def test_poses_are_placed_with_the_methods_own_alignment():
    raw = raw_config()
    before = Grid(load_config(raw))
    raw["methods"]["flexpose-renewed"]["adaptation"]["alignment"] = {"bone_shrinkage": 1.0}
    raw["methods"]["flexpose"]["adaptation"]["alignment"] = {"bone_shrinkage": 1.0}
    raw["sampling"] = {"mixed_precision": False}
    after = Grid(load_config(raw))
    for method, options in {"flexpose": {"alignment", "options"}, "nearest": set()}.items():
        name = f"upright-everyday-{method}_s0"
        first, second = before.placing_params(name), after.placing_params(name)
        assert {key for key in first if first[key] != second[key]} == options
    assert after.placing_params("upright-everyday-flexpose_s0")["alignment"]["bone_shrinkage"] == 1.0


@pytest.mark.parametrize("still", [False, True])
def test_a_split_depends_on_the_annotation_files_that_it_is_read_from(tmp_path, still):
    own = {
        "reader": "keypoints-json",
        "root": str(tmp_path),
        "train": "train.json",
        "images": True,
        "still_cameras": still,
    }

    def grid(**more):
        raw = raw_config()
        raw["datasets"]["mine"] = own | more
        return Grid(load_config(raw))

    before, after = grid(), grid(test="test.json")
    assert (before.shard_params("mine", "train") == after.shard_params("mine", "train")) != still
    assert (before.annotation_files("mine", "val") == after.annotation_files("mine", "val")) != still
    files = {split: after.annotation_files("mine", split) for split in ("train", "val", "test")}
    train, val, test = (str(tmp_path / f"{split}.json") for split in files)
    all_of = {split: [train, test] for split in files}
    assert files == (all_of if still else {"train": [train], "val": [train], "test": [test]})
    with_val = grid(val="val.json", test="test.json")
    assert with_val.annotation_files("mine", "train") == ([train, val, test] if still else [train])
    assert with_val.annotation_files("mine", "val") == ([train, val, test] if still else [val])
    assert after.annotation_files("everyday", "train") == []
    assert grid(held_out=0.2).shard_params("mine", "train") != before.shard_params("mine", "train")


def test_seeds_may_begin_where_others_ended():
    raw = raw_config()
    raw |= {"seeds": 3, "first_seed": 3}
    others = Grid(load_config(raw))
    both = Grid(load_config(raw | {"seeds": 6, "first_seed": 0}))
    assert others.table_runs("table1")[:3] == [f"upright-aligned_s{seed}" for seed in (3, 4, 5)]
    assert set(others.runs) < set(both.runs)
    assert {run.seed for run in others.runs.values()} == {3, 4, 5}
    for name in ("upright-studio-flexpose_s4", "upright-aligned_s4"):
        assert others.run_params(name) == both.run_params(name)
        assert others.detector_params(name) == both.detector_params(name)
        own, poses = Grid(load_config(both.run_config(name))), both.runs[name].pose_set
        for params in ("pose_set_params", "eta_params"):
            expected = getattr(both, params)(poses)
            assert getattr(others, params)(poses) == getattr(own, params)(poses) == expected
    assert others.figure_run("figure2").seed == 3
    assert others.first_runs_of_figure("figure6") == ["faces-direct_s3", "faces-flexpose_s3"]
    with pytest.raises(ConfigError, match="first_seed"):
        load_config(raw | {"first_seed": -1})
