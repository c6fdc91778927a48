"""Local contrast: what light and background do not change, and the blur against OpenCV's."""

import cv2
import numpy as np
import pytest
import torch

from flexpose_core.rendering.contrast import _NEIGHBOURHOOD, GROUND, _blurred, local_contrast

SIDE = 32


def _scene(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return an image with a rough bright square before darkness, its background, and where the square is."""
    random = torch.Generator().manual_seed(seed)
    backgrounds = torch.full((1, 3, SIDE, SIDE), -0.9)
    inside = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.bool)
    inside[..., 6:26, 8:24] = True
    rough = torch.rand(1, 3, SIDE, SIDE, generator=random) * 0.8
    return torch.where(inside, rough, backgrounds), backgrounds, inside


def test_a_background_alone_is_grey():
    backgrounds = torch.rand(2, 3, SIDE, SIDE) * 2 - 1
    torch.testing.assert_close(local_contrast(backgrounds, backgrounds), torch.full_like(backgrounds, GROUND))


def test_the_background_does_not_show_in_the_subject():
    images, backgrounds, inside = _scene()
    others = torch.where(inside, images, torch.full_like(images, -0.6))
    seen, again = (local_contrast(*pair) for pair in ((images, backgrounds), (others, torch.full_like(images, -0.6))))
    torch.testing.assert_close(seen, again, atol=0.02, rtol=0)


def test_light_on_the_subject_changes_little_and_features_remain():
    images, backgrounds, inside = _scene()
    bright = local_contrast(images, backgrounds)
    dim = local_contrast(torch.where(inside, 0.5 * images - 0.2, backgrounds), backgrounds)
    assert bright.min() >= -1
    assert bright.max() <= 1
    where = inside.expand_as(bright)
    assert np.corrcoef(bright[where], dim[where])[0, 1] > 0.99
    # Half the light takes half of the contrast from the images, and little of it here.
    assert dim[where].std() > 0.75 * bright[where].std()
    assert np.corrcoef(bright[where], images[where])[0, 1] > 0.9


@pytest.mark.parametrize("side", [16, 32, 64])
def test_the_blur_is_opencvs(side):
    image = np.random.default_rng(0).random((side, side)).astype(np.float32)
    sigma = _NEIGHBOURHOOD * side
    reach = 2 * min(round(3 * sigma), side - 1) + 1
    expected = cv2.GaussianBlur(image, (reach, reach), sigma, borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(_blurred(torch.from_numpy(image)[None, None])[0, 0], expected, atol=1e-5)
