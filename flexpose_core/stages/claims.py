"""The paper's claims, tested on metrics files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flexpose_core.files import write_text
from flexpose_core.measures.comparisons import (
    Interval,
    Verdict,
    claimed_range,
    judge,
    log_ratios,
    lower_pct,
    pair_intervals,
    t_interval,
)
from flexpose_core.options.claims import ClaimOptions
from flexpose_core.stages.claimed_figures import (
    Figures,
    adaptation_figures,
    detection_figures,
    detection_floors,
    labelled_figures,
    new_subjects_figures,
)

COLUMNS = (
    "claim",
    "says",
    "expects",
    "measure",
    "margin_pct",
    "comparisons",
    "useless",
    "as_claimed",
    "seeds",
    "effect_pct",
    "low_pct",
    "high_pct",
    "new_subjects_pct",
    "new_subjects_low_pct",
    "new_subjects_high_pct",
    "as_labelled_pct",
    "as_labelled_low_pct",
    "as_labelled_high_pct",
    "verdict",
    "cells",
    "missing",
)
FLOOR_SHARE = 0.9
"""Of what always answering the mean training pose has: a detector with less has learnt something."""
_STATISTIC = {
    "mse": "flip-aware MSE-Pixel of the test split",
    "adaptation": "loss after the adaptation ÷ loss before it",
}

_NOTE = """\
Each claim is tested on pairs of cells. The effect is by how many percent the first cell's figure is lower than the second's: a
geometric mean over pairs and seeds, beside its 95 % interval. Both cells of a pair see the same seeds, and so the same shots; the
interval is Student's, of the seeds' means over pairs. With one seed there is no interval, and no claim is decided.

*New subjects* is the same effect on those test samples alone whose person the training split does not show, *as labelled* that of
MSE-Pixel with left and right as they are annotated; verdicts are of the flip-aware one on the whole split.

- **better**: holds if the whole interval is above 0 and so is each pair's mean.
- **not worse**: the same, with minus the margin in place of 0.
- **alike**: holds if the whole interval, and each pair's mean, is within the margin: a ratio from 1 / (1 + margin) to 1 + margin.

A claim does not hold if none of its interval is as claimed, or none of a single pair's interval (at 1 - 0.05 / pairs). All else is
undecided, and so is a claim that would hold but for a pair whose runs are missing. The intervals cover the seeds alone: shots,
training and sampling, not other data, nor other trainings of the generator and of β, which all seeds of a source share: methods
with a generator are less certain than they look. They are not corrected for the number of claims: of twenty with nothing in them,
one may be decided by chance.

