"""Files from elsewhere: honest ones are read as scipy, h5py and NumPy read them, others are refused in one line."""

import io
import os
import pickle
import struct
import zipfile
import zlib

import h5py
import numpy as np
import pytest
import scipy.io

from flexpose_core.datasets.mpi_inf_3dhp import TRAINING_FRAMES
from flexpose_core.datasets.npz import open_npz
from flexpose_core.datasets.untrusted import (
    MOST_NUMBERS,
    inside,
    load_mat5,
    mat73_array,
    name_inside,
    open_mat73,
    read_text,
)
from flexpose_core.errors import DataError


class Touch:
    """Unpickling this would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


# ---- MATLAB 5


@pytest.mark.parametrize("compressed", [False, True])
def test_mat5_as_scipy_reads_it(tmp_path, compressed):
    cell = np.empty((3, 1), object)
    for k in range(3):
        cell[k, 0] = np.random.default_rng(k).random((5, 4)).astype(np.float32)
    stored = {"x": np.arange(12.0).reshape(3, 4), "annot2": cell, "action": "jump", "s": {"a": 1, "b": "two"}}
    scipy.io.savemat(tmp_path / "a.mat", stored, do_compression=compressed)
    found = load_mat5(tmp_path / "a.mat", "annot2", "action", "x", "s")
    expected = scipy.io.loadmat(tmp_path / "a.mat")
    np.testing.assert_array_equal(found["x"], expected["x"])
    assert found["action"] == expected["action"]
    for k in range(3):
        np.testing.assert_array_equal(found["annot2"][k, 0], cell[k, 0])
    assert found["s"]["b"][0, 0] == "two"


def matrix(array_class, dims, content=b"", name=b"x"):
    """A MATLAB 5 matrix element by the format's own description."""

    def element(kind, data):
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    body = element(6, struct.pack("<II", array_class, 0)) + element(5, struct.pack(f"<{len(dims)}i", *dims))
    body += element(1, name) + content
    return struct.pack("<II", 14, len(body)) + body


def mat5(*elements):
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<HH", 0x0100, 0x4D49) + b"".join(elements)


def compressed(element):
    data = zlib.compress(element)
    return struct.pack("<II", 15, len(data)) + data


NUMBERS = struct.pack("<II", 9, 16) + struct.pack("<2d", 1, 2)


def test_the_elements_built_here_are_genuine(tmp_path):
    for element in (matrix(6, (1, 2), NUMBERS), compressed(matrix(6, (1, 2), NUMBERS))):
        (tmp_path / "a.mat").write_bytes(mat5(element))
        np.testing.assert_array_equal(load_mat5(tmp_path / "a.mat", "x")["x"], [[1, 2]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a MATLAB 5 file"),
        (b"{}" * 100, "expected a MATLAB 5 file"),
        (mat5(), "expected a variable 'x', found none"),
        (mat5(matrix(6, (1, 2), NUMBERS, b"y")), "expected a variable 'x', found none"),
        (mat5(matrix(6, (1, 2), NUMBERS))[:-10], "truncated"),
        (mat5(matrix(1, (30_000, 30_000))), "dimensions"),
        (mat5(compressed(matrix(2, (2**30, 2**30)))), "dimensions"),
        (mat5(matrix(6, (-4, 2), NUMBERS)), "dimensions"),
        (mat5(matrix(3, (1, 1))), "expected plain arrays, found class object"),
        (mat5(matrix(16, (1, 1))), "expected plain arrays, found class function"),
        (mat5(matrix(17, (1, 1))), "expected plain arrays, found class opaque"),
        (mat5(matrix(5, (4, 4))), "expected plain arrays, found class sparse"),
        (mat5(struct.pack("<II", 15, 40) + b"notzlib!" * 5), "expected a variable|damaged"),
        (mat5(matrix(6, (1, 2), struct.pack("<II", 9, 4000) + bytes(16))), "damaged"),
    ],
)
def test_bad_mat5_is_one_line(tmp_path, content, message):
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_mat5(path, "x")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_scipy_takes_for_matlab_4_is_refused(tmp_path):
    honest = mat5(matrix(6, (1, 2), NUMBERS))
    (tmp_path / "a.mat").write_bytes(struct.pack("<5i", 50, 1, 400, 0, 2) + honest[20:])
    with pytest.raises(DataError, match="expected a MATLAB 5 file, found another format"):
        load_mat5(tmp_path / "a.mat", "x")


