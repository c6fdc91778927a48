"""The page to explore, used in a real browser: what it draws when its sliders move, against what the networks say."""

import numpy as np
import pytest
import torch
from test_adaptation import write_files
from test_explorer import page_of_a_fit

from flexpose_core import streams
from flexpose_core.models.adapters import load_adapter
from flexpose_core.poses.cache import load_cache
from flexpose_core.skeletons import BODY15
from flexpose_core.stages.evaluate import load_detector, predict
from flexpose_core.stages.explorer import ways
from flexpose_core.stages.priors import generate, load_generator, load_regressor
from flexpose_core.stages.train_detector import frames_of

pytestmark = pytest.mark.usefixtures("browser")

ABOUT = {"Cell": "near & far <b>", "Shots": "6"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_files(tmp_path_factory.mktemp("page"))
    (folder / "shots.txt").write_text("no place")
    page_of_a_fit(folder, ABOUT)
    return folder


@pytest.fixture
def open_page(browser, folder):
    """Give a function that opens the page offline; at the end, nothing must have been said, broken or asked for."""
    contexts, complaints, requests = [], [], []

    def open_it(**how):
        context = browser.new_context(offline=True, **how)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((folder / "explorer.html").as_uri())
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:image/jpeg")] == [
        (folder / "explorer.html").as_uri()
    ] * len(contexts)


@pytest.fixture(scope="module")
def truth(folder):
    """Samples, ways and errors, computed anew from the weights."""
    generator = load_generator(folder / "generator.safetensors")
    regressor = load_regressor(folder / "regressor.safetensors")
    transfer = load_adapter(folder / "a.safetensors", generator).requires_grad_(False)
    random = streams.torch_generator(0, "explorer")
    codes = {"sample": torch.randn(120, 8, generator=random)}
    codes["way"] = ways(torch.randn(8, 8, generator=random), 12)
    poses = {}
    for name, z in codes.items():
        poses[f"{name}-source"] = generate(generator, regressor, z)[1].numpy()
        poses[f"{name}-adapted"] = generate(transfer.host(generator), regressor, z, transfer)[1].numpy()
    split = load_cache(folder / "test.h5", images=True)
    detector, _, architecture, _ = load_detector(folder / "detector.safetensors", torch.device("cpu"))
    found = predict(detector, frames_of(split, architecture.size, architecture.contrast), torch.device("cpu"))
    seen = split.visibility.astype(bool)
    apart = [
        np.where(seen, 128 * np.linalg.norm(labelled - split.poses, axis=-1), np.nan)
        for labelled in (found, found[:, BODY15.flip_permutation])
    ]
    flipped = np.nanmean(apart[1] ** 2, axis=1) < np.nanmean(apart[0] ** 2, axis=1)
    poses["image-found"] = np.where(flipped[:, None, None], found[:, BODY15.flip_permutation], found)
    poses["image-true"] = split.poses
    return poses, np.where(flipped[:, None], apart[1], apart[0]), seen


def drawn(page, name):
    """Return the joints (K, 2) in 0..1 and the bones (B, 4) that are drawn, and the bones' colours."""
    return page.evaluate(
        """name => {
          const of = (shape, keys) => [...document.querySelectorAll(`#${name} ${shape}`)]
            .map(one => keys.map(key => one.getAttribute(key) / 128));
          return [of("circle", ["cx", "cy"]), of("line", ["x1", "y1", "x2", "y2"]),
            [...document.querySelectorAll(`#${name} line`)].map(one => one.getAttribute("stroke"))];
        }""",
        name,
    )


def check_drawing(page, name, pose):
    joints, lines, colours = drawn(page, name)
    np.testing.assert_allclose(joints, pose, atol=2e-4)
    ends = BODY15.bone_ends
    np.testing.assert_allclose(lines, np.concatenate([pose[ends[:, 0]], pose[ends[:, 1]]], axis=1), atol=2e-4)
    assert len(set(colours)) == len(BODY15.bones)


def test_moving_the_sample_draws_that_sample(open_page, truth, folder):
    page, (poses, _, _) = open_page(), truth
    shots = load_cache(folder / "shots.h5").poses
    for sample in (0, 41, 119):
        page.locator("#sample").fill(str(sample))
        for name in ("sample-source", "sample-adapted"):
            check_drawing(page, name, poses[name][sample])
        apart = 128 * np.linalg.norm(poses["sample-adapted"][sample] - shots, axis=-1).mean(axis=1)
        check_drawing(page, "sample-shot", shots[apart.argmin()])
        assert page.locator("#sample-number").inner_text() == f"{sample + 1} of 120"
        text = page.locator("#shot-text").inner_text()
        assert text.startswith(f"{apart.argmin() + 1} of the 6 annotated; ")
        assert float(text.split("; ")[1].split(" px")[0]) == pytest.approx(apart.min(), abs=0.06)


