"""Damaged and malicious files: each is refused in one line that names it, or read with the damaged records counted.

Some 30 mutations of every format's annotation file. The reading process must stay under 1 GB, end, write nothing, and run nothing.
"""

import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
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
MAT5 = {
    "lsp": "joints",
    "lsp-extended": "joints",
    "penn-action": "x",
    "mpi-inf-3dhp": "annot2",
    "surreal": "joints2D",
    "simplified-human36m": "keypoints_2d",
}
TRACE = "executed"


class Run:
    """Unpickling this would leave a trace."""

    def __reduce__(self):
        return os.system, (f"touch {TRACE}",)


def of_any_format(data, random):
    """Mutations of the bytes, whatever they mean."""
    for share in (0, 0.01, 0.2, 0.5, 0.9, 0.999):
        yield f"truncated to {share:.1%}", data[: int(share * len(data))]
    for flips in (1, 1, 3, 10, 10, 40, 200):
        bent = bytearray(data)
        for place in random.integers(0, len(data), flips):
            bent[place] ^= 1 << int(random.integers(8))
        yield f"{flips} bits flipped", bytes(bent)
    # Where headers lie.
    for place in (4, 130, 150, 200, 330):
        yield f"ones at {place}", data[:place] + b"\xff" * 8 + data[place + 8 :]
    yield "zeros", bytes(len(data))
    yield "noise", random.bytes(len(data))
    yield "twice", data + data
    yield "a pickle", pickle.dumps(Run())
    yield "not UTF-8", data[:20] + b"\xff\xfe\xc3" + data[20:]
    yield "HTML", b"<html>404 not found</html>"
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("part.npy", bytes(2_000_000))
    yield "a zip of zeros", stored.getvalue()


def of_mat5(name, data, random):
    variable = MAT5[name]
    content = {key: value for key, value in scipy.io.loadmat(io.BytesIO(data)).items() if not key.startswith("__")}
    value = content[variable]
    bent = {
        "lacking": None,
        "text": "joints",
        "a cell": np.array([[1, "two"]], object),
        "empty": np.zeros((0, 0)),
        "a structure": {"a": 1},
        "complex": value.astype(complex) if value.dtype != object else np.ones(3, complex),
        "of another shape": np.zeros((5, 7, 3)),
        "transposed": value.T,
        "a number": 3.0,
    }
    if value.dtype != object:
        bent["with NaN"] = np.where(random.random(value.shape) < 0.1, np.nan, value)
        bent["infinite"] = np.full(value.shape, np.inf)
        bent["huge numbers"] = np.full(value.shape, 1e300)
    else:
        ragged = value.copy()
        ragged[8, 0] = np.zeros((4, 9))
        bent["with a ragged cell"] = ragged
        lacking = value.copy()
        lacking[0, 0] = "nothing"
        bent["with text in a cell"] = lacking
    for what, replacement in bent.items():
        changed = {key: value for key, value in content.items() if key != variable}
        if replacement is not None:
            changed[variable] = replacement
        stored = io.BytesIO()
        scipy.io.savemat(stored, changed or {"other": 1})
        yield what, stored.getvalue()


def of_json(data, random):
    def changed(change):
        content = json.loads(data)
        change(content)
        return json.dumps(content).encode()

    def each(change):
        return lambda content: [change(entry) for entry in content["annotations"][:5]]

    def climb(path):
        return lambda content: [image.update(file_name=path) for image in content["images"][:5]]

    yield "a list", b"[]"
    yield "deeply nested", b'{"images":' + b"[" * 200_000 + b"]" * 200_000 + b',"annotations":[],"categories":[]}'
    yield "no categories", changed(lambda content: content.update(categories=[]))
    yield "no annotations", changed(lambda content: content.update(annotations=[]))
    yield "annotations of text", changed(lambda content: content.update(annotations=["x"] * 3))
    yield "images of numbers", changed(lambda content: content.update(images=[1, 2, 3]))
    yield "repeated ids", changed(each(lambda entry: entry.update(id=7)))
    yield "unknown images", changed(each(lambda entry: entry.update(image_id=-5)))
    yield "too few keypoints", changed(each(lambda entry: entry.update(keypoints=[1, 2, 2])))
    yield "keypoints of text", changed(each(lambda entry: entry.update(keypoints=["a"] * 51)))
    yield "huge keypoints", changed(each(lambda entry: entry.update(keypoints=[1e300] * len(entry["keypoints"]))))
    yield "keypoints beyond floats", data.replace(b'"keypoints": [', b'"keypoints": [1e999, ', 3)
    yield "NaN", changed(each(lambda entry: entry.update(keypoints=[float("nan")] * len(entry["keypoints"]))))
    yield "negative sizes", changed(lambda content: [image.update(width=-5) for image in content["images"]])
    yield "huge sizes", changed(lambda content: [image.update(width=1e30) for image in content["images"]])
    for path in ("../../../etc/passwd", "/etc/passwd", "a\0b", "x" * 3000):
        yield f"a path {path[:12]!r}", changed(climb(path))


