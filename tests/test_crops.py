import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flexpose_core.datasets.crops import boxes_of, common_box, crops_around, from_crop, to_crop
from flexpose_core.datasets.footage import cut
from flexpose_core.datasets.options import SquareOptions

pixels = arrays(np.float64, (4, 15, 2), elements=st.floats(-500, 5000))


@given(pixels, st.floats(0, 2), st.floats(0.25, 4))
def test_a_pose_lies_in_its_crop_with_the_margin_and_comes_back(joints, margin, aspect):
    joints[:, 0], joints[:, 1] = 0, [40, 25]  # a box of some size
    boxes = boxes_of(joints)
    crops = crops_around(boxes, SquareOptions(margin=margin, aspect=aspect))
    np.testing.assert_allclose(crops[:, 2] / crops[:, 3], aspect)
    inside = to_crop(joints, crops)
    room = margin * np.maximum(np.ptp(joints[..., 0], axis=1), np.ptp(joints[..., 1], axis=1))
    for axis in (0, 1):
        assert (inside[..., axis].min(axis=1) * crops[:, 2 + axis] >= room - 1e-6).all()
        assert ((1 - inside[..., axis].max(axis=1)) * crops[:, 2 + axis] >= room - 1e-6).all()
    # No smaller crop would do: the box and its margin touch two opposite sides.
    slack = crops[:, 2:] - (boxes[:, 2:] - boxes[:, :2]) - 2 * room[:, None]
    np.testing.assert_allclose(slack.min(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(from_crop(inside, crops), joints, atol=1e-6)


def test_float32_in_the_crop_comes_back_within_a_thousandth_of_a_pixel():
    joints = np.random.default_rng(0).uniform(0, 2048, (100, 15, 2))
    crops = crops_around(boxes_of(joints), SquareOptions())
    np.testing.assert_allclose(from_crop(to_crop(joints, crops).astype(np.float32), crops), joints, atol=1e-3)


def test_boxes_leave_out_what_is_not_annotated():
    joints = np.array([[[1, 2], [5, 9], [np.nan, 40]], [[np.nan, 1], [np.nan, np.nan], [3, np.nan]]])
    boxes = boxes_of(joints)
    np.testing.assert_array_equal(boxes, [[1, 2, 5, 9], [np.nan] * 4])
    np.testing.assert_array_equal(common_box(np.array([[1, 2, 5, 9], [-3, 4, 4, 10]])), [[-3, 2, 5, 10]])


@pytest.mark.parametrize(("side", "aspect"), [(32, 1.0), (200, 1.0), (500, 0.5), (41, 2.0)])
def test_what_is_cut_out_shows_the_joints_where_the_pose_says(side, aspect):
    """A bright blob at a joint must be found at the joint's place in the crop."""
    random = np.random.default_rng(side)
    for _ in range(5):
        size = np.array([side * aspect, side])
        corner = random.uniform(30, 60, 2)
        joint = corner - 0.5 + size * random.uniform(0.2, 0.8, 2)
        y, x = np.mgrid[:640, :1200]
        width = max(2.0, size.max() / 20)
        picture = 250 * np.exp(-((x - joint[0]) ** 2 + (y - joint[1]) ** 2) / (2 * width**2))
        crop = np.array([[*corner, *size]])
        image = cut(np.repeat(picture.astype(np.uint8)[..., None], 3, axis=2), crop[0], 64)[..., 0].astype(float)
        rows, columns = np.mgrid[:64, :64]
        found = np.array([(columns * image).sum(), (rows * image).sum()]) / image.sum()
        expected = to_crop(joint[None, None], crop)[0, 0] * 64 - 0.5
        np.testing.assert_allclose(found, expected, atol=0.3)


def test_a_crop_of_the_picture_itself_is_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8)
    np.testing.assert_array_equal(cut(picture, np.array([0, 0, 48, 48]), 48), picture)
    # Four times smaller: the mean of each 4 × 4 pixels.
    expected = picture.reshape(12, 4, 12, 4, 3).mean(axis=(1, 3))
    assert np.abs(cut(picture, np.array([0, 0, 48, 48]), 12) - expected).max() <= 1
    # What lies outside is black.
    assert not cut(picture, np.array([48, 0, 48, 48]), 48)[:, 1:].any()
