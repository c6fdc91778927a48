from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from flexpose_core.errors import DataError, OutputError
from flexpose_core.poses import cache
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import CHUNK, load_cache, open_cache, plain_batch, write_cache
from flexpose_core.poses.images import decode_image, encode_images
from flexpose_core.poses.seal import write_seal
from flexpose_core.skeletons import BODY15, FACE68


def batches(random, count=3, size=50, images=False):
    for k in range(count):
        yield PoseBatch(
            poses=random.random((size, 15, 2), np.float32),
            visibility=random.integers(0, 2, (size, 15)).astype(np.uint8),
            clip=np.array(["walk", "run"])[random.integers(0, 2, size)],
            subject=np.full(size, k, np.int32),
            camera=np.full(size, 7, np.int32),
            sequence=np.full(size, 10 - k, np.int32),
            frame=np.arange(size, dtype=np.int32),
            crop=random.random((size, 4), np.float32) if images else None,
            images=encode_images(random.integers(0, 256, (size, 8, 8, 3)).astype(np.uint8), "png") if images else None,
            backgrounds=np.repeat(encode_images([np.full((8, 8, 3), k, np.uint8)], "png"), size) if images else None,
        )


def written(path, images=False):
    batches_ = list(batches(np.random.default_rng(0), images=images))
    write_cache(path, batches_, BODY15, {"source": "test"})
    return batches_


@pytest.mark.parametrize("images", [False, True])
def test_round_trip(tmp_path, images):
    path = tmp_path / "poses.h5"
    original = written(path, images)
    loaded = load_cache(path, images=images)
    assert loaded.skeleton is BODY15
    assert loaded.attributes == {"source": "test"}
    for name in ("poses", "visibility", "clip", "subject", "camera", "sequence", "frame"):
        np.testing.assert_array_equal(getattr(loaded, name), np.concatenate([getattr(b, name) for b in original]))
    if images:
        np.testing.assert_array_equal(loaded.crop, np.concatenate([b.crop for b in original]))
        expected = [decode_image(data) for b in original for data in b.images]
        np.testing.assert_array_equal(loaded.images[:], expected)
        np.testing.assert_array_equal(loaded.images[np.array([120, 3])], [expected[120], expected[3]])
        assert len(loaded.backgrounds) == 3  # kept once for all poses that share it
        np.testing.assert_array_equal(loaded.backgrounds[loaded.background][:, 0, 0, 0], loaded.subject)


def test_pictures_are_the_same_only_with_their_places(tmp_path):
    """Trainings resume on the same pictures: before the same backgrounds, and in the same sequences."""
    written(tmp_path / "a.h5", images=True)
    held = load_cache(tmp_path / "a.h5", images=True)
    known = held.pictures_checksum
    assert known == load_cache(tmp_path / "a.h5", images=True).pictures_checksum
    for name in ("background", "sequence"):
        other = replace(held, **{name: getattr(held, name)[::-1].copy()})
        assert (getattr(other, name) != getattr(held, name)).any()
        assert other.pictures_checksum != known
        assert other.image_checksum == held.image_checksum


def test_many_images_stay_in_the_file(tmp_path, monkeypatch):
    written(tmp_path / "a.h5", images=True)
    held = load_cache(tmp_path / "a.h5", images=True)
    monkeypatch.setattr(cache, "IN_MEMORY", 0)
    loaded = load_cache(tmp_path / "a.h5", images=True)
    assert not isinstance(loaded.images.data, np.ndarray)
    rows = np.random.default_rng(0).integers(0, 150, 100)
    np.testing.assert_array_equal(loaded.images[rows], held.images[rows])
    np.testing.assert_array_equal(loaded.backgrounds[loaded.background[rows]], held.backgrounds[held.background[rows]])


def test_a_flipped_bit_in_the_images_is_found(tmp_path):
    path = tmp_path / "a.h5"
    original = written(path, images=True)
    content = bytearray(path.read_bytes())
    at = content.find(original[0].images[3])
    content[at + 50] ^= 1
    path.write_bytes(content)
    load_cache(path)
    with pytest.raises(DataError, match=r"a\.h5: damaged images: they do not fit the checksum"):
        load_cache(path, images=True)


