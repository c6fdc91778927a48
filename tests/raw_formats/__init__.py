"""Independent writers of the original datasets' formats: what a reader must understand, made from known joints.

Each writer makes a small tree of files and returns, for each original split, the joints (N, K, 2) in pixels that a reader must
yield, in the order in which it must yield them, NaN where nothing is annotated. Joints are named here, not imported from the
readers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flexpose_core.datasets import options
from flexpose_core.datasets.options import AnnotatedOptions

from . import faces, human36m, mocap, sports, stills


@dataclass(frozen=True)
class Format:
    """`write(root, seed, images)`, and the options of the reader besides root and images."""

    write: Callable[[Path, int, bool], dict[str, np.ndarray]]
    options: type[AnnotatedOptions]
    others: dict

    def options_for(self, root: Path, **others) -> AnnotatedOptions:
        """Return the reader's options, nothing held out unless `others` say so."""
        return self.options(**{"root": str(root), "held_out": 0.0, **self.others, **others})


FORMATS = {
    "coco": Format(stills.write_coco, options.CocoOptions, {}),
    "keypoints-json": Format(
        stills.write_own,
        options.KeypointsJsonOptions,
        {
            "train": "notes/train.json",
            "test": "notes/test.json",
            "pictures": "frames",
            "joints": {"pelvis": "root", "neck": ("throat", "nape")},
        },
    ),
    "lsp": Format(sports.write_lsp, options.LspOptions, {}),
    "lsp-extended": Format(sports.write_lsp_extended, options.LspExtendedOptions, {}),
    "penn-action": Format(sports.write_penn_action, options.PennActionOptions, {}),
    "mpi-inf-3dhp": Format(mocap.write_3dhp, options.Mpi3dhpOptions, {"cameras": (0, 8)}),
    "surreal": Format(mocap.write_surreal, options.SurrealOptions, {"head_top": 0.5}),
    "human36m": Format(human36m.write_cdf, options.Human36mOptions, {}),
    "human36m-npz": Format(human36m.write_npz, options.Human36mNpzOptions, {"test": "h36m_test.npz"}),
    "simplified-human36m": Format(human36m.write_simplified, options.SimplifiedHuman36mOptions, {}),
    "300-vw": Format(faces.write_300vw, options.ThreeHundredVwOptions, {}),
    "wflw": Format(faces.write_wflw, options.WflwOptions, {}),
}
