"""Which of the original training records make the validation split, where the original has none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from flexpose_core import seeds
from flexpose_core.datasets.raw import RawBatch, RawReader
from flexpose_core.errors import ConfigError


def held_out(keys: Sequence[str], share: float) -> frozenset[str]:
    """Return the keys held out for validation: the stated share, at least one, drawn once and for all.

    A key is what must not be torn apart: a sequence, a video, a picture. Which keys are drawn depends on all of them and on
    `share`, not on their order.
    """
    ordered = sorted(set(keys))
    if share <= 0 or not ordered:
        return frozenset()
    count = max(1, round(share * len(ordered)))
    chosen = seeds.rng(0, "datasets/held_out").permutation(len(ordered))[:count]
    return frozenset(ordered[place] for place in chosen)


def part_of_training(keys: Sequence[str], split: str, share: float) -> list[str]:
    """Return the keys of split `train` or `val`, in their order."""
    chosen = held_out(keys, share)
    return [key for key in keys if (key in chosen) == (split == "val")]


class TestAsVal:
    """A raw reader whose val split is what another, that holds nothing out of training, calls test.

    Raises
    ------
    ConfigError
        If the dataset has no test split.
    """

    __test__ = False  # no test case, whatever its name

    def __init__(self, raw: RawReader) -> None:
        if "test" not in raw.splits():
            raise ConfigError(f"val_from: expected a dataset with a test split, found {', '.join(raw.splits())}")
        self.raw = raw
        self.skeleton = raw.skeleton
        self.is_video = raw.is_video

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits."""
        return self.raw.splits()

    def units(self, split: str) -> list[str]:
        """Return the files or sequences of a split, in reading order."""
        return self.raw.units(_original(split))

    def read(self, split: str, unit: str) -> Iterator[RawBatch]:
        """Yield the poses of a unit."""
        return self.raw.read(_original(split), unit)


def _original(split: str) -> str:
    return "test" if split == "val" else split


class UnitNumbers:
    """The place of each unit in its split, found out once."""

    def __init__(self) -> None:
        self._places: dict[str, dict[str, int]] = {}

    def of(self, split: str, unit: str, units: Callable[[str], list[str]]) -> int:
        """Return the place of `unit` in `units(split)`."""
        if split not in self._places:
            self._places[split] = {name: place for place, name in enumerate(units(split))}
        return self._places[split][unit]
