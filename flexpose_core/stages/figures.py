"""Figures of losses and errors, drawn from metrics files and trainings' logs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flexpose_core.errors import DataError
from flexpose_core.files import read_json
from flexpose_core.rendering.charts import name_missing, new_figure, write_figure
from flexpose_core.skeletons import SKELETONS
from flexpose_core.stages.tabulate import read_metrics
from flexpose_core.training.log import HEALTH, read_scalars


def draw_layer_losses(
    files: Sequence[Path], layers: Sequence[int], out_png: Path, out_svg: Path, missing: Sequence[str] = ()
) -> None:
    """Draw Figure 4: the loss of Eq. 5 before and after adapting a single layer, against the layer, each seed a point.

    Parameters
    ----------
    files
        Metrics files of adaptations.
    layers
        The layer that each changed.
    missing
        Runs that belong here and have no file; the figure says so.
    """
    losses = layer_losses(files, layers)
    figure = new_figure(6, 3.5)
    axes = figure.subplots()
    places = list(losses)
    for name, colour in (("before", "0.6"), ("after", "tab:blue")):
        means = [float(np.mean(losses[layer][name])) for layer in places]
        axes.plot(places, means, color=colour, marker="o", label=f"{name} the adaptation")
        for layer in places:
            axes.plot([layer] * len(losses[layer][name]), losses[layer][name], ".", color=colour, alpha=0.6)
    axes.set_xticks(places)
    axes.set_ylim(0, 1.1 * max(value for own in losses.values() for values in own.values() for value in values))
    axes.set_xlabel("layer l that is adapted, from coarse to fine")
    axes.set_ylabel("loss of Eq. 5")
    axes.legend()
    name_missing(figure, missing)
    write_figure(figure, out_png, out_svg)


def layer_losses(files: Sequence[Path], layers: Sequence[int]) -> dict[int, dict[str, list[float]]]:
    """Return the losses "before" and "after" of each layer, one a seed; raises DataError for a file without losses."""
    found: dict[int, dict[str, list[float]]] = {}
    for path, layer in zip(files, layers, strict=True):
        loss = read_json(path).get("loss")
        if not loss:
            raise DataError(f"{path}: expected the losses of an adaptation to pairs, found none")
        entry = found.setdefault(layer, {"before": [], "after": []})
        for name, values in entry.items():
            values.append(loss[name])
    return dict(sorted(found.items()))


def draw_joint_errors(files: Sequence[Path], out_png: Path, out_svg: Path, missing: Sequence[str] = ()) -> None:
    """Draw each joint's mean distance from the truth in px at 128 for each cell; bars are standard deviations over seeds.

    Distances are those of the test split under the better left/right labelling of each sample. Runs that have no file are
    named in the figure.
    """
    errors = joint_errors([read_metrics(path) for path in files])
    joints = in_skeletons_order({joint for own in errors.values() for joint in own})
    columns = min(3, len(errors))
    figure = new_figure(max(6.0, 0.55 * len(joints)), 3.4 + 0.25 * -(-len(errors) // columns))
    axes = figure.subplots()
    width = 0.8 / len(errors)
    for place, (cell, own) in enumerate(errors.items()):
        values = [np.asarray(own.get(joint, []), float) for joint in joints]
        means = [float(one.mean()) if len(one) else np.nan for one in values]
        spread = [float(one.std(ddof=1)) if len(one) > 1 else 0.0 for one in values]
        x = np.arange(len(joints)) + (place - (len(errors) - 1) / 2) * width
        axes.bar(x, means, width, yerr=spread if any(spread) else None, label=cell, capsize=1.5)
    axes.set_xticks(range(len(joints)), [joint.replace("_", " ") for joint in joints], rotation=60, ha="right")
    axes.set_ylabel("mean distance, px at 128")
    # Above the bars it would hide some.
    figure.legend(loc="outside lower center", ncols=columns)
    name_missing(figure, missing)
    write_figure(figure, out_png, out_svg)


def in_skeletons_order(joints: Collection[str]) -> list[str]:
    """Return joints as their skeletons number them, limb by limb, and after these in alphabetical order those of none.

    In a metrics file they stand in alphabetical order.
    """
    known = {joint: None for skeleton in SKELETONS.values() for joint in skeleton.joints if joint in joints}
    return [*known, *sorted(set(joints) - known.keys())]


def joint_errors(entries: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Return cell → joint → distances in px, one a seed that shows the joint."""
    errors: dict[str, dict[str, list[float]]] = {}
    for entry in entries:
        own = errors.setdefault(entry["name"], {})
        for joint, distance in entry["test"]["flip_aware"]["joint_distance"].items():
            values = own.setdefault(joint, [])
            if distance is not None:
                values.append(distance)
    return errors


def draw_curves(works: Mapping[str, Path], out_png: Path, out_svg: Path, missing: Sequence[str] = ()) -> None:
    """Draw what the detectors' trainings logged against the step, one panel a scalar and one line a run.

    Parameters
    ----------
    works
        Each run's folder of its training.
    missing
        Runs that belong here and have no detector; the figure says so.

    Raises
    ------
    DataError
        If a training has left no log.
    """
    curves = {run: read_curves(work) for run, work in works.items()}
    names = list(dict.fromkeys(name for own in curves.values() for name in own))
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(3.6 * columns, 2.6 * rows + 0.3 * len(curves))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(grid, names, strict=False):
        for place, (run, own) in enumerate(curves.items()):
            if name in own:
                axes.plot(*own[name], color=f"C{place}", linewidth=1, label=run)
        axes.set_title(name, fontsize="medium")
        axes.set_xlabel("step")
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    lines = {label: line for axes in grid for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(list(lines.values()), list(lines), loc="outside lower center")
    name_missing(figure, missing)
    write_figure(figure, out_png, out_svg)


def read_curves(work: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Return the steps and values of each loss that a training logged, as if it had never been interrupted.

    Raises
    ------
    DataError
        If there is no log, or it is damaged.
    """
    log = Path(work) / "log"
    if not log.is_dir():
        raise DataError(f"{log}: expected the log of a training, found no folder; train again to have its curve")
    curves = {}
    for name, points in read_scalars(log).items():
        if not name.startswith(HEALTH):
            steps = sorted(points)
            curves[name] = (steps, [points[step] for step in steps])
    if not curves:
        raise DataError(f"{log}: expected the scalars of a training, found none")
    return curves
