"""Pictures read with care, and the median of many of them."""

import tracemalloc

import cv2
import numpy as np
import pytest

from flexpose_core.datasets import footage
from flexpose_core.datasets.footage import median_picture, read_pictures
from flexpose_core.datasets.raw import Picture


def written(folder, images):
    pictures = []
    for number, image in enumerate(images):
        pictures.append(Picture(folder / f"{number}.png"))
        assert cv2.imwrite(str(pictures[-1].path), image[..., ::-1])
    return pictures


@pytest.mark.parametrize("count", [5, 11, 25, 40])
def test_the_median_is_numpys_of_evenly_spread_pictures(tmp_path, count):
    images = np.random.default_rng(count).integers(0, 256, (count, 9, 7, 3)).astype(np.uint8)
    chosen = np.unique(np.linspace(0, count - 1, min(count, 25)).astype(int))
    found = median_picture(written(tmp_path, images))
    np.testing.assert_array_equal(found, np.median(images[chosen], axis=0))


def test_there_is_no_median_of_few_or_unlike_pictures(tmp_path):
    images = [np.zeros((9, 7, 3), np.uint8)] * 5
    pictures = written(tmp_path, images)
    assert median_picture(pictures[:4]) is None
    missing = Picture(tmp_path / "missing.png")
    assert median_picture([missing] * 6) is None
    assert median_picture([missing, *pictures]) is not None
    assert median_picture([missing, *pictures[1:]]) is None
    written(tmp_path, [np.zeros((8, 7, 3), np.uint8)])
    assert median_picture(pictures) is None


@pytest.mark.parametrize("odd", [[0], [3], [0, 2, 9], [0, 1, 2, 3, 4], list(range(6))])
def test_pictures_of_another_size_are_left_out_of_the_median(tmp_path, odd):
    images = list(np.random.default_rng(1).integers(0, 256, (12, 9, 7, 3)).astype(np.uint8))
    turned = [image.transpose(1, 0, 2) if place in odd else image for place, image in enumerate(images)]
    found = median_picture(written(tmp_path, turned))
    if 2 * len(odd) == len(images):
        assert found is None
    else:
        kept = np.stack([image for place, image in enumerate(images) if place not in odd])
        np.testing.assert_array_equal(found, np.sort(kept, axis=0)[len(kept) // 2])


def test_a_median_holds_its_pictures_once(tmp_path):
    side, count = 512, 25
    random = np.random.default_rng(0)
    # Smooth, as noise takes long to decode.
    rows = random.integers(0, 256, (count, side, 1, 3)).astype(np.uint8)
    pictures = written(tmp_path, (np.repeat(row, side, axis=1) for row in rows))
    tracemalloc.start()
    try:
        found = median_picture(pictures)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found[:, 0], np.median(rows[:, :, 0], axis=0))
    assert peak < 1.25 * count * side * side * 3


def test_of_large_pictures_fewer_make_the_median(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (25, 16, 16, 3)).astype(np.uint8)
    pictures = written(tmp_path, images)
    monkeypatch.setattr(footage, "MEDIAN_BYTES", 7 * 16 * 16 * 3 + 5)
    chosen = np.linspace(0, 24, 7).astype(int)
    np.testing.assert_array_equal(median_picture(pictures), np.median(images[chosen], axis=0))
    # Five at least, however large they are.
    monkeypatch.setattr(footage, "MEDIAN_BYTES", 1)
    chosen = np.linspace(0, 24, 5).astype(int)
    np.testing.assert_array_equal(median_picture(pictures), np.median(images[chosen], axis=0))


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp"])
def test_pictures_that_declare_too_much_are_not_decoded(tmp_path, monkeypatch, kind):
    path = tmp_path / f"a.{kind}"
    cv2.imwrite(str(path), np.full((30, 40, 3), 90, np.uint8))
    assert next(read_pictures([Picture(path)])).shape == (30, 40, 3)
    monkeypatch.setattr(footage, "LARGEST_PICTURE", 30 * 40 - 1)
    assert next(read_pictures([Picture(path)])) is None


def test_a_jpeg_with_much_before_its_size_is_read(tmp_path):
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.full((30, 40, 3), 90, np.uint8))
    data = path.read_bytes()
    notes = b"\xff\xe2\xff\xff" + bytes(65533)  # as colour profiles are, in several segments
    path.write_bytes(data[:2] + 2 * notes + b"\xff" + data[2:])
    assert next(read_pictures([Picture(path)])).shape == (30, 40, 3)
    path.write_bytes(data[:2] + notes[:-8] + data[2:])
    assert next(read_pictures([Picture(path)])) is None


@pytest.mark.parametrize("marker", [b"\xff\xd0", b"\xff\x01", b"\xff\x00", b"\xff\xd9"])
def test_a_jpeg_whose_size_could_be_looked_for_in_two_places_is_not_decoded(marker):
    # After a marker without a length a decoder finds the first size; taken for one with a length, it leads to the second.
    def size(height, width):
        return b"\xff\xc0\x00\x11\x08" + height.to_bytes(2) + width.to_bytes(2) + bytes(10)

    first = size(32767, 32767)
    data = b"\xff\xd8" + marker + first
    data += bytes(4 + int.from_bytes(first[:2]) - len(data)) + size(30, 40)
    assert footage._declared_pixels(data) == 0


def test_a_video_of_frames_too_large_is_not_decoded(tmp_path, monkeypatch):
    path = tmp_path / "a.avi"
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for _ in range(3):
        out.write(np.zeros((48, 64, 3), np.uint8))
    out.release()
    assert next(read_pictures([Picture(path, 1)])).shape == (48, 64, 3)
    monkeypatch.setattr(footage, "LARGEST_PICTURE", 64 * 48 - 1)
    assert next(read_pictures([Picture(path, 1)])) is None