Pairs of detectors neither of which is at least {floor} % better than always answering with the mean training pose are not counted:
which of two useless detectors is the better one says nothing. A claim with such a pair cannot hold, and one with no other pairs is
undecided. Where the second is the best of several methods, it is the cell with the lowest mean over these seeds on the same test
figures, and a pair counts if the first or any of them is not useless. Chosen for being low, the second looks better than it is:
such a claim can hold, but is never said not to."""


def claims(
    options: Mapping[str, ClaimOptions],
    metrics_files: Sequence[Path],
    adaptations: Mapping[Path, tuple[str, int]],
    expected: Mapping[str, Sequence[tuple[str, int]]],
    out_csv: Path,
    out_markdown: Path,
) -> None:
    """Write one row a claim: the cells compared, the statistic, the effect with its interval, and the verdict.

    A claim all of whose pairs are of useless detectors has a row without an effect. A pair with a cell that has no figures is left
    out, and named below the table: with cells that are in no table the claim is tested on the rest; with cells whose runs are
    missing it cannot hold. A seed that any of the cells lacks is left out of all.

    Parameters
    ----------
    options
        Claims by name, written out as pairs of cells.
    adaptations
        The metrics files of adaptations, each with its cell and seed.
    expected
        For each measure the cells and seeds that have figures if all is there.
    """
    figures = {"mse": detection_figures(metrics_files), "adaptation": adaptation_figures(adaptations)}
    others = {"new_subjects": new_subjects_figures(metrics_files), "as_labelled": labelled_figures(metrics_files)}
    floors: dict[str, dict[str, float]] = {"mse": detection_floors(metrics_files), "adaptation": {}}
    wanted = {measure: _by_cell(runs) for measure, runs in expected.items()}
    tested_claims = {}
    for name, claim in options.items():
        of = claim.measure
        tested_claims[name] = Tested(name, claim, figures[of], wanted[of], floors[of], others if of == "mse" else {})
    rows = [claim.row() for claim in tested_claims.values() if claim.seeds or claim.useless]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    write_text(out_csv, table.to_csv(index=False, float_format="%.4f"))
    write_text(out_markdown, render_claims(table, tested_claims))


def _by_cell(runs: Sequence[tuple[str, int]]) -> dict[str, list[int]]:
    seeds: dict[str, list[int]] = {}
    for cell, seed in runs:
        seeds.setdefault(cell, []).append(seed)
    return seeds


class Tested:
    """A claim with its figures.

    Parameters
    ----------
    figures
        A figure of each cell and seed.
    wanted
        The seeds of each cell that have figures if all is there.
    floors
        What a cell's detector must beat to make sense, where there is such a figure.
    others
        Other figures of the same cells, by name: what the effect is with these is told beside.
    """

    def __init__(
        self,
        name: str,
        claim: ClaimOptions,
        figures: Figures,
        wanted: Mapping[str, Sequence[int]],
        floors: Mapping[str, float],
        others: Mapping[str, Figures],
    ) -> None:
        self.name, self.claim, self.figures, self.others = name, claim, figures, others
        with_figures = [pair for pair in claim.comparisons if all(cell in figures for cell in pair)]
        self.useless = [pair for pair in with_figures if all(self._is_useless(cell, floors) for cell in pair)]
        self.pairs = [pair for pair in with_figures if pair not in self.useless]
        cells = list(dict.fromkeys(cell for pair in claim.comparisons for cell in pair))
        self.untabled = sorted(cell for cell in cells if cell not in wanted and cell not in figures)
        self.missing = {
            cell: lacking
            for cell in cells
            if (lacking := [seed for seed in wanted.get(cell, ()) if seed not in figures.get(cell, {})])
        }
        self.pair_is_missing = any(cell in self.missing and cell not in figures for cell in cells)
        shared = [set(figures[cell]) for pair in self.pairs for cell in pair]
        self.seeds = sorted(set.intersection(*shared)) if shared else []
        if claim.strongest and self.seeds:
            self.pairs = self._strongest()
            met = {first for first, _ in self.pairs}
            # A cell that meets a rival is counted, whichever others are useless.
            self.useless = [pair for pair in self.useless if pair[0] not in met]
        if self.seeds:
            self.ratios = self._ratios(figures)

    def _is_useless(self, cell: str, floors: Mapping[str, float]) -> bool:
        return float(np.mean(list(self.figures[cell].values()))) > FLOOR_SHARE * floors.get(cell, math.inf)

    def _strongest(self) -> list[tuple[str, str]]:
        """Return of each first cell the pair whose second has the lowest mean."""
        best: dict[str, str] = {}
        for first, second in self.pairs:
            if first not in best or np.mean(self.of_seeds(second)) < np.mean(self.of_seeds(best[first])):
                best[first] = second
        return list(best.items())

    def of_seeds(self, cell: str) -> list[float]:
        """Return a cell's figures of the seeds that all cells share."""
        return _of_seeds(self.figures, cell, self.seeds)

    @property
    def lacks(self) -> str:
        """The runs that are missing, for people."""
        return "; ".join(f"{cell} seed {', '.join(map(str, seeds))}" for cell, seeds in self.missing.items())

    def row(self) -> dict[str, Any]:
        """Return the claim's row of the table."""
        claim = self.claim
        if self.seeds:
            interval, good, verdict = judge(self.ratios, claim.expects, claim.margin_pct / 100)
        else:
            interval, good, verdict = None, 0, "undecided"
        pairs = self.pairs if self.seeds else []
        return {
            "claim": self.name,
            "says": claim.says,
            "expects": claim.expects,
            "measure": _STATISTIC[claim.measure],
            "margin_pct": np.nan if claim.expects == "better" else claim.margin_pct,
            "comparisons": len(pairs),
            "useless": len(self.useless),
            "as_claimed": good,
            "seeds": len(self.seeds),
            **_percents(interval),
            **self._effects_with_others(),
            "verdict": self._of_all(verdict),
            "cells": "; ".join(f"{first} : {second}" for first, second in pairs),
            "missing": self.lacks,
        }

    def _effects_with_others(self) -> dict[str, float]:
        """Return the effect on the same pairs and seeds with each of the other figures; nothing where a run has none."""
        effects: dict[str, float] = {}
        for name, figures in self.others.items():
            told = all(seed in figures.get(cell, {}) for pair in self.pairs for cell in pair for seed in self.seeds)
            interval = t_interval(self._ratios(figures).mean(axis=0)) if self.seeds and told else None
            effects |= {f"{name}_{end.removeprefix('effect_')}": pct for end, pct in _percents(interval).items()}
        return effects

    def _ratios(self, figures: Figures) -> np.ndarray:
        """Return ln(first / second), (pairs, seeds)."""
        return np.stack(
            [
                log_ratios(_of_seeds(figures, first, self.seeds), _of_seeds(figures, second, self.seeds))
                for first, second in self.pairs
            ]
        )

    def _of_all(self, judged: Verdict) -> Verdict:
        """Return the claim's verdict: one on the best of several never fails to hold, and to hold needs all pairs."""
        if judged == "does not hold" and self.claim.strongest:
            return "undecided"
        if judged == "holds" and (self.pair_is_missing or self.useless):
            return "undecided"
        return judged

    def pair_rows(self) -> list[dict[str, Any]]:
        """Return a row a pair, for reading: both cells' means and the pair's own effect."""
        if not self.seeds:
            return []
        low, high = claimed_range(self.claim.expects, self.claim.margin_pct / 100)
        digits = 1 if self.claim.measure == "mse" else 3
        return [
            {
                "Claim": self.claim.says,
                "First": first,
                "Second": second,
                "First's mean": f"{np.mean(self.of_seeds(first)):.{digits}f}",
                "Second's mean": f"{np.mean(self.of_seeds(second)):.{digits}f}",
                "Lower by": _effect(_percents(interval)),
                "In sd": _in_deviations(np.subtract(self.of_seeds(second), self.of_seeds(first))),
                "As claimed": "yes" if low < interval.mean < high else "no",
            }
            for (first, second), interval in zip(self.pairs, pair_intervals(self.ratios), strict=True)
        ]


