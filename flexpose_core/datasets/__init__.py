"""Dataset readers, by name."""

from __future__ import annotations

from importlib import import_module

import msgspec

from flexpose_core.datasets.drawing.options import DrawingOptions
from flexpose_core.datasets.options import DatasetOptions
from flexpose_core.datasets.reader import Reader

READERS = {
    "people": ("people.reader", "PeopleReader"),
    "faces": ("faces.reader", "FacesReader"),
    "coco": ("coco", "CocoReader"),
    "keypoints-json": ("keypoints_json", "KeypointsJsonReader"),
    "mpi-inf-3dhp": ("mpi_inf_3dhp", "Mpi3dhpReader"),
    "surreal": ("surreal", "SurrealReader"),
    "human36m": ("human36m", "Human36mReader"),
    "human36m-npz": ("human36m_npz", "Human36mNpzReader"),
    "simplified-human36m": ("simplified_human36m", "SimplifiedHuman36mReader"),
    "300-vw": ("three_hundred_vw", "ThreeHundredVwReader"),
    "wflw": ("wflw", "WflwReader"),
    "penn-action": ("penn_action", "PennActionReader"),
    "lsp": ("lsp", "LspReader"),
    "lsp-extended": ("lsp", "LspExtendedReader"),
}
"""The module, in this package, and the class of each reader, by the key `reader` of its options."""


def reader_name(options: DatasetOptions) -> str:
    """Return the key `reader` of these options."""
    return str(type(options).__struct_config__.tag)


def reader_module(options: DatasetOptions) -> str:
    """Return the full name of the module that reads these datasets, for code stamps: it is imported by this name alone."""
    return f"{__package__}.{READERS[reader_name(options)][0]}"


def open_reader(options: DatasetOptions, seed: int) -> Reader:
    """Return the reader for these options; `seed` matters to drawn datasets alone.

    Raises
    ------
    ConfigError
        If the options contradict the dataset.
    DataError
        If what they name is not there.
    """
    # By name, so that a dataset's cache depends on its own reader's code and no other's.
    made = getattr(import_module(reader_module(options)), READERS[reader_name(options)][1])
    if isinstance(options, DrawingOptions):
        return made(options, seed)
    from flexpose_core.datasets.annotated import AnnotatedReader
    from flexpose_core.datasets.splits import TestAsVal

    if options.val_from == "test":
        options = msgspec.structs.replace(options, held_out=0.0)
        return AnnotatedReader(TestAsVal(made(options)), options)
    return AnnotatedReader(made(options), options)