def test_deep_nesting_and_bombs_are_refused_before_they_are_read(tmp_path, monkeypatch):
    nested = matrix(6, (1, 2), NUMBERS)
    for _ in range(2000):
        nested = matrix(1, (1, 1), nested)
    (tmp_path / "a.mat").write_bytes(mat5(compressed(nested)))
    with pytest.raises(DataError, match="nested at most 8 deep"):
        load_mat5(tmp_path / "a.mat", "x")
    zeros = 250_000_000
    squeezed = zlib.compressobj(9)
    head = matrix(6, (1, zeros // 8))
    data = squeezed.compress(head[:4] + struct.pack("<I", len(head) - 8 + zeros + 8) + head[8:])
    data += squeezed.compress(struct.pack("<II", 9, zeros))
    for _ in range(zeros // 10_000_000):
        data += squeezed.compress(bytes(10_000_000))
    data += squeezed.flush()
    (tmp_path / "b.mat").write_bytes(mat5(struct.pack("<II", 15, len(data)) + data))
    with pytest.raises(DataError, match="expected variables of at most 192 MB"):
        load_mat5(tmp_path / "b.mat", "x")


def test_numbers_are_limited_however_few_bytes_they_take(tmp_path):
    path = tmp_path / "a.mat"
    for value, fits in {
        (3, MOST_NUMBERS // 3 - 1000): True,
        (3, MOST_NUMBERS // 3): False,  # with the array itself
    }.items():
        scipy.io.savemat(path, {"x": np.zeros(value, np.uint8)}, do_compression=True)
        assert path.stat().st_size < 100_000
        if fits:
            assert load_mat5(path, "x")["x"].shape == value
        else:
            with pytest.raises(DataError, match=r"a\.mat: expected at most 12000000 numbers"):
                load_mat5(path, "x")
    cells = np.empty((200, 100), object)
    cells[:] = 1.0
    scipy.io.savemat(path, {"x": cells})
    with pytest.raises(DataError, match=r"a\.mat: expected at most 12000000 numbers, a cell counting as 1000 of them"):
        load_mat5(path, "x")


def test_the_longest_original_fits():
    assert 14 * (56 * max(TRAINING_FRAMES.values()) + 2000) + 1000 < MOST_NUMBERS


# ---- MATLAB 7.3


def test_mat73_arrays_and_what_is_refused(tmp_path):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w") as file:
        file["annot2"] = np.arange(12.0).reshape(3, 1, 4)
        file["text"] = "hello"
        file["soft"] = h5py.SoftLink("/annot2")
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
        file.create_dataset("huge", (10**7, 10**7), "f8", chunks=(1000, 1000))
        file.create_dataset("chunk", (5,), "u1", maxshape=(None,), chunks=(400_000_000,), compression="gzip")
        file.create_dataset("outside", (10,), "u1", external=[("/etc/passwd", 0, 10)])
    with open_mat73(path) as file:
        np.testing.assert_array_equal(mat73_array(file, path, "annot2"), np.arange(12.0).reshape(3, 1, 4))
        for name, message in {
            "nothing": "expected a variable 'nothing', found annot2, chunk, elsewhere",
            "text": "expected an array of numbers",
            "soft": "found a link",
            "elsewhere": "found a link",
            "huge": "expected at most 12000000 numbers",
            "chunk": "expected at most 12000000 numbers, found .* in chunks of",
            "outside": "found a reference to another one",
        }.items():
            with pytest.raises(DataError, match=message):
                mat73_array(file, path, name)
    with h5py.File(path, "w") as file:
        file["scalar"] = 3.0
        shape = {"shape": (4, 25), "chunks": (2, 25), "compression": "gzip", "dtype": "f8"}
        honest = file.create_dataset(
            "honest", data=np.arange(100.0).reshape(4, 25), shuffle=True, fletcher32=True, **shape
        )
        assert honest.id.get_num_chunks() == 2
        bomb = file.create_dataset("bomb", **shape)
        bomb.id.write_direct_chunk((0, 0), zlib.compress(bytes(2 * 25 * 8)))
        bomb.id.write_direct_chunk((2, 0), zlib.compress(bytes(10**8)))
        torn = file.create_dataset("torn", **shape)
        torn.id.write_direct_chunk((0, 0), b"no stream")
        file.create_dataset("other", data=np.zeros(4), chunks=(4,), compression="lzf")
    with open_mat73(path) as file:
        np.testing.assert_array_equal(mat73_array(file, path, "honest"), np.arange(100.0).reshape(4, 25))
    for name, message in {
        "scalar": "expected an array of numbers",
        "bomb": r"bomb: expected chunks of 400 bytes, found more in that at \(2, 0\)",
        "torn": "damaged MATLAB 7.3 file",
        "other": "expected MATLAB's own compression, found filters",
    }.items():
        with pytest.raises(DataError, match=message), open_mat73(path) as file:
            mat73_array(file, path, name)
    (tmp_path / "b.mat").write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match=r"b\.mat: damaged MATLAB 7\.3 file"), open_mat73(tmp_path / "b.mat"):
        pass


# ---- npz


def load_npz(path, name):
    """An array joined from its pieces."""
    with open_npz(path) as file:
        shape, dtype = file.describe(name)
        joined = np.concatenate([np.empty((0, *shape[1:]), dtype), *file.pieces(name)])
    assert joined.shape == shape
    return joined


@pytest.mark.parametrize("piece", [30, 100, 4_000_000])
def test_npz_as_numpy_reads_it(tmp_path, monkeypatch, piece):
    monkeypatch.setattr("flexpose_core.datasets.npz.PIECE", piece)
    arrays = {"part": np.random.default_rng(0).random((40, 17, 3)), "imgname": np.array(["a.jpg", "b.jpg"])}
    arrays |= {"bytes": np.array([b"a", b"bcd"]), "none": np.zeros((0, 17, 3)), "few": np.arange(7, dtype=">i2")}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        for name, value in arrays.items():
            np.testing.assert_array_equal(load_npz(tmp_path / "a.npz", name), value)


def test_pickles_bombs_and_false_headers_are_refused(tmp_path):
    path, trace = tmp_path / "a.npz", tmp_path / "trace"
    np.savez(path, part=np.array([Touch(trace)], object))
    with pytest.raises(DataError, match="part: expected plain numbers or text, found pickled objects"):
        load_npz(path, "part")
    with pytest.raises(DataError, match="expected an array 'imgname', found part"):
        load_npz(path, "imgname")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("part.npy", pickle.dumps(Touch(trace)))
    with pytest.raises(DataError, match=r"a\.npz: damaged"):
        load_npz(path, "part")
    assert not trace.exists()

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**4)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("part.npy", header.getvalue())
    with pytest.raises(DataError, match=r"expected 80000000000000 bytes for shape"):
        load_npz(path, "part")

    np.savez(path, part=np.zeros((1, 10_000_000)), columns=np.asfortranarray(np.zeros((2, 3))), one=np.float64(3))
    with pytest.raises(DataError, match="expected rows of at most 64000000 bytes, found 80000000"):
        load_npz(path, "part")
    for name in ("columns", "one"):
        with pytest.raises(DataError, match=rf"{name}: expected rows one after the other"):
            load_npz(path, name)
    path.write_bytes(b"PK not a zip")
    with pytest.raises(DataError, match=r"a\.npz: damaged"):
        load_npz(path, "part")
    with pytest.raises(DataError, match=r"b\.npz: no such file"):
        load_npz(tmp_path / "b.npz", "part")


# ---- paths and text


@pytest.mark.parametrize("path", ["../other/x.jpg", "/etc/passwd", "a/../../x", "link/x", "a\0b", "x" * 5000])
def test_paths_out_of_the_root_are_refused(tmp_path, path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"list\.txt: line 3: expected a path inside") as caught:
        inside(root, path, "list.txt: line 3")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("path", ["../x.jpg", "/etc/passwd", "a/../../x", "..", "a\0b", "x" * 5000, "a\ud800.jpg"])
def test_names_out_of_the_root_are_refused_as_they_are_written(path):
    with pytest.raises(DataError, match=r"list\.txt: line 3: expected a path inside") as caught:
        name_inside(path, "list.txt: line 3")
    str(caught.value).encode()
    assert [name_inside(name, "") for name in ("", "a/./b//c", "a/../b", "..a/b")] == ["", "a/b/c", "b", "..a/b"]


def test_paths_in_the_root_are_kept(tmp_path):
    assert inside(tmp_path, "a/b/../c.jpg", "") == tmp_path / "a" / "c.jpg"


def test_text_that_is_none(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abc\xff")
    with pytest.raises(DataError, match=r"a\.txt: expected UTF-8 text, found byte 0xff at 3"):
        read_text(tmp_path / "a.txt")
    with pytest.raises(DataError, match="no such file"):
        read_text(tmp_path / "b.txt")