def test_rows_are_read_with_their_images_as_encoded(tmp_path):
    original = written(tmp_path / "a.h5", images=True)
    with open_cache(tmp_path / "a.h5") as file:
        images, backgrounds = (cache.cached_images(file, "a.h5", kind) for kind in ("image", "background"))
        found = cache.read_rows(file, "a.h5", np.array([2, 60, 149]), images, backgrounds)
    np.testing.assert_array_equal(found.poses, [original[0].poses[2], original[1].poses[10], original[2].poses[49]])
    assert list(found.images) == [original[0].images[2], original[1].images[10], original[2].images[49]]
    assert list(found.backgrounds) == [original[k].backgrounds[0] for k in range(3)]
    assert list(found.clip) == [original[0].clip[2], original[1].clip[10], original[2].clip[49]]


def test_attributes_filled_while_reading_are_kept(tmp_path):
    attributes = {}

    def reader():
        yield from batches(np.random.default_rng(0), count=1)
        attributes["dropped"] = 4

    write_cache(tmp_path / "a.h5", reader(), BODY15, attributes)
    assert load_cache(tmp_path / "a.h5").attributes == {"dropped": 4}


def test_same_poses_same_bytes_however_batched(tmp_path):
    poses = np.random.default_rng(1).random((2500, 15, 2), np.float32)
    write_cache(tmp_path / "a.h5", [plain_batch(poses)], BODY15, {})
    write_cache(tmp_path / "b.h5", [plain_batch(poses[k : k + 7], first=k) for k in range(0, 2500, 7)], BODY15, {})
    a, b = load_cache(tmp_path / "a.h5"), load_cache(tmp_path / "b.h5")
    np.testing.assert_array_equal(a.poses, b.poses)
    np.testing.assert_array_equal(a.frame, b.frame)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def named(count, names):
    poses = np.zeros((count, 15, 2), np.float32)
    for start in range(0, count, 300):
        batch = plain_batch(poses[start : start + 300], first=start)
        yield replace(batch, source=np.array(names[start : start + 300], object))


