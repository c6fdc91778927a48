"""Tables, drawn from metrics files and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flexpose_core.errors import DataError
from flexpose_core.files import read_json, write_text
from flexpose_core.options.adaptation import layers_text
from flexpose_core.paper_tables import PAPER_COLUMNS, PAPER_TABLES, check_paper_rows
from flexpose_core.stages import missing
from flexpose_core.stages.overview import at_a_glance
from flexpose_core.stages.table_kinds import DETECTION, DISTANCES, KINDS, SAMPLES, TableKind

# What a cell is, beside its name; a cell's seeds agree in these.
_FACTORS = (
    "name",
    "method",
    "guidance",
    "target",
    "source",
    "annotation_set_size",
    "channels",
    "shots",
    "layers",
    "pck_rho",
)
_COUNTS = ("channels", "shots", "annotation_set_size", "seeds")
_MEASURES = (*DETECTION, *DISTANCES, *SAMPLES)


def tabulate(
    name: str,
    kind: str,
    runs: Sequence[Mapping[str, Any]],
    metrics_files: Sequence[Path],
    pck_rho: dict[str, float],
    paper_rows: Sequence[int | None],
    out_csv: Path,
    out_markdown: Path,
) -> None:
    """Write a table from the metrics files of its cells, a cell's seeds averaged; rows in the order of the files.

    The paper's own table of that name, such as "table1", is printed below it. A cell without metrics has a row without figures,
    and if any seed is missing, a column `missing_seeds` tells which.

    Parameters
    ----------
    kind
        A key of `KINDS`.
    runs
        The runs that the table is of, in its order, each with the "name", "cell" and "seed" that its metrics have.
    metrics_files
        The metrics of these runs, or of those of them that have any.
    paper_rows
        The number of each cell's row in the paper's table of that name, None for a cell not in it; empty to leave the paper's
        figures out.
    """
    entries = [read_metrics(path) for path in metrics_files]
    absent = missing.missing_seeds(runs, entries)
    table = summarise(entries, pck_rho)
    if absent:
        described = {run["name"]: _factors(run, pck_rho, run["cell"]["annotation_set_size"]) for run in runs}
        table = missing.with_missing(table, absent, described)
    if paper_rows:
        table = beside_paper(table, name, paper_rows)
    if kind == "baselines":
        table = with_floors(by_pair(table), entries)
    floors = {entry["cell"]["target"]: entry["test_mean_pose"] for entry in entries}
    columns = table.reindex(columns=[*KINDS[kind].columns, *([missing.COLUMN] if absent else [])])
    write_text(out_csv, columns.to_csv(index=False, float_format="%.4f"))
    glance = at_a_glance(table, entries) if kind == "baselines" else ""
    text = render_markdown(name, KINDS[kind], table, floors, pck_rho, absent, glance)
    if "layers" in KINDS[kind].columns:
        text += render_choices(entries)
    write_text(out_markdown, text)


_KEYS = {"name", "cell", "seed", "annotation_set_size", "test", "test_new_subjects", "test_mean_pose"}


def read_metrics(path: Path) -> dict[str, Any]:
    """Read a cell's metrics file; raises DataError if it is not one."""
    entry = read_json(path)
    lacking = _KEYS - set(entry)
    if lacking:
        raise DataError(f"{path}: expected a cell's metrics, found no {sorted(lacking)[0]!r}")
    return entry


def summarise(entries: Sequence[dict[str, Any]], pck_rho: dict[str, float]) -> pd.DataFrame:
    """Return one row a cell, the mean over its seeds, and standard deviations under NAME_sd.

    `improvement_over_direct_pct` is 100·(D - m)/D and `gap_closed_pct` is 100·(D - m)/(D - A), where m is the row's flip-aware
    MSE, D that of `direct` with the same target, source, shots and size of annotation set, and A that of `aligned` with the same
    target. Both are empty where D or A is missing, and for D and A themselves where they say nothing.
    """
    gains_of = ("improvement_over_direct_pct", "gap_closed_pct")
    if not entries:
        deviations = [f"{name}_sd" for name in _MEASURES]
        return pd.DataFrame(columns=[*_FACTORS, *_MEASURES, *deviations, "seeds", *gains_of])
    runs = pd.DataFrame([_row(entry, pck_rho) for entry in entries])
    groups = runs.groupby(list(_FACTORS), sort=False, dropna=False)
    measures = groups[list(_MEASURES)]
    # One seed has no standard deviation: the cell stays empty.
    table = measures.mean().join(measures.std(ddof=1).add_suffix("_sd")).reset_index()
    table["seeds"] = groups.size().to_numpy()
    for name in _COUNTS:
        table[name] = table[name].astype("Int64")
    aligned = table[table.method == "aligned"].set_index("target").mse_pixel_flip
    direct = table[table.method == "direct"]
    gains = [_gains(row, direct, aligned) for row in table.itertuples()]
    # Seeds may choose differently.
    chosen = chosen_layers(entries)
    table["layers"] = [chosen.get(name, layers) for name, layers in zip(table["name"], table["layers"], strict=True)]
    for name, values in zip(gains_of, zip(*gains, strict=True), strict=True):
        table[name] = values
    return table


