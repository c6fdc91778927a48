"""What a table says of cells and seeds that have no metrics: that they are missing, and nothing in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

COLUMN = "missing_seeds"
"""A column of incomplete tables alone."""


def missing_seeds(runs: Sequence[Mapping[str, Any]], entries: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Return the seeds without metrics of each cell that has any such; runs and metrics are told by "name" and "seed"."""
    there = {(entry["name"], entry["seed"]) for entry in entries}
    missing: dict[str, list[int]] = {}
    for run in runs:
        if (run["name"], run["seed"]) not in there:
            missing.setdefault(run["name"], []).append(run["seed"])
    return missing


def with_missing(
    table: pd.DataFrame, missing: Mapping[str, Sequence[int]], rows: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Return a table with `COLUMN`, and with a row of no figures for each cell that has no metrics at all.

    Parameters
    ----------
    table
        One row a cell that has metrics; its "name" is the cell's.
    rows
        What each cell is, without figures, in the order of the rows wanted.
    """
    absent = [{**rows[name], "seeds": 0} for name in missing if name not in set(table.name)]
    extra = pd.DataFrame(absent, columns=table.columns)
    if len(table):
        # Not where a column of names has none so far, and is taken for one of numbers.
        named = {column for column in extra if extra[column].map(lambda value: isinstance(value, str)).any()}
        extra = extra.astype({column: kind for column, kind in table.dtypes.items() if column not in named})
    # An empty frame has no types to keep.
    both = (
        pd.concat([table, extra], ignore_index=True) if len(table) and len(extra) else (extra if len(extra) else table)
    )
    places = {name: place for place, name in enumerate(rows)}
    both = both.iloc[sorted(range(len(both)), key=lambda row: places[both.name.iloc[row]])].reset_index(drop=True)
    both[COLUMN] = [", ".join(map(str, missing.get(name, ()))) for name in both.name]
    return both


def marked(row: Mapping[str, Any], texts: Mapping[str, str], first: str) -> dict[str, str]:
    """Return a row's texts by heading, saying "missing" under the heading `first` and how many of its seeds are there."""
    told = seeds_there(row)
    if not told:
        return dict(texts)
    return {**texts, **({} if row["seeds"] else {first: "missing"}), "Seeds": told}


def seeds_there(row: Mapping[str, Any]) -> str:
    """Return how many of a row's seeds have metrics, such as "1 of 3"; "" if all have."""
    absent = row.get(COLUMN)
    if not isinstance(absent, str) or not absent:
        return ""
    there = int(row["seeds"])
    return f"{there} of {there + len(absent.split(', '))}"


def note(missing: Mapping[str, Sequence[int]]) -> list[str]:
    """Return lines for below a table: which runs are missing, and what that means; none if none is."""
    if not missing:
        return []
    runs = [f"- {name}: seed {', '.join(map(str, seeds))}" for name, seeds in missing.items()]
    return [
        "**This table is incomplete.** These runs have no metrics, because a job of theirs failed or has not been run; nothing "
        "stands in for them. Means are over the seeds that are there, so that rows that are compared may differ in their seeds:",
        "",
        *runs,
        "",
    ]