def of_text(name, data):
    lines = data.decode().splitlines()

    def joined(lines):
        return "\n".join(lines).encode()

    if name == "wflw":
        words = lines[0].split()
        for what, line in {
            "NaN": ["nan", *words[1:]],
            "huge numbers": ["1e300", *words[1:]],
            "one word less": words[1:],
            "a path out of the root": [*words[:-1], "../../../etc/passwd"],
            "an absolute path": [*words[:-1], "/etc/passwd"],
        }.items():
            yield what, joined([" ".join(line), *lines[1:]])
        yield "a line of a million words", joined([" ".join(["1"] * 1_000_000), *lines])
        yield "no lines", b"\n\n"
    else:
        yield "one point less", joined([*lines[:4], *lines[5:]])
        yield "NaN", joined([*lines[:4], "nan nan", *lines[5:]])
        yield "huge numbers", joined([*lines[:4], "1e300 5", *lines[5:]])
        yield "many points announced", data.replace(b"68", b"9" * 400)
        yield "a word", joined([*lines[:4], "one two", *lines[5:]])
        yield "long", data + b" " * 2_000_000
        yield "no brace", data.replace(b"}", b"")


def of_npz(data, random):
    with np.load(io.BytesIO(data)) as stored:
        part, names = stored["part"], stored["imgname"]

    def saved(**arrays):
        out = io.BytesIO()
        np.savez_compressed(out, **arrays)
        return out.getvalue()

    yield "part lacking", saved(imgname=names)
    yield "pickled", saved(part=part, imgname=np.array([Run()] * len(part), object))
    yield "names of numbers", saved(part=part, imgname=np.arange(len(part)))
    yield "fewer names", saved(part=part, imgname=names[:3])
    yield "names not UTF-8", saved(part=part, imgname=np.array([b"\xff\xfe.jpg"] * len(part)))
    yield "names out of the root", saved(part=part, imgname=np.array(["../../../etc/passwd"] * len(part)))
    yield "part of text", saved(part=part.astype("U5"), imgname=names)
    yield "part of another shape", saved(part=part[:, :9], imgname=names)
    yield "NaN", saved(part=np.where(random.random(part.shape) < 0.01, np.nan, part), imgname=names)
    yield "huge numbers", saved(part=np.full(part.shape, 1e300), imgname=names)
    yield "empty", saved(part=part[:0], imgname=names[:0])
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 17, 3)})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("part.npy", header.getvalue())
        archive.writestr("../../outside.npy", b"x")
    yield "a false header", out.getvalue()


def of_cdf(data):
    """Counts that a reader would loop over or allocate: all 4-byte words of the file's descriptors made huge, one at a time."""
    for place in range(340, 700, 24):
        yield f"a huge word at {place}", data[:place] + struct.pack(">i", 2**31 - 1) + data[place + 4 :]


def mutations(name, data, random):
    yield from of_any_format(data, random)
    if name in MAT5:
        yield from of_mat5(name, data, random)
    elif name in ("coco", "keypoints-json"):
        yield from of_json(data, random)
    elif name == "human36m-npz":
        yield from of_npz(data, random)
    elif name == "human36m":
        yield from of_cdf(data)
    else:
        yield from of_text(name, data)


