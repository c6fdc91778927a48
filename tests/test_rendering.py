import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from flexpose_core.rendering import differentiable, drawn
from flexpose_core.rendering.pictures import overlay_poses, tile, to_uint8, write_png
from flexpose_core.skeletons import BODY15, FACE68


def random_poses(count, joints=15, seed=0):
    return (np.random.default_rng(seed).random((count, joints, 2)) * 0.8 + 0.1).astype(np.float32)


def brute_force_distance(pose, skeleton, size):
    """Distance of every pixel centre to the nearest bone by dense sampling of the bones."""
    grid = (np.arange(size) + 0.5) / size
    pixels = np.stack(np.meshgrid(grid, grid, indexing="xy"), -1)
    along = np.linspace(0, 1, 400)[:, None]
    points = np.concatenate([pose[a] * (1 - along) + pose[b] * along for a, b in skeleton.bone_ends])
    return np.sqrt(((pixels[:, :, None] - points) ** 2).sum(-1)).min(-1)


@pytest.mark.parametrize("skeleton", [BODY15, FACE68], ids=lambda s: s.name)
def test_distance_rendering_equals_brute_force(skeleton):
    pose = random_poses(1, len(skeleton))
    found = differentiable.draw_distances(torch.tensor(pose), skeleton, 24, decay=0.05)[0, 0].numpy()
    expected = np.exp(-brute_force_distance(pose[0], skeleton, 24) / 0.05) * 2 - 1
    np.testing.assert_allclose(found, expected, atol=0.03)


@pytest.mark.parametrize("skeleton", [BODY15, FACE68], ids=lambda s: s.name)
def test_distances_are_drawn_alike_with_gradients_and_without(skeleton):
    poses = torch.tensor(random_poses(7, len(skeleton)))
    poses[0] = 0.3  # bones without length, all as near
    differentiated = differentiable.draw_distances(poses.clone().requires_grad_(), skeleton, 24, decay=0.05)
    assert differentiated.requires_grad
    assert torch.equal(differentiable.draw_distances(poses, skeleton, 24, decay=0.05), differentiated)


def test_one_channel_lines_cover_what_is_near_a_bone():
    pose = random_poses(1)
    image = differentiable.draw_lines(torch.tensor(pose), BODY15, 64, channels=1)[0, 0].numpy()
    distance = brute_force_distance(pose[0], BODY15, 64)
    width = 1.7 / 64
    assert (image[distance < width - 1 / 64] > 0.999).all()
    assert (image[distance > width + 1 / 64] < -0.999).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 64, 128])
def test_drawn_and_differentiable_agree(size, channels):
    poses = random_poses(40)
    smooth = differentiable.draw_lines(torch.tensor(poses), BODY15, size, channels).permute(0, 2, 3, 1).numpy()
    fast = drawn.draw_lines(poses, BODY15, size, channels) / 255
    difference = np.abs((smooth + 1) / 2 - fast)
    ink = ((smooth + 1) / 2).mean()
    assert difference.mean() < 0.15 * ink
    assert abs(fast.mean() - ink) < 0.06 * ink


def test_a_later_bone_covers_an_earlier_one_and_colours_are_kept():
    pose = np.full((1, 15, 2), 0.5, np.float32)
    # All joints in the middle but one wrist: its bone is drawn alone on the right.
    wrist = BODY15.joints.index("l_wrist")
    pose[0, wrist] = (0.9, 0.5)
    bone = next(k for k, bone in enumerate(BODY15.bones) if bone.end == "l_wrist")
    expected = BODY15.bone_colours[bone]
    image = differentiable.draw_lines(torch.tensor(pose), BODY15, 64)[0]
    np.testing.assert_allclose((image[:, 32, 52].numpy() + 1) / 2, expected, atol=1e-5)
    np.testing.assert_allclose(drawn.draw_lines(pose, BODY15, 64)[0, 32, 52] / 255, expected, atol=0.01)
    last = BODY15.bone_colours[-1]
    np.testing.assert_allclose((image[:, 32, 31].numpy() + 1) / 2, last, atol=1e-5)


@pytest.mark.parametrize(
    "draw",
    [
        lambda poses: differentiable.draw_lines(poses, BODY15, 16),
        lambda poses: differentiable.draw_distances(poses, BODY15, 16, decay=0.1),
    ],
    ids=["lines", "distances"],
)
def test_gradients_equal_finite_differences(draw):
    poses = torch.tensor(random_poses(1, seed=3), dtype=torch.float64)
    weight = torch.randn(draw(poses).shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def loss(values):
        return (draw(values) * weight).sum()

    poses.requires_grad_()
    (found,) = torch.autograd.grad(loss(poses), poses)
    step = 1e-7
    for joint, axis in [(0, 0), (4, 1), (8, 0), (14, 1)]:
        moved = torch.zeros_like(poses)
        moved[0, joint, axis] = step
        with torch.no_grad():
            expected = (loss(poses + moved) - loss(poses - moved)) / (2 * step)
        torch.testing.assert_close(found[0, joint, axis], expected, rtol=1e-3, atol=1e-3)


@settings(max_examples=20)
@given(st.integers(-6, 6), st.integers(-6, 6), st.integers(0, 1000))
def test_moving_the_pose_by_whole_pixels_moves_the_picture(dx, dy, seed):
    size = 32
    pose = torch.tensor(random_poses(1, seed=seed)) * 0.4 + 0.3
    shifted = pose + torch.tensor([dx, dy]) / size
    image = differentiable.draw_lines(pose, BODY15, size)
    moved = differentiable.draw_lines(shifted, BODY15, size)
    torch.testing.assert_close(moved, torch.roll(image, (dy, dx), dims=(2, 3)), atol=1e-4, rtol=0)


def test_flipping_the_pose_mirrors_the_one_channel_picture():
    poses = random_poses(4)
    flipped = poses[:, BODY15.flip_permutation] * [-1, 1] + [1, 0]
    image = differentiable.draw_lines(torch.tensor(poses), BODY15, 32, 1)
    mirrored = differentiable.draw_lines(torch.tensor(flipped, dtype=torch.float32), BODY15, 32, 1)
    torch.testing.assert_close(mirrored, image.flip(-1), atol=1e-4, rtol=0)


def test_memory_does_not_hold_a_picture_a_bone():
    """Nothing that is computed for 68 landmarks is larger than the four ends of each pixel's nearest bone."""

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            made = function(*args, **(kwargs or {}))
            for one in made if isinstance(made, tuple | list) else [made]:
                self.numbers = max(self.numbers, one.numel() if isinstance(one, torch.Tensor) else 0)
            return made

    poses = torch.tensor(random_poses(8, 68), requires_grad=True)
    with Largest() as largest:
        differentiable.draw_distances(poses, FACE68, 32, 0.05).sum().backward()
        differentiable.draw_lines(poses, FACE68, 32).sum().backward()
    picture = 8 * 32 * 32
    assert picture <= largest.numbers <= 4 * picture < len(FACE68.bones) * picture


def test_pictures(tmp_path):
    images = np.zeros((5, 16, 16, 3), np.uint8)
    over = overlay_poses(images, random_poses(5), BODY15)
    assert images.max() == 0
    assert over.reshape(5, -1).max(1).min() > 100
    assert tile(images, 3, gap=2).shape == (2 * 18 + 2, 3 * 18 + 2, 3)
    assert to_uint8(np.full((1, 1, 2, 2), 1.0)).shape == (1, 2, 2, 3)
    write_png(tmp_path / "a.png", over[0])
    import cv2

    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], over[0])