def chosen_layers(entries: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return for each cell that chose its layers what its seeds chose: "auto: 3", or "auto: 3 or 1, 3"."""
    chosen: dict[str, dict[str, None]] = {}
    for entry in entries:
        if "layer_search" in entry:
            chosen.setdefault(entry["name"], {})[layers_text(entry["layer_search"]["layers"])] = None
    return {name: "auto: " + " or ".join(texts) for name, texts in chosen.items()}


def _gains(row: Any, direct: pd.DataFrame, aligned: pd.Series) -> tuple[float, float]:
    """Return by how many percent a row is better than Direct, and how much of the gap to Aligned it closes; NaN where untold.

    Direct is that of the row's target, source, shots and size of annotation set.
    """
    alike = direct[(direct.target == row.target) & (direct.source == row.source)]
    for name in ("shots", "annotation_set_size"):
        own = getattr(row, name)
        alike = alike[alike[name].isna() if pd.isna(own) else alike[name].eq(own).fillna(False)]
    if row.method in ("aligned", "direct") or len(alike) != 1:
        return np.nan, np.nan
    worst, best = alike.mse_pixel_flip.iloc[0], aligned.get(row.target, np.nan)
    gain = worst - row.mse_pixel_flip
    # Two rows of Aligned, or one that is no better than Direct: there is no gap.
    closed = 100 * gain / (worst - best) if np.isscalar(best) and worst > best else np.nan
    return 100 * gain / worst, closed


def _factors(entry: Mapping[str, Any], pck_rho: dict[str, float], size: int | None) -> dict[str, Any]:
    """Return what a run is; `size` is how many poses its annotation set has."""
    cell = entry["cell"]
    layers, own = cell.get("layers"), _has_own_poses(entry)
    return {
        "name": entry["name"],
        "method": cell["method"],
        "guidance": cell.get("guidance"),
        "target": cell["target"],
        "source": "+".join(cell["sources"]) or (cell["target"] if own else "none"),
        "annotation_set_size": size,
        # The target's own poses come from no generator; the detector draws them in one channel.
        "channels": 1 if own else cell.get("channels"),
        "shots": cell.get("shots"),
        "layers": None if layers is None else layers_text(layers),
        "pck_rho": pck_rho[cell["target"]],
    }


def _has_own_poses(entry: Mapping[str, Any]) -> bool:
    """Return whether a run has the target's own poses; of one that is not there, as far as its cell tells."""
    cell = entry["cell"]
    methods = entry.get("origin", {}).get("options", {}).get("methods", {})
    poses = methods.get(cell["method"], {}).get("poses")
    return poses == "target" if poses else not cell["sources"] and not cell.get("shots")


def _row(entry: dict[str, Any], pck_rho: dict[str, float]) -> dict[str, Any]:
    test, new, distribution = entry["test"], entry["test_new_subjects"], entry.get("distribution", {})
    factors = _factors(entry, pck_rho, entry["annotation_set_size"])
    rho = factors["pck_rho"]
    return {
        **factors,
        "mse_pixel": test["as_is"]["mse"],
        "mse_pixel_flip": test["flip_aware"]["mse"],
        "mse_pixel_flip_new": new["flip_aware"]["mse"] if new else np.nan,
        "joint_distance": test["as_is"]["mean_distance"],
        "pck": test["as_is"]["pck"][f"{rho:g}"],
        "pck_flip": test["flip_aware"]["pck"][f"{rho:g}"],
        **{name: distribution.get(name, np.nan) for name in (*DISTANCES, *SAMPLES)},
    }


def beside_paper(table: pd.DataFrame, name: str, rows: Sequence[int | None]) -> pd.DataFrame:
    """Return the table with the number and the figures of each row in the paper's table of that name, None for a row not in it.

    Raises
    ------
    ConfigError
        If the paper has no numbered table of that name, or it lacks a row.
    DataError
        If a cell has not just one row, as where its seeds have annotation sets of different sizes.
    """
    check_paper_rows(name, rows)
    if len(rows) != len(table):
        raise DataError(f"{name}: expected a row a cell, {len(rows)}, to stand beside the paper's, found {len(table)}")
    printed = {row[0]: row[-2:] for row in PAPER_TABLES[name]}
    nothing = (np.nan, np.nan)
    figures = pd.DataFrame(
        [nothing if row is None else printed[row] for row in rows], columns=["paper_mse_pixel", "paper_pck"]
    )
    return pd.concat([pd.DataFrame({"row": list(rows)}, dtype="Int64"), table, figures], axis=1)


def by_pair(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each target and source together, in the order of their first appearance."""
    places = {pair: place for place, pair in enumerate(dict.fromkeys(zip(table.target, table.source, strict=True)))}
    targets = {target: place for place, target in enumerate(dict.fromkeys(table.target))}
    order = [
        (targets[target], places[(target, source)]) for target, source in zip(table.target, table.source, strict=True)
    ]
    return table.iloc[sorted(range(len(table)), key=order.__getitem__)].reset_index(drop=True)


def with_floors(table: pd.DataFrame, entries: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return the table with a row `real` a target: its own training poses against its validation poses."""
    rows = []
    for target in dict.fromkeys(table.target):
        floors = pd.DataFrame([entry["distribution_floor"] for entry in entries if entry["cell"]["target"] == target])
        if not len(floors):
            continue
        # Shots differ between seeds, and so does the distance from them; the rest is the same in all.
        rows.append({"method": "real", "target": target, "source": target, **floors.mean().to_dict()})
    if not rows:
        return table
    floors = pd.DataFrame(rows).astype({"method": object})
    return pd.concat([table, floors], ignore_index=True).astype({name: table[name].dtype for name in _COUNTS})


def render_markdown(
    name: str,
    kind: TableKind,
    table: pd.DataFrame,
    floors: dict[str, Any],
    pck_rho: dict[str, float],
    absent: Mapping[str, Sequence[int]],
    glance: str = "",
) -> str:
    """Return the table for reading, what the mean pose has and the paper's own table of that name, if it has one, below it.

    Parameters
    ----------
    glance
        What stands above it, if anything does.
    """
    title = re.sub(r"^table(\d+)$", r"Table \1", name).replace("baselines", "Baselines")
    lines = [
        f"# {title}",
        "",
        *([glance] if glance else []),
        kind.note,
        "",
        _measured(table, kind),
        "",
        *missing.note(absent),
    ]
    if floors:
        lines += [
            "For comparison, always answering with the mean training pose:",
            "",
            _floors(floors, pck_rho),
            "",
        ]
    if name in PAPER_TABLES:
        columns = PAPER_COLUMNS[name]
        printed = pd.DataFrame(PAPER_TABLES[name], columns=list(columns))
        # As many digits as the paper has.
        pck = ".2f" if (printed.iloc[:, -1].round(2) == printed.iloc[:, -1]).all() else ".3f"
        lines += [
            f"The paper's own {title} (other data, other networks: compare the order, not the figures):",
            "",
            printed.to_markdown(index=False, floatfmt=(*[""] * (len(columns) - 2), ".2f", pck)),
            "",
        ]
    return "\n".join(lines)


def render_choices(entries: Sequence[dict[str, Any]]) -> str:
    """Return, for reading, the score of every candidate where layers were chosen from the shots; nothing if nowhere."""
    rows = [
        {
            "Cell": entry["name"],
            "Seed": str(entry["seed"]),
            "l": layers_text(candidate["layers"]),
            "Score px": f"{candidate['score']:.2f}",
            "Above the best": f"{candidate['excess']:.2f} ± {candidate['excess_error']:.2f}",
            "Chosen": "yes" if candidate["layers"] == entry["layer_search"]["layers"] else "",
        }
        for entry in entries
        if "layer_search" in entry
        for candidate in entry["layer_search"]["candidates"]
    ]
    if not rows:
        return ""
    heading = (
        "Layers chosen from the shots alone: the energy score of shots held out, the lower the better; "
        "± is the standard error over shots."
    )
    return "\n".join(["", heading, "", pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True), ""])


def _measured(table: pd.DataFrame, kind: TableKind) -> str:
    rows = [
        missing.marked(row, {heading: text(row) for heading, text in kind.shown.items()}, "MSE-Pixel")  # type: ignore[arg-type]
        for row in table.to_dict("records")
    ]
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def _floors(floors: dict[str, Any], pck_rho: dict[str, float]) -> str:
    rows = [
        {
            "Target": target,
            "MSE-Pixel": f"{floor['as_is']['mse']:.1f}",
            "MSE flip": f"{floor['flip_aware']['mse']:.1f}",
            "PCK flip": f"{floor['flip_aware']['pck'][f'{pck_rho[target]:g}']:.3f} (ρ = {pck_rho[target]:g})",
        }
        for target, floor in floors.items()
    ]
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