@pytest.mark.parametrize(
    "names",
    [
        [f"bilder/müller 😀 {k}.jpg" for k in range(2500)],
        [f"v{k // 700}.avi" for k in range(2500)],
        [["a.jpg", "", "b.jpg"][k // 2 % 3] for k in range(2500)],  # names that come back, and one not stated
        [""] * 2500,
    ],
    ids=["stills", "videos", "again", "none"],
)
def test_originals_are_kept_by_name(tmp_path, names):
    path = tmp_path / "a.h5"
    write_cache(path, named(2500, names), BODY15, {})
    loaded = load_cache(path)
    assert loaded.source[:].tolist() == names
    assert loaded.source[np.array([2400, 3, 3])].tolist() == [names[2400], names[3], names[3]]
    assert loaded.source[:0].tolist() == []
    with open_cache(path) as file:
        assert file["source"].dtype == np.int32
        assert len(file["source_ends"]) == 1 + sum(a != b for a, b in pairwise(names))
        rows = np.array([5, 6, 1900])
        assert cache.read_rows(file, path, rows).source.tolist() == [names[row] for row in rows]


def test_originals_compress_and_poses_without_them_have_none(tmp_path):
    names = [f"human_images/S1/WithBackground/Walking 1.54138969/{k}.jpg" for k in range(20_000)]
    write_cache(tmp_path / "a.h5", named(20_000, names), BODY15, {})
    write_cache(tmp_path / "b.h5", [plain_batch(np.zeros((20_000, 15, 2), np.float32))], BODY15, {})
    grown = (tmp_path / "a.h5").stat().st_size - (tmp_path / "b.h5").stat().st_size
    assert grown < 20_000 * 12  # bytes; the names are of 58
    assert load_cache(tmp_path / "b.h5").source is None


def test_damaged_originals_are_named(tmp_path):
    import h5py

    for damage, message in {"source": "expected 8 names of originals, found 1", "source_names": "source_names"}.items():
        write_cache(tmp_path / "a.h5", named(10, ["a.avi"] * 10), BODY15, {})
        with h5py.File(tmp_path / "a.h5", "r+") as file:
            if damage == "source":
                file["source"][4] = 7
            else:
                del file[damage]
        write_seal(tmp_path / "a.h5")
        with pytest.raises(DataError, match=rf"a\.h5: damaged pose cache: .*{message}"):
            load_cache(tmp_path / "a.h5").source[:]


def test_images_are_asked_of_a_cache_that_has_none(tmp_path):
    written(tmp_path / "a.h5")
    with pytest.raises(DataError, match=r"a\.h5: expected a cache with images"):
        load_cache(tmp_path / "a.h5", images=True)


def test_a_reader_that_breaks_leaves_no_file(tmp_path):
    def broken():
        yield from batches(np.random.default_rng(0), count=1)
        raise DataError("frame 3 is odd")

    with pytest.raises(DataError, match="frame 3"):
        write_cache(tmp_path / "a.h5", broken(), BODY15, {})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_and_leaves_no_file(tmp_path, monkeypatch):
    import shutil
    from collections import namedtuple

    free = iter([10**9] * 12 + [10**7] * 1000)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(next(free)))
    many = (plain_batch(np.zeros((1000, 15, 2), np.float32)) for _ in range(20))
    with pytest.raises(OutputError, match=r"a\.h5: could not be written: No space left on device: .* found 10 MB"):
        write_cache(tmp_path / "a.h5", many, BODY15, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA out of memory"), RuntimeError(), FileNotFoundError(2, "No such file", "a.mp4")]
)
def test_an_error_of_what_makes_the_poses_is_not_one_of_writing(tmp_path, error):
    def failing():
        yield from batches(np.random.default_rng(0), 1)
        raise error

    with pytest.raises(type(error)) as caught:
        write_cache(tmp_path / "a.h5", failing(), BODY15, {})
    assert caught.value is error
    assert "failing" in [entry.name for entry in caught.traceback]
    assert list(tmp_path.iterdir()) == []


def test_bad_batches_are_refused(tmp_path):
    with pytest.raises(DataError, match="expected 68 joints of face68, found 15"):
        write_cache(tmp_path / "a.h5", batches(np.random.default_rng(0)), FACE68, {})
    with pytest.raises(DataError, match="expected at least one pose"):
        write_cache(tmp_path / "a.h5", [], BODY15, {})
    poses = np.zeros((5, 15, 2), np.float32)
    poses[3, 2, 1] = np.nan
    with pytest.raises(DataError, match="pose 3: expected finite"):
        write_cache(tmp_path / "a.h5", [plain_batch(poses)], BODY15, {})
    with pytest.raises(DataError, match=r"expected subject of shape \(5,\), found \(4,\)"):
        PoseBatch(poses, np.ones((5, 15)), np.full(5, "a"), *[np.zeros(4, np.int32)] * 4)
    large = replace(plain_batch(np.zeros((5, 15, 2))), frame=np.array([0, 1, 900100581904, 3, 4]))
    with pytest.raises(DataError, match=r"a\.h5: pose 2: frame: expected a number of 32 bits, found 900100581904"):
        write_cache(tmp_path / "a.h5", [large], BODY15, {})


def test_damaged_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "a.h5"
    with pytest.raises(DataError, match=r"a\.h5: no such file"):
        load_cache(path)
    written(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.h5: "):
        load_cache(path)
    path.write_bytes(b"not hdf5" * 100)
    with pytest.raises(DataError, match="expected an HDF5 pose cache"):
        load_cache(path)
    import h5py

    with h5py.File(path, "w") as file:
        file["poses"] = np.zeros((2, 15, 2))
    with pytest.raises(DataError, match=r"a\.h5: expected a pose cache's seal at the end, found none"):
        load_cache(path)
    write_seal(path)
    with pytest.raises(DataError, match="expected format 'flexpose-poses-3', found None"):
        load_cache(path)


def test_a_flipped_bit_in_the_poses_is_found(tmp_path):
    path = tmp_path / "a.h5"
    original = written(path)
    content = bytearray(path.read_bytes())
    at = content.find(original[0].poses.tobytes()[:64])
    content[at + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.h5: damaged pose cache: its content does not fit the checksum"):
        open_cache(path)


def test_writing_streams(tmp_path):
    """The writer holds no more than a chunk: a reader that counts its live batches proves it."""
    import weakref

    live = []

    def reader():
        for k in range(200):
            batch = plain_batch(np.zeros((100, 15, 2), np.float32), first=100 * k)
            live.append(weakref.ref(batch))
            yield batch
            del batch
            assert sum(reference() is not None for reference in live) <= CHUNK // 100 + 2

    assert write_cache(tmp_path / "a.h5", reader(), BODY15, {}) == 20_000
