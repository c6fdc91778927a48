"""Dataset readers, by name."""

from __future__ import annotations

from flexpose_core.datasets.options import DatasetOptions
from flexpose_core.datasets.reader import Reader


def open_reader(options: DatasetOptions, seed: int) -> Reader:
    """Return the reader for these options."""
    # Imported here so that reading the configuration, which needs the option types alone, stays quick.
    from flexpose_core.datasets.people.reader import PeopleReader

    return PeopleReader(options, seed)
