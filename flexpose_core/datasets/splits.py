"""Which of the original training records make the validation split, where the original has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flexpose_core import seeds


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


class UnitNumbers:
    """The place of each unit in its split, found out once."""

    def __init__(self) -> None:
        self._places: dict[str, dict[str, int]] = {}

    def of(self, split: str, unit: str, units: Callable[[str], list[str]]) -> int:
        """Return the place of `unit` in `units(split)`."""
        if split not in self._places:
            self._places[split] = {name: place for place, name in enumerate(units(split))}
        return self._places[split][unit]
