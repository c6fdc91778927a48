"""Backdrops: a room or a park behind the person, drawn once a sequence by casting a ray through each pixel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from flexpose_core import seeds
from flexpose_core.datasets.drawing.camera import Crop

FAR = 60.0  # metres: beyond it the ground is taken to have ended
TEXTURE_SIDE = 256
TEXTURES = 12

WALLS = (
    (196, 188, 172),
    (168, 178, 184),
    (186, 172, 158),
    (150, 164, 152),
    (204, 198, 190),
    (142, 150, 168),
    (190, 168, 150),
)
FLOORS = ((140, 104, 72), (112, 82, 58), (164, 136, 104), (128, 124, 120), (152, 146, 138), (98, 92, 92))
FURNITURE = ((94, 66, 46), (74, 80, 92), (132, 62, 54), (60, 84, 72), (156, 126, 90), (66, 62, 66), (176, 168, 156))
GRASS = ((92, 112, 62), (108, 116, 70), (78, 100, 60))
LEAVES = ((58, 82, 46), (72, 90, 50), (50, 74, 56))
PATHS = ((168, 156, 138), (140, 138, 136), (154, 134, 112))
SKIES = ((150, 184, 218), (176, 196, 214), (188, 192, 196), (132, 170, 212))


@dataclass(frozen=True)
class Viewpoint:
    """A camera and its crop: rows of `view` (3, 3) are its right, down and forward axes in the world."""

    view: np.ndarray
    distance: float
    crop: Crop

    @property
    def position(self) -> np.ndarray:
        """Where the camera is, (3,), relative to what it looks at."""
        return -self.distance * self.view[2]

    def rays(self, side: int) -> np.ndarray:
        """Directions (side, side, 3) in world axes through the pixels of a picture, with unit depth."""
        grid = (np.arange(side) + 0.5) / side
        x, y = np.meshgrid(grid, grid)
        plane = (np.stack([x, y], axis=-1) - self.crop.centre) / self.crop.focal
        return np.concatenate([plane, np.ones_like(plane[..., :1])], axis=-1) @ self.view


def fractal_noise(rng: np.random.Generator, side: int, octaves: int, coarsest: int) -> np.ndarray:
    """Return (side, side) float32 of mean 0 and deviation 1: octaves of smooth noise, each half as strong; it tiles."""
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        cells = min(coarsest << octave, side)
        grid = np.pad(rng.normal(size=(cells, cells)).astype(np.float32), ((0, 2), (0, 2)), mode="wrap")
        places = np.linspace(0, cells, side, endpoint=False, dtype=np.float32)
        total += 0.5**octave * cv2.remap(grid, *np.meshgrid(places, places), cv2.INTER_LINEAR)
    return (total - total.mean()) / total.std()


@cache
def _stored_texture(number: int) -> np.ndarray:
    """One of a few textures that all backdrops share, as drawing them anew each time would take longer than the rest."""
    return fractal_noise(seeds.rng(0, "people/texture", number), TEXTURE_SIDE, octaves=7, coarsest=3)


@dataclass(frozen=True)
class Texture:
    """A noise of mean 0 and deviation 1 over the plane, in metres or radians, tiling."""

    values: np.ndarray  # (TEXTURE_SIDE, TEXTURE_SIDE) float32
    shift: np.ndarray  # (2,) periods

    @staticmethod
    def draw(rng: np.random.Generator) -> Texture:
        return Texture(_stored_texture(int(rng.integers(TEXTURES))), rng.random(2))

    def at(self, x: np.ndarray, y: np.ndarray, period: float) -> np.ndarray:
        """Return the values at coordinates of any shape; they repeat every `period`."""
        x, y = (np.mod(v / period + shift, 1) * TEXTURE_SIDE for v, shift in zip((x, y), self.shift, strict=True))
        return cv2.remap(
            self.values, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )


def draw_backdrop(viewpoint: Viewpoint, ground: float, side: int, rng: np.random.Generator) -> np.ndarray:
    """Return a (side, side, 3) uint8 picture of a room or a park, empty of people.

    Parameters
    ----------
    viewpoint
        The camera; the person stands at the origin.
    ground
        Height of the floor in metres, relative to what the camera looks at.
    side
        Pixels.
    rng
        Decides on colours, textures and things.
    """
    rays = viewpoint.rays(side)
    eye = viewpoint.position
    down = np.minimum(rays[..., 2], -1e-6)
    to_ground = np.where(rays[..., 2] < 0, (ground - eye[2]) / down, np.inf)
    to_ground = np.where(to_ground > 0, to_ground, np.inf)
    draw = _room if rng.random() < 0.6 else _park
    picture = draw(rays, eye, to_ground, ground, rng)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _pick(rng: np.random.Generator, palette: tuple) -> np.ndarray:
    """A colour (3,) of a palette, a little changed."""
    colour = np.array(palette[rng.integers(len(palette))], np.float64)
    return np.clip(colour * rng.uniform(0.85, 1.1) + rng.normal(0, 5, 3), 0, 255)


def _room(
    rays: np.ndarray, eye: np.ndarray, to_ground: np.ndarray, ground: float, rng: np.random.Generator
) -> np.ndarray:
    ahead = rays[rays.shape[0] // 2, rays.shape[1] // 2, :2]
    turn = np.arctan2(ahead[0], ahead[1]) + np.deg2rad(rng.uniform(-25, 25))
    into, across = np.array([np.sin(turn), np.cos(turn)]), np.array([np.cos(turn), -np.sin(turn)])
    depth = rng.uniform(1.6, 3.5)  # how far behind the person the wall is
    approach = rays[..., :2] @ into
    to_wall = np.where(approach > 1e-6, (depth - eye[:2] @ into) / np.maximum(approach, 1e-6), np.inf)
    reach = np.minimum(np.minimum(to_ground, to_wall), FAR)
    points = eye + reach[..., None] * rays
    u, v = points[..., :2] @ across, points[..., 2] - ground
    floor = _floor(u, points[..., :2] @ into, rng)
    wall = _wall(u, v, rng)
    # Less light reaches the corner of wall and floor.
    corner = 1 - 0.25 * np.exp(-np.abs(points[..., :2] @ into - depth) / 0.5)
    on_floor = (to_ground <= to_wall)[..., None]
    return np.where(on_floor, floor * corner[..., None], wall)


def _floor(u: np.ndarray, w: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    colour = _pick(rng, FLOORS)
    grain = Texture.draw(rng)
    if rng.random() < 0.5:  # planks
        width = rng.uniform(0.14, 0.24)
        plank = np.floor(u / width).astype(int)
        shade = rng.normal(0, 0.07, 97)[plank % 97] + 0.05 * grain.at(u * 6, w * 0.7, 4.0)
        shade -= 0.15 * (np.mod(u / width, 1) < 0.06)
    else:  # carpet or concrete
        shade = 0.07 * grain.at(u, w, 3.0)
    return colour * (1 + shade[..., None])


def _wall(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grain = Texture.draw(rng)
    shade = 0.03 * grain.at(u, v, 3.0) + rng.uniform(-0.05, 0.05) * u + 0.04 * (v - 1.2)
    picture = _pick(rng, WALLS) * (1 + shade[..., None])
    if rng.random() < 0.6:
        picture = _window(picture, u, v, rng)
    for _ in range(rng.integers(0, 3)):
        picture = _framed(picture, u, v, rng)
    for _ in range(rng.integers(1, 4)):
        picture = _furniture(picture, u, v, rng)
    skirting = (v < rng.uniform(0.07, 0.13)) & (v >= 0)
    return np.where(skirting[..., None], _pick(rng, ((222, 218, 210), (120, 92, 70), (190, 184, 176))), picture)


def _box(u: np.ndarray, v: np.ndarray, left: float, low: float, width: float, height: float) -> np.ndarray:
    return ((u > left) & (u < left + width) & (v > low) & (v < low + height))[..., None]


def _window(picture: np.ndarray, u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    left, low, width, height = (
        rng.uniform(-2.2, 1.0),
        rng.uniform(0.8, 1.1),
        rng.uniform(0.8, 1.6),
        rng.uniform(0.9, 1.3),
    )
    frame = 0.06
    picture = np.where(_box(u, v, left, low, width, height), np.array([226, 222, 214]), picture)
    pane = (width - 3 * frame) / 2
    light = np.array([206, 218, 230]) - 46 * np.clip(1 - (v - low) / height, 0, 1)[..., None] * np.array(
        [0.9, 0.5, 0.9]
    )
    for k in range(2):
        glass = _box(u, v, left + frame + k * (pane + frame), low + frame, pane, height - 2 * frame)
        picture = np.where(glass, light, picture)
    return picture


def _framed(picture: np.ndarray, u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    left, low, width, height = (
        rng.uniform(-2.4, 1.8),
        rng.uniform(1.1, 1.5),
        rng.uniform(0.3, 0.7),
        rng.uniform(0.3, 0.6),
    )
    picture = np.where(_box(u, v, left, low, width, height), _pick(rng, FURNITURE), picture)
    content = _pick(rng, SKIES + LEAVES + PATHS) * (0.85 + 0.3 * np.clip((v - low) / height, 0, 1))[..., None]
    return np.where(_box(u, v, left + 0.04, low + 0.04, width - 0.08, height - 0.08), content, picture)


def _furniture(picture: np.ndarray, u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A chest, a shelf of books or a door, standing against the wall."""
    left, colour = rng.uniform(-2.8, 1.8), _pick(rng, FURNITURE)
    kind = rng.integers(3)
    width, height = ((1.3, 0.75), (0.9, 1.9), (0.85, 2.05))[kind]
    inside = _box(u, v, left, 0.0, width, height)
    body = colour * (0.92 + 0.1 * (v / height))[..., None]
    if kind == 0:
        seam = (np.mod(v / height * 3, 1) < 0.08) | (np.abs(u - left - width / 2) < 0.02)
        body = np.where(seam[..., None], colour * 0.7, body)
    elif kind == 1:
        spine = np.floor((u - left) / 0.07).astype(int) + 13 * np.floor(v / 0.38).astype(int)
        books = np.stack([_pick(rng, FURNITURE + PATHS) for _ in range(29)])[spine % 29] * 0.85
        shelf = (np.mod(v / 0.38, 1) < 0.12) | (np.mod(v / 0.38, 1) > 0.82)
        body = np.where(shelf[..., None], body, books)
    return np.where(inside, body, picture)


