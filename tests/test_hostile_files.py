"""Damaged and malicious files: each is refused in one line that names it, or read with the damaged records counted.

Mutations of every format's annotation file, of pictures and videos, files near the limits of what is read, and hostile names. The
reading process must stay under 1 GB, end, write nothing, and run nothing.
"""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import hostile_cases
import numpy as np
import pytest
from raw_formats import FORMATS

HERE = Path(__file__).parent
# The annotation file of the training split that is mutated.
VICTIMS = {
    "coco": "annotations/person_keypoints_train2017.json",
    "keypoints-json": "notes/train.json",
    "lsp": "joints.mat",
    "lsp-extended": "joints.mat",
    "penn-action": "labels/0001.mat",
    "mpi-inf-3dhp": "S1/Seq1/annot.mat",
    "surreal": "data/cmu/train/run0/01_01/01_01_c0001_info.mat",
    "human36m": "S1/MyPoseFeatures/D2_Positions/Walking.60457274.cdf",
    "human36m-npz": "h36m_train.npz",
    "simplified-human36m": "human_images/S1/Landmarks/Greeting.55011271/4.mat",
    "300-vw": "300VW_Dataset_2015_12_14/001/annot/000003.pts",
    "wflw": "WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_train.txt",
}
PICTURES = {
    "coco": "train2017/000000001007.jpg",
    "keypoints-json": "frames/train/3.png",
    "simplified-human36m": "human_images/S1/BackgroudMask/Greeting.55011271/4.png",
    "surreal": "data/cmu/train/run0/01_01/01_01_c0001.mp4",
    "300-vw": "300VW_Dataset_2015_12_14/001/vid.avi",
}
# Files read alone, where reading the others takes longer than the test may.
FEWER = {
    "mpi-inf-3dhp": {"subjects": {"train": (1,)}},
    "human36m": {"cameras": (60457274,), "actions": ("Walking",)},
}
REFUSED = "refused"
# What must become of some cases: the reason that must be counted more often than in the original, or a refusal.
EXPECTED = {
    **{(name, "truncated to 0.0%"): REFUSED for name in VICTIMS if name not in ("300-vw", "wflw")},
    **{(name, "noise"): REFUSED for name in VICTIMS if name not in ("300-vw", "wflw")},
    **{(name, "lacking"): REFUSED for name in hostile_cases.MAT5},
    **{(name, "picture: truncated to 0.0%"): "picture missing or unreadable" for name in PICTURES},
    **{(name, "picture: declared huge"): "picture missing or unreadable" for name in ("coco", "keypoints-json")},
    **{(name, "picture: a huge bitmap"): "picture missing or unreadable" for name in PICTURES},
    # Whose pictures have masks.
    ("simplified-human36m", "picture: truncated to 0.0%"): "picture or its mask missing or unreadable",
    ("simplified-human36m", "picture: a huge bitmap"): "picture or its mask missing or unreadable",
    ("300-vw", "truncated to 0.0%"): "landmark file broken",
    ("300-vw", "noise"): "landmark file broken",
    ("300-vw", "huge numbers"): "joints far out",
    ("300-vw", "NaN"): "joints not annotated",
    ("wflw", "noise"): "line broken",
    ("wflw", "NaN"): "line broken",
    ("wflw", "a line of 60 MB"): "line broken",
    ("wflw", "70 MB"): REFUSED,
    ("wflw", "a path out of the root"): REFUSED,
    ("lsp", "with NaN"): "joints not annotated",
    ("penn-action", "with NaN"): "coordinates not finite",
    ("surreal", "with NaN"): "person not rendered",
    ("simplified-human36m", "with NaN"): "coordinates missing",
    ("human36m-npz", "NaN"): "coordinates missing",
    ("human36m-npz", "pickled"): REFUSED,
    ("human36m-npz", "a false header"): REFUSED,
    ("coco", "repeated ids"): "repeated id",
    ("coco", "repeated images"): "repeated id of a picture",
    ("coco", "unknown images"): "image not listed",
    ("coco", "too few keypoints"): "wrong number of keypoints",
    ("coco", "keypoints of text"): "damaged annotation",
    ("coco", "huge sizes"): "damaged entry of a picture",
    ("coco", "images of numbers"): REFUSED,
    ("keypoints-json", "ten million numbers for images"): REFUSED,
    ("keypoints-json", "an annotation of 60 MB"): "damaged annotation",
    ("keypoints-json", "two million empty images"): REFUSED,
    ("surreal", "260000 frames"): REFUSED,
    ("mpi-inf-3dhp", "220000 frames"): REFUSED,
    ("human36m-npz", "260000 frames"): REFUSED,
    ("lsp", "300000 poses"): REFUSED,
    ("300-vw", "named ²²"): "file without a frame number up to 50000",
    ("simplified-human36m", "named 99999999999"): "file without a frame number up to 50000",
}
FITTING = {
    "surreal": "240000 frames",
    "mpi-inf-3dhp": "210000 frames",
    "human36m-npz": "240000 frames",
    "lsp": "280000 poses",
}


