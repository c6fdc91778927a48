"""Reads damaged datasets in a process of its own: `python hostile_worker.py LIST`, a JSON list of [reader, root, options, splits].

Prints a JSON list of [outcome, text, seconds]: "read" with the counts, "refused" with the message, or "crashed" with the
traceback; and last the peak memory in kB, of the process itself and of the largest of those that it started.
"""

import json
import resource
import sys
import time
import traceback
from pathlib import Path

from raw_formats import FORMATS

from flexpose_core.datasets import open_reader
from flexpose_core.datasets.options import Mpi3dhpSubjects
from flexpose_core.errors import FlexPoseError


def outcome(name, root, others, splits):
    start = time.perf_counter()
    if "subjects" in others:
        others = others | {"subjects": Mpi3dhpSubjects(**others["subjects"])}
    try:
        reader = open_reader(FORMATS[name].options_for(Path(root), image_size=32, **others), 0)
        counts = {}
        for split in splits:
            kept = sum(map(len, reader.read(split, reader.units(split))))
            counts[split] = reader.counts(split)
            assert counts[split]["kept"] == kept
        found = ["read", json.dumps(counts)]
    except FlexPoseError as error:
        found = ["refused", str(error)]
    except BaseException:
        found = ["crashed", traceback.format_exc()]
    return [*found, time.perf_counter() - start]


if __name__ == "__main__":
    results = [outcome(*entry) for entry in json.loads(Path(sys.argv[1]).read_text())]
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps([*results, peaks]))