def _park(
    rays: np.ndarray, eye: np.ndarray, to_ground: np.ndarray, ground: float, rng: np.random.Generator
) -> np.ndarray:
    ahead = np.arctan2(rays[..., 0].mean(), rays[..., 1].mean())
    azimuth = np.angle(np.exp(1j * (np.arctan2(rays[..., 0], rays[..., 1]) - ahead)))  # its seam is behind the camera
    slope = rays[..., 2] / np.linalg.norm(rays[..., :2], axis=-1)
    ground_seen = np.isfinite(to_ground) & (to_ground < FAR)
    points = eye + np.minimum(to_ground, FAR)[..., None] * rays
    lawn = _lawn(points[..., 0], points[..., 1], to_ground, rng)
    sky = _pick(rng, SKIES) + 40 * np.exp(-np.maximum(slope, 0) / 0.15)[..., None]
    clouds = np.clip(Texture.draw(rng).at(azimuth * 2, slope * 5, 4.0), 0, 2)[..., None]
    sky = sky + (244 - sky) * 0.3 * clouds
    picture = _trees(sky, azimuth, slope, rng)
    return np.where(ground_seen[..., None], lawn, picture)


def _lawn(x: np.ndarray, y: np.ndarray, distance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grain = Texture.draw(rng)
    fade = np.clip(12 / np.maximum(distance, 1e-3), 0, 1)  # far grain would only alias
    fine = fade * grain.at(x, y, 2.5) + 0.7 * grain.at(x, y, 19.0)
    lawn = _pick(rng, GRASS) * (1 + 0.13 * fine[..., None])
    angle, width = rng.uniform(0, np.pi), rng.uniform(1.0, 2.2)
    across = x * np.cos(angle) + y * np.sin(angle) + rng.uniform(-1.5, 1.5) + 0.12 * grain.at(x, y, 9.0)
    path = np.clip((width / 2 - np.abs(across)) / 0.15 + 0.5, 0, 1)[..., None]
    gravel = _pick(rng, PATHS) * (1 + 0.05 * (fade * grain.at(x, y, 1.3))[..., None])
    return lawn + (gravel - lawn) * path


def _trees(picture: np.ndarray, azimuth: np.ndarray, slope: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two rows of trees along the horizon, the nearer one darker and higher."""
    for height, haze in ((0.07, 0.45), (0.13, 0.1)):
        grain = Texture.draw(rng)
        profile = height * (1 + 0.5 * grain.at(azimuth, np.zeros_like(azimuth), 3.0))
        edge = np.clip((profile - slope) / 0.012 + 0.5, 0, 1)[..., None]
        crowns = _pick(rng, LEAVES) * (1 + 0.2 * grain.at(azimuth * 3, slope * 3, 1.5))[..., None]
        picture = picture + (crowns + (200 - crowns) * haze - picture) * edge
    return picture
