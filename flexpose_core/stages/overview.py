"""A table of baselines at a glance: one figure for each method on each target and source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from flexpose_core.stages.missing import seeds_there

PARTS = ("The target's own poses", "Poses of the shots alone", "Images of the shots too")
_NOTE = (
    "At a glance: flip-aware MSE-Pixel in px² on the test split, ± its standard deviation over seeds. A column is a target, "
    "without a source and from each; below the target's own poses the lowest figure of a part and target is bold. "
    "Seeds are counted where some are missing."
)


def at_a_glance(table: pd.DataFrame, entries: Sequence[Mapping[str, Any]]) -> str:
    """Return, for reading, the flip-aware MSE of each method, a column a target and source, in parts by what methods see.

    Parameters
    ----------
    table
        Rows as of `tabulate.summarise`; those without figures are left out. Of several rows of a method on one target and
        source, which differ otherwise, all figures are shown.
    entries
        The metrics of the runs, which tell what each method sees.
    """
    measured = table[table.mse_pixel_flip.notna()]
    if measured.empty:
        return ""
    measured = measured.assign(column=[_heading(*pair) for pair in zip(measured.target, measured.source, strict=True)])
    columns = _ordered(measured)
    seen = {entry["cell"]["method"]: _part(entry) for entry in entries}
    rows = []
    for part, title in enumerate(PARTS):
        of_part = measured[[seen[method] == part for method in measured.method]]
        if of_part.empty:
            continue
        rows.append({"": f"*{title}*"} | dict.fromkeys(columns, ""))
        lowest = {} if part == 0 else of_part.groupby("target").mse_pixel_flip.min().round(1).to_dict()
        for method, own in of_part.groupby("method", sort=False):
            cells = {column: _text(own[own.column == column], lowest) for column in columns}
            rows.append({"": str(method)} | cells)
    return "\n".join(
        [_NOTE, "", pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True), "", "In full:", ""]
    )


def _heading(target: str, source: str) -> str:
    return target if source in ("none", target) else f"{target} from {source}"


def _ordered(table: pd.DataFrame) -> list[str]:
    """Return the columns, a target's together, that without a source first, else in the order of their first appearance."""
    found = dict.fromkeys(zip(table.target, table.column, strict=True))
    targets = list(dict.fromkeys(table.target))
    return [column for target, column in sorted(found, key=lambda pair: (targets.index(pair[0]), pair[0] != pair[1]))]


def _part(entry: Mapping[str, Any]) -> int:
    """Return the part of a run's method; one whose options are not told sees no images."""
    method = entry["cell"]["method"]
    options = entry.get("origin", {}).get("options", {}).get("methods", {}).get(method, {})
    if options.get("poses") == "target":
        return 0
    # What poses are chosen by has seen images.
    return 2 if options.get("supervision", "none") != "none" or options.get("chosen_by") else 1


def _text(rows: pd.DataFrame, lowest: Mapping[Any, float]) -> str:
    """Return the figures of a method in one column, "" if it has none there; bold what is the lowest of its target."""
    texts = []
    for row in rows.to_dict("records"):
        mean, deviation, there = row["mse_pixel_flip"], row["mse_pixel_flip_sd"], seeds_there(row)  # type: ignore[arg-type]
        text = f"{mean:.1f}" if pd.isna(deviation) else f"{mean:.1f} ± {deviation:.1f}"
        text = f"**{text}**" if round(mean, 1) == lowest.get(row["target"]) else text
        texts.append(f"{text} ({there})" if there else text)
    return " / ".join(texts)
