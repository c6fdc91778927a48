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
from test_adaptation import FAST, files, run_stage, small_generator, small_regressor

from flexpose_core import streams
from flexpose_core.devices import mixed_precision
from flexpose_core.errors import DataError
from flexpose_core.models.keypoint_gan import Detector, ImageToSkeleton, SkeletonToKeypoints
from flexpose_core.options.detector import DetectorOptions
from flexpose_core.poses.batch import PoseBatch
from flexpose_core.poses.cache import load_cache, plain_batch, write_cache
from flexpose_core.poses.images import encode_images
from flexpose_core.skeletons import BODY15
from flexpose_core.stages.explorer import bones, examples, explore, sampled, ways
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
    return write_split(tmp_path / "test.h5")


def write_split(path):
    """Six images with poses, of which a joint is not seen in the fourth."""
    rng = np.random.default_rng(1)
    pictures = encode_images(rng.integers(0, 255, (6, 32, 32, 3), np.uint8), "png")
    plain = plain_batch(rng.uniform(0.2, 0.8, (6, 15, 2)))
    own = {name: getattr(plain, name) for name in PoseBatch.__dataclass_fields__}
    own["visibility"] = own["visibility"].copy()
    own["visibility"][3, 4] = 0
    write_cache(path, [PoseBatch(**own | {"images": pictures, "backgrounds": pictures})], BODY15, {})
    return path


def page_of_a_fit(folder, about, joints="read"):
    """Run the stage on the files of a small fit in `folder`; returns the page."""
    run_stage(folder, "a", msgspec.structs.replace(FAST, pair_steps=2, energy_steps=2))
    torch.manual_seed(2)
    architecture = DetectorOptions(size=32).architecture(15)
    detector = Detector(ImageToSkeleton(architecture), SkeletonToKeypoints(architecture))
    tensors = {f"detector.{name}": value for name, value in detector.state_dict().items()}
    save_weights(folder / "detector.safetensors", tensors, DETECTOR_KIND, described(architecture, BODY15), {})
    weights = [folder / f"{name}.safetensors" for name in ("generator", "regressor", "a")]
    rest = (folder / "shots.h5", folder / "detector.safetensors", write_split(folder / "test.h5"), 0)
    explore(about, ROOT / "report/explorer.html", *weights, *rest, folder / "explorer.html", joints)
    with pytest.raises(DataError, match="expected @DATA@ once, found it 0 times"):
        explore(about, folder / "shots.txt", *weights, *rest, folder / "not.html")
    return folder / "explorer.html"


def test_errors_are_those_of_the_joints_that_are_seen(split):
    loaded = load_cache(split, images=True)
    loaded.visibility[2, 4] = 0
    found = loaded.poses[[2]] + np.float32([3 / 128, 4 / 128])
    (one,) = examples(found, loaded, np.array([2]))
    assert one["errors"][4] is None
    np.testing.assert_allclose([error for error in one["errors"] if error is not None], 5, atol=0.02)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(one["jpeg"].split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (128, 128, 3)


def test_the_page_holds_all_that_it_shows(files, tensorfloat):
    (files / "shots.txt").write_text("no place")
    text = page_of_a_fit(files, {"Cell": "</script> & co", "Seed": "0"}).read_text()
    assert tensorfloat == [False]
    page = Page(text)
    data = json.loads(page.data)
    assert data["about"] == [["Cell", "</script> & co"], ["Seed", "0"]]
    samples = data["samples"]
    assert np.shape(samples["source"]) == np.shape(samples["adapted"]) == np.shape(samples["target"]) == (120, 15, 2)
    assert np.shape(data["way"]["source"]) == np.shape(data["way"]["adapted"]) == (96, 15, 2)
    assert not np.array_equal(samples["source"], samples["adapted"])
    split = load_cache(files / "test.h5")
    whole = split.poses[[0, 1, 2, 4, 5]]  # of the fourth a joint is not seen
    for poses, place, distance in (
        (load_cache(files / "shots.h5").poses, [data["shots"][k] for k in samples["shot"]], samples["shot_px"]),
        (whole, samples["target"], samples["target_px"]),
    ):
        apart = 128 * np.linalg.norm(np.array(samples["adapted"])[:, None] - poses, axis=-1).mean(-1)
        np.testing.assert_allclose(distance, apart.min(axis=1), atol=0.02)
        np.testing.assert_allclose(place, poses[apart.argmin(axis=1)], atol=1e-4)
    assert len(data["images"]) == 6
    assert data["images"][3]["true"][4] is None
    assert len(data["images"][0]["errors"]) == len(data["joints"]) == 15
    # Nothing is fetched, and every element that the page's code asks for is there.
    assert page.links == []
    assert "http:" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in text
    asked = set(re.findall(r'(?:element|draw|sweep)\("([a-z-]+)"', text))
    assert asked <= set(page.ids)
    assert {"sample", "way", "image", "errors", "image-found"} <= asked


def test_samples_have_the_joints_of_the_method(files):
    (files / "shots.txt").write_text("no place")
    generator = small_generator()
    z = torch.randn(120, generator.architecture.latent_width, generator=streams.torch_generator(0, "explorer"))
    with torch.no_grad(), mixed_precision(z.device):  # as the page's, where the processor has bfloat16
        read = small_regressor().eval()(generator(z))
    with torch.no_grad():
        own = generator.pose(z)
    for joints, expected in {"own": own, "read": read}.items():
        samples = json.loads(Page(page_of_a_fit(files, {}, joints).read_text()).data)["samples"]
        np.testing.assert_allclose(samples["source"], expected.numpy(), atol=1e-3)


def test_without_whole_target_poses_there_is_none_to_be_near():
    poses = np.random.default_rng(0).uniform(0, 1, (4, 15, 2))
    told = sampled(poses, poses, poses[:2], poses[:0])
    assert told["target"] == told["target_px"] == []
    assert told["shot"][:2] == [0, 1]