def _of_seeds(figures: Figures, cell: str, seeds: Sequence[int]) -> list[float]:
    return [figures[cell][seed] for seed in seeds]


def render_claims(table: pd.DataFrame, tested: Mapping[str, Tested]) -> str:
    """Return the table for reading, its rule above it, the pairs and what is left out below it."""
    lines = ["# Claims", "", _NOTE.format(floor=round(100 * (1 - FLOOR_SHARE))), ""]
    pairs = [row for name in table.claim for row in tested[name].pair_rows()]
    if len(table):
        shown = [
            {
                "Claim": row["says"],
                "Statistic": row["measure"],
                "First is": row["expects"].replace("-", " ") + _margin(row["margin_pct"]),
                "Pairs as claimed": f"{row['as_claimed']} of {row['comparisons']}"
                + (f" ({row['useless']} not counted)" if row["useless"] else ""),
                "Seeds": row["seeds"],
                "Lower by (95 %)": _effect(row),
                "New subjects": _effect(row, "new_subjects_"),
                "As labelled": _effect(row, "as_labelled_"),
                "Verdict": row["verdict"],
            }
            for row in table.to_dict("records")
        ]
        lines += [
            pd.DataFrame(shown).to_markdown(index=False, disable_numparse=True),
            "",
        ]
    if pairs:
        lines += [
            "The pairs, with means over the same seeds (px² for MSE-Pixel), and intervals at 1 - 0.05 / pairs of the claim. "
            "In sd: the mean difference in units of the standard deviation over seeds of the difference.",
            "",
            pd.DataFrame(pairs).to_markdown(index=False, disable_numparse=True),
            "",
        ]
    present = set(table.claim)
    for title, kept in {"Left out": False, "Tested without some of their pairs": True}.items():
        names = [name for name, claim in tested.items() if (name in present) == kept and claim.untabled]
        if names:
            lines += [f"{title}, as these cells are in no table of the configuration:", ""]
            lines += [f"- {tested[name].claim.says}: {', '.join(tested[name].untabled)}." for name in names]
            lines.append("")
    useless = [claim for claim in tested.values() if claim.useless]
    if useless:
        lines += ["Not counted, as both detectors of the pair are useless (see above):", ""]
        lines += [f"- {one.claim.says}: {', '.join(' and '.join(pair) for pair in one.useless)}." for one in useless]
        lines.append("")
    empty = [claim.claim.says for claim in tested.values() if not claim.claim.comparisons]
    if empty:
        lines += ["Left out, as the configuration has no cells to compare:", "", *(f"- {says}." for says in empty), ""]
    lacking = [claim for claim in tested.values() if claim.missing]
    if lacking:
        lines += [
            "**Incomplete**: these runs have no metrics, because a job of theirs failed or has not been run. Their seeds, or their "
            "cells' pairs, are left out:",
            "",
            *(
                f"- {claim.claim.says}: {claim.lacks}" + ("." if claim.seeds else ". Nothing is left to test it on.")
                for claim in lacking
            ),
            "",
        ]
    return "\n".join(lines)


def _percents(interval: Interval | None) -> dict[str, float]:
    """Return by how many percent lower; without pairs there is nothing, and a single seed has no interval: its ends are empty."""
    if interval is None:
        return dict.fromkeys(("effect_pct", "low_pct", "high_pct"), math.nan)
    ends = {"low_pct": interval.high, "high_pct": interval.low}
    return {
        "effect_pct": lower_pct(interval.mean),
        **{name: lower_pct(end) if math.isfinite(end) else np.nan for name, end in ends.items()},
    }


def _in_deviations(differences: np.ndarray) -> str:
    """Return the mean of differences over seeds in units of their standard deviation, for people."""
    deviation = float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0
    return f"{np.mean(differences) / deviation:.1f}" if deviation > 0 else "-"


def _margin(margin: float) -> str:
    return "" if pd.isna(margin) else f" ({margin:g} %)"


def _effect(row: Mapping[Any, Any], other: str = "") -> str:
    effect, low, high = (row[name] for name in (f"{other or 'effect_'}pct", f"{other}low_pct", f"{other}high_pct"))
    if pd.isna(effect):
        return "-"
    return f"{effect:.1f} % ({'no interval' if pd.isna(low) else f'{low:.1f} to {high:.1f}'})"
