"""The kinds of tables: which columns a table of each kind has, as CSV and for reading.

A row is what `flexpose_core.stages.tabulate.summarise` makes of a cell: means over seeds under their own names, standard
deviations under NAME_sd.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

Row = Mapping[str, Any]

DETECTION = ("mse_pixel", "mse_pixel_flip", "mse_pixel_flip_new", "joint_distance", "pck", "pck_flip")
DISTANCES = (
    "sliced_wasserstein_px",
    "mmd_squared",
    "density",
    "coverage",
    "length_ratio_pp",
    "joint_angle_deg",
    "nearest_shot_px",
    "pairwise_px",
)
SAMPLES = (
    "real_sample",
    "fake_sample",
    "kernel_sample",
    "neighbour_sample",
    "real_shape_sample",
    "fake_shape_sample",
    "real_pair_sample",
    "fake_pair_sample",
)


@dataclass(frozen=True)
class TableKind:
    """Columns of the CSV file, columns for reading as heading → text of a row, and what is said above them."""

    columns: tuple[str, ...]
    shown: dict[str, Callable[[Row], str]]
    note: str


def figure(name: str, digits: int) -> Callable[[Row], str]:
    """Return how a mean is shown: with its standard deviation if there is one, as nothing if it is missing."""

    def text(row: Row) -> str:
        mean, deviation = row[name], row.get(f"{name}_sd")
        if pd.isna(mean):
            return ""
        return f"{mean:.{digits}f}" + ("" if pd.isna(deviation) else f" ± {deviation:.{digits}f}")

    return text


def plain(name: str, form: str = "{}") -> Callable[[Row], str]:
    """Return how a single value is shown, as nothing if it is missing."""
    return lambda row: "" if pd.isna(row.get(name)) else form.format(row[name])


def with_deviations(*names: str) -> tuple[str, ...]:
    """Return each name followed by that of its standard deviation."""
    return tuple(column for name in names for column in (name, f"{name}_sd"))


_DETECTION_NOTE = (
    "MSE-Pixel in px² and mean joint distance in px, both on the 128-px scale, over the joints of the test split; "
    "flip: the better of the two left/right labellings of each sample; new: of people whom the training split does not show; "
    "± is the standard deviation over seeds."
)

RESULTS = TableKind(
    columns=(
        "method",
        "target",
        "source",
        "annotation_set_size",
        "mse_pixel",
        "mse_pixel_flip",
        "mse_pixel_sd",
        "mse_pixel_flip_sd",
        "mse_pixel_flip_new",
        "mse_pixel_flip_new_sd",
        "joint_distance",
        "pck_rho",
        "pck",
        "pck_flip",
        "seeds",
        "improvement_over_direct_pct",
        "gap_closed_pct",
    ),
    shown={
        "Method": plain("method"),
        "Target": plain("target"),
        "Source": plain("source"),
        "Annotation set": plain("annotation_set_size"),
        "MSE-Pixel": figure("mse_pixel", 1),
        "MSE flip": figure("mse_pixel_flip", 1),
        "MSE flip, new": figure("mse_pixel_flip_new", 1),
        "Distance": plain("joint_distance", "{:.2f}"),
        "PCK": lambda row: "" if pd.isna(row["pck"]) else f"{row['pck']:.3f} (ρ = {row['pck_rho']:g})",
        "PCK flip": plain("pck_flip", "{:.3f}"),
        "Seeds": plain("seeds"),
        "Better than Direct by": plain("improvement_over_direct_pct", "{:.1f} %"),
        "Gap closed": plain("gap_closed_pct", "{:.1f} %"),
    },
    note=_DETECTION_NOTE,
)

ABLATION = TableKind(
    columns=(
        "row",
        "method",
        "target",
        "source",
        "annotation_set_size",
        "channels",
        "shots",
        "layers",
        *with_deviations("mse_pixel", "mse_pixel_flip", "mse_pixel_flip_new"),
        "pck_rho",
        *with_deviations("pck", "pck_flip"),
        "seeds",
        "paper_mse_pixel",
        "paper_pck",
    ),
    shown={
        "#": plain("row"),
        "Method": plain("method"),
        "Source": plain("source"),
        "Annotation set": plain("annotation_set_size"),
        "Channels": plain("channels"),
        "Shots": plain("shots"),
        "l": plain("layers"),
        "MSE-Pixel": figure("mse_pixel", 1),
        "MSE flip": figure("mse_pixel_flip", 1),
        "MSE flip, new": figure("mse_pixel_flip_new", 1),
        "PCK": figure("pck", 3),
        "PCK flip": figure("pck_flip", 3),
        "Seeds": plain("seeds"),
        "Paper's MSE-Pixel": plain("paper_mse_pixel", "{:.2f}"),
        "Paper's PCK": plain("paper_pck", "{:.2f}"),
    },
    note=_DETECTION_NOTE
    + " Channels are those of the skeleton images that the poses come from; the detector draws in one.",
)

BASELINES = TableKind(
    columns=(
        "method",
        "guidance",
        "target",
        "source",
        "annotation_set_size",
        "shots",
        "layers",
        *with_deviations("mse_pixel", "mse_pixel_flip", "mse_pixel_flip_new"),
        "pck_rho",
        *with_deviations("pck", "pck_flip"),
        *with_deviations(*DISTANCES),
        *SAMPLES,
        "seeds",
    ),
    shown={
        "Method": plain("method"),
        "Guidance": plain("guidance"),
        "l": plain("layers"),
        "Target": plain("target"),
        "Source": plain("source"),
        "MSE-Pixel": figure("mse_pixel", 1),
        "MSE flip": figure("mse_pixel_flip", 1),
        "MSE flip, new": figure("mse_pixel_flip_new", 1),
        "PCK flip": figure("pck_flip", 3),
        "SW px": figure("sliced_wasserstein_px", 2),
        "MMD²": figure("mmd_squared", 4),
        "Density": figure("density", 2),
        "Coverage": figure("coverage", 2),
        "Lengths pp": figure("length_ratio_pp", 2),
        "Angles °": figure("joint_angle_deg", 1),
        "Nearest shot px": figure("nearest_shot_px", 1),
        "Pairwise px": figure("pairwise_px", 1),
        "Poses": plain("annotation_set_size"),
        "N": lambda row: "/".join(
            "" if pd.isna(row[name]) else f"{row[name]:.0f}"
            for name in (
                "real_sample",
                "fake_sample",
                "kernel_sample",
                "neighbour_sample",
                "real_shape_sample",
                "fake_shape_sample",
                "fake_pair_sample",
            )
        ),
        "Seeds": plain("seeds"),
    },
    note=_DETECTION_NOTE
    + " The other figures compare the annotation set with the target's validation poses: sliced Wasserstein distance, "
    "unbiased squared MMD, density and coverage; the 1-Wasserstein distances of the bones' shares of the total length "
    "(percentage points) and of the joints' angles (degrees); and say how far the set's poses are from the nearest shot "
    "(0: memorised; mirror images of shots are none) and from one another (0: collapsed). "
    "N are the poses behind SW, of the target and of the set; of each behind MMD, and behind density and coverage; behind lengths "
    "and angles, of the target and of the set; and behind the last two. "
    "Of rows that learn from the images of the shots these figures are those of the poses that they start from. "
    "`real` is the floor, real against real: the target's own training poses.",
)

KINDS = {"results": RESULTS, "ablation": ABLATION, "baselines": BASELINES}
