"""Tables, drawn from metrics files and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flexpose_core.errors import DataError
from flexpose_core.files import read_json, write_text
from flexpose_core.stages.paper_tables import PAPER_COLUMNS, PAPER_TABLES

COLUMNS = (
    "method",
    "target",
    "source",
    "annotation_set_size",
    "mse_pixel",
    "mse_pixel_flip",
    "mse_pixel_sd",
    "joint_distance",
    "pck_rho",
    "pck",
    "pck_flip",
    "seeds",
    "improvement_over_direct_pct",
    "gap_closed_pct",
)


def tabulate(
    name: str, metrics_files: Sequence[Path], pck_rho: dict[str, float], out_csv: Path, out_markdown: Path
) -> None:
    """Write a table from the metrics files of its cells, a cell's seeds averaged; rows in the order of the files.

    The paper's own table of that name, such as "table1", is printed below it.
    """
    table = summarise([read_metrics(path) for path in metrics_files], pck_rho)
    floors = {entry["cell"]["target"]: entry["test_floor"] for entry in map(read_metrics, metrics_files)}
    write_text(out_csv, table[list(COLUMNS)].to_csv(index=False, float_format="%.4f"))
    write_text(out_markdown, render_markdown(name, table, floors, pck_rho))


def read_metrics(path: Path) -> dict[str, Any]:
    """Read a cell's metrics file; raises DataError if it is not one."""
    entry = read_json(path)
    missing = {"name", "cell", "seed", "test", "test_floor"} - set(entry)
    if missing:
        raise DataError(f"{path}: expected a cell's metrics, found no {sorted(missing)[0]!r}")
    return entry


def summarise(entries: Sequence[dict[str, Any]], pck_rho: dict[str, float]) -> pd.DataFrame:
    """Return one row a cell, the mean over its seeds.

    `improvement_over_direct_pct` is 100·(D - m)/D and `gap_closed_pct` is 100·(D - m)/(D - A), where m is the row's
    flip-aware MSE, D that of `direct` with the same target and source, and A that of `aligned` with the same target. Both are
    empty where D or A is missing, and for D and A themselves where they say nothing.
    """
    runs = pd.DataFrame([_row(entry, pck_rho[entry["cell"]["target"]]) for entry in entries])
    keys = ["name", "method", "target", "source", "annotation_set_size", "pck_rho"]
    groups = runs.groupby(keys, sort=False, dropna=False)
    table = groups[["mse_pixel", "mse_pixel_flip", "joint_distance", "pck", "pck_flip"]].mean().reset_index()
    # One seed has no standard deviation: the cell stays empty.
    table["mse_pixel_sd"] = groups["mse_pixel"].std(ddof=1).to_numpy()
    table["mse_pixel_flip_sd"] = groups["mse_pixel_flip"].std(ddof=1).to_numpy()
    table["seeds"] = groups.size().to_numpy()
    aligned = table[table.method == "aligned"].set_index("target").mse_pixel_flip
    direct = table[table.method == "direct"].set_index(["target", "source"]).mse_pixel_flip
    gains = [_gains(row, direct, aligned) for row in table.itertuples()]
    table["improvement_over_direct_pct"] = [gain for gain, _ in gains]
    table["gap_closed_pct"] = [closed for _, closed in gains]
    return table


def _gains(row: Any, direct: pd.Series, aligned: pd.Series) -> tuple[float, float]:
    if row.method in ("aligned", "direct") or (row.target, row.source) not in direct.index:
        return np.nan, np.nan
    worst = direct[(row.target, row.source)]
    gain = worst - row.mse_pixel_flip
    closed = 100 * gain / (worst - aligned[row.target]) if row.target in aligned.index else np.nan
    return 100 * gain / worst, closed


def _row(entry: dict[str, Any], rho: float) -> dict[str, Any]:
    cell, test = entry["cell"], entry["test"]
    return {
        "name": entry["name"],
        "method": cell["method"],
        "target": cell["target"],
        "source": "+".join(cell["sources"]) or cell["target"],
        "annotation_set_size": entry["annotation_set_size"],
        "mse_pixel": test["as_is"]["mse"],
        "mse_pixel_flip": test["flip_aware"]["mse"],
        "joint_distance": test["as_is"]["mean_distance"],
        "pck_rho": rho,
        "pck": test["as_is"]["pck"][f"{rho:g}"],
        "pck_flip": test["flip_aware"]["pck"][f"{rho:g}"],
    }


def render_markdown(name: str, table: pd.DataFrame, floors: dict[str, Any], pck_rho: dict[str, float]) -> str:
    """Return the table for reading, the floor of sense and the paper's own table of that name, if it has one, below it."""
    title = re.sub(r"^table(\d+)$", r"Table \1", name)
    lines = [
        f"# {title}",
        "",
        "MSE-Pixel in px² and mean joint distance in px, both on the 128-px scale, over the joints of the test split; "
        "flip: the better of the two left/right labellings a sample; ± is the standard deviation over seeds.",
        "",
        _measured(table),
        "",
        "The floor of sense, the mean training pose as the answer to every image:",
        "",
        _floors(floors, pck_rho),
        "",
    ]
    if name in PAPER_TABLES:
        printed = pd.DataFrame(PAPER_TABLES[name], columns=list(PAPER_COLUMNS))
        lines += [
            f"The paper's own {title} (other data, other networks: compare the order, not the figures):",
            "",
            printed.to_markdown(index=False, floatfmt=("", "", "", "", ".2f", ".3f")),
            "",
        ]
    return "\n".join(lines)


def _measured(table: pd.DataFrame) -> str:
    def spread(mean: float, deviation: float) -> str:
        return f"{mean:.1f}" if np.isnan(deviation) else f"{mean:.1f} ± {deviation:.1f}"

    def percent(value: float) -> str:
        return "" if np.isnan(value) else f"{value:.1f} %"

    rows = [
        {
            "Method": row["method"],
            "Target": row["target"],
            "Source": row["source"],
            "Annotation set": row["annotation_set_size"],
            "MSE-Pixel": spread(row["mse_pixel"], row["mse_pixel_sd"]),
            "MSE flip": spread(row["mse_pixel_flip"], row["mse_pixel_flip_sd"]),
            "Distance": f"{row['joint_distance']:.2f}",
            "PCK": f"{row['pck']:.3f} (ρ = {row['pck_rho']:g})",
            "PCK flip": f"{row['pck_flip']:.3f}",
            "Seeds": row["seeds"],
            "Better than Direct by": percent(row["improvement_over_direct_pct"]),
            "Gap closed": percent(row["gap_closed_pct"]),
        }
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