def listing(folder):
    """All files and folders with the times of their last change; of the working folder only what lies in it."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != "work"}


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files(name, tmp_path):
    random = np.random.default_rng(len(name))
    original = tmp_path / "original"
    FORMATS[name].write(original, 1, False)
    data = (original / VICTIMS[name]).read_bytes()
    work = tmp_path / "work"
    work.mkdir()
    cases, entries = [], []
    # Only some cases ask for pictures: these need paths, and readers without them never follow one.
    for number, (what, mutated) in enumerate(mutations(name, data, random)):
        root = tmp_path / f"root{number}"
        shutil.copytree(original, root)
        (root / VICTIMS[name]).write_bytes(mutated)
        cases.append(what)
        others = {"images": "path" in what or "names out" in what}
        if name == "human36m":
            others["cameras"] = [60457274]  # one file: each takes a process
        entries.append([name, str(root), others])
    assert len(cases) >= 28
    (tmp_path / "cases.json").write_text(json.dumps(entries))
    before = listing(tmp_path)
    done = subprocess.run(
        [sys.executable, "-B", str(HERE / "hostile_worker.py"), str(tmp_path / "cases.json")],
        cwd=work,
        env={**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent}", "TMPDIR": str(work)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    *outcomes, peak = json.loads(done.stdout.splitlines()[-1])
    assert listing(tmp_path) == before
    assert not list(tmp_path.rglob(TRACE))
    assert peak < 1_000_000  # kB
    refused = 0
    for what, (outcome, text, seconds), (_, root, _) in zip(cases, outcomes, entries, strict=True):
        assert outcome != "crashed", f"{what}: {text}"
        assert seconds < 40, what
        if outcome == "refused":
            refused += 1
            assert "\n" not in text, f"{what}: {text}"
            assert len(text) < 1200, f"{what}: {text[:300]}"
            assert Path(root).name in text, f"{what}: {text}"
        else:
            counts = json.loads(text)["train"]
            assert counts["read"] == counts["kept"] + sum(counts["dropped"].values()), what
    assert refused >= (0 if name == "300-vw" else 8)


def test_a_broken_test_file_of_3dhp_is_named(tmp_path):
    """The other format of this set: MATLAB 7.3."""
    FORMATS["mpi-inf-3dhp"].write(tmp_path / "original", 1, False)
    victim = "mpi_inf_3dhp_test_set/TS1/annot_data.mat"
    data = (tmp_path / "original" / victim).read_bytes()
    random = np.random.default_rng(0)
    entries = []
    with h5py.File(tmp_path / "huge.mat", "w") as file:
        file.create_dataset("annot2", (10**9, 1, 17, 2), "f8", chunks=(1000, 1, 17, 2))
        file["valid_frame"] = np.ones((3, 1))
    with h5py.File(tmp_path / "links.mat", "w") as file:
        file["annot2"] = h5py.ExternalLink("/etc/passwd", "/x")
        file["valid_frame"] = np.ones((3, 1))
    mutated = list(of_any_format(data, random))
    mutated += [(name, (tmp_path / f"{name}.mat").read_bytes()) for name in ("huge", "links")]
    for number, (_, content) in enumerate(mutated):
        root = tmp_path / f"root{number}"
        shutil.copytree(tmp_path / "original", root)
        (root / victim).write_bytes(content)
        entries.append(["mpi-inf-3dhp", str(root), {}])
    (tmp_path / "cases.json").write_text(json.dumps(entries))
    done = subprocess.run(
        [sys.executable, "-B", str(HERE / "hostile_worker.py"), str(tmp_path / "cases.json")],
        env={**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    *outcomes, peak = json.loads(done.stdout.splitlines()[-1])
    assert peak < 1_000_000
    for (what, _), (outcome, text, _) in zip(mutated, outcomes, strict=True):
        assert outcome != "crashed", f"{what}: {text}"
        assert outcome == "read" or ("TS1" in text and "\n" not in text), f"{what}: {text}"
    assert [outcome for outcome, *_ in outcomes[-2:]] == ["refused", "refused"]