def test_moving_along_a_latent_draws_the_way(open_page, truth):
    page, (poses, _, _) = open_page(), truth
    for step, said in ((0, "code 1"), (6, "from code 1 to code 2, 50 %"), (95, "from code 8 to code 1, 92 %")):
        page.locator("#way").fill(str(step))
        for name in ("way-source", "way-adapted"):
            check_drawing(page, name, poses[name][step])
        assert page.locator("#way").get_attribute("aria-valuetext") == f"{step + 1} of 96: {said}"


def test_errors_of_a_test_image_are_those_of_its_joints(open_page, truth):
    page, (poses, errors, seen) = open_page(), truth
    for image in (0, 3, 5):
        page.locator("#image").fill(str(image))
        check_drawing(page, "image-found", poses["image-found"][image])
        # A joint that is not seen is not drawn.
        np.testing.assert_allclose(
            drawn(page, "image-true")[0], poses["image-true"][image][seen[image]], atol=2e-4
        )  # fmt: skip
        rows = page.locator("#errors tr").all()
        assert [row.locator("th").inner_text() for row in rows] == [name.replace("_", " ") for name in BODY15.joints]
        for place, row in enumerate(rows):
            here, usual = row.locator("td").nth(0).inner_text(), row.locator("td").nth(1).inner_text()
            if not seen[image, place]:
                assert (here, row.locator("i").count()) == ("not seen", 0)
                continue
            assert float(here) == pytest.approx(errors[image, place], abs=0.06)
            assert float(usual) == pytest.approx(np.nanmean(errors[:, place]), abs=0.06)
            width = float(row.locator("i").get_attribute("style").split("width: ")[1].rstrip("%;"))
            assert width == pytest.approx(100 * errors[image, place] / np.nanmax(errors), abs=0.1)
        assert float(page.locator("#error-here").inner_text()) == pytest.approx(np.nanmean(errors[image]), abs=0.06)
        assert float(page.locator("#error-mean").inner_text()) == pytest.approx(np.nanmean(errors), abs=0.06)
        # The picture behind the joints is an image that the browser can decode.
        sizes = page.evaluate(
            """async () => { const one = new Image(); one.src = document.querySelector("#image-found image").getAttribute("href");
            await one.decode(); return [one.naturalWidth, one.naturalHeight]; }"""
        )
        assert sizes == [128, 128]


def test_the_keyboard_reaches_and_moves_everything(open_page, truth):
    page, (poses, _, _) = open_page(), truth
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    expected = ["sample", "sample-play", "way", "way-play", "image", "image-play", "scrolled"]
    assert [name for name in reached if name in expected][: len(expected)] == expected
    page.locator("#sample").focus()
    for key, sample in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 119), ("Home", 0)):
        page.keyboard.press(key)
        check_drawing(page, "sample-adapted", poses["sample-adapted"][sample])
    # What is focused shows it.
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_play_steps_until_it_is_stopped(open_page):
    page = open_page()
    button = page.get_by_role("button", name="Play: way")
    button.click()
    while page.locator("#way").input_value() == "0":
        page.wait_for_timeout(20)
    page.get_by_role("button", name="Stop: way").press("Enter")
    stopped = page.locator("#way").input_value()
    page.wait_for_timeout(400)
    assert page.locator("#way").input_value() == stopped
    assert button.inner_text() == "Play"


def test_drawings_and_controls_say_what_they_are(open_page):
    page = open_page()
    for name in ("Sample", "Step", "Test image"):
        assert page.get_by_label(name, exact=False).first.is_visible()
    page.locator("#sample").fill("4")
    assert page.get_by_role("img", name="Sample 5, adapted").is_visible()
    assert page.locator("#about dd").all_inner_texts() == list(ABOUT.values())
    assert page.locator("#key li").count() == len(BODY15.bones)
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("width", [320, 360, 768, 1400])
def test_no_screen_is_too_narrow(open_page, width):
    page = open_page(viewport={"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [box.bounding_box() for box in page.locator("svg.pose").all()]
    assert len(boxes) == 8
    for box in boxes:
        assert box["width"] == pytest.approx(box["height"], abs=1)
        assert box["width"] >= 100
        assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_in_both_schemes(open_page, scheme):
    page = open_page(color_scheme=scheme)
    pairs = page.evaluate(
        """() => ["p.note", "figcaption", "h2", "caption", "#errors th", "dt"].map(one => {
          const text = document.querySelector(one);
          let ground = text;
          while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
          return [getComputedStyle(text).color, getComputedStyle(ground).backgroundColor];
        })"""
    )
    for text, ground in pairs:
        light, dark = sorted(map(luminance, (text, ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{text} on {ground}"  # WCAG 2.2, 1.4.3
    assert (luminance(pairs[0][1]) < 0.2) == (scheme == "dark")


def luminance(colour):
    """Relative luminance of "rgb(r, g, b)" (WCAG 2.2)."""
    parts = np.array([float(part) for part in colour.removeprefix("rgb(").rstrip(")").split(",")]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
