"""A page a run: its figures, the options and run times of every job behind it, and where it comes from."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from flexpose_core.errors import DataError
from flexpose_core.files import write_json, write_text
from flexpose_core.grid import Grid
from flexpose_core.lineage import Job, facts, jobs_of
from flexpose_core.stages.tabulate import read_metrics
from flexpose_core.stamp import code_stamp

# The functions that do these stages are in another's module.
_MODULES = {"pretrain_eta": "train_detector"}


def cards(grid: Grid, metrics_files: Sequence[Path], benchmarks: Path, template: Path, out: Path) -> None:
    """Write RUN.html and RUN.json into the folder `out` for each metrics file.

    Parameters
    ----------
    benchmarks
        The folder of the run times that Snakemake measured; times that are not there are told as unknown.
    template
        A Jinja template, filled with what the JSON file holds.

    Raises
    ------
    ConfigError
        If a metrics file is of none of the grid's runs.
    """
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        Path(template).read_text(encoding="utf-8")
    )
    shared = Counter((job.stage, job.of) for name in grid.runs for job in jobs_of(grid, name))
    # There may be nothing to show yet.
    Path(out).mkdir(parents=True, exist_ok=True)
    stamps = {stage: code_stamp(f"flexpose_core.stages.{_MODULES.get(stage, stage)}") for stage, _ in shared}
    for path in metrics_files:
        entry = read_metrics(path)
        name = f"{entry['name']}_s{entry['seed']}"
        jobs = jobs_of(grid, name)
        times = [run_time(job, benchmarks) for job in jobs]
        card = {
            "run": name,
            "facts": facts(grid, name),
            "tables": [table for table, options in grid.config.tables.items() if entry["name"] in options.cells],
            "figures": _figures(entry),
            "jobs": [
                {
                    "stage": job.stage,
                    "of": job.of,
                    "runs": shared[job.stage, job.of],
                    "options": job.options,
                    "code": stamps[job.stage],
                    **time,
                }
                for job, time in zip(jobs, times, strict=True)
            ],
            "seconds": sum(time["seconds"] or 0.0 for time in times),
            "versions": entry.get("origin", {}).get("versions", {}),
            "metrics_file": str(path),
        }
        write_json(Path(out) / f"{name}.json", card)
        flat = [dict(job, options=list(flattened(job["options"]))) for job in card["jobs"]]
        write_text(Path(out) / f"{name}.html", page.render({**card, "jobs": flat, "clock": clock}))


def run_time(job: Job, benchmarks: Path) -> dict[str, float | None]:
    """Return the seconds and the largest resident memory in MB of a job's processes, None for what was not measured.

    A job of several processes is told with the sum of their times.
    """
    found = [Path(benchmarks) / name for name in job.benchmarks]
    rows = [_benchmark(path) for path in found if path.exists()]
    if not rows or len(rows) < len(found):
        return {"seconds": None, "megabytes": None}
    sizes = [size for _, size in rows if size is not None]
    return {"seconds": sum(seconds for seconds, _ in rows), "megabytes": max(sizes, default=None)}


def _benchmark(path: Path) -> tuple[float, float | None]:
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    try:
        # A process that ended before it was looked at has no size.
        size = rows[-1]["max_rss"]
        return float(rows[-1]["s"]), float(size) if size[:1].isdigit() else None
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: expected Snakemake's benchmark with columns s and max_rss") from error


def _figures(entry: Mapping[str, Any]) -> dict[str, str]:
    as_is, flipped = entry["test"]["as_is"], entry["test"]["flip_aware"]
    return {
        "MSE-Pixel, px²": f"{as_is['mse']:.1f}",
        "MSE-Pixel, better labelling, px²": f"{flipped['mse']:.1f}",
        "Mean joint distance, px": f"{as_is['mean_distance']:.2f}",
        **{f"PCK at {rho}": f"{share:.3f}" for rho, share in as_is["pck"].items()},
    }


def flattened(options: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield options as dotted names and texts."""
    if isinstance(options, Mapping) and options:
        for key, value in options.items():
            yield from flattened(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, "none" if options is None else str(options)


def clock(seconds: float | None) -> str:
    """Return a time as "3 h 05 min", "2 min 07 s" or "0.4 s", for what was not measured as a dash."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