class Cases:
    """Datasets with one file changed, all read by one process: starting it takes longer than reading most of them."""

    def __init__(self, folder):
        self.folder = folder
        self.entries, self.outcomes = {}, {}

    def original(self, name, pictures=False):
        root = self.folder / f"{name}{'-pictures' * pictures}"
        if not root.exists():
            FORMATS[name].write(root, 1, pictures)
        return root

    def add(self, name, what, changed=None, content=b"", split="train", **others):
        """A case: the file `changed` of a dataset holds `content`."""
        root = self.folder / f"root{len(self.entries)}"
        # Linked, not copied: one format's files have 80 MB.
        shutil.copytree(
            self.original(name, "images" in others and what.startswith("picture")), root, copy_function=os.link
        )
        if changed is not None:
            (root / changed).unlink(missing_ok=True)
            (root / changed).write_bytes(content)
        self.entries[name, what] = [name, str(root), {**FEWER.get(name, {}), **others}, [split]]

    def run(self):
        (self.folder / "cases.json").write_text(json.dumps(list(self.entries.values())))
        work = self.folder / "work"
        work.mkdir()
        before = self.listing()
        done = subprocess.run(
            [sys.executable, "-B", str(HERE / "hostile_worker.py"), str(self.folder / "cases.json")],
            cwd=work,
            env={**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent}", "TMPDIR": str(work)},
            capture_output=True,
            # OpenCV says on stderr what it found, whatever its letters.
            encoding="utf-8",
            errors="backslashreplace",
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        *outcomes, self.peaks = json.loads(done.stdout.splitlines()[-1])
        self.outcomes = dict(zip(self.entries, outcomes, strict=True))
        self.changed = self.listing() != before
        assert "Warning" not in done.stderr, done.stderr[-3000:]
        self.trace = list(self.folder.rglob(hostile_cases.TRACE))
        return self

    def listing(self):
        """All files and folders with the times of their last change; of the working folder only what lies in it."""
        return {path: path.stat().st_mtime_ns for path in self.folder.rglob("*") if path.name != "work"}

    def dropped(self, name, what):
        return next(iter(json.loads(self.outcomes[name, what][1]).values()))["dropped"]


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    made = Cases(tmp_path_factory.mktemp("hostile"))
    for name, victim in VICTIMS.items():
        random = np.random.default_rng(len(name))
        data = (made.original(name) / victim).read_bytes()
        made.add(name, "nothing")
        seen = set()
        for what, content in [*hostile_cases.of_any_of(name, data, random), *hostile_cases.near_limits(name, data)]:
            called = what if what not in seen else f"{what}, case {len(made.entries)}"
            seen.add(what)
            # Only some cases ask for pictures: these need paths.
            pictures = {"images": True} if "path" in what or "names out" in what else {}
            made.add(name, called, victim, content, **pictures)
        assert len(seen) >= 24
    for name, victim in PICTURES.items():
        others = {"images": True, "masked": name == "simplified-human36m"}
        made.add(name, "picture: nothing", **others)
        data = (made.original(name, True) / victim).read_bytes()
        for what, content in hostile_cases.of_pictures(data, np.random.default_rng(len(name))):
            made.add(name, f"picture: {what}", victim, content, **others)
    for name in ("300-vw", "simplified-human36m"):
        victim = Path(VICTIMS[name])
        content = (made.original(name) / victim).read_bytes()
        for stem in ("²²", "99999999999", "3000000", "-1", "0", "٣", "a\nb", "\udcff"):
            made.add(name, f"named {stem!a}" if not stem.isprintable() else f"named {stem}",
                     str(victim.with_stem(stem)), content)  # fmt: skip
    victim = "mpi_inf_3dhp_test_set/TS1/annot_data.mat"
    data = (made.original("mpi-inf-3dhp") / victim).read_bytes()
    for number, (what, content) in enumerate([*hostile_cases.of_any_format(data, random), *of_mat73()]):
        test = {"split": "test", "subjects": {"test": (1,)}}
        made.add("mpi-inf-3dhp", f"test {number}: {what}", victim, content, **test)
    return made.run()


def of_mat73():
    """MATLAB 7.3: a huge array that takes no room in the file, a link to another file, chunks larger than the array."""
    for what in ("a huge array", "a link", "huge chunks"):
        stored = io.BytesIO()
        with h5py.File(stored, "w") as file:
            if what == "a huge array":
                file.create_dataset("annot2", (10**9, 1, 17, 2), "f8", chunks=(1000, 1, 17, 2))
            elif what == "a link":
                file["annot2"] = h5py.ExternalLink("/etc/passwd", "/x")
            else:
                shape, chunks = (3, 1, 17, 2), (10_000_000, 1, 17, 2)
                data = file.create_dataset(
                    "annot2", shape, "u1", maxshape=(None, 1, 17, 2), chunks=chunks, compression=1
                )
                del data
            file["valid_frame"] = np.ones((3, 1))
        yield what, stored.getvalue()


def test_there_are_many(cases):
    assert len(cases.entries) >= 500


def test_memory_files_and_code(cases):
    assert max(cases.peaks) < 1_000_000  # kB, the process and those that it starts
    assert not cases.changed
    assert not cases.trace


@pytest.mark.parametrize("name", FORMATS)
def test_each_is_refused_by_name_or_read_and_counted(cases, name):
    for (other, what), (outcome, text, seconds) in cases.outcomes.items():
        if other != name:
            continue
        assert outcome != "crashed", f"{what}: {text}"
        assert seconds < 40, what
        if outcome == "refused":
            assert "\n" not in text, f"{what}: {text}"
            assert len(text) < 1200, f"{what}: {text[:300]}"
            root = Path(cases.entries[name, what][1])
            victim = PICTURES[name] if what.startswith("picture") else VICTIMS[name]
            victim = "TS1/annot_data.mat" if what.startswith("test") else victim
            assert Path(victim).name in text, f"{what}: {text}"
            assert root.name in text, f"{what}: {text}"
        else:
            (counts,) = json.loads(text).values()
            assert counts["read"] == counts["kept"] + sum(counts["dropped"].values()), what
            assert set(counts["first_dropped"]) == set(counts["dropped"]), what


@pytest.mark.parametrize(("name", "what"), EXPECTED, ids=lambda part: part)
def test_what_must_become_of_it(cases, name, what):
    outcome, text, _ = cases.outcomes[name, what]
    if EXPECTED[name, what] == REFUSED:
        assert outcome == "refused", text
        return
    assert outcome == "read", text
    clean = cases.dropped(name, "picture: nothing" if what.startswith("picture") else "nothing")
    reason = EXPECTED[name, what]
    assert cases.dropped(name, what).get(reason, 0) > clean.get(reason, 0), text


def test_originals_and_files_that_just_fit_are_read(cases):
    for name in FORMATS:
        assert cases.outcomes[name, "nothing"][0] == "read", cases.outcomes[name, "nothing"][1]
    for name, what in FITTING.items():
        outcome, text, _ = cases.outcomes[name, what]
        assert outcome == "read", text
        assert json.loads(text)["train"]["read"] >= 200_000 or name in ("lsp", "mpi-inf-3dhp")


def test_matlab_73_files_are_refused(cases):
    found = {what: outcome for (_, what), (outcome, *_) in cases.outcomes.items() if what.startswith("test ")}
    for what in ("a huge array", "a link", "huge chunks", "noise", "truncated to 0.0%"):
        assert [outcome for key, outcome in found.items() if key.endswith(f": {what}")] == ["refused"], what
