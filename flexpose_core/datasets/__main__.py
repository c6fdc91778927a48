"""What a person asks of a dataset before the workflow runs on it.

python -m flexpose_core.datasets list
python -m flexpose_core.datasets check NAME ROOT
python -m flexpose_core.datasets show NAME ROOT --out sheet.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flexpose_core.datasets.catalogue import CATALOGUE
from flexpose_core.errors import FlexPoseError


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands; returns the exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        return chosen.run(chosen)
    except FlexPoseError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flexpose_core.datasets", description="Look at a dataset's files.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("list", help="name the datasets").set_defaults(run=_list)
    check = commands.add_parser("check", help="what of the layout is there, what is missing and where to get it")
    check.set_defaults(run=_check)
    show = commands.add_parser("show", help="write a contact sheet of poses, over their images where these are found")
    show.set_defaults(run=_show)
    show.add_argument("--out", type=Path, default=Path("sheet.png"), help="the PNG file to write [%(default)s]")
    show.add_argument("--split", default="train", help="train, val or test [%(default)s]")
    show.add_argument("--poses", type=_count, default=48, help="how many [%(default)s]")
    show.add_argument("--units", type=_count, default=12, help="from at most so many files or sequences [%(default)s]")
    for command in (check, show):
        command.add_argument("name", choices=sorted(CATALOGUE), metavar="NAME", help=", ".join(sorted(CATALOGUE)))
        command.add_argument("root", type=Path, metavar="ROOT", help="the unpacked original")
        command.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="an option of the dataset as in the configuration, the value in YAML",
        )
    return parser


def _count(text: str) -> int:
    """Return a number of at least 1; argparse makes of a ValueError what the user is told."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _list(_: argparse.Namespace) -> int:
    for name, entry in CATALOGUE.items():
        print(f"{name:22}{entry.title}")
    return 0


def _check(chosen: argparse.Namespace) -> int:
    from flexpose_core.stages.inspect_dataset import check_layout

    lines, complete = check_layout(chosen.name, chosen.root, chosen.set)
    print("\n".join(lines))
    return 0 if complete else 1


def _show(chosen: argparse.Namespace) -> int:
    from flexpose_core.stages.inspect_dataset import show_poses

    for line in show_poses(chosen.name, chosen.root, chosen.set, chosen.split, chosen.poses, chosen.units, chosen.out):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
