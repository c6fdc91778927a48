"""What is done to files to see that readers withstand it.

Everything here yields (what, bytes): the content of a file that takes the place of the original one.
"""

import io
import json
import os
import pickle
import struct
import zipfile
import zlib

import numpy as np
import scipy.io

# The variable of each MATLAB file that is mutated.
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
    yield "repeated images", changed(lambda content: content["images"].append(content["images"][2]))
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
    """Counts that a reader would loop over or allocate: 4-byte words of the file's descriptors made huge, one at a time."""
    for place in range(340, 560, 24):
        yield f"a huge word at {place}", data[:place] + struct.pack(">i", 2**31 - 1) + data[place + 4 :]


def of_any_of(name, data, random):
    """All mutations of a format's annotation file."""
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


def of_pictures(data, random):
    """Mutations of a picture or a video."""
    yield from list(of_any_format(data, random))[::2]
    size = struct.pack(">II", 60_000, 60_000)
    if data[:4] == b"\x89PNG":
        head = b"IHDR" + size + data[24:29]
        yield "declared huge", data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]
    elif data[:2] == b"\xff\xd8":
        place = data.index(b"\xff\xc0")
        yield "declared huge", data[: place + 5] + struct.pack(">HH", 65_000, 65_000) + data[place + 9 :]
        yield "declared empty", data[: place + 5] + bytes(4) + data[place + 9 :]
    elif data[:4] == b"RIFF":
        place = data.index(b"strf") + 12
        for side in (30_000, 2**31 - 1):
            yield f"declared {side} wide", data[:place] + struct.pack("<ii", side, side) + data[place + 8 :]
    else:
        place = data.index(b"mp4v", data.index(b"stsd")) + 28
        yield "declared huge", data[:place] + struct.pack(">HH", 65_000, 65_000) + data[place + 4 :]
    bitmap = b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    yield "a huge bitmap", bitmap
    yield "a GIF", b"GIF89a" + struct.pack("<HHBBB", 65_000, 65_000, 0, 0, 0) + b";"


def _saved(compressed, **content):
    stored = io.BytesIO()
    scipy.io.savemat(stored, content, do_compression=compressed)
    return stored.getvalue()


def _person(count, joints):
    """Small numbers that make a pose, (count, joints, 2) uint8."""
    one = np.random.default_rng(0).integers(20, 200, (1, joints, 2))
    return np.repeat(one.astype(np.uint8), count, axis=0)


def near_limits(name, data):
    """Files of as many numbers, or bytes, as are read at all, and of more."""
    if name == "surreal":
        for count in (240_000, 260_000):
            yield f"{count} frames", _saved(True, joints2D=_person(count, 24).transpose(2, 1, 0))
    elif name == "lsp":
        for count in (280_000, 300_000):
            yield f"{count} poses", _saved(True, joints=np.full((3, 14, count), 7, np.uint8))
    elif name == "mpi-inf-3dhp":
        for count in (210_000, 220_000):
            cells = np.empty((14, 1), object)
            cells[:] = [[_person(2, 28).reshape(2, 56)] for _ in range(14)]
            cells[0, 0] = _person(count, 28).reshape(count, 56)
            yield f"{count} frames", _saved(True, annot2=cells)
    elif name == "human36m-npz":
        for count in (240_000, 260_000):
            stored = io.BytesIO()
            names = np.array([f"S1_Walking.54138969_{frame:06d}.jpg" for frame in range(count)])
            part = np.concatenate([_person(count, 17), np.ones((count, 17, 1), np.uint8)], axis=2)
            np.savez_compressed(stored, part=part, imgname=names)
            yield f"{count} frames", stored.getvalue()
    elif name == "wflw":
        yield "a line of 60 MB", b"1 " * 30_000_000 + b"\n" + data
        yield "100,000 lines", (b"1 " * 196 + b"a/b.jpg\n") * 100_000
        yield "70 MB", bytes(70_000_000)
    elif name == "keypoints-json":
        rest = b',"annotations":[],"categories":[]}'
        yield "ten million numbers for images", b'{"images":[' + b"0," * 10_000_000 + b"0]" + rest
        yield "two million empty images", b'{"images":[' + b"{}," * 2_000_000 + b"{}]" + rest
        one = json.loads(data)["annotations"][0] | {"keypoints": "HERE"}
        keypoints = b"[" + b"0," * 30_000_000 + b"0]"
        content = json.loads(data) | {"annotations": [one]}
        yield "an annotation of 60 MB", json.dumps(content).encode().replace(b'"HERE"', keypoints)
