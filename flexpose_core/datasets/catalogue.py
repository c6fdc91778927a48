"""What a person needs to know of each real dataset: where it comes from, on what terms, and what lies where once unpacked."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

AT_MOST = 100_000
"""Files counted of a kind: more are as good."""


@dataclass(frozen=True)
class Expected:
    """Files that a dataset's root must hold, or may.

    `pattern` is a glob below the root, `instead` another one that serves as well; `needed` says for what: always, for the images,
    or for nothing.
    """

    pattern: str
    what: str
    needed: Literal["always", "images", "optional"] = "always"
    instead: str | None = None

    def found(self, root: Path, at_most: int = AT_MOST) -> tuple[str, int]:
        """Return the pattern that finds something, or the first, and how many files, counting no further than `at_most`."""
        for pattern in (self.pattern, self.instead):
            count = 0 if pattern is None else sum(1 for _ in islice(root.glob(pattern), at_most))
            if pattern is not None and count:
                return pattern, count
        return self.pattern, 0


@dataclass(frozen=True)
class Entry:
    """One dataset."""

    title: str
    obtain: str
    licence: str
    layout: tuple[Expected, ...]
    paper: dict[str, int]
    """Poses that the FlexPose paper counts, by split; empty where it does not use the set."""
    note: str = ""


LIMITED = "the paper's 121,000 poses are limit.train: 120000 and the 1,000 of pose-mixup"

CATALOGUE = {
    "coco": Entry(
        title="COCO-2017 person keypoints",
        obtain="cocodataset.org, Download: 2017 train/val annotations, and the image archives where images are wanted",
        licence="annotations CC BY 4.0; images under the terms of Flickr",
        layout=(
            Expected("annotations/person_keypoints_train2017.json", "training annotations"),
            Expected("annotations/person_keypoints_val2017.json", "annotations of the test split"),
            Expected("train2017/*.jpg", "training images", "images"),
            Expected("val2017/*.jpg", "images of the test split", "images"),
        ),
        paper={"train": 32_000},
    ),
    "keypoints-json": Entry(
        title="your own data in COCO's keypoint format",
        obtain="any annotation tool that exports COCO keypoints",
        licence="yours",
        layout=(Expected("**/*.json", "annotation files"),),
        paper={},
    ),
    "mpi-inf-3dhp": Entry(
        title="MPI-INF-3DHP",
        obtain="vcai.mpi-inf.mpg.de/3dhp-dataset, by its own download script",
        licence="non-commercial research, see its licence file",
        layout=(
            Expected("S[1-8]/Seq[12]/annot.mat", "training annotations"),
            Expected("mpi_inf_3dhp_test_set/TS[1-6]/annot_data.mat", "test annotations"),
            Expected("S[1-8]/Seq[12]/imageSequence/video_*.avi", "training videos", "images"),
            Expected("mpi_inf_3dhp_test_set/TS[1-6]/imageSequence/img_*.jpg", "test images", "images"),
        ),
        paper={"train": 121_000},
        note=LIMITED,
    ),
    "surreal": Entry(
        title="SURREAL",
        obtain="www.di.ens.fr/willow/research/surreal, after registration",
        licence="non-commercial research, see its terms",
        layout=(
            Expected("data/cmu/train/run[0-2]/*/*_info.mat", "training annotations"),
            Expected("data/cmu/val/run[0-2]/*/*_info.mat", "validation annotations"),
            Expected("data/cmu/test/run[0-2]/*/*_info.mat", "test annotations"),
            Expected("data/cmu/*/run[0-2]/*/*.mp4", "videos", "images"),
        ),
        paper={"train": 121_000},
        note=f"the root is the folder SURREAL; {LIMITED}",
    ),
    "human36m": Entry(
        title="Human3.6M",
        obtain="vision.imar.ro/human3.6m, after registration",
        licence="academic use only, see its licence agreement",
        layout=(
            Expected("S*/MyPoseFeatures/D2_Positions/*.cdf", "2D poses", instead="S*/Poses_D2_Positions/*.cdf"),
            Expected("S*/Videos/*.mp4", "videos", "images"),
        ),
        paper={"train": 3_600_000},
    ),
    "human36m-npz": Entry(
        title="Human3.6M as an .npz of 17 joints",
        obtain="made from Human3.6M by the preparation scripts of several mesh recovery projects",
        licence="that of Human3.6M",
        layout=(Expected("*.npz", "arrays part and imgname"),),
        paper={"train": 3_600_000},
    ),
    "simplified-human36m": Entry(
        title="Simplified Human3.6M",
        obtain="the authors of Zhang et al. 2018, Unsupervised Discovery of Object Landmarks as Structural Representations",
        licence="that of Human3.6M",
        layout=(
            Expected("human_images/S*/Landmarks/*/*.mat", "landmarks"),
            Expected("human_images/S*/WithBackground/*/*.jpg", "images", "images"),
            Expected(
                "human_images/S*/BackgroudMask/*/*.png", "masks (the folder is misspelt in the original)", "optional"
            ),
        ),
        paper={"train": 800_000, "test": 90_000},
    ),
    "300-vw": Entry(
        title="300-VW",
        obtain="ibug.doc.ic.ac.uk/resources/300-VW, on request",
        licence="non-commercial research",
        layout=(
            Expected("300VW_Dataset_2015_12_14/*/annot/*.pts", "landmarks"),
            Expected("300VW_Dataset_2015_12_14/*/vid.avi", "videos", "images"),
        ),
        paper={"train": 95_000},
    ),
    "wflw": Entry(
        title="WFLW",
        obtain="wywu.github.io/projects/LAB/WFLW.html",
        licence="non-commercial research",
        layout=(
            Expected(
                "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_train.txt",
                "training list",
                instead="WFLW_annotations/list_98pt_test/list_98pt_train.txt",
            ),
            Expected(
                "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_test.txt",
                "test list",
                instead="WFLW_annotations/list_98pt_test/list_98pt_test.txt",
            ),
            Expected("WFLW_images/*/*.jpg", "images", "images"),
        ),
        paper={"train": 7_500, "test": 2_500},
    ),
    "penn-action": Entry(
        title="Penn Action",
        obtain="dreamdragon.github.io/PennAction",
        licence="research, see its site",
        layout=(
            Expected("labels/*.mat", "labels"),
            Expected("frames/*/*.jpg", "frames", "images"),
        ),
        paper={},
    ),
    "lsp": Entry(
        title="Leeds Sports Poses",
        obtain="sam.johnson.io/research/lsp.html",
        licence="non-commercial research",
        layout=(Expected("joints.mat", "joints"), Expected("images/im*.jpg", "images", "images")),
        paper={},
    ),
    "lsp-extended": Entry(
        title="Leeds Sports Poses Extended",
        obtain="sam.johnson.io/research/lspet.html",
        licence="non-commercial research",
        layout=(Expected("joints.mat", "joints"), Expected("images/im*.jpg", "images", "images")),
        paper={},
    ),
}


def paper_sizes(reader: str) -> dict[str, int]:
    """Return the poses that the paper counts of a dataset, by split."""
    return CATALOGUE[reader].paper if reader in CATALOGUE else {}
