"""The figures that claims are tested on, read from cells' metrics files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flexpose_core.errors import DataError
from flexpose_core.files import read_json
from flexpose_core.stages.tabulate import read_metrics

Figures = Mapping[str, Mapping[int, float]]
"""A figure of each cell and seed."""


def detection_figures(files: Sequence[Path]) -> Figures:
    """Return the flip-aware MSE-Pixel of the test split, in px², of cells' metrics files."""
    return _figures(files, lambda entry: entry["test"]["flip_aware"]["mse"])


def new_subjects_figures(files: Sequence[Path]) -> Figures:
    """Return the same of the test samples alone whose subject the training split does not show, where there are any."""
    return _figures(files, lambda entry: (entry["test_new_subjects"] or {}).get("flip_aware", {}).get("mse"))


def labelled_figures(files: Sequence[Path]) -> Figures:
    """Return MSE-Pixel, in px², with left and right as they are annotated."""
    return _figures(files, lambda entry: entry["test"]["as_is"]["mse"])


def _figures(files: Sequence[Path], of: Callable[[Mapping[str, Any]], float | None]) -> Figures:
    figures: dict[str, dict[int, float]] = {}
    for entry in map(read_metrics, files):
        if (figure := of(entry)) is not None:
            figures.setdefault(entry["name"], {})[entry["seed"]] = figure
    return figures


def detection_floors(files: Sequence[Path]) -> dict[str, float]:
    """Return the flip-aware MSE-Pixel, in px², of always answering the mean training pose, of each cell."""
    entries = map(read_metrics, files)
    return {entry["name"]: entry["test_mean_pose"]["flip_aware"]["mse"] for entry in entries}


def adaptation_figures(files: Mapping[Path, tuple[str, int]]) -> Figures:
    """Return the loss after the adaptation in units of that before it; raises DataError for a file without losses."""
    figures: dict[str, dict[int, float]] = {}
    for path, (cell, seed) in files.items():
        loss = read_json(path).get("loss")
        if not loss:
            raise DataError(f"{path}: expected the losses of an adaptation to pairs, found none")
        figures.setdefault(cell, {})[seed] = loss["after"] / loss["before"]
    return figures
