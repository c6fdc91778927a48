"""Reads damaged datasets in a process of its own: `python hostile_worker.py LIST`, LIST a JSON list of [reader, root, options].

Prints a JSON list of [outcome, text, seconds]: "read" with the counts, "refused" with the message, or "crashed" with the
traceback; and last the process's peak memory in kB.
"""

import json
import resource
import sys
import time
import traceback
from pathlib import Path

from raw_formats import FORMATS

from flexpose_core.datasets import open_reader
from flexpose_core.errors import FlexPoseError


def outcome(name, root, others):
    start = time.perf_counter()
    try:
        reader = open_reader(FORMATS[name].options_for(Path(root), image_size=32, **others), 0)
        counts = {}
        for split in ("train", "test"):
            if split in reader.splits() and not (split == "test" and "cameras" in others):
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
    print(json.dumps([*results, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
