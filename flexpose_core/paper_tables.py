"""The paper's own tables, as printed; the last two columns are MSE-Pixel and PCK."""

from collections.abc import Sequence
from typing import Any

from flexpose_core.errors import ConfigError

_RESULTS = ("Method", "Target", "Source", "Annotation set", "MSE-Pixel", "PCK")
PAPER_COLUMNS = {
    "table1": _RESULTS,
    "table2": ("#", "Source", "Annotation set", "Channels", "Shots", "l", "MSE-Pixel", "PCK"),
    "table3": _RESULTS,
}
PAPER_TABLES: dict[str, tuple[tuple[Any, ...], ...]] = {
    "table1": (
        ("Aligned", "Human3.6M", "Human3.6M", "3.6M", 12.07, 0.443),
        ("Direct", "Human3.6M", "COCO", "33K", 17.86, 0.015),
        ("Ours", "Human3.6M", "COCO", "33K", 13.19, 0.585),
        ("Aligned", "Simplified Human3.6M", "Simplified Human3.6M", "800K", 2.96, 0.843),
        ("Direct", "Simplified Human3.6M", "COCO", "33K", 5.47, 0.685),
        ("Direct", "Simplified Human3.6M", "3DHP", "121K", 12.66, 0.000),
        ("Direct", "Simplified Human3.6M", "SURREAL", "121K", 11.18, 0.000),
        ("Ours", "Simplified Human3.6M", "COCO", "33K", 4.61, 0.706),
        ("Ours", "Simplified Human3.6M", "3DHP", "121K", 5.98, 0.467),
        ("Ours", "Simplified Human3.6M", "SURREAL", "121K", 6.47, 0.499),
    ),
    "table2": (  # target Simplified Human3.6M, PCK at 10 %; all but row 0 are FlexPose
        (0, "N/A", "800K", 1, "N/A", "N/A", 2.96, 0.84),
        (1, "COCO", "33K", 3, "12", "3", 4.61, 0.71),
        (2, "COCO", "61K", 3, "12", "3", 4.96, 0.69),
        (3, "COCO", "121K", 3, "12", "3", 3.79, 0.77),
        (4, "COCO", "121K", 3, "24", "3", 3.80, 0.75),
        (5, "COCO", "121K", 3, "48", "3", 3.73, 0.70),
        (6, "COCO", "121K", 3, "12", "1, 3", 3.82, 0.78),
        (7, "COCO", "121K", 3, "12", "3, 5", 4.02, 0.61),
        (8, "COCO", "121K", 3, "12", "all", 4.50, 0.66),
        (9, "3DHP", "121K", 3, "12", "3", 5.98, 0.47),
        (10, "SURREAL", "121K", 3, "12", "3", 6.47, 0.50),
        (11, "COCO + 3DHP", "121K", 3, "12", "3", 5.28, 0.59),
        (12, "COCO + 3DHP + SURREAL", "121K", 3, "12", "3", 5.19, 0.59),
        (13, "COCO", "121K", 1, "12", "3", 4.15, 0.79),
    ),
    "table3": (
        ("Aligned", "WFLW", "WFLW", "7.5K", 8.25, 0.425),
        ("Direct", "WFLW", "300-VW", "96K", 18.78, 0.101),
        ("Ours", "WFLW", "300-VW", "96K", 11.64, 0.482),
    ),
}


def check_paper_rows(name: str, rows: Sequence[int | None]) -> None:
    """Check that the paper's table of that name has these rows, by number; None is a row that it lacks.

    Raises
    ------
    ConfigError
        If the paper has no numbered table of that name, or it lacks a row.
    """
    where = f"config: tables.{name}.paper_rows"
    if PAPER_COLUMNS.get(name, ("",))[0] != "#":
        raise ConfigError(
            f"{where}: expected none, as the paper has no numbered table of that name, found {list(rows)}"
        )
    printed = [row[0] for row in PAPER_TABLES[name]]
    unknown = [row for row in rows if row is not None and row not in printed]
    if unknown:
        raise ConfigError(f"{where}: expected rows of 0..{max(printed)}, found {unknown[0]}")
