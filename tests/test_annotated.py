"""What happens between a raw reader and the cache: choosing, counting, cutting out."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from flexpose_core.datasets.annotated import AnnotatedReader
from flexpose_core.datasets.crops import from_crop
from flexpose_core.datasets.options import CocoOptions, LimitOptions, SquareOptions
from flexpose_core.datasets.raw import Dropped, Picture, raw_batch
from flexpose_core.errors import ConfigError, DataError
from flexpose_core.files import read_json
from flexpose_core.poses.cache import load_cache
from flexpose_core.poses.images import decode_image
from flexpose_core.skeletons import BODY15
from flexpose_core.stages import convert as stage

FRAMES, SIDE = 12, 96


class FakeReader:
    """Three videos in which a person of random joints moves to the right by 2 pixels a frame."""

    skeleton = BODY15
    is_video = True

    def __init__(self, folder=None, masks=False, change=lambda unit, joints: joints):
        self.folder, self.masks, self.change = folder, masks, change

    def splits(self):
        return ("train", "val")

    def units(self, split):
        return ["a", "b", "c"]

    def joints(self, unit):
        first = np.random.default_rng(ord(unit)).uniform(20, 60, (1, 15, 2))
        return first + np.arange(FRAMES)[:, None, None] * [2, 0]

    def read(self, split, unit):
        pictures = None
        if self.folder:
            mask = self.folder / "mask.png" if self.masks else None
            pictures = tuple(Picture(self.folder / f"{unit}.avi", frame, mask) for frame in range(FRAMES))
        yield raw_batch(
            self.change(unit, self.joints(unit)),
            np.arange(FRAMES),
            clip=f"action {unit}",
            subject=3,
            camera=1,
            sequence=ord(unit),
            picture_size=(SIDE, SIDE),
            source=f"films/{unit}.avi",
            pictures=pictures,
            dropped=(Dropped("blurred", 2, f"{unit}: record 77"),),
        )


def write_videos(folder):
    """A grey gradient with a white square that moves along with the person, losslessly encoded."""
    ground = np.repeat(np.linspace(40, 120, SIDE).astype(np.uint8)[:, None], SIDE, axis=1)
    for unit in "abc":
        out = cv2.VideoWriter(str(folder / f"{unit}.avi"), cv2.VideoWriter_fourcc(*"FFV1"), 25, (SIDE, SIDE))
        assert out.isOpened()
        for frame in range(FRAMES):
            image = ground.copy()
            image[40:50, 5 + 7 * frame : 15 + 7 * frame] = 255
            out.write(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
        out.release()
    return ground


def options(**others):
    return CocoOptions(root=".", **others)


def read(reader, units="abc"):
    batches = list(reader.read("train", list(units)))
    return np.concatenate([batch.poses for batch in batches]), batches, reader.counts("train")


def test_poses_come_back_in_pixels_of_the_original():
    reader = AnnotatedReader(FakeReader(), options())
    poses, batches, counts = read(reader)
    crops = np.concatenate([batch.crop for batch in batches])
    expected = np.concatenate([FakeReader().joints(unit) for unit in "abc"])
    np.testing.assert_allclose(from_crop(poses, crops), expected, atol=1e-4)
    assert counts == {
        "read": 42,
        "kept": 36,
        "dropped": {"blurred": 6},
        "first_dropped": {"blurred": "a: record 77"},
    }
    assert batches[1].clip[0] == "action b"
    assert set(batches[2].sequence) == {ord("c")}


def test_the_stride_counts_frames_not_their_numbers():
    """Two sequences in one batch, their frames numbered from anywhere and not in order."""
    frames = np.array([16, 1, 6, 11, 21, 102, 100])
    joints = np.random.default_rng(0).uniform(20, 60, (7, 15, 2))

    class Numbered(FakeReader):
        def read(self, split, unit):
            yield raw_batch(joints, frames, sequence=np.array([0, 0, 0, 0, 0, 1, 1]))

    _, batches, counts = read(AnnotatedReader(Numbered(), options(stride=2)), "a")
    assert batches[0].frame.tolist() == [1, 11, 21, 100]
    assert counts["dropped"] == {"passed over by the stride": 3}


def test_numbers_that_32_bits_cannot_hold_are_refused():
    for number in (2**31, -2):
        with pytest.raises(DataError, match=rf"raw batch: expected numbers from -1 to 2147483647, found {number}"):
            raw_batch(np.zeros((2, 15, 2)), np.array([0, number]))


def test_each_reason_to_drop_is_counted_with_its_first_record():
    def change(unit, joints):
        if unit == "b":
            joints[1, 4] = np.nan
            joints[2, 3] = [SIDE, 5]  # one pixel too far
            joints[3, 3] = [SIDE - 1, 5]  # still in
            joints[4] = np.nan
            joints[5] = joints[5].mean(axis=0) + (joints[5] - joints[5].mean(axis=0)) * 0.1
            joints[6, 2] = [-0.6, 30]
            joints[7, 0] = 1e9
        return joints

    reader = AnnotatedReader(FakeReader(change=change), options())
    _, _, counts = read(reader, "b")
    assert counts["kept"] == FRAMES - 6
    assert counts["dropped"] == {
        "blurred": 2,
        "joints far out": 1,
        "no joint annotated": 1,
        "joints not annotated": 1,
        "joints outside the picture": 2,
        "smaller than crop.min_side": 1,
    }
    assert counts["first_dropped"]["joints outside the picture"] == "b: record 2"
    assert counts["read"] == FRAMES + 2
    _, batches, counts = read(AnnotatedReader(FakeReader(change=change), options(complete=False)), "b")
    assert counts["kept"] == FRAMES - 3
    lacking = batches[0].visibility[batches[0].frame == 1][0]
    assert lacking.sum() == 14
    assert lacking[4] == 0


def test_somebody_wholly_outside_the_picture_is_dropped_even_if_joints_may_lack():
    def change(unit, joints):
        joints[3] += 10 * SIDE
        joints[4, 1:] += 10 * SIDE
        return joints

    _, batches, counts = read(AnnotatedReader(FakeReader(change=change), options(complete=False)), "b")
    assert counts["dropped"]["all joints outside the picture"] == 1
    assert counts["first_dropped"]["all joints outside the picture"] == "b: record 3"
    seen = dict(zip(batches[0].frame.tolist(), batches[0].visibility.sum(axis=1).tolist(), strict=True))
    assert 3 not in seen
    assert seen[4] == 1


def test_the_stride_counts_what_it_passes_over():
    poses, batches, counts = read(AnnotatedReader(FakeReader(), options(stride=5)))
    assert len(poses) == 9
    assert batches[0].frame.tolist() == [0, 5, 10]
    assert counts["dropped"]["passed over by the stride"] == 27


def test_one_crop_a_sequence():
    reader = AnnotatedReader(FakeReader(), options(crop=SquareOptions(per="sequence", margin=0.1)))
    poses, batches, _ = read(reader, "a")
    assert len(np.unique(batches[0].crop, axis=0)) == 1
    width = batches[0].crop[0, 2]
    np.testing.assert_allclose(np.diff(poses[:, 3, 0]) * width, 2, atol=1e-4)
    assert poses.min() >= 0
    assert poses.max() <= 1


@pytest.mark.parametrize("per", ["pose", "sequence"])
def test_images_show_the_frame_and_the_median_what_stands_still(tmp_path, per):
    ground = write_videos(tmp_path)
    whole = SquareOptions(per=per, margin=1)
    reader = AnnotatedReader(
        FakeReader(tmp_path), options(images=True, image_size=64, image_format="png", crop=whole, shards=1)
    )
    _, batches, counts = read(reader, "a")
    assert counts["kept"] == FRAMES
    images = np.concatenate([batch.images for batch in batches])
    backgrounds = np.concatenate([batch.backgrounds for batch in batches])
    crops = np.concatenate([batch.crop for batch in batches])
    for frame in (0, 5, 11):
        # The white square's centre, from pixels of the frame to pixels of the crop.
        middle = (np.array([9.5 + 7 * frame, 44.5]) + 0.5 - crops[frame, :2]) / crops[frame, 2:] * 64 - 0.5
        image = decode_image(images[frame])[..., 0].astype(int)
        x, y = np.round(middle).astype(int)
        assert image[y, x] > 240
        behind = decode_image(backgrounds[frame])[..., 0].astype(int)
        assert abs(behind[y, x] - ground[44, 0]) <= 2
    assert len(set(backgrounds)) == (1 if per == "sequence" else FRAMES)


def test_masks_paint_the_background_black(tmp_path):
    write_videos(tmp_path)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[40:50] = 1
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    crop = SquareOptions(per="sequence", margin=2)
    reader = AnnotatedReader(
        FakeReader(tmp_path, masks=True), options(images=True, masked=True, image_format="png", crop=crop)
    )
    _, batches, _ = read(reader, "a")
    assert not decode_image(batches[0].backgrounds[0]).any()
    rows = np.flatnonzero(decode_image(batches[0].images[0]).any(axis=(1, 2)))
    pixels = (rows + 0.5) / 128 * batches[0].crop[0, 3] + batches[0].crop[0, 1]
    assert pixels.min() > 38.5
    assert pixels.max() < 51.5
    (tmp_path / "mask.png").unlink()
    with pytest.raises(DataError, match=r"a: expected masks such as .*mask\.png, found no such file"):
        read(reader, "a")
    (tmp_path / "mask.png").write_bytes(b"no picture")
    assert list(reader.read("train", ["a"])) == []
    assert reader.counts("train")["dropped"]["picture or its mask missing or unreadable"] == FRAMES
    with pytest.raises(ConfigError, match="masked: expected a dataset with masks"):
        read(AnnotatedReader(FakeReader(tmp_path), options(images=True, masked=True)))


def test_missing_pictures_are_counted_and_a_missing_folder_is_named(tmp_path):
    write_videos(tmp_path)
    (tmp_path / "b.avi").write_bytes((tmp_path / "b.avi").read_bytes()[:3000])
    reader = AnnotatedReader(FakeReader(tmp_path), options(images=True))
    *_, counts = read(reader)
    lost = counts["dropped"]["picture missing or unreadable"]
    assert 1 <= lost <= FRAMES
    assert counts["kept"] == 3 * FRAMES - lost
    (tmp_path / "c.avi").unlink()
    with pytest.raises(DataError, match=r"c: expected pictures such as .*c\.avi, found no such file"):
        read(reader)
    with pytest.raises(ConfigError, match="expected a dataset with pictures"):
        read(AnnotatedReader(FakeReader(), options(images=True)))


def test_a_clip_may_be_called_anything(tmp_path):
    whole = raw_batch(np.zeros((3, 15, 2)), np.arange(3), clip="a\0\udc80" + "b" * 10**6)
    assert whole.clip.tolist() == ["a?" + "b" * 77] * 3
    assert whole.clip.nbytes < 1000


def test_one_missing_picture_is_counted_in_whatever_batch_it_is(tmp_path):
    """A unit may come in batches, the last of a single record."""
    write_videos(tmp_path)
    lost = tmp_path / "lost.png"

    class InBatches(FakeReader):
        def read(self, split, unit):
            (whole,) = super().read(split, unit)
            for rows in (range(FRAMES - 1), [FRAMES - 1]):
                batch = whole.take(np.array(rows))
                yield replace(batch, pictures=(Picture(lost),)) if len(rows) == 1 else batch

    *_, counts = read(AnnotatedReader(InBatches(tmp_path), options(images=True)))
    assert counts["dropped"]["picture missing or unreadable"] == 3
    assert counts["first_dropped"]["picture missing or unreadable"] == f"a: record {FRAMES - 1}"
    assert counts["kept"] == 3 * (FRAMES - 1)


def test_a_stride_needs_a_video():
    stills = FakeReader()
    stills.is_video = False
    with pytest.raises(ConfigError, match="stride: expected 1"):
        AnnotatedReader(stills, options(stride=2))


# ---- shards


@pytest.fixture
def opened(monkeypatch, tmp_path):
    write_videos(tmp_path)
    chosen = options(images=True, image_size=32)
    monkeypatch.setattr(stage, "open_reader", lambda *_: AnnotatedReader(FakeReader(tmp_path), chosen))
    return tmp_path, chosen


def in_shards(folder, chosen, shards, limit=None):
    paths = [folder / f"{shards}_{limit}_{shard}.h5" for shard in range(shards)]
    for shard, path in enumerate(paths):
        stage.convert_shard(chosen, "train", shard, shards, 0, path)
    out, card = folder / f"{shards}_{limit}.h5", folder / f"{shards}_{limit}.json"
    stage.gather_shards("mine", "coco", "train", limit, 0, paths, out, card, paper={"train": 9})
    return out, read_json(card)


def test_any_number_of_shards_gives_the_same_file(opened):
    whole, card = in_shards(*opened, 1)
    for shards in (2, 3, 5):
        parts, other = in_shards(*opened, shards)
        assert parts.read_bytes() == whole.read_bytes()
        assert other == card
    assert card["poses"] == card["counts"]["kept"] == 36
    assert card["counts"]["dropped"] == {"blurred": 6}
    assert card["paper"] == {"train": 9}
    assert load_cache(whole).source[:].tolist() == [f"films/{unit}.avi" for unit in "abc" for _ in range(FRAMES)]


def test_a_limit_draws_evenly_and_counts_what_it_leaves_out(opened):
    whole = load_cache(in_shards(*opened, 1)[0], images=True)
    few, card = in_shards(*opened, 2, limit=10)
    assert few.read_bytes() == in_shards(*opened, 3, limit=10)[0].read_bytes()
    assert card["counts"]["dropped"] == {"blurred": 6, "over the limit": 26}
    assert card["poses"] == 10
    kept = load_cache(few, images=True)
    names = list(zip(whole.sequence, whole.frame, strict=True))
    rows = [names.index(name) for name in zip(kept.sequence, kept.frame, strict=True)]
    assert rows == sorted(set(rows))
    np.testing.assert_array_equal(kept.source[:], whole.source[np.array(rows)])
    np.testing.assert_array_equal(kept.images[:], whole.images[np.array(rows)])
    np.testing.assert_array_equal(kept.backgrounds[kept.background], whole.backgrounds[whole.background[rows]])
    assert in_shards(*opened, 1, limit=100)[1]["poses"] == 36
    assert LimitOptions(train=5).train == 5


def test_nothing_kept_says_why(opened, monkeypatch):
    folder, chosen = opened
    small = AnnotatedReader(FakeReader(), options(crop=SquareOptions(min_side=500)))
    monkeypatch.setattr(stage, "open_reader", lambda *_: small)
    with pytest.raises(
        DataError,
        match=r"mine: train: expected at least one pose, found none: .*; 36 dropped: smaller than crop\.min_side",
    ):
        in_shards(folder, chosen, 2)
