"""What the fixtures' poses are: action or class, subject, camera, frame, and the picture or video, in reading order."""

import numpy as np

NONE = -1


def ids_of(name, root, split):
    """A list of (clip, subject, camera, frame, source), a tuple a pose; `root` is where the fixture was written."""
    return list(_OF[name](root, split))


def _coco(root, split):
    count, folder = {"train": (40, "train2017"), "test": (9, "val2017")}[split]
    pictures = [1000 + 7 * number for number in range(count) for _ in range(1 + number % 2)]
    # A crowd and a person without keypoints stand between them.
    places = [place for place in range(len(pictures) + 2) if place not in (2, 4)]
    for place, picture in zip(places, pictures, strict=True):
        yield "", NONE, NONE, place, f"{folder}/{picture:012d}.jpg"


def _own(root, split):
    for number in range({"train": 20, "test": 6}[split]):
        yield "", NONE, NONE, number, f"frames/{split}/{number}.png"


def _lsp(root, split):
    for number in range(1000) if split == "train" else range(1000, 1040):
        yield "", NONE, NONE, number, f"images/im{number + 1:04d}.jpg"


def _lsp_extended(root, split):
    for number in range(60):
        yield "", NONE, NONE, number, f"images/im{number + 1:05d}.jpg"


def _penn_action(root, split):
    clips = {
        "train": [("0001", "squat", 7), ("0002", "bowl", 1), ("0004", "pullup", 6)],
        "test": [("0003", "squat", 5), ("0005", "bowl", 4)],
    }
    for number, action, length in clips[split]:
        for frame in range(length):
            yield action, NONE, NONE, frame, f"frames/{number}/{frame + 1:06d}.jpg"


def _3dhp(root, split):
    if split == "test":
        for subject in (1, 6):
            for frame in (0, 1, 3, 4, 5, 7):
                picture = f"mpi_inf_3dhp_test_set/TS{subject}/imageSequence/img_{frame + 1:06d}.jpg"
                yield f"TS{subject}", 100 + subject, 0, frame, picture
        return
    for subject, sequence, frames in ((1, 1, (0, 1, 3, 4, 5)), (8, 2, range(6054))):
        for camera in (0, 8):
            for frame in frames:
                video = f"S{subject}/Seq{sequence}/imageSequence/video_{camera}.avi"
                yield f"S{subject}_Seq{sequence}", subject, camera, frame, video


def _surreal(root, split):
    clips = {
        "train": [(0, "01_01", 1, 5), (0, "02_01", 2, 7), (1, "01_01", 1, 1)],
        "val": [(0, "01_01", 1, 9)],
        "test": [(0, "01_01", 1, 3), (1, "01_01", 1, 6)],
    }
    for run, name, subject, length in clips[split]:
        for frame in range(length):
            yield name, subject, NONE, frame, f"data/cmu/{split}/run{run}/{name}/{name}_c0001.mp4"


def _human36m(root, split):
    sequences = {
        "train": [
            (1, "Directions 1.54138969", "Directions", 54138969),
            (1, "TakingPhoto.55011271", "Photo", 55011271),
            (1, "Walking.60457274", "Walking", 60457274),
            (1, "WalkingDog 1.58860488", "WalkDog", 58860488),
            (5, "Photo 1.54138969", "Photo", 54138969),
        ],
        "test": [
            (11, "Sitting 1.54138969", "Sitting", 54138969),
            (11, "SittingDown.55011271", "SittingDown", 55011271),
        ],
    }
    for subject, name, action, camera in sequences[split]:
        for frame in range(8):
            if (action, frame) != ("Directions", 5):
                yield action, subject, camera, frame, f"S{subject}/Videos/{name}.mp4"


def _human36m_npz(root, split):
    known = {
        "S1_Walking_1.54138969": ("Walking", 1, 54138969),
        "S1_WalkingDog.55011271": ("WalkDog", 1, 55011271),
        "S7_Photo.58860488": ("Photo", 7, 58860488),
        "S9_Eating.60457274": ("Eating", 9, 60457274),
    }
    with np.load(root / f"h36m_{split}.npz") as stored:
        # Sequences are read as they are first met in the file.
        met = dict.fromkeys(str(name).removeprefix("images/")[: -len("_000001.jpg")] for name in stored["imgname"])
    for name in met:
        for frame in range(1, 36, 5):
            yield *known[name], frame, f"images/{name}_{frame:06d}.jpg"


def _simplified(root, split):
    sequences = {
        "train": [
            (1, "Greeting.55011271", "Greeting", 55011271),
            (1, "Walking 1.54138969", "Walking", 54138969),
            (9, "Posing.60457274", "Posing", 60457274),
        ],
        "test": [(11, "Waiting 1.58860488", "Waiting", 58860488)],
    }
    for subject, name, action, camera in sequences[split]:
        for frame in range(1, 12):
            if (action, frame) != ("Posing", 4):
                yield action, subject, camera, frame, f"human_images/S{subject}/WithBackground/{name}/{frame}.jpg"


def _300vw(root, split):
    for video, frames in {
        "train": [("001", range(6)), ("002", (0, 1, 2, 4, 6, 7, 8))],
        "test": [("114", range(5)), ("410", range(4))],
    }[split]:
        for frame in frames:
            yield video, int(video), NONE, frame, f"300VW_Dataset_2015_12_14/{video}/vid.avi"


def _wflw(root, split):
    for number in range({"train": 30, "test": 8}[split]):
        shown = number - (number == 5)
        event = f"{shown % 3}--Event_{shown % 3}"
        # The eighth line of the training list is broken.
        row = number + (split == "train" and number >= 7)
        yield event, NONE, NONE, row, f"WFLW_images/{event}/{split}_{shown}.jpg"


_OF = {
    "coco": _coco,
    "keypoints-json": _own,
    "lsp": _lsp,
    "lsp-extended": _lsp_extended,
    "penn-action": _penn_action,
    "mpi-inf-3dhp": _3dhp,
    "surreal": _surreal,
    "human36m": _human36m,
    "human36m-npz": _human36m_npz,
    "simplified-human36m": _simplified,
    "300-vw": _300vw,
    "wflw": _wflw,
}
