"""The options of all readers; the key `reader` tells them apart."""

from flexpose_core.datasets.people.options import PeopleOptions

DatasetOptions = PeopleOptions
