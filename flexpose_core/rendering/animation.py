"""Annotated people in other poses: their images are cut into trunk and limbs, and each part is moved as its joints are.

The two ends of a limb say where it goes: turned and stretched along itself, and as wide as the new pose is large beside the old.
The trunk follows its axis, from the root to the last joint on it, in the same way, and is besides drawn across to where
shoulders and hips are. What the empty scene does not show is the person. (Cutting a figure into parts along a skeleton is how
puppets of paper are animated; Hornung et al. 2007, Character animation from 2D pictures and 3D motion data, do it for photographs.)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np

from flexpose_core.anatomy import Anatomy, anatomy_of
from flexpose_core.skeletons import Skeleton

_CONTRAST = 14
"""By how many of 255 levels a pixel of the person differs from the empty scene in some channel."""
_REACH, _CORE = 0.55, 0.05
"""The person is within _REACH of its bones, and all that is within _CORE of them, in sizes of the pose."""
_TRUNK_WIDTH = 1.8
"""A pixel this many times as far from the trunk's lines as from a limb's belongs to either."""
# A size of a pose is the root mean square length of its limbs, see `_size_of`.
_OVERLAP = 1.2
"""Pixels by which parts overlap, so that joints do not open."""
_SHORTEST = 1.0
"""Pixels; a trunk that is seen shorter is stretched as if it were this long."""
_THICKNESS = 0.2
"""In sizes of the pose; a limb that is seen shorter is mapped as if it were this long: its round ends would become streaks."""
_BEFORE = 0.3
"""So near a limb's bone, in sizes of the pose, a pixel before the trunk is the limb's, not the trunk's."""
_VISIBLE, _ALL_AROUND = 0.25, 0.5
"""Of a person's bones at least this share must differ from the empty scene, and of what is beyond reach of them less than that."""
_LENGTH_WEIGHT = 0.5
"""Of the lengths of limbs beside the places of trunk joints, where people like a pose are looked for."""
_STIFFNESS = 0.25
"""Distance from the trunk's axis, in sizes of the pose, at which one trunk joint weighs as much as the prior, the pose's size."""


