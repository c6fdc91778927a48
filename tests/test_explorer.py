"""The page to explore: what is embedded in it, and that it asks nothing of anywhere else."""

import base64
import json
import re
from html.parser import HTMLParser

import cv2
import msgspec
import numpy as np
import pytest
import torch
from conftest import ROOT
from test_adaptation import FAST, files, run_stage

from flexpose_core.errors import DataError
from flexpose_core.models.keypoint_gan import Detector, ImageToSkeleton, SkeletonToKeypoints
from flexpose_core.options.detector import DetectorOptions
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import load_cache, plain_batch, write_cache
from flexpose_core.poses.images import encode_images
from flexpose_core.skeletons import BODY15
from flexpose_core.stages.explorer import bones, examples, explore, ways
from flexpose_core.stages.train_detector import DETECTOR_KIND, described
from flexpose_core.training.checkpoint import save_weights

assert files  # the fixture


class Page(HTMLParser):
    """Counts elements, collects what they point at and the embedded data."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.data, self.reading = [], [], [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        own = dict(attributes)
        self.links += [own[key] for key in ("src", "href") if key in own]
        self.ids += [own["id"]] if "id" in own else []
        self.reading = own.get("id") == "data"

    def handle_endtag(self, tag):
        self.reading = False

    def handle_data(self, text):
        if self.reading:
            self.data += text


def test_ways_start_at_the_stops_and_keep_the_distribution():
    stops = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    codes = ways(stops, 5).reshape(4000, 5, 3)
    assert torch.equal(codes[:, 0], stops)
    np.testing.assert_allclose(codes.std(dim=(0, 2)), 1, atol=0.03)
    # Half way to the next stop, and from the last to the first.
    half = ways(stops, 2).reshape(4000, 2, 3)[:, 1]
    np.testing.assert_allclose(half, (stops + stops.roll(-1, 0)) / 2**0.5, atol=1e-5)


def test_bones_are_joints_and_a_colour():
    found = bones(BODY15)
    assert len(found) == len(BODY15.bones)
    start, end, colour = found[0]
    assert (BODY15.joints[start], BODY15.joints[end]) == (BODY15.bones[0].start, BODY15.bones[0].end)
    assert [int(colour[k : k + 2], 16) for k in (1, 3, 5)] == [round(255 * part) for part in BODY15.bones[0].colour]


@pytest.fixture
def split(tmp_path):
    """A test split of six images."""
    rng = np.random.default_rng(1)
    pictures = encode_images(rng.integers(0, 255, (6, 32, 32, 3), np.uint8), "png")
    plain = plain_batch(rng.uniform(0.2, 0.8, (6, 15, 2)))
    own = {name: getattr(plain, name) for name in PoseBatch.__dataclass_fields__}
    write_cache(
        tmp_path / "test.h5", [PoseBatch(**own | {"images": pictures, "backgrounds": pictures})], BODY15, {}
    )  # fmt: skip
    return tmp_path / "test.h5"


def test_errors_are_those_of_the_joints_that_are_seen(split):
    loaded = load_cache(split, images=True)
    loaded.visibility[2, 4] = 0
    found = loaded.poses[[2]] + np.float32([3 / 128, 4 / 128])
    (one,) = examples(found, loaded, np.array([2]))
    assert one["errors"][4] is None
    np.testing.assert_allclose([error for error in one["errors"] if error is not None], 5, atol=0.02)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(one["jpeg"].split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (128, 128, 3)


def test_the_page_holds_all_that_it_shows(files, split):
    run_stage(files, "a", msgspec.structs.replace(FAST, pair_steps=2, energy_steps=2))
    architecture = DetectorOptions(size=32).architecture(15)
    detector = Detector(ImageToSkeleton(architecture), SkeletonToKeypoints(architecture))
    tensors = {f"detector.{name}": value for name, value in detector.state_dict().items()}
    save_weights(files / "detector.safetensors", tensors, DETECTOR_KIND, described(architecture, BODY15), {})
    template, out = ROOT / "report/explorer.html", files / "explorer.html"
    weights = [files / f"{name}.safetensors" for name in ("generator", "regressor", "a")]
    rest = (files / "shots.h5", files / "detector.safetensors", split, 0, out)
    explore("</script> & co", template, *weights, *rest)
    text = out.read_text()
    page = Page(text)
    data = json.loads(page.data)
    assert data["about"] == "</script> & co"
    assert np.shape(data["samples"]["source"]) == np.shape(data["samples"]["adapted"]) == (120, 15, 2)
    assert np.shape(data["way"]["source"]) == np.shape(data["way"]["adapted"]) == (96, 15, 2)
    assert not np.array_equal(data["samples"]["source"], data["samples"]["adapted"])
    shots = load_cache(files / "shots.h5").poses
    apart = np.linalg.norm(np.array(data["samples"]["adapted"])[:, None] - shots, axis=-1).mean(-1)
    assert data["samples"]["nearest"] == apart.argmin(axis=1).tolist()
    assert len(data["images"]) == 6
    assert len(data["images"][0]["errors"]) == len(data["joints"]) == 15
    # Nothing is fetched, and every element that the page's code asks for is there.
    assert page.links == []
    assert "http" not in text
    asked = set(re.findall(r'(?:element|draw|sweep)\("([a-z-]+)"', text))
    assert asked <= set(page.ids)
    assert {"sample", "way", "image", "errors", "image-found"} <= asked
    (files / "page.html").write_text("no place")
    with pytest.raises(DataError, match="expected @DATA@ once, found it 0 times"):
        explore("x", files / "page.html", *weights, *rest)
