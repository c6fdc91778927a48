"""Numbers in the names of files and folders, which anybody may have chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from flexpose_core.datasets.raw import LARGEST_NUMBER, Dropped


def number_in(text: str, largest: int = LARGEST_NUMBER) -> int | None:
    """Return the number from 0 to `largest` that a text of the digits 0 to 9 states, or None if it states none."""
    # `isdigit` alone holds for "²", which `int` refuses.
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        return None
    number = int(text)
    return number if number <= largest else None


def numbered_files(
    paths: Iterable[Path], spelling: Callable[[int], str], largest: int, named: Callable[[Path], str]
) -> tuple[dict[int, Path], list[Dropped]]:
    """Return files by the number that their names state, in rising order, and those that are left out.

    Of several files of one number the one that is spelt as in the original stays, or else the first by name.

    Parameters
    ----------
    spelling
        How the original writes a number, without the suffix.
    largest
        The highest number to expect.
    named
        What to call a file in the counts.
    """
    found: dict[int, Path] = {}
    unnumbered, repeated = [], []
    for path in sorted(paths):
        number = number_in(path.stem, largest)
        if number is None:
            unnumbered.append(path)
        elif number not in found:
            found[number] = path
        elif path.stem == spelling(number):
            repeated.append(found[number])
            found[number] = path
        else:
            repeated.append(path)
    reasons = {f"file without a frame number up to {largest}": unnumbered, "frame repeated in another file": repeated}
    dropped = [Dropped(reason, len(lost), named(lost[0])) for reason, lost in reasons.items() if lost]
    return dict(sorted(found.items())), dropped