class Puppets:
    """A few people, and their mirror images, to be drawn in other poses.

    Parameters
    ----------
    images, backgrounds
        (M, S, S, 3) uint8: annotated images, and their scenes without the person.
    poses
        (M, K, 2) in 0..1, all joints known.
    """

    def __init__(self, images: np.ndarray, backgrounds: np.ndarray, poses: np.ndarray, skeleton: Skeleton) -> None:
        self.anatomy, self.size = anatomy_of(skeleton), images.shape[1]
        mirrored = poses[:, skeleton.flip_permutation] * [-1, 1] + [1, 0]
        self.poses = np.concatenate([poses, mirrored]).astype(np.float64) * self.size
        images, backgrounds = (np.concatenate([some, some[:, :, ::-1]]) for some in (images, backgrounds))
        self.parts = [
            _cut_out(image, background, pose, self.anatomy)
            for image, background, pose in zip(images, backgrounds, self.poses, strict=True)
        ]

    @cached_property
    def proportions(self) -> np.ndarray:
        """`proportions_of` the people's own poses, (2 M, F)."""
        return proportions_of(self.poses, self.anatomy)

    def draw(
        self, poses: np.ndarray, scenes: np.ndarray, appearances: int, behind: float, rng: np.random.Generator
    ) -> np.ndarray:
        """Return images (n, S, S, 3) uint8 of people in these poses before these scenes.

        Parameters
        ----------
        poses
            (n, K, 2) in 0..1.
        scenes
            (n, S, S, 3) uint8.
        appearances
            The person is drawn at random from this many whose proportions are nearest to the pose's.
        behind
            How often a limb is behind the trunk.
        """
        targets = poses.astype(np.float64) * self.size
        off = proportions_of(targets, self.anatomy)[:, None] - self.proportions
        alike = np.argsort((off**2).sum(axis=2), axis=1, kind="stable")[:, :appearances]
        who = alike[np.arange(len(poses)), rng.integers(alike.shape[1], size=len(poses))]
        maps = self._maps(who, targets)
        people = [self.parts[person] for person in who]
        places, boxes = placements(people, maps, self.size)
        pictures = []
        for parts, own, own_boxes, scene in zip(people, places, boxes.tolist(), scenes, strict=True):
            picture = scene.astype(np.float32)
            for part in _drawing_order(self.anatomy, behind, rng):
                parts[part].draw(picture, own[part], own_boxes[part])
            pictures.append(picture.round().clip(0, 255).astype(np.uint8))
        return np.stack(pictures)

    def _maps(self, who: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the maps of these people's limbs, then of their trunks, to the target poses: (n, L + 1, 2, 3)."""
        anatomy, poses = self.anatomy, self.poses[who]
        own_size = _size_of(poses, anatomy)
        width = _size_of(targets, anatomy) / own_size
        limbs = limb_map(
            poses[:, anatomy.limbs], targets[:, anatomy.limbs], width[:, None], _THICKNESS * own_size[:, None]
        )
        return np.concatenate([limbs, trunk_map(poses, targets, anatomy, width)[:, None]], axis=1)


class Part:
    """A piece of a picture that can be moved.

    Parameters
    ----------
    layer
        (S, S, 4) float32: colours 0..255 that go on a little beyond the piece, and its cover 0..1.
    """

    def __init__(self, layer: np.ndarray) -> None:
        # What is cut off around the piece has no cover; one pixel of it is interpolated with.
        covered = np.argwhere(layer[..., 3] > 0)
        low = np.maximum(covered.min(axis=0, initial=len(layer)) - 1, 0)
        high = np.minimum(covered.max(axis=0, initial=-1) + 2, len(layer))
        self.piece = np.ascontiguousarray(layer[low[0] : high[0], low[1] : high[1]])
        height, width = self.piece.shape[:2]
        # Of pixels counted from the piece's first, as OpenCV counts them, from the first pixel's centre.
        self.outline = np.array([(x, y) for x in (-1, width) for y in (-1, height)])
        self.first = low[::-1] + 0.5

    def draw(self, picture: np.ndarray, placed: np.ndarray, box: Sequence[int]) -> None:
        """Lay the piece over a picture (S, S, 3) float32, where `placements` says."""
        left, top, right, bottom = box
        if left >= right or top >= bottom or not self.piece.size:
            return
        layer = cv2.warpAffine(self.piece, placed, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
        under = picture[top:bottom, left:right]
        under += layer[..., 3:] * (layer[..., :3] - under)


def placements(people: Sequence[Sequence[Part]], moved: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where parts lie that affine maps of points in px (n, P, 2, 3) move, in pictures (side, side).

    Returns
    -------
    tuple
        Maps (n, P, 2, 3) from each part's piece to the pixels of its box, and the boxes (n, P, 4): left, top, right and bottom,
        the last two exclusive, left not less than right or top than bottom if nothing of it is in the picture.
    """
    first = np.array([[part.first for part in parts] for parts in people])
    outline = np.array([[part.outline for part in parts] for parts in people])
    matrix = moved[..., :2]
    shift = (matrix @ first[..., None])[..., 0] + moved[..., 2] - 0.5
    corners = outline @ np.swapaxes(matrix, -1, -2) + shift[..., None, :]
    low = np.maximum(np.floor(corners.min(axis=-2)), 0)
    high = np.minimum(np.ceil(corners.max(axis=-2)) + 1, side)
    placed = np.concatenate([matrix, (shift - low)[..., None]], axis=-1)
    return placed, np.concatenate([low, high], axis=-1).astype(int)


def limb_map(limbs: np.ndarray, targets: np.ndarray, width: np.ndarray, shortest: np.ndarray) -> np.ndarray:
    """Return the affine maps (..., 2, 3) that take the two ends of limbs to the targets', and are `width` times as wide.

    Where a limb is shorter than `shortest`, or its target than `width` times that, their middle and direction are kept.

    Parameters
    ----------
    limbs, targets
        (..., 2, 2), start and end in px.
    width, shortest
        (...), or what can be broadcast to that.
    """
    (along, length), (new_along, new_length) = _direction(limbs), _direction(targets)
    stretch = np.maximum(new_length, width * shortest) / np.maximum(length, shortest)
    matrix = stretch[..., None, None] * _outer(new_along, along)
    matrix += np.asarray(width)[..., None, None] * _outer(_across(new_along), _across(along))
    return _taking(matrix, limbs.mean(axis=-2), targets.mean(axis=-2))


def trunk_map(poses: np.ndarray, targets: np.ndarray, anatomy: Anatomy, width: np.ndarray) -> np.ndarray:
    """Return the affine maps (..., 2, 3) that take the ends of the trunk's axis to the targets', its other joints near to theirs.

    What they do across the axis is the least squares' answer, drawn towards `width` (...).

    Parameters
    ----------
    poses, targets
        (..., K, 2) in px.
    """
    ends, joints, width = list(anatomy.axis), anatomy.trunk, np.asarray(width)
    (along, length), (new_along, new_length) = (_direction(some[..., ends, :]) for some in (poses, targets))
    stretch = _outer(new_along, along) * (new_length / np.maximum(length, _SHORTEST))[..., None, None]
    start, new_start = poses[..., ends[0], :], targets[..., ends[0], :]
    off, new_off = poses[..., joints, :] - start[..., None, :], targets[..., joints, :] - new_start[..., None, :]
    beside = (off * _across(along)[..., None, :]).sum(axis=-1)
    left = new_off - off @ np.swapaxes(stretch, -1, -2)
    prior = ((_STIFFNESS * _size_of(poses, anatomy)) ** 2)[..., None]
    pulled = (beside[..., None] * left).sum(axis=-2) + prior * width[..., None] * _across(new_along)
    matrix = stretch + _outer(pulled / ((beside**2).sum(axis=-1)[..., None] + prior), _across(along))
    return _taking(matrix, start, new_start)


def proportions_of(poses: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Return what a picture of one pose can lend to another if it is alike, (N, F): how long limbs seem, how the trunk is seen.

    Parameters
    ----------
    poses
        (N, K, 2); place, size and turn in the picture do not count.
    """
    size = _size_of(poses, anatomy)[:, None]
    lengths = np.linalg.norm(poses[:, anatomy.limbs[:, 1]] - poses[:, anatomy.limbs[:, 0]], axis=2) / size
    start, end = (poses[:, joint] for joint in anatomy.axis)
    along = end - start
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6 * size)
    off = (poses[:, anatomy.trunk] - start[:, None]) / size[..., None]
    frame = np.stack([along, _across(along)], axis=2)
    return np.concatenate([_LENGTH_WEIGHT * lengths, (off @ frame).reshape(len(poses), -1)], axis=1)


def _size_of(poses: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Return the root mean square of the limbs' lengths, of poses (..., K, 2)."""
    limbs = poses[..., anatomy.limbs[:, 1], :] - poses[..., anatomy.limbs[:, 0], :]
    return np.maximum(np.sqrt((limbs**2).sum(axis=-1).mean(axis=-1)), 1e-6)


def _direction(ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return unit vectors from the first of two points (..., 2, 2) to the second, any if they are one, and their distance."""
    way = ends[..., 1, :] - ends[..., 0, :]
    length = np.hypot(way[..., 0], way[..., 1])
    apart = length > 0
    unit = way / np.where(apart, length, 1)[..., None]
    return np.where(apart[..., None], unit, [1.0, 0.0]), length


def _outer(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the outer products (..., 2, 2) of vectors (..., 2)."""
    return first[..., :, None] * second[..., None, :]


def _taking(matrix: np.ndarray, point: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Return the affine maps (..., 2, 3) with these matrices that take points (..., 2) to others."""
    shift = to[..., None] - matrix @ point[..., None]
    return np.concatenate([matrix, shift], axis=-1)


def _across(along: np.ndarray) -> np.ndarray:
    """Return vectors (..., 2) turned by a right angle."""
    return np.stack([-along[..., 1], along[..., 0]], axis=-1)


def _drawing_order(anatomy: Anatomy, behind: float, rng: np.random.Generator) -> list[int]:
    """Return parts from the back to the front: limbs in random order, some behind the trunk, each from its end to the trunk."""
    chains = [anatomy.chains[place] for place in rng.permutation(len(anatomy.chains))]
    hidden = rng.random(len(chains)) < behind
    back, front = (
        [chain for chain, is_hidden in zip(chains, hidden, strict=True) if is_hidden == side] for side in (1, 0)
    )
    inward = [[part for chain in some for part in reversed(chain)] for some in (back, front)]
    trunk = len(anatomy.limbs)
    return [*inward[0], trunk, *inward[1]]


def _cut_out(image: np.ndarray, background: np.ndarray, pose: np.ndarray, anatomy: Anatomy) -> list[Part]:
    """Return each limb, then the trunk."""
    distances, person = _person(image, background, pose, anatomy)
    size = float(_size_of(pose, anatomy))
    place = _places(len(image))
    # Behind an arm that crosses it the trunk goes on: what is near an arm's bone, and not at its shoulder, is not the trunk's.
    outline = cv2.convexHull(np.floor(pose[anatomy.trunk]).astype(np.int32))
    hull = cv2.fillConvexPoly(np.zeros(image.shape[:2], np.uint8), outline, 1) > 0
    hidden = np.zeros_like(hull)
    for chain in anatomy.chains:
        root = pose[anatomy.limbs[chain[0]][0]]
        at_root = np.linalg.norm(place - root, axis=2) < 1.5 * _BEFORE * size
        for limb in chain:
            hidden |= (distances[limb] < _BEFORE * size) & ~at_root
    near, parts = distances.min(axis=0), []
    for number, distance in enumerate(distances):
        own = person & (distance < near + _OVERLAP)
        if number == len(anatomy.limbs):
            own &= ~hidden
            cover = own | hull
        else:
            own &= ~hull | (distance < _BEFORE * size)
            cover = own
        around = cv2.dilate(cover.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        colours = cv2.inpaint(image, (around & ~own).astype(np.uint8), 2, cv2.INPAINT_TELEA)
        soft = cv2.GaussianBlur(cover.astype(np.float32), (3, 3), 0.6)
        parts.append(Part(np.dstack([colours.astype(np.float32), soft])))
    return parts


def stands_out(image: np.ndarray, background: np.ndarray, pose: np.ndarray, anatomy: Anatomy) -> bool:
    """Return whether a person (pose in px) can be told from the scene: it differs along the bones, and not all around as well.

    The latter is so where a background is a guess, such as the one colour that a single picture's border has.
    """
    near, differs = _person(image, background, pose, anatomy)[0].min(axis=0), _differs(image, background)
    along, beyond = near < 1, near > _REACH * float(_size_of(pose, anatomy))
    if not along.any() or differs[along].mean() < _VISIBLE:
        return False
    return not (beyond.any() and differs[beyond].mean() >= _ALL_AROUND)


def _person(
    image: np.ndarray, background: np.ndarray, pose: np.ndarray, anatomy: Anatomy
) -> tuple[np.ndarray, np.ndarray]:
    """Return each pixel's distance from each limb and, in widths of these, from the trunk, and where the person is."""
    place = _places(len(image))
    limbs = [_distance(place, *pose[ends]) for ends in anatomy.limbs]
    trunk = np.min([_distance(place, *pose[ends]) for ends in anatomy.trunk_lines], axis=0)
    distances = np.stack([*limbs, trunk / _TRUNK_WIDTH])
    near, size = distances.min(axis=0), float(_size_of(pose, anatomy))
    person = ((_differs(image, background) & (near < _REACH * size)) | (near < _CORE * size)).astype(np.uint8)
    return distances, cv2.morphologyEx(person, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0


def _differs(image: np.ndarray, background: np.ndarray) -> np.ndarray:
    return np.abs(image.astype(int) - background).max(axis=2) > _CONTRAST


def _places(size: int) -> np.ndarray:
    """Return the centres of the pixels, (size, size, 2)."""
    return np.stack(np.meshgrid(*[np.arange(size) + 0.5] * 2), axis=2)


def _distance(place: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the distance of each place (..., 2) from a segment."""
    way = end - start
    along = np.clip((place - start) @ way / max(way @ way, 1e-12), 0, 1)
    return np.linalg.norm(place - (start + along[..., None] * way), axis=-1)
