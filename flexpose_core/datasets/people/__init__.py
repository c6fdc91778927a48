"""Embedded people: motion-captured clips on parametric bodies, drawn by NumPy and OpenCV; nothing is downloaded."""

from flexpose_core.datasets.people.options import PeopleOptions
from flexpose_core.datasets.people.reader import PeopleReader

__all__ = ["PeopleOptions", "PeopleReader"]
