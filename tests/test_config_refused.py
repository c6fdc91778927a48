"""Configurations that the schema takes and that no run could finish: refused at once, by the key and what was expected."""

import pytest
from test_grid import raw_config

from flexpose_core.errors import ConfigError
from flexpose_core.options.config import load_config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(sizes=3), "unknown key 'sizes'"),
        (lambda c: c["detector"].update(stepz=3), "config: detector: unknown key 'stepz'"),
        (
            lambda c: c["datasets"].update(mine={"reader": "coco", "root": "x", "rot": "x"}),
            "datasets.mine: unknown key 'rot'",
        ),
        (
            lambda c: c["cells"]["upright-everyday-direct"].update(shots="12"),
            "config: cells.upright-everyday-direct.shots: expected a whole number or null, found '12'",
        ),
        (
            lambda c: c["guidance"]["symmetric"].update(spread=1.2),
            "guidance.spread: expected 1 with space 'bones', found 1.2",
        ),
        (lambda c: c["tables"]["table1"].update(cells="x"), "config: tables.table1.cells: expected a list, found 'x'"),
        (
            lambda c: c["detector"].update(contrast="low"),
            "config: detector.contrast: expected one of local, none, found 'low'",
        ),
        (
            lambda c: c["cells"].update(my_cell=c["cells"]["upright-everyday-direct"]),
            "config: cells: expected a name of letters, digits, hyphens and dots, found 'my_cell'",
        ),
        (
            lambda c: c["tables"]["table1"].update(pck_rho={}),
            "config: tables.table1.pck_rho: expected one for people-upright, found none",
        ),
        (
            lambda c: c["datasets"].update(mine={"reader": "cocoa"}),
            "datasets.mine.reader: expected one of 300-vw, coco",
        ),
        (
            lambda c: c["datasets"].update(
                mine={"reader": "keypoints-json", "root": "x", "train": "a.json", "test": ""}
            ),
            "datasets.mine",
        ),
        (
            lambda c: c["cells"].update(x={"method": "magic", "target": "people-upright"}),
            "cells.x.method: expected one of affine, affine-plain, aligned, aligned-animated, direct, ",
        ),
        (
            lambda c: c["cells"].update(x={"method": "aligned", "target": "coco"}),
            "cells.x.target: expected one of everyday, faces-video,",
        ),
        (
            lambda c: c["cells"]["upright-everyday-direct"].update(sources=["coco"]),
            "cells.upright-everyday-direct.sources: expected one of everyday, faces-video,",
        ),
        (
            lambda c: c["cells"]["upright-everyday-flexpose-paper"].update(layers=[9]),
            "layers: expected 1..8, f1..f4, all or mapping, found 9",
        ),
        (
            lambda c: c["cells"]["upright-everyday-direct"].update(annotation_set_size=10**7),
            "cells.upright-everyday-direct.annotation_set_size: expected at most",
        ),
        (lambda c: c["tables"]["table1"]["cells"].append("nowhere"), "tables.table1.cells: expected one of"),
        (lambda c: c.update(seeds=0), "config: seeds"),
        (lambda c: c["grids"]["baselines"]["methods"].append("magic"), "grids.baselines.methods: expected one of"),
        (lambda c: c["tables"]["baselines"]["grids"].append("more"), "tables.baselines.grids: expected one of"),
        (
            lambda c: c["grids"]["baselines"]["pairs"].update(x={"target": "people-all", "goal": "y"}),
            "grids.baselines.pairs.x: unknown key 'goal'",
        ),
        (lambda c: c.update(container="x.sif;touch$IFS/tmp/y"), "config: container"),
        (lambda c: c["detectors"].update({"faces": {}}), "detectors: expected one of"),
        (lambda c: c["detectors"].update({"everyday": {}}), "detectors.everyday: expected a dataset with images"),
        (
            lambda c: c["cells"]["upright-everyday-direct"].update(sources=["everyday", "faces-video"]),
            "cells.upright-everyday-direct.sources: expected poses of skeleton body15, as the target's, found 'faces-video' of",
        ),
        (
            lambda c: c["cells"]["faces-flexpose"].update(method="flexpose-animated"),
            "cells.faces-flexpose.method: 'flexpose-animated' animates people: skeleton face68: expected one whose bones are",
        ),
        (
            lambda c: c["tables"]["table1"]["pck_rho"].update({"people-upright": 0.15}),
            "tables.table1.pck_rho.people-upright: expected one of 0.05, 0.1, 0.2, found 0.15",
        ),
        (lambda c: c["detectors"].update({"people-all": {"sise": 32}}), "detectors.people-all: unknown key 'sise'"),
        (lambda c: c["methods"]["kde"].pop("baseline"), "methods.kde.baseline: expected options, found none"),
        (
            lambda c: c["methods"]["direct"].update(baseline={"kind": "kde"}),
            "methods.direct.baseline: expected none for",
        ),
        (
            lambda c: c["datasets"]["faces-wild"].update(frames={"test": 0}),
            "datasets.faces-wild: expected a test split, as cells.faces-aligned is in a table or figure, found none",
        ),
        (
            lambda c: c["datasets"]["people-all"].update(subjects={"test": []}, held_out=0, gap=0),
            "datasets.people-all: expected a test split, as cells.all-",
        ),
        (
            lambda c: [
                c["datasets"].update(
                    mine={
                        "reader": "keypoints-json",
                        "root": "data/{x}",
                        "train": "a.json",
                        "test": "b.json",
                        "images": True,
                    }
                ),
                c["cells"].update(mine={"method": "aligned", "target": "mine"}),
                c["tables"].update(mine={"pck_rho": {"mine": 0.1}, "cells": ["mine"]}),
            ],
            "datasets.mine: expected a root and files without braces, which Snakemake takes for wildcards, found 'data/{x}'",
        ),
        (
            lambda c: c["datasets"].update(mine={"reader": "lsp", "root": "x", "crop": {"around": "box"}}),
            "datasets.mine.crop.around: expected 'joints', as boxes are read in COCO's format alone, found 'box'",
        ),
        (
            lambda c: c["datasets"]["people-all"].update(subjects={"test": [0, 8]}),
            "datasets.people-all.subjects: expected no number in both train and test, found 0",
        ),
        (
            lambda c: c["datasets"]["faces-wild"].update(subjects={"val": []}),
            "datasets.faces-wild: expected a val split, as",
        ),
        (lambda c: c["figures"].update(figure5={"cel": "x"}), "config: figures.figure5: unknown key 'cel'"),
        (
            lambda c: c["datasets"]["people-upright"].update(subjects={"val": []}),
            "datasets.people-upright: expected a val split, as cells.upright-",
        ),
        (
            lambda c: c["cells"]["upright-everyday-direct"].update(sources=["everyday", "everyday"]),
            "cells.upright-everyday-direct.sources: expected each once, found everyday, everyday",
        ),
        (
            lambda c: c["cells"].update(
                {"upright-everyday-flexpose-paper-only-1": c["cells"]["upright-everyday-direct"]}
            ),
            "cells.upright-everyday-flexpose-paper-only-1: expected another name, as one layer of Figure 4 is called so",
        ),
        (
            lambda c: c["cells"].update(
                {
                    "x": {
                        **c["cells"]["upright-everyday-direct"],
                        "method": "mixup-chosen",
                        "sources": [],
                        "shots": 10,
                    },
                    "x.mixup-pairs": c["cells"]["upright-everyday-direct"],
                }
            ),
            "cells.x.mixup-pairs: expected another name, as the cell that chooses another's poses is called so",
        ),
        (
            lambda c: c["methods"]["flexpose-chosen"].pop("chosen_by"),
            "methods.flexpose-chosen.chosen_by: expected a method, found none",
        ),
        (
            lambda c: c["methods"]["kde"].update(chosen_by="mixup"),
            "methods.kde.chosen_by: expected none for poses 'baseline', found 'mixup'",
        ),
        (
            lambda c: c["methods"]["mixup-chosen"].update(chosen_by="magic"),
            "methods.mixup-chosen.chosen_by: expected one of",
        ),
        (
            lambda c: c["methods"]["mixup-chosen"].update(chosen_by="kde-plain"),
            "methods.mixup-chosen.chosen_by: expected a method with guidance 'symmetric', found 'kde-plain' with 'plain'",
        ),
        (
            lambda c: [
                c["methods"][name].update(chosen_by=other)
                for name, other in (("mixup-chosen", "flexpose-chosen"), ("flexpose-chosen", "mixup-chosen"))
            ],
            "methods.flexpose-chosen.chosen_by: expected a method that does not depend on 'flexpose-chosen', found",
        ),
        (
            lambda c: c["cells"].update(x={**c["cells"]["all-everyday-direct"], "method": "mixup-chosen"}),
            "cells.x.sources: expected none for method 'mixup-chosen', found everyday",
        ),
        (lambda c: c["methods"]["pca"].pop("guidance"), "methods.pca.guidance: expected the name of a guidance"),
        (lambda c: c["methods"]["aligned"].update(supervision="added"), "methods.aligned.guidance: expected the name"),
        (lambda c: c["methods"]["kde"]["baseline"].update(kind="knn"), "config: methods.kde.baseline.kind"),
        (
            lambda c: c["grids"]["shots-alone"]["pairs"]["all"].update(sources=["everyday"]),
            "cells.all-mixup.sources: expected none for method 'mixup', found everyday",
        ),
        (
            lambda c: c["grids"]["baselines"]["pairs"]["all-everyday"].update(annotation_set_size=36500),
            "cells.all-everyday-unadapted.annotation_set_size: expected at most 36000",
        ),
        (
            lambda c: c["tables"]["table2"]["paper_rows"].pop(),
            "tables.table2.paper_rows: expected one for each of 14 cells",
        ),
        (
            lambda c: c["tables"]["table2"]["paper_rows"].__setitem__(3, 14),
            "tables.table2.paper_rows: expected rows of 0..13, found 14",
        ),
        (
            lambda c: c["tables"]["table1"].update(paper_rows=list(range(14))),
            "tables.table1.paper_rows: expected none, as the paper has no numbered table of that name",
        ),
        (
            lambda c: c.update(sample_shards=40000),
            "sample_shards: expected at most 32000, the poses that cells.upright-everyday-flexpose-auto samples, found 40000",
        ),
        (
            lambda c: c["cells"]["upright-everyday-auto-layers"].update(shots=3),
            "cells.upright-everyday-auto-layers.shots: expected at least 4, the folds of methods.flexpose-paper.adaptation",
        ),
        (
            lambda c: (
                c["guidance"].update(large={"mixup_size": 50000}),
                c["methods"]["nearest"].update(guidance="large"),
            ),
            "guidance.large.mixup_size: expected at most the 36000 source poses of cells.upright-everyday-nearest, one of which is",
        ),
        (lambda c: c["guidance"]["plain"].update(mixup_size=1), "config: guidance.plain.mixup_size"),
        (
            lambda c: c["methods"]["tgan"]["adaptation"].update(trained="transfer"),
            "expected 'generator' for adversarial",
        ),
        (
            lambda c: c["methods"]["fine-tuned"]["adaptation"].update(joints="own"),
            "adaptation.joints: expected 'read', as Γ = joints may adapt the drawing, found 'own'",
        ),
        (
            lambda c: c.update(generator={"training": "adversarial"}),
            "adaptation.joints: expected 'read', as the generator's mapping is 'pose' and its training 'adversarial', found 'own'",
        ),
        (
            lambda c: c.update(sampling={"keep": 0.5}),
            "sampling.keep: expected 1, as 'flexpose-auto' draws no images to choose by, found 0.5",
        ),
        (
            lambda c: c["methods"]["flexpose-auto"]["adaptation"].update(
                layer_search={"candidates": ["mapping", ["f9"]]}
            ),
            "methods.flexpose-auto.adaptation.layer_search.candidates[1]: expected 1..8, f1..f4, all or mapping, found 'f9'",
        ),
        (
            lambda c: c["cells"]["upright-everyday-auto-layers"].update(method="tgan"),
            "adaptation.layers: expected none to choose",
        ),
        (
            lambda c: c["methods"]["flexpose-paper"]["adaptation"].update(layers=[99]),
            "methods.flexpose-paper.adaptation.layers: expected 1..8, f1..f4, all or mapping, found 99",
        ),
        (
            lambda c: c["methods"]["low-rank"]["adaptation"].update(layers="mapping"),
            "methods.low-rank.adaptation.layers: expected style layers for 'low-rank', found 'mapping'",
        ),
        (
            lambda c: c["cells"]["upright-everyday-flexpose"].update(layers=[3]),
            "cells.upright-everyday-flexpose.layers: expected layers of f, as Γ = pose sees no others, found (3,)",
        ),
        (
            lambda c: c["figures"]["figure4"].update(cell="upright-everyday-flexpose"),
            "cells.upright-everyday-flexpose-only-1.layers: expected layers of f, as Γ = pose sees no others",
        ),
        (
            lambda c: c["figures"]["figure4"].update(cell="upright-everyday-fine-tuned"),
            "figures.figure4.cell: expected a method that can be held to a layer, found 'fine-tuned'",
        ),
        (
            lambda c: [
                c["methods"]["flexpose-paper"]["adaptation"].update(perceptual={"kind": "pose"}),
                c["tables"].update(
                    baselines=c["tables"]["table1"], table1=c["tables"]["table2"], table3=c["tables"]["table2"]
                ),
                c.update(generator={"training": "adversarial", "architecture": {"mapping": "mlp"}}),
                c["methods"]["flexpose"]["adaptation"].update(joints="read"),
            ],
            "adaptation.perceptual.kind: expected one for a generator of mapping 'mlp', found 'pose'",
        ),
        (
            lambda c: c["datasets"]["everyday"].update(held_out_poses=0),
            "datasets.everyday: expected a val split, as g_s and β of cells.",
        ),
        (
            lambda c: c["regressor"].update(resolution=64),
            "regressor.resolution: expected 32, as generator.architecture",
        ),
        (lambda c: c["detector"].update(size=36), "expected a size that is a multiple of 8 and at least 16, found 36"),
        (
            lambda c: c["claims"]["more-poses"]["comparisons"].append(["upright-aligned", "no-cell"]),
            "claims.more-poses.comparisons: expected one of",
        ),
        (lambda c: c["tables"].update(claims=c["tables"]["table3"]), "tables.claims: expected another name"),
        (
            lambda c: [
                c["datasets"].update(mine={"reader": "keypoints-json", "root": "x", "train": "a.json", "images": True}),
                c["cells"].update(mine={"method": "aligned", "target": "mine"}),
                c["tables"].update(mine={"pck_rho": {"mine": 0.1}, "cells": ["mine"]}),
            ],
            "datasets.mine: expected a test split, as cells.mine is in a table or figure, found none",
        ),
        (
            lambda c: c["datasets"].update(
                mine={"reader": "simplified-human36m", "root": "x", "subjects": {"train": [1, 11], "test": [11]}}
            ),
            "expected other subjects in test than in train, found 11 in both",
        ),
        (
            lambda c: c["datasets"].update(mine={"reader": "mpi-inf-3dhp", "root": "x", "cameras": [0, 4, 0]}),
            "cameras: expected each once, found [0, 4, 0]",
        ),
        (
            lambda c: c["methods"]["low-rank"]["adaptation"].update(perceptual={"kind": "pose"}, layers="auto"),
            "adaptation.perceptual: expected images to be compared, as 'low-rank' changes style layers, found 'pose'",
        ),
    ],
)
def test_what_cannot_work_is_named(change, message):
    raw = raw_config()
    change(raw)
    with pytest.raises(ConfigError, match=r"^(config|adaptation|detector|guidance)") as error:
        load_config(raw)
    assert message in str(error.value)
