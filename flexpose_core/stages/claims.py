"""The paper's claims, tested on metrics files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flexpose_core.errors import DataError
from flexpose_core.files import read_json, write_text
from flexpose_core.measures.comparisons import judge, log_ratios, lower_pct
from flexpose_core.options.claims import ClaimOptions
from flexpose_core.stages.tabulate import read_metrics

Figures = Mapping[str, Mapping[int, float]]
"""A figure of each cell and seed."""

COLUMNS = (
    "claim",
    "says",
    "expects",
    "measure",
    "margin_pct",
    "comparisons",
    "as_claimed",
    "seeds",
    "effect_pct",
    "low_pct",
    "high_pct",
    "verdict",
    "cells",
)
_STATISTIC = {
    "mse": "flip-aware MSE-Pixel of the test split",
    "adaptation": "loss after the adaptation ÷ loss before it",
}

_NOTE = """\
Each claim is tested on pairs of cells. The effect is by how many percent the first cell's figure is lower than the second's: a
geometric mean over pairs and seeds, beside its 95 % interval. Both cells of a pair see the same seeds, and so the same shots; the
interval is Student's, of the seeds' means over pairs. With one seed there is no interval, and no claim is decided.

- **better**: holds if the whole interval is above 0 and so is each pair's mean.
- **not worse**: the same, with minus the margin in place of 0.
- **alike**: holds if the whole interval, and each pair's mean, is within the margin: a ratio from 1 / (1 + margin) to 1 + margin.

A claim does not hold if none of its interval is as claimed, or none of a single pair's interval (at 1 - 0.05 / pairs). All else is
undecided. The intervals cover the seeds alone: shots, training and sampling, not other data."""


def claims(
    options: Mapping[str, ClaimOptions],
    metrics_files: Sequence[Path],
    adaptations: Mapping[Path, tuple[str, int]],
    out_csv: Path,
    out_markdown: Path,
) -> None:
    """Write one row a claim: the cells compared, the statistic, the effect with its interval, and the verdict.

    A pair with a cell that has no metrics file is left out, and named below the table.

    Parameters
    ----------
    options
        Claims by name, written out as pairs of cells.
    adaptations
        The metrics files of adaptations, each with its cell and seed.
    """
    figures = {"mse": detection_figures(metrics_files), "adaptation": adaptation_figures(adaptations)}
    rows, missing = [], {}
    for name, claim in options.items():
        own = figures[claim.measure]
        pairs = [pair for pair in claim.comparisons if all(cell in own for cell in pair)]
        missing[name] = sorted({cell for pair in claim.comparisons for cell in pair} - set(own))
        if pairs:
            rows.append(tested(name, claim, pairs, own))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    write_text(out_csv, table.to_csv(index=False, float_format="%.4f"))
    write_text(out_markdown, render_claims(table, options, missing))


def detection_figures(files: Sequence[Path]) -> Figures:
    """Return the flip-aware MSE-Pixel of the test split, in px², of cells' metrics files."""
    figures: dict[str, dict[int, float]] = {}
    for entry in map(read_metrics, files):
        figures.setdefault(entry["name"], {})[entry["seed"]] = entry["test"]["flip_aware"]["mse"]
    return figures


def adaptation_figures(files: Mapping[Path, tuple[str, int]]) -> Figures:
    """Return the loss after the adaptation in units of that before it; raises DataError for a file without losses."""
    figures: dict[str, dict[int, float]] = {}
    for path, (cell, seed) in files.items():
        loss = read_json(path).get("loss")
        if not loss:
            raise DataError(f"{path}: expected the losses of an adaptation to pairs, found none")
        figures.setdefault(cell, {})[seed] = loss["after"] / loss["before"]
    return figures


def tested(name: str, claim: ClaimOptions, pairs: Sequence[tuple[str, str]], figures: Figures) -> dict[str, Any]:
    """Return a row of the table; raises DataError if the cells of the pairs have no seed in common."""
    seeds = sorted(set.intersection(*(set(figures[cell]) for pair in pairs for cell in pair)))
    if not seeds:
        raise DataError(f"claims.{name}: expected a seed that all its cells have, found none")
    ratios = np.stack(
        [
            log_ratios([figures[first][seed] for seed in seeds], [figures[second][seed] for seed in seeds])
            for first, second in pairs
        ]
    )
    interval, good, verdict = judge(ratios, claim.expects, claim.margin_pct / 100)
    return {
        "claim": name,
        "says": claim.says,
        "expects": claim.expects,
        "measure": _STATISTIC[claim.measure],
        "margin_pct": np.nan if claim.expects == "better" else claim.margin_pct,
        "comparisons": len(pairs),
        "as_claimed": good,
        "seeds": len(seeds),
        "effect_pct": lower_pct(interval.mean),
        # A single seed has no interval: the cells stay empty.
        "low_pct": lower_pct(interval.high) if math.isfinite(interval.high) else np.nan,
        "high_pct": lower_pct(interval.low) if math.isfinite(interval.low) else np.nan,
        "verdict": verdict,
        "cells": "; ".join(f"{first} : {second}" for first, second in pairs),
    }


def render_claims(table: pd.DataFrame, options: Mapping[str, ClaimOptions], missing: Mapping[str, list[str]]) -> str:
    """Return the table for reading, its rule above it, the pairs and what is left out below it."""
    lines = ["# Claims", "", _NOTE, ""]
    if len(table):
        shown = [
            {
                "Claim": row["says"],
                "Statistic": row["measure"],
                "First is": row["expects"].replace("-", " ") + _margin(row["margin_pct"]),
                "Pairs as claimed": f"{row['as_claimed']} of {row['comparisons']}",
                "Seeds": row["seeds"],
                "Lower by (95 %)": _effect(row),
                "Verdict": row["verdict"],
            }
            for row in table.to_dict("records")
        ]
        lines += [
            pd.DataFrame(shown).to_markdown(index=False, disable_numparse=True),
            "",
            "The pairs, first : second:",
            "",
        ]
        lines += [f"- {row['says']}: {row['cells']}." for row in table.to_dict("records")]
        lines.append("")
    present = set(table.claim)
    left_out = [name for name in options if name not in present]
    partly = [name for name in options if name in present and missing[name]]
    for title, names in {"Left out": left_out, "Tested without some of their pairs": partly}.items():
        if names:
            lines += [f"{title}, as these cells are in no table of the configuration:", ""]
            lines += [f"- {options[name].says}: {', '.join(missing[name]) or 'no cells to compare'}." for name in names]
            lines.append("")
    return "\n".join(lines)


def _margin(margin: float) -> str:
    return "" if pd.isna(margin) else f" ({margin:g} %)"


def _effect(row: Mapping[Any, Any]) -> str:
    interval = "" if pd.isna(row["low_pct"]) else f" ({row['low_pct']:.1f} to {row['high_pct']:.1f})"
    return f"{row['effect_pct']:.1f} %{interval}"
