"""Figures as PNG and SVG files, the same bytes for the same data."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from flexpose_core.files import atomic_path

_DPI = 150
# Width of a letter of a name and height of a line of text, in inches.
_LETTER, _LINE = 0.09, 0.2
# Ids in an SVG file are random without a salt; text stays text.
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "flexpose",
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of width × height inches; no display is needed."""
    matplotlib.rcParams.update(_STYLE)
    return Figure(figsize=(width, height), layout="constrained")


def name_missing(figure: Figure, missing: Sequence[str]) -> None:
    """Say above a figure which runs belong in it and are not there."""
    if missing:
        lines = textwrap.wrap(f"missing: {', '.join(missing)}", int(12 * figure.get_figwidth()))
        figure.suptitle("\n".join(lines), fontsize="small", color="tab:red")


def picture_figure(image: np.ndarray, names: Sequence[str], lines: Sequence[str] = ()) -> Figure:
    """Return a figure of a picture (H, W, 3) uint8 whose rows, all of one height, have names; lines of text go beneath."""
    height, width, _ = image.shape
    beside = 0.1 + _LETTER * max(len(name) for name in names)
    figure = new_figure(10, (10 - beside) * height / width + 0.1 + _LINE * len(lines))
    # The picture keeps its proportions, and a constrained layout would leave no room for the names of few rows.
    figure.set_layout_engine("compressed")
    axes = figure.subplots()
    axes.imshow(image)
    axes.grid(False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([(row + 0.5) * height / len(names) for row in range(len(names))], names)
    axes.tick_params(length=0)
    if lines:
        axes.set_xlabel("\n".join(lines), fontsize="small", loc="left")
    return figure


def write_figure(figure: Figure, out_png: Path, out_svg: Path) -> None:
    """Write a figure in both formats, each atomically."""
    for path, form, metadata in ((out_png, "png", {"Software": None}), (out_svg, "svg", {"Date": None})):
        with atomic_path(path) as partial:
            figure.savefig(partial, format=form, dpi=_DPI, metadata=metadata)
