"""Our COCO reader beside pycocotools: `python benchmarks/load_coco.py [annotations]`; needs `pip install pycocotools`.

Writes an annotation file of train2017's size (262,465 annotations with outlines, about 239 MB) and measures, each in a process of
its own and by turns, three times: reading it into poses with our reader, and `pycocotools.coco.COCO(file)`, which loads and
indexes it. Prints the fewest seconds, those of processor time, and the highest peak of the resident memory, and the machine's
matrix product rate beside them.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from render_skeletons import matmul_rate

OURS = """
from flexpose_core.datasets import open_reader
from flexpose_core.datasets.options import CocoOptions
reader = open_reader(CocoOptions(root={root!r}, held_out=0), 0)
kept = sum(len(batch) for batch in reader.read("train", reader.units("train")))
print(kept, "poses of", reader.counts("train")["read"], "annotations")
"""
THEIRS = """
from pycocotools.coco import COCO
coco = COCO({root!r} + "/annotations/person_keypoints_train2017.json")
print(len(coco.anns), "annotations")
"""
MEASURED = """
import resource, sys, time
start = time.perf_counter(), time.process_time()
{body}
used = resource.getrusage(resource.RUSAGE_SELF)
print(time.perf_counter() - start[0], time.process_time() - start[1], used.ru_maxrss / 1000)
"""
NAMES = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
]  # fmt: skip
IMAGES = 64_115
ROUNDS = 3
LABELLED = 0.57  # of train2017's people


def main(count: int = 262_465) -> None:
    with tempfile.TemporaryDirectory() as root:
        path = Path(root) / "annotations" / "person_keypoints_train2017.json"
        path.parent.mkdir()
        write(path, count)
        print(f"{count} annotations in {path.stat().st_size / 1e6:.0f} MB")
        runs: dict[str, list[list[float]]] = {"this reader": [], "pycocotools": []}
        for _ in range(ROUNDS):
            for name, body in {"this reader": OURS, "pycocotools": THEIRS}.items():
                code = MEASURED.format(body=body.format(root=root))
                done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
                figures = done.stdout.splitlines()[-1]
                runs[name].append([float(word) for word in figures.split()])
        for name, measured in runs.items():
            seconds, used, peak = zip(*measured, strict=True)
            print(f"{name}: {min(seconds):.1f} s, {min(used):.1f} s of processor time, peak {max(peak):.0f} MB")
    print(f"matrix product of this thread: {matmul_rate():.0f} GFLOP/s")


def write(path: Path, count: int) -> None:
    random = np.random.default_rng(0)
    with path.open("w") as file:
        file.write('{"info": {}, "licenses": [], "images": [')
        address = "http://farm9.staticflickr.com/8186/{:010d}_d85e62f8_z.jpg"
        for number in range(IMAGES):
            name = f"{number:012d}.jpg"
            image = {"license": 3, "file_name": name, "coco_url": f"http://images.cocodataset.org/train2017/{name}"}
            image |= {"height": 480, "width": 640, "date_captured": "2013-11-14 17:02:52"}
            image |= {"flickr_url": address.format(number), "id": number}
            file.write((", " if number else "") + json.dumps(image))
        file.write('], "annotations": [')
        for number in range(count):
            keypoints = [0] * 51
            if random.random() < LABELLED:
                flags = random.choice(3, 17, p=[0.25, 0.1, 0.65])
                x, y = random.integers(1, 640, 17), random.integers(1, 480, 17)
                keypoints = np.stack([x, y, flags], axis=1) * (flags > 0)[:, None]
                keypoints = keypoints.ravel().tolist()
            outline = np.round(random.uniform(0, 640, 2 * random.integers(10, 54)), 2).tolist()
            labelled = sum(flag > 0 for flag in keypoints[2::3])
            annotation = {"segmentation": [outline], "num_keypoints": labelled, "area": 47803.27955, "iscrowd": 0}
            annotation |= {"keypoints": keypoints, "image_id": int(random.integers(IMAGES))}
            annotation |= {"bbox": [73.35, 206.02, 300.58, 372.5], "category_id": 1, "id": 2_000_000 + number}
            file.write((", " if number else "") + json.dumps(annotation))
        category = {"supercategory": "person", "id": 1, "name": "person", "keypoints": NAMES, "skeleton": [[16, 14]]}
        file.write('], "categories": [' + json.dumps(category) + "]}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
